"""Latent class analysis: a mixture for answers, with the fit of the table of answers and the profiles of the items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils.validation import check_is_fitted

from estep.core.protocols import Explained
from estep.core.record import Array
from estep.core.result import Result
from estep.estimators import diagnostic_methods as diagnostics
from estep.estimators import estimate_methods as estimates
from estep.estimators import gated_methods, methods, pictures, streaming
from estep.estimators import inference_methods as inference
from estep.estimators.columns import read_columns
from estep.estimators.gated_methods import names_of_covariates, read_covariates
from estep.estimators.items import Profiles, item_names, profiles, sizes_of, tables_of
from estep.estimators.rows import Rows, Target, rows_of
from estep.estimators.seam import Arguments, Spec, fit_latent, published, read, worth_collapsing
from estep.families.product import Product
from estep.families.words import family_called
from estep.inference.contingency import (
    TableFit,
    bivariate_residuals,
    entropy_r2,
    no_table,
    posterior_by_class,
    table_fit,
)
from estep.structures.gated import Gated

EDGE = 1e-6
"""How near to 0 or 1 a probability counts as lying there."""
TESTS = ("g2_", "x2_", "df_", "g2_p_value_", "x2_p_value_")
ALIKE = 1e-3
"""Largest difference of probabilities between classes that count as one."""


class LatentClass(CallbackSupportMixin, DensityMixin, BaseEstimator):
    """Latent class analysis: ``p(x) = sum_k w_k prod_j p_kj(x_j)``, answers independent within a class.

    Equal rows are counted once, so a fit costs what differs and not what is written. Missing answers (NaN, None) are left
    out of the product, which is exact where they are missing at random.

    Parameters
    ----------
    n_components : int
        Number of classes.
    measurement : str, family or dict
        How items look in a class. "categorical" (answers of any kind, two or more), "binary" (0 and 1), another family's
        word, a family, or for mixed items a dict from columns to either: ``{("a", "b"): "categorical", "age": "normal"}``.
    n_init, init, algorithm, accelerate, search, progressive, prior, fixed, tied, tol, max_iter, random_state, n_jobs, progress
        As in ``Mixture``; 20 starts. ``init`` may be ``dict(weights=..., probs=...)`` with probs (k, d, m), or (k, d) of the
        second answer where items have two.

    Attributes
    ----------
    weights_ : array (k,)
        Class sizes; (g, k) with a row for each group of ``by``; with covariates their mean over the rows.
    gate_coefs_ : array (k, 1 + q)
        With covariates: intercept and coefficients of the logit of each class against the first.
    probs_ : array (k, d, m)
        Probability of each answer of each item; 0 beyond an item's own answers. Mixed items: see ``params_``.
    levels_ : list of arrays
        The answers of each item, in the order of ``probs_``.
    g2_, x2_, df_, g2_p_value_, x2_p_value_
        Likelihood-ratio and Pearson statistic against the saturated table; None where there is none (see ``fit_statistics``).
    entropy_ : float
        Relative entropy: 1 where every row surely belongs to one class, 0 where nothing is known.
    notes_ : tuple of str
        What to know about this fit: probabilities at 0 or 1, parameters that the table cannot tell apart, like classes.
    params_, converged_, status_, n_iter_, log_likelihood_, objective_, trace_, starts_, result_, groups_
        As in ``Mixture``.

    Examples
    --------
    >>> import numpy as np, estep
    >>> X = np.array([[0, 0, 0], [0, 0, 1], [1, 1, 0], [1, 1, 1]])
    >>> fit = estep.LatentClass(2, random_state=0).fit(X, sample_weight=[40, 10, 12, 38])
    >>> fit.df_, [round(float(w), 2) for w in fit.weights_]
    (0, [0.5, 0.5])
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        measurement: Any = "categorical",
        n_init: int = 20,
        init: Any = "auto",
        algorithm: Any = "em",
        accelerate: Any = "auto",
        search: Any = None,
        progressive: Any = "auto",
        prior: Any = "auto",
        fixed: Any = None,
        tied: Any = None,
        tol: float = 1e-8,
        max_iter: int = 1000,
        random_state: Any = None,
        n_jobs: int | None = None,
        progress: bool = False,
    ) -> None:
        self.n_components = n_components
        self.measurement = measurement
        self.n_init = n_init
        self.init = init
        self.algorithm = algorithm
        self.accelerate = accelerate
        self.search = search
        self.progressive = progressive
        self.prior = prior
        self.fixed = fixed
        self.tied = tied
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.progress = progress

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None, by: Any = None, covariates: Any = None
    ) -> LatentClass:
        """Fit to the rows of ``X``; see the class for the settings.

        Parameters
        ----------
        X : array or DataFrame (n, d)
            Answers, one item a column: numbers, text, booleans or categories; NaN and None are missing.
        y : array (n,) or None
            Known classes; -1, NaN or None is unlabelled.
        sample_weight : array (n,) or None
            Frequencies; with a table of patterns, their counts.
        labels : sequence or boolean array (n, k)
            Sets of permitted classes.
        by : array (n,) or None
            Groups with class sizes of their own and shared profiles (years, countries).
        covariates : array or DataFrame (n, q) or None
            Numbers on which class sizes depend, by multinomial logit:
            ``log(P(class k) / P(class 0)) = gate_coefs_[k] @ (1, c)``.

        Raises
        ------
        ValueError
            Naming the argument, what was found and what to do.
        """
        if by is not None and covariates is not None:
            raise ValueError("give by or covariates, not both; groups may be covariates, as columns of 0 and 1 for all but one")
        gate = None if covariates is None or self.n_components == 1 else Gated(columns=names_of_covariates(covariates))
        arguments = Arguments(X, y, sample_weight, labels, by, covariates=covariates)
        fitted: LatentClass = fit_latent(self, arguments, Spec(measured(self.measurement), self.n_components, gate))
        return fitted

    @property
    def title(self) -> str:
        """The model in words, for summaries and reports."""
        k = getattr(self, "n_components_", self.n_components)
        return f"Latent class model, {k} {'class' if k == 1 else 'classes'}"

    fit_predict = gated_methods.fit_predict
    predict = gated_methods.predict
    predict_proba = gated_methods.predict_proba
    score_samples = gated_methods.score_samples
    score = gated_methods.score
    sample = gated_methods.sample
    bic = gated_methods.bic
    aic = gated_methods.aic
    icl = gated_methods.icl
    icl_entropy = gated_methods.icl_entropy
    summary = methods.summary
    standard_errors = inference.gated_standard_errors
    confint = inference.gated_confint
    diagnose = diagnostics.gated_diagnose
    influence = diagnostics.gated_influence
    to_frame = estimates.to_frame
    to_latex = estimates.to_latex
    to_markdown = estimates.to_markdown
    to_html = estimates.to_html
    plot = pictures.plot
    save = methods.save
    partial_fit = streaming.partial_fit

    def _streamed(self, arguments: Arguments, rows: Rows) -> None:
        for name in TESTS:
            setattr(self, name, None)

    def fit_statistics(self, X: Any, sample_weight: Any = None, *, by: Any = None, covariates: Any = None) -> TableFit:
        """G2 and X2 of the rows of ``X`` against the saturated table, with degrees of freedom and p values.

        ``G2 = 2 sum_p n_p log(n_p / m_p)`` over patterns; see ``estep.inference.contingency``. Print it.
        """
        check_is_fitted(self, "result_")
        return _table(self, *_patterns(self, Arguments(X, None, sample_weight, None, by, covariates=covariates)))

    def bivariate_residuals(self, X: Any, sample_weight: Any = None, *, by: Any = None, covariates: Any = None) -> Array:
        """Residual (d, d) of each pair of items, X2 of their table a degree of freedom: large ones hang together in a class.

        NaN on the diagonal and for items that are no categories.
        """
        check_is_fitted(self, "result_")
        rows, seen = _patterns(self, Arguments(X, None, sample_weight, None, by, covariates=covariates))
        model, params = self.result_.model, self.result_.params
        tables = tables_of(model.family, params.family, rows.d)
        told = {j: table for j, table in enumerate(tables) if table is not None}
        out, items = np.full((rows.d, rows.d), np.nan), [*told]
        if items:
            x = np.asarray(rows.x)[:, items]
            out[np.ix_(items, items)] = bivariate_residuals(x, _weight(rows), _shares(model, params), [*told.values()])
        return out

    def average_posterior(self, X: Any, sample_weight: Any = None, *, by: Any = None, covariates: Any = None) -> Array:
        """Mean class probabilities (k, k) of the rows that belong most probably to the class of the line."""
        check_is_fitted(self, "result_")
        rows, seen = _patterns(self, Arguments(X, None, sample_weight, None, by, covariates=covariates))
        return posterior_by_class(seen.resp, _weight(rows))

    def item_profiles(self) -> Profiles:
        """Every item in every class: the probability of each answer, or the parameters of an item of another kind. Print it."""
        check_is_fitted(self, "result_")
        return profiles(self)

    def _read(self, arguments: Arguments, target: Target, *, reset: bool) -> Rows:
        counted = reset and arguments.covariates is None and getattr(target.family, "discrete", False)
        x = read_columns(self, arguments.X, target.family, reset=reset, lazy=counted)
        given = read_covariates(self, arguments.covariates, x, reset=reset)
        return rows_of(self, arguments, target, x=x, given=given, reset=reset)

    def published_as(self, result: Result) -> dict[str, Any]:
        """The fitted attributes of a fit that was loaded; a statistic that the file does not hold is None."""
        return {name: None for name in TESTS if not hasattr(self, name)} | published(self, result)

    def _describe(self, rows: Rows) -> dict[str, Any]:
        return described(self, rows)

    def __sklearn_clone__(self) -> Any:
        return methods.enclosed(super().__sklearn_clone__())

    def __sklearn_tags__(self) -> Any:
        return methods.tags(super().__sklearn_tags__(), measured(self.measurement))


