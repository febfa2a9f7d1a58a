"""Confidence intervals: Wald on the scale where a parameter is nearly normal, and by the profile of the likelihood.

    wald       g(theta_hat) -+ z g'(theta_hat) se,  carried back by g^-1            g: ``links.py``
    profile    { theta : 2 [ l(phi_hat) - max l(phi : theta held) ] <= chi2_1(level) }

The profile holds one entry of a parameter at values found by a root search (Brent) on the scale g, and fits all others anew
from the optimum, by EM with the entry fixed. It needs no standard error, does not change with the scale, and follows a
likelihood that is no parabola; it costs some twenty fits an interval. Where the likelihood never falls far enough, the interval
ends at the end of the range.

Source: Venzon & Moolgavkar (1988), Applied Statistics 37:87; Cox & Hinkley (1974), Theoretical Statistics, section 9.3.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from estep.core.assign import SOFT
from estep.core.record import Array, leaves, rebuild
from estep.core.support import Constraints
from estep.engine.fit import fit
from estep.engine.run import log_prior
from estep.engine.visit import total
from estep.inference.boundary import Mask, pattern_of, user_name
from estep.inference.errors import BOUNDARY, FIXED, Errors, shown
from estep.inference.links import LINKS, applied, links_of

Chosen = Mapping[str, Mask]
SETTLED = 1e-7
"""Nats to which every fit of a profile converges."""
FARTHEST = 40.0


def quantile(level: float) -> float:
    """Upper normal quantile of a two-sided interval; raises ValueError unless ``level`` is between 0 and 1."""
    if not isinstance(level, int | float | np.floating) or not 0.0 < level < 1.0:
        raise ValueError(f"level must be between 0 and 1, got {level!r}; 0.95 is usual")
    from statistics import NormalDist

    return NormalDist().inv_cdf(0.5 + level / 2)


def chosen(which: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Mask]:
    """Entries asked for, by parameter: all where ``which`` is None; names, or a dict from name to index, indices or mask.

    >>> {n: m.tolist() for n, m in chosen({"means": (0, 1)}, {"weights": (2,), "means": (2, 2)}).items()}
    {'means': [[False, True], [False, False]]}
    """
    if which is None:
        which = list(shapes)
    if not isinstance(which, Iterable) or not all(isinstance(name, str) for name in which):
        raise ValueError(f"which must be None, a name, names or a dict from name to index, got {which!r}; names: {[*shapes]}")
    wanted = dict.fromkeys([which] if isinstance(which, str) else which) if not isinstance(which, Mapping) else dict(which)
    if unknown := [name for name in wanted if name not in shapes]:
        raise ValueError(f"which names {unknown[0]!r}; there are {[*shapes]}")
    return {name: _mask(name, given, shapes[name]) for name, given in wanted.items()}


def _mask(name: str, given: Any, shape: tuple[int, ...]) -> Mask:
    out = np.zeros(shape, dtype=bool)
    if given is None:
        return ~out
    array = np.asarray(given)
    if array.dtype == bool:
        if array.shape != shape:
            raise ValueError(f"which[{name!r}] is a mask of shape {array.shape}, expected {shape}")
        return np.array(array)
    several = isinstance(given, Iterable) and not isinstance(given, tuple)
    for index in given if several else [given]:
        at = index if isinstance(index, tuple) else (index,)
        try:
            out[at] = True
        except IndexError:
            raise ValueError(f"which[{name!r}]: {index!r} is no index of an array of shape {shape}") from None
    return out


def wald(errors: Errors, level: float = 0.95, which: Any = None) -> dict[str, Array]:
    """Intervals (..., 2), lower and upper end last; NaN where there is no standard error (see ``errors.reasons``).

    Parameters
    ----------
    errors : Errors
        Standard errors by any method.
    level : float
        Probability with which an interval covers.
    which : None, name, names or dict from name to index, indices or mask
        Which parameters; None is all.
    """
    z, out = quantile(level), {}
    masks = chosen(which, {name: np.shape(value) for name, value in errors.se.items()})
    for name, mask in masks.items():
        value, se, links = errors.estimates[name], errors.se[name], errors.links[name]
        centre, half = applied(links, "of", value), z * applied(links, "slope", value) * se
        ends = [applied(links, "back", centre + s * half) for s in (-1.0, 1.0)]
        out[name] = np.where(mask[..., None], np.stack(ends, axis=-1), np.nan)
    return out


def profile(errors: Errors, level: float = 0.95, which: Any = None, max_iter: int = 10_000) -> dict[str, Array]:
    """Profile likelihood intervals (..., 2) of the entries asked for, NaN elsewhere.

    Parameters
    ----------
    errors : Errors
        Standard errors by any method: they hold the fit, and say where to look first.
    level, which
        As in ``wald``; ``which`` must be given, since each entry costs some twenty fits.
    max_iter : int
        Cap on the passes of a fit.

    Raises
    ------
    ValueError
        Where ``which`` is None; where an entry cannot be held alone (a covariance within a matrix), naming it.
    """
    if which is None:
        raise ValueError(
            "which is None: a profile costs some twenty fits an entry, so name those you want, as which={'means': (0, 0)}"
        )
    masks = chosen(which, {name: np.shape(value) for name, value in errors.se.items()})
    bar, out = 0.5 * quantile(level) ** 2, {}
    for name, mask in masks.items():
        out[name] = np.full((*mask.shape, 2), np.nan)
        for index in (tuple(int(i) for i in at) for at in np.argwhere(mask)):
            out[name][index] = _Profile.of(errors, name, index, max_iter).ends(bar)
    return out


@dataclasses.dataclass
class _Profile:
    """The profile of one entry: ``fall(z)`` refits with the entry at ``z`` on its scale."""

    errors: Errors
    model: Any
    entry: str
    members: Mask
    show: Callable[[Any], float]
    link: str
    centre: float
    start: float
    best: float
    params: Any
    max_iter: int

    @staticmethod
    def of(errors: Errors, name: str, index: tuple[int, ...], max_iter: int) -> _Profile:
        """The profile of ``name[index]``; raises ValueError where the entry cannot be held alone."""
        point, words = errors.point, shown(name, index)
        if errors.reasons[name][index] in (FIXED, BOUNDARY):
            raise ValueError(f"profile: {words} is {errors.reasons[name][index]}, so there is nothing to profile")
        entry, members = _held_entry(errors, name, index, words)
        value = np.asarray(dict(leaves(point.params))[entry], dtype=float)
        at = tuple(int(i) for i in np.argwhere(members)[0])
        link = str(links_of(point.support.entries[entry], value)[at])
        centre = float(LINKS[link].of(value[at]))
        seen = total(point.model, point.data, point.params, SOFT)
        best = float(seen.objective) + log_prior(point.model, point.params)
        slope, outer = float(LINKS[link].slope(value[at])), errors.se[name][index]
        ratio = _ratio(errors, name, index, entry, at)
        first = abs(slope * outer * ratio) if np.isfinite(outer) else 0.5
        return _Profile(
            errors, point.model, entry, members, lambda params: float(errors.natural(params)[name][index]), link, centre,
            max(first, 1e-6), best, point.params, max_iter,
        )  # fmt: skip

    def ends(self, bar: float) -> tuple[float, float]:
        """Lower and upper end: where the profile has fallen by ``bar`` nats."""
        found = sorted(self._end(way, bar) for way in (-1.0, 1.0))
        return found[0], found[1]

    def _end(self, way: float, bar: float) -> float:
        from scipy.optimize import brentq

        last = [self.params]

        def over(distance: float) -> float:
            end = self._fitted(self.centre + way * distance, last[0])
            last[0] = end.params
            return float(self.best - end.objective) - bar

        near, far = 0.0, float(np.sqrt(2 * bar)) * self.start
        while over(far) < 0:
            near, far = far, 2.0 * far
            if self.link != "identity" and far > FARTHEST or far > 1e4 * self.start * np.sqrt(2 * bar):
                return LINKS[self.link].low if way < 0 else LINKS[self.link].high
        root = float(brentq(over, near, far, xtol=1e-6 * far, rtol=1e-10) if near else brentq(
            lambda t: over(t) if t else -bar, 0.0, far, xtol=1e-6 * far, rtol=1e-10))  # fmt: skip
        return self.show(self._fitted(self.centre + way * root, last[0]).params)

    def _fitted(self, z: float, near: Any) -> Any:
        """The fit with the entry held at ``z`` on its scale, from ``near``."""
        point = self.errors.point
        value = np.array(dict(leaves(near))[self.entry], dtype=float)
        value[self.members] = LINKS[self.link].back(np.asarray(z))
        held = np.where(self.members, value, np.nan)
        given, name = dict(self.model.constraints.fixed), user_name(self.entry)
        given[name] = np.where(self.members, held, given.get(name, np.full(value.shape, np.nan)))
        model = dataclasses.replace(self.model, constraints=Constraints(given, self.model.constraints.tied))
        base = rebuild(near, dict(leaves(near)) | {self.entry: value})
        support = model.support(base)
        begin = support.unpack(support.pack(base), base)
        end = fit(model, point.data, begin, "em", accelerate="squarem", tol=SETTLED / point.n, max_iter=self.max_iter)
        if not end.converged:
            raise ValueError(f"profile: with {name} held, the fit of the others ended with: {end.message}; raise max_iter")
        return end


def _held_entry(errors: Errors, name: str, index: tuple[int, ...], words: str) -> tuple[str, Mask]:
    """The support entry behind ``name``, and which of its values are held together with ``index``."""
    point, model_name = errors.point, errors.like.get(name, name)
    entry_of = {user_name(n): n for n in point.support.entries}
    if model_name not in entry_of or not isinstance(getattr(point.model, "constraints", None), Constraints):
        raise ValueError(f"profile: {words} is no parameter of the model that can be held; use method='wald' or a bootstrap")
    full = entry_of[model_name]
    value = np.asarray(dict(leaves(point.params))[full])
    pattern = pattern_of(point.support.entries[full])
    one_matrix = pattern is not None and pattern.groups.shape == value.shape[:1] and value.size == value.shape[0]
    alone = str(getattr(point.support.entries[full], "code", "V"))[0] == "V" or len(value) == 1
    if pattern is None or value.size != errors.estimates[name].size or not (
        pattern.groups.shape == value.shape or (one_matrix and alone)
    ):  # fmt: skip
        raise ValueError(
            f"profile: {words} cannot be held alone, as it is bound to others (a matrix, or a structure that components "
            "share); use method='wald' or a bootstrap"
        )
    groups = pattern.groups.reshape(value.shape)
    at = np.unravel_index(int(np.ravel_multi_index(index, errors.estimates[name].shape)) if index else 0, value.shape)
    return full, np.asarray(groups == groups[at])


def _ratio(errors: Errors, name: str, index: tuple[int, ...], entry: str, at: tuple[int, ...]) -> float:
    """How far the model's own entry moves where the reported one moves by one."""
    point = errors.point
    up, down, _ = point.apart(int(np.argmax(np.abs(errors.jacobian[name][index]))))
    ends = [point.params_at(v) for v in (up, down)]
    inner = [float(np.asarray(dict(leaves(p))[entry])[at]) for p in ends]
    outer = [float(np.asarray(errors.natural(p)[name])[index]) for p in ends]
    return (inner[0] - inner[1]) / (outer[0] - outer[1]) if outer[0] != outer[1] else 1.0


INTERVALS: dict[str, Callable[..., dict[str, Array]]] = {"wald": wald, "profile": profile}
"""Kind of interval -> function of errors, level and which."""
