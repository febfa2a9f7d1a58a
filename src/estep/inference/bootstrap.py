"""The bootstrap of any latent-class model: how its estimates vary over data sets as they might have been.

    theta*_b = fit to data*_b, from theta_hat,   b = 1 .. B          se = sd over b of theta*_b
    percentile   quantiles alpha, 1 - alpha of theta*
    bca          quantiles Phi(z0 + (z0 + z) / (1 - a (z0 + z))),  z = Phi^-1(alpha), Phi^-1(1 - alpha)
                 z0 = Phi^-1( share of theta* below theta_hat, half of those equal )
                 a  = sum u_i^3 / (6 (sum u_i^2)^1.5),  u_i = mean of theta_(i) - theta_(i),  theta_(i) without row (or group) i

Every refit starts at the fitted parameters, so that it finds the optimum that belongs to them where there is one, and its
components keep their names; memberships of the original rows under both fits are matched (``labels.py``) in case they do not.
Refits without a healthy maximum are counted and left out, with their reasons. Replicate b draws from ``SeedSequence(seed, b)``:
the numbers do not depend on how many processes share the work.

symbol    variable      shape
theta*    replicates    name -> (B, ...)        NaN where a refit failed
a, z0     skew, shift   (...)

Sources: Efron (1987), J. Am. Statist. Assoc. 82:171; McLachlan & Peel (2000), Finite Mixture Models, section 2.16; O'Hagan
et al. (2019), Computational Statistics 34:1779 (bootstraps of mixtures).
"""

from __future__ import annotations

import dataclasses
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.memo import remembered
from estep.core.record import Array
from estep.engine.presets import Variant
from estep.engine.run import Control
from estep.inference.boundary import at_ends, user_name
from estep.inference.counted import counted, spread
from estep.inference.intervals import chosen, quantile
from estep.inference.refits import Problem, Refit, explained, look_of, renamable
from estep.inference.resample import KINDS, Sampled, left_out
from estep.inference.words import known_word

Natural = Callable[[Any], Mapping[str, Array]]
CONSTANT, TOO_FEW = "constant", "too few"
ROUNDING = 1e-6
"""How far estimates at one end of a range may lie apart."""