def measured(measurement: Any) -> Any:
    """The family that ``measurement`` stands for; raises ValueError and TypeError."""
    if isinstance(measurement, Mapping):
        if not measurement:
            raise ValueError("measurement is an empty dict; name at least one column and its family")
        return Product([(family_called(family), columns) for columns, family in measurement.items()])
    family = family_called(measurement)
    if isinstance(family, type) or not hasattr(family, "log_density"):
        raise TypeError(f"measurement must be a word, a family or a dict from columns to either, got {measurement!r}")
    return family


def described(self: LatentClass, rows: Rows) -> dict[str, Any]:
    """The fitted attributes that a latent class analysis adds."""
    seen = _explained(self, rows)
    found = _table(self, rows, seen)
    return {
        "g2_": found.g2,
        "x2_": found.x2,
        "df_": found.df,
        "g2_p_value_": found.g2_p_value,
        "x2_p_value_": found.x2_p_value,
        "entropy_": entropy_r2(seen.resp, _weight(rows)),
        "notes_": tuple(_notes(self, rows, seen, found)),
    }


def _patterns(self: LatentClass, arguments: Arguments) -> tuple[Rows, Explained]:
    """The distinct rows as the fitted model sees them."""
    model = self.result_.model
    rows = read(self, arguments, Target(model.family, model.k, model.k), reset=False)
    rows = rows.distinct() if worth_collapsing(model.family, rows) else rows
    return rows, _explained(self, rows)


