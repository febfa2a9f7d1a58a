"""Standard errors of any fitted model: from its statistics and scores, by the method that is asked for.

    theta(phi)   parameters as users see them, from free coordinates phi (estimate phi_hat, information I: ``information.py``)
    Cov(theta) = G I^-1 G',   G = dtheta/dphi' by central differences                          (delta method)

Estimates at an end of their range are held (``boundary.py``), directions that the data do not identify are left out
(``identified.py``), and whatever moves with these has NaN and a reason in place of a number.

symbol    variable      shape
I^-1      covariance    (p, p)      in free coordinates
G         jacobian      name -> (..., p)
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.assign import SOFT
from estep.core.record import Array, leaves
from estep.core.result import ConvergenceWarning
from estep.engine.visit import total
from estep.inference.boundary import Mask, at_ends, holding_ends, off_ends, on_the_way, user_name
from estep.inference.free_point import Point, families_of, look
from estep.inference.identified import Directions, directions
from estep.inference.information import METHODS, Information
from estep.inference.links import Names, links_of
from estep.inference.words import known_word

Texts = NDArray[np.str_]
Natural = Callable[[Any], Mapping[str, Array]]
FIXED, BOUNDARY = "fixed", "boundary"
FLAT, RISING = "not identified", "not at a maximum"
SKEWED = 1e-3
UNTOLD = 1e-8
"""A sandwich so much below the inverse information says that the rows tell nothing, and a prior all."""
FAR_SCORE = 0.2
"""Standard errors from the maximum at which a point counts as none."""


@dataclasses.dataclass(frozen=True)
class Errors:
    """Standard errors and all that they rest on; also a mapping from parameter name to standard errors.

    Attributes
    ----------
    estimates, se, reasons : mappings from name to arrays of the parameter's shape
        Estimate; standard error, NaN where there is none; and why there is none: "fixed", "boundary", "not identified" or
        "not at a maximum", else "".
    covariance : array (p, p)
        Of the free coordinates named ``coordinates``, over what is identified.
    observed, complete : arrays (p, p)
        Information, of the rows and of complete data; their difference is missing.
    shares : array (p,)
        Shares of the information that is observed, increasing; one minus these are the eigenvalues of EM's rate matrix.
    jacobian : mapping from name to array (..., p)
    links : mapping from name to the scale of each entry (``identity``, ``log`` or ``logit``) for intervals
    method, notes, cautions, asymmetry, passes
        How it was found; in words what to know, and what of it was warned of; the relative asymmetry before it was removed;
        passes over the data.
    """

    estimates: Mapping[str, Array]
    se: Mapping[str, Array]
    reasons: Mapping[str, Texts]
    covariance: Array
    coordinates: tuple[str, ...]
    observed: Array
    complete: Array
    shares: Array
    jacobian: Mapping[str, Array]
    links: Mapping[str, Names]
    method: str
    notes: tuple[str, ...]
    cautions: tuple[str, ...]
    asymmetry: float
    passes: int
    point: Point = dataclasses.field(repr=False)
    natural: Natural = dataclasses.field(repr=False)
    like: Mapping[str, str] = dataclasses.field(repr=False)
    ways: Directions = dataclasses.field(repr=False)

    def __getitem__(self, name: str) -> Array:
        if name not in self.se:
            raise KeyError(f"{name!r} is none of the parameters; there are {[*self.se]}")
        return self.se[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.se)

    def __len__(self) -> int:
        return len(self.se)

    def keys(self) -> Any:
        """Names of the parameters."""
        return self.se.keys()

    def values(self) -> Any:
        """Standard errors."""
        return self.se.values()

    def items(self) -> Any:
        """Names and standard errors."""
        return self.se.items()

    def get(self, name: str, default: Any = None) -> Any:
        """Standard errors of a parameter, or ``default``."""
        return self.se.get(name, default)

    def labels(self) -> list[tuple[str, tuple[int, ...]]]:
        """Every entry of every parameter, by name and index."""
        return [(name, index) for name, value in self.se.items() for index in np.ndindex(np.shape(value))]

    def vcov(self) -> Any:
        """Covariances of all parameters as users see them, as a pandas DataFrame; NaN where there is no standard error."""
        import pandas as pd

        slopes = np.vstack([value.reshape(-1, len(self.coordinates)) for value in self.jacobian.values()])
        found = slopes @ self.covariance @ slopes.T
        gone = np.concatenate([np.isnan(value).ravel() for value in self.se.values()])
        found[gone] = np.nan
        found[:, gone] = np.nan
        names = [shown(name, index) for name, index in self.labels()]
        return pd.DataFrame(found, index=names, columns=names)

    def to_frame(self) -> Any:
        """A pandas DataFrame, one line an entry: parameter, index, estimate, se, reason."""
        import pandas as pd

        lines = [
            (name, index, float(self.estimates[name][index]), float(self.se[name][index]), str(self.reasons[name][index]))
            for name, index in self.labels()
        ]
        return pd.DataFrame(lines, columns=["parameter", "index", "estimate", "se", "reason"])

    def of(self, function: Callable[[Mapping[str, Array]], Any]) -> tuple[Array, Array]:
        """A function of the parameters: its value (m,) and covariance (m, m), by the delta method.

        NaN where it moves with what is not identified. A slope that changes with the step is rounding, and counts as zero.
        Raises TypeError or ValueError where it is no function from parameters, by name, to numbers.
        """
        if not callable(function):
            raise TypeError(f"a function of the parameters is needed, such as lambda p: p[{[*self.se][0]!r}], got {function!r}")

        def value_of(params: Any) -> Mapping[str, Array]:
            natural = self.natural(params)
            try:
                found = function(natural)
            except KeyError as error:
                if error.args and error.args[0] in natural:
                    raise
                raise ValueError(f"the function asks for {error}, which is no parameter; there are {[*natural]}") from error
            try:
                return {"": np.atleast_1d(np.asarray(found, dtype=float)).ravel()}
            except (TypeError, ValueError):
                raise ValueError(f"the function must return a number or an array of numbers, got {found!r}") from None

        value, slopes = slopes_of(self.point, value_of)
        fine, rough = slopes[""], slopes_of(self.point, value_of, 4.0)[1][""]
        slope = np.where(np.abs(fine - rough) <= 0.5 * np.maximum(np.abs(fine), np.abs(rough)), fine, 0.0)
        found = slope @ self.covariance @ slope.T
        gone = np.logical_or(*self.ways.lost(slope))
        found[gone] = np.nan
        found[:, gone] = np.nan
        return value[""], found


Mapping.register(Errors)


def shown(name: str, index: tuple[int, ...]) -> str:
    """An entry as text.

    >>> shown("means", (0, 1)), shown("mean", ())
    ('means[0, 1]', 'mean')
    """
    return f"{name}[{', '.join(str(i) for i in index)}]" if index else name


def standard_errors(
    model: Any,
    data: Any,
    params: Any,
    method: str = "oakes",
    *,
    clusters: Any = None,
    natural: Natural | None = None,
    like: Mapping[str, str] | None = None,
    quiet: bool = False,
) -> Errors:
    """Standard errors of ``params``, the maximum that a fit of ``model`` to ``data`` reached.

    Parameters
    ----------
    model, data, params
        As in ``estep.fit``; parameters at the maximum (``result.params``).
    method : str
        "oakes", "louis", "sem", "opg", "sandwich" or "hessian": see ``estep.inference.information``.
    clusters : array (n,) or None
        For "sandwich" and "opg": rows of one cluster may depend on one another.
    natural : function or None
        From parameters to the arrays that are reported, by name; None: as the family shows them.
    like : mapping or None
        For reported names that differ from the model's: the model's name, which tells the scale of intervals.
    quiet : bool
        Whether to leave the warnings out; the result's ``cautions`` hold their sentences.

    Returns
    -------
    Errors

    Raises
    ------
    ValueError, TypeError
        Unknown method; a method that needs what the model does not have, naming what does.

    Examples
    --------
    >>> from estep.data import Memory
    >>> from estep.families.poisson import Poisson
    >>> from estep.models.latent import Latent
    >>> from estep.structures.iid import Iid
    >>> data = Memory(np.array([[1.0], [3.0], [4.0], [0.0]]))
    >>> model = Latent(Iid(), Poisson(), 1).bind(data)
    >>> float(standard_errors(model, data, model.start())["rates"][0, 0].round(6))  # sqrt(2 / 4)
    0.707107
    """
    known_word(method, METHODS)
    if getattr(model, "certificate", "exact") == "bound":
        raise TypeError(
            f"standard errors are curvatures of a likelihood, and {type(model).__name__} climbs a lower bound of it, which "
            "curves otherwise; fit with inference='exact', or use a parametric bootstrap"
        )
    for family in families_of(model):
        if not getattr(family, "smooth", True):
            raise TypeError(
                f"standard errors are curvatures, and the log-likelihood of {type(family).__name__} has corners or jumps in "
                "place of them; use a bootstrap"
            )
    natural = natural or natural_of(model)
    support = model.support(params)
    ends = at_ends(model, params, support, on_the_way(params, support, partial(_em_step, model, data)))
    held = holding_ends(model, params, ends)
    point = look(held, data, params)
    found = METHODS[method](point, clusters)
    ways = directions(found.observed, point.complete, point.score, point.n, found.asymmetry)
    covariance = ways.inverse if found.meat is None else ways.inverse @ found.meat @ ways.inverse
    errors = _reported(point, found, ways, covariance, natural, (support, ends, like or {}), method)
    if not quiet:
        tell(errors, 3)
    return errors


def _em_step(model: Any, data: Any, params: Any) -> Any:
    """The EM map, a pass."""
    return model.mstep(total(model, data, params, SOFT).stats, params)


def tell(errors: Errors, stacklevel: int, unconverged: type[Warning] = ConvergenceWarning) -> None:
    """Warn of every caution, with ``unconverged`` where the point is no maximum; ``stacklevel`` as of the caller."""
    for note in errors.cautions:
        kind = unconverged if "not at a maximum" in note else UserWarning
        warnings.warn(f"standard_errors: {note}", kind, stacklevel=stacklevel)


def natural_of(model: Any) -> Natural:
    """Parameters as users see them: those of structure and family by name, or of any other model its fields."""
    family, structure = getattr(model, "family", None), getattr(model, "structure", None)
    if family is None or structure is None:
        return lambda params: {name: np.asarray(value, dtype=float) for name, value in leaves(params)}
    expose = getattr(family, "expose", None)

    def shown_by_parts(params: Any) -> Mapping[str, Array]:
        own = expose(params.family) if expose else {n: getattr(params.family, n) for n in family.names}
        return {**{n: np.asarray(getattr(params.structure, n)) for n in structure.names}, **own}

    return shown_by_parts


def slopes_of(point: Point, natural: Natural, share: float = 1.0) -> tuple[dict[str, Array], dict[str, Array]]:
    """Natural parameters at the point, and their derivatives (..., p) by central differences."""
    value = {name: np.array(v, dtype=float) for name, v in natural(point.params).items()}
    slopes = {name: np.zeros((*v.shape, point.p)) for name, v in value.items()}
    for j in range(point.p):
        up, down, width = point.apart(j, share)
        high, low = natural(point.params_at(up)), natural(point.params_at(down))
        for name, slope in slopes.items():
            slope[..., j] = (np.asarray(high[name], dtype=float) - np.asarray(low[name], dtype=float)) / width
    return value, slopes


def _reported(
    point: Point,
    found: Information,
    ways: Directions,
    covariance: Array,
    natural: Natural,
    told: tuple[Any, Mapping[str, Mask], Mapping[str, str]],
    method: str,
) -> Errors:
    support, ends, like = told
    value, slopes = slopes_of(point, natural)
    at_end = {user_name(name): mask for name, mask in ends.items()}
    entries = {user_name(name): entry for name, entry in support.entries.items()}
    leaves_of = {user_name(name): np.shape(leaf) for name, leaf in leaves(point.params)}
    beside = natural(off_ends(point.params, ends)) if ends else value
    se, reasons, links = {}, {}, {}
    for name, estimate in value.items():
        model_name = like.get(name, name)
        flat = slopes[name].reshape(estimate.size, point.p)
        resting = (np.asarray(beside[name]) != estimate).ravel() & (flat == 0.0).all(axis=1)
        reasons[name] = _reasons(flat, ways, resting, at_end.get(model_name)).reshape(estimate.shape)
        variance, least = (np.einsum("mp,pq,mq->m", flat, v, flat).reshape(estimate.shape) for v in (covariance, ways.inverse))
        reasons[name][(reasons[name] == "") & (variance < UNTOLD * least)] = FLAT
        se[name] = np.where(reasons[name] == "", np.sqrt(np.maximum(variance, 0.0)), np.nan)
        held = leaves_of.get(model_name)
        shape = held if held is not None and np.prod(held) == estimate.size else estimate.shape
        links[name] = links_of(entries.get(model_name), estimate.reshape(shape)).reshape(estimate.shape)
    cautions = tuple(_cautions(point, found, ways, reasons))
    return Errors(
        estimates=value,
        se=se,
        reasons=reasons,
        covariance=covariance,
        coordinates=point.names,
        observed=found.observed,
        complete=point.complete,
        shares=ways.shares,
        jacobian=slopes,
        links=links,
        method=method,
        notes=(*found.notes, *cautions),
        cautions=cautions,
        asymmetry=found.asymmetry,
        passes=found.passes + 1,
        point=point,
        natural=natural,
        like=like,
        ways=ways,
    )


def _reasons(slopes: Array, ways: Directions, resting: Mask, at_end: Mask | None) -> Texts:
    """Why an entry has no standard error, (m,); "" where it has one.

    ``resting`` (m,) are entries that nothing but ends moves; ``at_end`` those of the model, which may have other shapes.
    """
    out = np.full(len(slopes), "", dtype="<U16")
    flat, rising = ways.lost(slopes)
    out[flat], out[rising] = FLAT, RISING
    out[(slopes == 0.0).all(axis=1)] = FIXED
    out[resting] = BOUNDARY
    if at_end is not None and at_end.size == out.size:
        out[at_end.ravel()] = BOUNDARY
    return out


def _cautions(point: Point, found: Information, ways: Directions, reasons: Mapping[str, Texts]) -> Iterator[str]:
    for words, sentence in SENTENCES.items():
        names = [shown(n, tuple(int(v) for v in i)) for n, r in reasons.items() for i in np.argwhere(r == words)]
        if names:
            listed = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
            yield sentence.format(names=listed)
    if ways.rising.shape[1] and not any((r == RISING).any() for r in reasons.values()):
        yield SENTENCES[RISING].format(names="no parameter that is shown")
    gap = float(np.sqrt(max(float(point.score @ ways.inverse @ point.score), 0.0)))
    if gap > FAR_SCORE:
        yield (
            "these parameters are not at a maximum for these rows: the score is not zero, a Newton step would move them by "
            f"{gap:.2g} standard errors. Give the rows, weights and labels of the fit; if they are, fit on with smaller tol "
            "or a larger max_iter"
        )
    if found.asymmetry > SKEWED:
        yield (
            f"the information is asymmetric by {found.asymmetry:.2g} before it is made symmetric, so its numbers are rough (or "
            "the M-step is no maximum of q); compare with method='oakes' or 'hessian'"
        )


SENTENCES: Mapping[str, str] = {
    BOUNDARY: (
        "no standard error for {names}: at the boundary of the range (NaN, reason 'boundary'). The others hold these fixed; a "
        "bootstrap, or prior='default', gives an interval there"
    ),
    FLAT: (
        "{names} not identified: the likelihood is flat along a direction that moves them (NaN). Fix or drop parameters, or "
        "add a prior; those that do not move along it keep their standard errors"
    ),
    RISING: (
        "not at a maximum but at a saddle point or on the way: the likelihood rises along a direction that moves {names} "
        "(NaN). Fit again from other starts (init='auto', larger n_init), or on with a smaller tol"
    ),
}
