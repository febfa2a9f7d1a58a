"""Multinomial regression in each component: a class whose log-odds against the first are linear in covariates.

    y_i | x_i, z_i = k ~ Categorical(p_ik),   p_ik = softmax(b_k + B_k x_i + o_i),   b_k0 = 0, B_k0 = 0

E-step   log p_ik,y; a row without response counts for nothing
M-step   one guarded Newton step on all classes at once (their vectors are coupled through the softmax)
prior    normal on coefficients, precision ridge

symbol   variable     shape
B        coefs        (k, m, p)   row 0, of the reference class, is zero
b        intercepts   (k, m)      entry 0 is zero
         at           (k, m, 1 + p)

Rows are ``(design (n, p), codes (n,))`` with codes 0 .. m - 1, or with an offset (n, m) third.

Sources: McCullagh & Nelder (1989), Generalized Linear Models, section 5.2; Boehning (1992), Ann. Inst. Statist. Math. 44:197.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.record import Array, record
from estep.core.support import Constraints, Pattern, Real, Support
from estep.families import regression, regression_rows
from estep.families.normal_shapes import adopted_ties, numbers
from estep.families.regression import RegressionBlock, RegressionParams, RegressionStats
from estep.kernels import local
from estep.kernels.design import Design, features, inner, pulled
from estep.kernels.local import LocalStats
from estep.kernels.logit import expansion_of, log_probs


@record
class ClassTotals:
    """Weighted count of each class."""

    counts: Array


@dataclasses.dataclass(frozen=True)
class MultinomialRegression:
    """A class, 0 .. m - 1, with log-odds against class 0 that are linear in covariates.

    Parameters
    ----------
    n_classes : int or None
        Number of classes; None takes the largest code that ``bind`` sees.
    intercept : bool
        Whether each class has an intercept.
    ridge : float
        Precision of the normal prior on coefficients that ``prior`` makes; above 0 admits collinear columns.
    columns : tuple of str
        Names of the covariates, for messages.
    design, sizes, level
        Set by ``bind``: the map of covariates, their standard deviations, the overall log-odds of the classes.

    Examples
    --------
    >>> from estep.data import Memory
    >>> x = (np.array([[0.0], [1.0], [2.0], [4.0]]), np.array([0.0, 1.0, 2.0, 0.0]))
    >>> family = MultinomialRegression().bind(Memory(x))
    >>> np.exp(family.log_density(family.start(1), family.encode(x))).ravel().round(9).tolist()
    [0.5, 0.25, 0.25, 0.5]
    """

    n_classes: int | None = None
    intercept: bool = True
    ridge: float = 0.0
    columns: tuple[str, ...] = ()
    design: Design | None = None
    sizes: Array | None = None
    level: Array | None = None
    names: ClassVar[tuple[str, ...]] = ("coefs", "intercepts")
    classes: ClassVar[str] = "many"

    def improper(self, y: Array) -> tuple[NDArray[np.bool_], str]:
        """Rows that hold no class, and what was expected."""
        if y.ndim != 1:
            return np.ones(len(y), dtype=bool), "but a class is one code a row"
        top = np.inf if self.n_classes is None else self.n_classes
        words = "..." if self.n_classes is None else f"{self.n_classes - 1}"
        return (y < 0) | (y != np.floor(y)) | np.isinf(y) | (y >= top), f"but classes are codes 0, 1, .. {words}"

    def find_level(self, data: Any) -> Array:
        """Log-odds of the classes in the whole data, (m,); raises ValueError where one never occurs."""
        m = self.n_classes or 1 + max(int(self._codes(chunk)[0].max(initial=0)) for chunk in data.chunks())

        def part(chunk: Any) -> ClassTotals:
            codes, weight = self._codes(chunk)
            return ClassTotals(np.bincount(codes, weight, minlength=m).astype(float))

        counts = data.sum(part).counts
        if m < 2 or (counts <= 0).any():
            absent = "every response is class 0" if m < 2 else f"class {int(np.argmin(counts))} of 0..{m - 1} never occurs"
            raise ValueError(f"response: {absent}, so the likelihood has no maximum; give two or more classes that all occur")
        return np.asarray(np.log(counts / counts[0]))

    def start(self, k: int) -> RegressionParams:
        """Every component at the level of the whole of the data, without slopes."""
        p, level = regression_rows.known(self).centre.size, self._level()
        intercepts = level if self.intercept else np.zeros(level.size)
        return RegressionParams(np.zeros((k, level.size, p)), np.tile(intercepts, (k, 1)))

    def encode(self, x: Any) -> RegressionBlock:
        """Whitened features with class codes; raises ValueError as ``bind`` does."""
        design, y, offset, seen = regression_rows.split_rows(self, x)
        z = features(regression_rows.known(self), design)
        z[~seen] = 0.0
        return RegressionBlock(z, np.where(seen, y, 0.0), offset, seen, np.zeros(len(y)))

    def log_density(self, params: RegressionParams, encoded: RegressionBlock) -> Array:
        """Log probabilities (n, k) of the observed classes given covariates, in nats; 0 where the response is missing."""
        codes = encoded.y.astype(np.intp)
        found = [log_p[np.arange(codes.size), codes] for log_p in self._log_probs(params, encoded.z, encoded.offset)]
        return np.where(encoded.seen[:, None], np.stack(found, axis=1), 0.0)

    def stats(self, params: RegressionParams, encoded: RegressionBlock, resp: Array) -> RegressionStats:
        """Value, gradient and curvature of the weighted log-likelihood at ``params``."""
        resp = resp * encoded.seen[:, None]
        one_hot = np.asarray(encoded.y[:, None] == np.arange(self._level().size), dtype=float)
        each = [
            expansion_of(encoded.z, one_hot * r[:, None], log_p)
            for r, log_p in zip(resp.T, self._log_probs(params, encoded.z, encoded.offset), strict=True)
        ]
        value, gradient, curvature, gram = (np.stack([np.asarray(e[j]) for e in each]) for j in range(4))
        phi = phi_of(params)
        return RegressionStats(resp.sum(axis=0), LocalStats(value, gradient, curvature, gram, np.zeros(phi.shape), phi))

    def fit(self, stats: RegressionStats, params: RegressionParams, support: Support) -> RegressionParams:
        """One guarded Newton step from the point of the statistics over the free entries; never lowers the likelihood."""
        phi = local.step(stats.local, regression_rows.known(self), phi_of(params), regression.pattern_of(support))
        return RegressionParams(phi[:, :, 1:], phi[:, :, 0])

    def q(self, params: RegressionParams, stats: RegressionStats) -> float:
        """Complete-data log-likelihood in nats, to second order about the point of the statistics."""
        return float(local.expansion(stats.local, regression_rows.known(self), phi_of(params)).sum())

    def score(self, params: RegressionParams, stats: RegressionStats, support: Support) -> Array:
        """Gradient of ``q`` in free coordinates."""
        slope = local.slope(stats.local, regression_rows.known(self), phi_of(params))
        return support.pull(params, {"coefs": slope[:, :, 1:], "intercepts": slope[:, :, 0]})

    def unit_scores(self, params: RegressionParams, encoded: RegressionBlock, resp: Array, support: Support) -> Array:
        """Per row, the gradient of its weighted log density, (n, free coordinates)."""
        resp = resp * encoded.seen[:, None]
        one_hot = np.asarray(encoded.y[:, None] == np.arange(self._level().size), dtype=float)
        log_p = np.stack(self._log_probs(params, encoded.z, encoded.offset), axis=1)
        slope = resp[:, :, None] * (one_hot[:, None] - np.exp(log_p))
        raw = slope[..., None] * pulled(regression_rows.known(self), encoded.z)[:, None, None]
        return regression.rows_pulled(params, support, {"coefs": raw[..., 1:], "intercepts": raw[..., 0]})

    def support(self, params: RegressionParams, constraints: Constraints) -> Support:
        """Real coefficients and intercepts; those of class 0 are held at zero, as are intercepts without one."""
        entries = {}
        for name in self.names:
            shape = getattr(params, name).shape
            held = np.zeros(shape, dtype=bool)
            held[:, 0] = True
            held |= name == "intercepts" and not self.intercept
            entries[name] = Real(_held_at_zero(name, shape, held, constraints))
        return Support(entries)

    def prior(self, k: int, settings: Mapping[str, Any]) -> RegressionStats:
        """A normal prior on coefficients, mean 0 and precision ``ridge`` (a number, or one a column), as statistics."""
        regression.refuse_settings(self, settings, ("ridge",))
        r, m = self._level().size, regression_rows.known(self).centre.size + 1
        penalty = np.repeat(regression.penalties(self, k, settings)[:, None], r, axis=1)
        zeros = np.zeros((k, r, m))
        nothing = np.zeros((k, r * m, r * m))
        return RegressionStats(np.zeros(k), LocalStats(np.zeros(k), zeros, nothing, np.zeros((k, m, m)), penalty, zeros))

    def frail(self, params: RegressionParams, stats: RegressionStats, support: Support) -> Collapsed | None:
        """The first component with fewer rows than coefficients, or whose coefficients run to infinity; else None."""
        pattern = regression.pattern_of(support)
        if (thin := regression.too_few(stats.count, stats.local.penalty.any(axis=(1, 2)), pattern)) is not None:
            return thin
        found = local.runaway(stats.local, regression_rows.known(self), phi_of(params), pattern)
        return None if found is None else regression.endless(self, *found)

    def means(self, params: RegressionParams, x: Any) -> Array:
        """Class probabilities of each row under each component, (n, k, m), from ``(design,)`` or ``(design, _, offset)``."""
        z = features(regression_rows.known(self), np.asarray(x[0], dtype=float))
        offset = np.zeros(len(z)) if len(x) < 3 or x[2] is None else np.asarray(x[2], dtype=float)
        return np.exp(np.stack(self._log_probs(params, z, offset), axis=1))

    def sample(
        self,
        params: RegressionParams,
        labels: NDArray[np.intp],
        rng: np.random.Generator,
        design: Array | None = None,
        offset: Array | None = None,
    ) -> tuple[Array, ...]:
        """A row ``(design, code)`` for each label; without ``design`` covariates are drawn as in the other regressions."""
        chosen = regression_rows.known(self)
        if design is None:
            design = rng.standard_normal((labels.size, chosen.centre.size)) @ chosen.unwhiten + chosen.centre
        probs = self.means(params, (design, None, offset))[np.arange(labels.size), labels]
        codes = (rng.random((labels.size, 1)) > probs.cumsum(axis=1)[:, :-1]).sum(axis=1).astype(float)
        return (design, codes) if offset is None else (design, codes, np.asarray(offset, dtype=float))

    def adopt(self, name: str, value: Any, k: int, d: int, argument: str) -> Array:
        """A user's array for parameter ``name``: coefs (k, m, p), intercepts (k, m); class 0 must be zero or free."""
        array, p = numbers(value, argument), len(self.columns)
        m = self.n_classes or (array.shape[1] if array.ndim > 1 else 0)
        expected = (k, m, p or array.shape[-1] if array.ndim else 0) if name == "coefs" else (k, m)
        if array.shape != expected:
            raise ValueError(f"{argument} has shape {array.shape}, expected {expected}")
        if np.any(np.nan_to_num(array[:, 0]) != 0):
            raise ValueError(f"{argument}: class 0 is the reference, so its entries are zero; subtract them from every class")
        return array

    def adopt_ties(self, name: str, value: Any, k: int, d: int, argument: str) -> NDArray[np.intp]:
        """A user's integers that tie entries of parameter ``name``, in its shape."""
        return adopted_ties(value, np.shape(value), argument)

    def linked(self, y: Array) -> Array:
        """One column a class, as start rules see it."""
        codes = np.arange(1, self.n_classes or 1 + int(np.nanmax(y, initial=1)))
        return np.where(np.isnan(y)[:, None], np.nan, np.asarray(y[:, None] == codes, dtype=float))

    def _codes(self, chunk: Any) -> tuple[NDArray[np.intp], Array]:
        _, y, _, weight = regression_rows.weighted(self, chunk)
        return np.where(weight > 0, y, 0.0).astype(np.intp), weight

    def _level(self) -> Array:
        regression_rows.known(self)
        assert self.level is not None
        return self.level

    def _log_probs(self, params: RegressionParams, z: Array, offset: Array) -> list[Array]:
        theta = inner(regression_rows.known(self), phi_of(params))
        return [log_probs(z @ t.T + (offset if offset.ndim == 2 else 0.0)) for t in theta]

    bind = regression_rows.bind
    features = regression_rows.residual_features
    align = regression.align
    carried = regression.carried
    permute = regression.permute
    expose = regression.expose


def phi_of(params: RegressionParams) -> Array:
    """Coefficients with the intercept in front, (k, m, 1 + p)."""
    return np.concatenate([params.intercepts[..., None], params.coefs], axis=-1)


def _held_at_zero(name: str, shape: tuple[int, ...], held: NDArray[np.bool_], constraints: Constraints) -> Pattern:
    """The user's pattern with more entries fixed at zero."""
    fixed = np.array(constraints.fixed.get(name, np.full(shape, np.nan)), dtype=float)
    fixed[held] = 0.0
    ties = np.array(constraints.tied.get(name, np.arange(int(np.prod(shape))).reshape(shape)))
    ties[held] = ties.max() + 1 + np.arange(int(held.sum()))
    return Constraints({name: fixed}, {name: ties}).pattern(name, shape)