def _explained(self: LatentClass, rows: Rows) -> Explained:
    model, params = self.result_.model, self.result_.params
    out = Explained(np.empty(rows.n), np.empty((rows.n, model.k)), np.empty(rows.n, dtype=np.intp))

    def keep(chunk: Any, part: Explained) -> None:
        out.log_density[chunk.rows] = part.log_density
        out.resp[chunk.rows] = part.resp
        out.path[chunk.rows] = part.path

    rows.data(self.n_jobs).map(lambda chunk: model.explain(params, chunk), keep)
    return out


def _weight(rows: Rows) -> Array:
    return np.ones(rows.n) if rows.weight is None else rows.weight


def _shares(model: Any, params: Any) -> Array:
    """Class sizes (k,) over all rows."""
    overall = getattr(model.structure, "overall", None)
    return np.asarray(overall(params.structure) if overall else params.structure.weights)


def _table(self: LatentClass, rows: Rows, seen: Explained) -> TableFit:
    model = self.result_.model
    sizes = sizes_of(model.family, self.result_.params.family, rows.d)
    cells = int(np.prod([float(m) for m in sizes])) if all(sizes) else 0
    if why := _why_no_table(rows, sizes):
        return no_table(rows.n, cells, why)
    weight = _weight(rows)
    groups = np.zeros(rows.n, dtype=np.intp) if rows.given is None else np.asarray(rows.given)
    totals = np.bincount(groups, weight).astype(float)
    expected = totals[groups] * np.exp(seen.log_density)
    return table_fit(expected, weight, cells, int((totals > 0).sum()), int(self.result_.n_free))