@dataclasses.dataclass(frozen=True, eq=False)
class Bootstrap:
    """A bootstrap; also a mapping from parameter name to standard errors.

    Attributes
    ----------
    estimates, se, reasons : mappings from name to arrays of the parameter's shape
        Estimate; standard deviation over replicates, NaN where there is none; and why there is none: "constant" (no replicate
        moves it: fixed, or at an end of its range) or "too few" (fewer than two refits that succeeded), else "".
    replicates : mapping from name to array (B, ...)
        Estimates of the refits, NaN where one failed.
    kind : str
        "nonparametric", "weighted", "parametric" or "blocks".
    failures : mapping from number of the replicate to reason
    costs : array (B,)
        What still differs between memberships of the rows after matching, from 0 to 1; NaN where a refit failed.
    renamed, capped : int
        Refits whose components came in another order and were put back; refits that hit ``max_iter``.
    notes : tuple of str
        In words what to know.
    """

    estimates: Mapping[str, Array]
    replicates: Mapping[str, Array]
    kind: str
    failures: Mapping[int, str]
    costs: Array
    renamed: int
    capped: int
    problem: Problem = dataclasses.field(repr=False)
    natural: Natural = dataclasses.field(repr=False)
    n_jobs: int | None = dataclasses.field(default=None, repr=False)

    @property
    def n_boot(self) -> int:
        """Number of replicates, those that failed included."""
        return len(self.costs)

    @property
    def se(self) -> dict[str, Array]:
        """Standard errors."""
        return remembered(self, "se", lambda: {name: self._spread(name) for name in self.estimates})  # type: ignore[no-any-return]

    @property
    def reasons(self) -> dict[str, NDArray[np.str_]]:
        """Why an entry has no standard error."""
        words = TOO_FEW if self.n_boot - len(self.failures) < 2 else CONSTANT
        return {name: np.where(np.isnan(value), words, "").astype("<U16") for name, value in self.se.items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before these numbers are used."""
        return tuple(words for words, _ in _notes(self))

    def _good(self, name: str) -> Array:
        """Replicates (B', ...) that succeeded."""
        return self.replicates[name][~np.isnan(self.costs)]

    def _spread(self, name: str) -> Array:
        values = self._good(name)
        if len(values) < 2:
            return np.full(self.estimates[name].shape, np.nan)
        with np.errstate(invalid="ignore"):
            return np.where((values == values[0]).all(axis=0), np.nan, values.std(axis=0, ddof=1))

    def interval(self, level: float = 0.95, method: str = "percentile", which: Any = None) -> dict[str, Array]:
        """Intervals (..., 2), lower and upper end last; NaN for entries not asked for, and for those that are constant.

        Parameters
        ----------
        level : float
            Probability with which an interval covers.
        method : "percentile" or "bca"
            "bca" corrects bias and skewness, and costs up to a hundred more refits (the jackknife), once.
        which : None, name, names, or dict from name to index, indices or mask
        """
        quantile(level)
        known_word(method, ENDS)
        tail, out = 0.5 * (1.0 - level), {}
        masks = chosen(which, {name: value.shape for name, value in self.estimates.items()})
        for name, mask in masks.items():
            wanted = mask & ~np.isnan(self.se[name])
            out[name] = np.full((*mask.shape, 2), np.nan)
            for index in (tuple(int(i) for i in at) for at in np.argwhere(wanted)):
                values = _entry(self._good(name), index)
                shares = ENDS[method](self, name, index, values, tail)
                out[name][index] = [_quantile(values, share) for share in shares]
        return out

    def jackknife(self) -> tuple[dict[str, Array], Array]:
        """Estimates (m, ...) with each unit, or group of units, left out, and how many units each stands for (m,)."""
        return remembered(self, "jackknife", lambda: _jackknife(self))  # type: ignore[no-any-return]

    def vcov(self) -> Any:
        """Covariances of all parameters over the replicates, as a pandas DataFrame."""
        import pandas as pd

        from estep.inference.errors import shown

        names = [shown(name, index) for name, value in self.estimates.items() for index in np.ndindex(value.shape)]
        flat = np.hstack([self._good(name).reshape(self.n_boot - len(self.failures), -1) for name in self.estimates])
        return pd.DataFrame(np.cov(flat, rowvar=False).reshape(len(names), -1), index=names, columns=names)

    def to_frame(self) -> Any:
        """A pandas DataFrame, one line an entry: parameter, index, estimate, se, reason."""
        import pandas as pd

        lines = [
            (name, index, float(value[index]), float(self.se[name][index]), str(self.reasons[name][index]))
            for name, value in self.estimates.items()
            for index in np.ndindex(value.shape)
        ]
        return pd.DataFrame(lines, columns=["parameter", "index", "estimate", "se", "reason"])

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

    def __str__(self) -> str:
        head = f"{self.kind} bootstrap, {self.n_boot} refits from the fitted parameters, {len(self.failures)} failed"
        return "\n".join([head, *(f"  {note}" for note in self.notes)])


Mapping.register(Bootstrap)


def bootstrap(
    model: Any,
    params: Any,
    sampled: Sampled,
    *,
    natural: Natural,
    n_boot: int = 199,
    kind: str = "nonparametric",
    seed: int = 0,
    variant: Variant | None = None,
    control: Control | None = None,
    align: bool = True,
    held: int = 0,
    n_jobs: int | None = None,
    progress: bool = False,
) -> Bootstrap:
    """Refit ``model`` to ``n_boot`` data sets as they might have been, from ``params``, its fit to ``sampled``.

    Parameters
    ----------
    model, params
        The fitted model, bound to its data, and its parameters; what was bound (levels, noise volume) stays.
    sampled : Sampled
        Rows and units that are drawn.
    natural : function
        From parameters to a mapping of arrays by name, as users see them.
    n_boot, kind, seed, align, held, n_jobs, progress
        Replicates; how data are drawn; seed; whether components are matched, and how many of the last keep their place;
        processes; whether to show a line with the time left.

    Raises
    ------
    ValueError
        Unknown kind; a model that cannot be drawn from; where no refit succeeded, with the reason of the first.
    """
    known_word(kind, KINDS, "kind")
    if not isinstance(n_boot, int | np.integer) or n_boot < 2:
        raise ValueError(f"n_boot must be an integer >= 2, got {n_boot!r}; 199 is usual for standard errors, 999 for intervals")
    look = look_of(sampled.data) if align and renamable(model, sampled.data) else None
    resp = None if look is None else explained(model, params, look).resp
    problem = Problem(model, params, sampled, kind, seed, variant or Variant(), control or Control(), look, resp, held)
    KINDS[kind](sampled, model, params, np.random.default_rng(seed))  # what is refused is refused here
    refits = list(counted(spread(problem.replicate, range(n_boot), n_jobs), n_boot, progress, "bootstrap", "refits"))
    failures = {b: refit.reason for b, refit in enumerate(refits) if refit.params is None}
    if len(failures) == n_boot:
        raise ValueError(f"none of {n_boot} refits succeeded; the first failed with: {failures[0]}")
    estimates = _arrays(natural(params))
    return Bootstrap(
        estimates=estimates,
        replicates=_at_the_end(model, params, refits, _stacked(natural, refits, estimates), estimates),
        kind=kind,
        failures=failures,
        costs=np.array([refit.cost for refit in refits]),
        renamed=sum(refit.renamed for refit in refits),
        capped=sum(refit.capped for refit in refits),
        problem=problem,
        natural=natural,
        n_jobs=n_jobs,
    )


def _arrays(values: Mapping[str, Any]) -> dict[str, Array]:
    return {name: np.array(value, dtype=float) for name, value in values.items()}


def _stacked(natural: Natural, refits: list[Refit], like: Mapping[str, Array]) -> dict[str, Array]:
    nothing = {name: np.full(value.shape, np.nan) for name, value in like.items()}
    found = [nothing if refit.params is None else _arrays(natural(refit.params)) for refit in refits]
    return {name: np.stack([each[name] for each in found]) for name in like}


def _at_the_end(
    model: Any, params: Any, refits: list[Refit], replicates: dict[str, Array], estimates: Mapping[str, Array]
) -> dict[str, Array]:
    """Replicates that end where the fit did, at the end of a range to rounding, as the fit's own value."""
    ends = {user_name(name): mask for name, mask in at_ends(model, params, model.support(params)).items()}
    for b, refit in enumerate(refits) if ends else ():
        if refit.params is None:
            continue
        again = {user_name(n): m for n, m in at_ends(model, refit.params, model.support(refit.params)).items()}
        for name in {*ends} & {*again} & {*estimates}:
            both = ends[name] & again[name]
            if both.shape == estimates[name].shape:
                near = both & (np.abs(replicates[name][b] - estimates[name]) < ROUNDING)
                replicates[name][b][near] = estimates[name][near]
    return replicates


def tell(found: Bootstrap, stacklevel: int) -> None:
    """Warn of what went wrong; ``stacklevel`` as of the caller."""
    for words, wrong in _notes(found):
        if wrong:
            warnings.warn(f"bootstrap: {words}", UserWarning, stacklevel=stacklevel)


def _notes(found: Bootstrap) -> Iterator[tuple[str, bool]]:
    """What to know, and whether it is a fault."""
    if found.failures:
        (first, times), *rest = Counter(found.failures.values()).most_common()
        more = f", and {len(rest)} other reasons" if rest else ""
        yield f"{len(found.failures)} of {found.n_boot} refits failed and are left out ({times}: {first}{more})", True
    if found.capped:
        yield f"{found.capped} of {found.n_boot} refits hit max_iter before convergence; raise max_iter", True
    if found.renamed:
        yield f"{found.renamed} of {found.n_boot} refits came with components in another order and were put back", False
    constant = [name for name, words in found.reasons.items() if (words == CONSTANT).any()]
    if constant:
        model, params = found.problem.model, found.problem.start
        ended = bool(at_ends(model, params, model.support(params)))
        yield (
            f"no standard error for some entries of {', '.join(constant)}: no replicate moves them (fixed, or at an end)",
            ended,
        )


def _jackknife(found: Bootstrap) -> tuple[dict[str, Array], Array]:
    problem = found.problem
    if problem.kind not in JACKKNIFED:
        raise ValueError(
            f"method='bca' needs a bootstrap of kind {' or '.join(JACKKNIFED)}, got {problem.kind!r}; use 'percentile'"
        )
    parts, times = left_out(problem.sampled)
    refits = list(spread(problem.refit, parts, found.n_jobs))
    good = np.array([refit.params is not None for refit in refits])
    if good.sum() < max(2, 0.9 * len(refits)):
        reason = next(refit.reason for refit in refits if refit.params is None)
        raise ValueError(
            f"method='bca': {int((~good).sum())} of {len(refits)} fits with rows left out failed ({reason}); use 'percentile'"
        )
    values = _stacked(found.natural, refits, found.estimates)
    return {name: value[good] for name, value in values.items()}, times[good]


JACKKNIFED = ("nonparametric", "parametric")


def _percentile(found: Bootstrap, name: str, index: tuple[int, ...], values: Array, tail: float) -> tuple[float, float]:
    return tail, 1.0 - tail


def _bca(found: Bootstrap, name: str, index: tuple[int, ...], values: Array, tail: float) -> tuple[float, float]:
    """Shares of the replicates at which a BCa interval ends."""
    from scipy.special import ndtr, ndtri

    estimate = found.estimates[name][index]
    below = 0.5 * (np.mean(values < estimate) + np.mean(values <= estimate))
    parts, times = found.jackknife()
    part = _entry(parts[name], index)
    gaps = np.average(part, weights=times) - part
    squares = float(times @ gaps**2)
    skew = float(times @ gaps**3) / (6.0 * squares**1.5) if squares > 0 else 0.0
    shift = float(ndtri(below))
    if not np.isfinite(shift):
        warnings.warn(
            f"method='bca': every replicate of {name}{list(index)} lies on one side of the estimate, which no shift corrects, "
            "so there is no interval (NaN); use 'percentile', or a larger n_boot",
            UserWarning,
            stacklevel=7,
        )
        return np.nan, np.nan
    ends = [shift + z for z in (ndtri(tail), -ndtri(tail))]
    low, high = (float(ndtr(shift + end / (1.0 - skew * end))) for end in ends)
    return low, high


def _entry(values: Array, index: tuple[int, ...]) -> Array:
    """One entry of every replicate, (B,)."""
    return np.asarray(np.moveaxis(values, 0, -1)[index])


def _quantile(values: Array, share: float) -> float:
    if np.isnan(share):
        return np.nan
    return (
        float(np.quantile(values, share)) if np.isfinite(values).all() else float(np.quantile(values, share, method="nearest"))
    )


ENDS: Mapping[str, Callable[..., tuple[float, float]]] = {"percentile": _percentile, "bca": _bca}
"""Kind of interval -> the shares of the replicates at which it ends."""