def _why_no_table(rows: Rows, sizes: list[int]) -> str:
    if not all(sizes):
        return "not every item is categorical"
    if np.isnan(np.asarray(rows.x)).any():
        return "some answers are missing; compare models by bic, or fit the complete rows"
    if rows.allowed is not None:
        return "some rows have labels"
    if rows.given is not None and np.ndim(rows.given) == 2:
        return "class sizes depend on covariates, so there is no one table"
    return ""


def _notes(self: LatentClass, rows: Rows, seen: Explained, found: TableFit) -> list[str]:
    """Sentences about what is special in this fit."""
    model, params = self.result_.model, self.result_.params
    names = item_names(self)
    tables = tables_of(model.family, params.family, rows.d)
    said = _about_items(names, tables, rows)
    if found.df is not None and found.df <= 0:
        said.append(f"{found.df} degrees of freedom: {found.why.removeprefix('no p value: ')}")
    said += _about_classes(tables, seen, _weight(rows), model.k)
    return said


def _about_items(names: list[str], tables: list[Array | None], rows: Rows) -> list[str]:
    said = []
    x = np.asarray(rows.x)
    constant = [name for j, name in enumerate(names) if len(np.unique(x[~np.isnan(x[:, j]), j])) == 1]
    if constant:
        said.append(f"{_and(constant)}: every answer is the same, which tells nothing about classes; the item can be left out")
    edges = []
    for name, table in zip(names, tables, strict=True):
        if table is not None and name not in constant and table.shape[1] > 1:
            at = np.flatnonzero(((table < EDGE) | (table > 1 - EDGE)).any(axis=1))
            edges += [f"{name} in class {c}" for c in at]
    if edges:
        said.append(
            f"{_and(edges)}: probabilities at 0 or 1, which are legal estimates but have no standard error of the usual kind; "
            "prior='default' keeps them inside"
        )
    return said


def _about_classes(tables: list[Array | None], seen: Explained, weight: Array, k: int) -> list[str]:
    said = []
    told = [table for table in tables if table is not None]
    for c in range(k):
        for other in range(c):
            if told and len(told) == len(tables) and max(float(np.abs(t[c] - t[other]).max()) for t in told) < ALIKE:
                said.append(f"classes {other} and {c} have the same profile, so that one fewer class fits as well")
    empty = np.flatnonzero(np.bincount(seen.path, weight, minlength=k) == 0)
    if empty.size:
        said.append(f"{_and([f'class {c}' for c in empty])}: the most probable class of no row")
    return said


def _and(words: list[str]) -> str:
    return ", ".join(words[:6]) + (f" and {len(words) - 6} more" if len(words) > 6 else "")
