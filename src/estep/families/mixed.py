"""A mixture within every component: rows of a state, or of a class, come from one of ``m`` parts.

    c_i | z_i = k ~ Categorical(v_k),   x_i | z_i = k, c_i = c ~ f(. | theta_kc)

The part is hidden and belongs to the family, which integrates it:

E-step   log p(x | k) = log sum_c v_kc f(x | theta_kc),   tau_kc = v_kc f(x | theta_kc) / p(x | k)
         parts_kc = sum_i r_ik tau_ikc,  the statistics of f for its k m components with the weights r_ik tau_ikc
M-step   v_kc = parts_kc / sum_c parts_kc;  f's own for theta
prior    f's own

symbol   variable      shape
v        mix_weights   (k, m)
theta    inner         k m components, those of component 0 first
tau                    (n, k, m)

Source: Juang, Levinson & Sondhi (1986), IEEE Trans. Inf. Theory 32:307.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.numeric import numeric_score
from estep.core.record import Array, record, transform
from estep.core.support import Constraints, Simplex, Support

INNER = "inner."
TINY = np.finfo(float).tiny


@record
class MixedParams:
    """``inner``, the parameters of k m components, and ``mix_weights`` (k, m)."""

    inner: Any
    mix_weights: Array

    def __getattr__(self, name: str) -> Any:
        inner = self.__dict__.get("inner")
        if inner is None or name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no {name!r}")
        return getattr(inner, name)


@record
class MixedStats:
    """Statistics of the k m components, and the weight of each part, (k, m)."""

    inner: Any
    parts: Array


@dataclasses.dataclass(frozen=True)
class Mixed:
    """Components that are mixtures themselves, of ``m`` parts of ``family`` each.

    Parameters
    ----------
    family : Family
        The law of a part, such as ``estep.Normal("VVI")``.
    m : int
        Parts of a component.

    Raises
    ------
    ValueError
        Where ``m`` is no integer >= 1.

    Examples
    --------
    >>> from estep.families.poisson import Poisson, PoissonParams
    >>> family = Mixed(Poisson(), 2)
    >>> params = MixedParams(PoissonParams(np.array([[1.0], [3.0]])), np.array([[0.5, 0.5]]))
    >>> np.exp(family.log_density(params, family.encode(np.array([[0.0]])))).round(6).tolist()
    [[0.208833]]
    """

    family: Any
    m: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.m, int | np.integer) or isinstance(self.m, bool) or self.m < 1:
            raise ValueError(f"m must be an integer >= 1 (parts of a component), got {self.m!r}")

    @property
    def names(self) -> tuple[str, ...]:
        """The parts' parameters, and ``mix_weights``."""
        return (*self.family.names, "mix_weights")

    @property
    def discrete(self) -> bool:
        """Whether rows take few values: as the parts' law says."""
        return bool(getattr(self.family, "discrete", False))

    @property
    def remedy(self) -> str:
        """What helps the parts' law where a part collapses."""
        return str(getattr(self.family, "remedy", ""))

    def bind(self, data: Any) -> Mixed:
        """Bind the parts' law."""
        bind = getattr(self.family, "bind", None)
        return dataclasses.replace(self, family=bind(data)) if bind else self

    def start(self, k: int) -> MixedParams:
        """Every part like the whole of the data."""
        return MixedParams(self.family.start(k * self.m), np.full((k, self.m), 1.0 / self.m))

    def encode(self, x: Any) -> Any:
        """Rows as the parts' law reads them."""
        encode = getattr(self.family, "encode", None)
        return encode(x) if encode else x

    def log_density(self, params: MixedParams, encoded: Any) -> Array:
        """Log densities (n, k) of the observed entries, in nats."""
        return self._parts(params, encoded)[1]

    def _parts(self, params: MixedParams, encoded: Any) -> tuple[Array, Array]:
        """tau (k m, n), part by part, and log densities (n, k)."""
        k, m = params.mix_weights.shape
        weights = params.mix_weights[:, :, None]
        logs = self.family.log_density(params.inner, encoded).T.reshape(k, m, -1)
        logs = np.where(weights > 0, logs, -np.inf)
        top = logs.max(axis=1)
        top[np.isneginf(top)] = 0.0
        tau = weights * np.exp(logs - top[:, None])
        total = tau.sum(axis=1)
        with np.errstate(divide="ignore"):
            whole = np.log(total / weights.sum(axis=1)) + top
        return (tau / np.where(total > 0, total, 1.0)[:, None]).reshape(k * m, -1), whole.T

    def stats(self, params: MixedParams, encoded: Any, resp: Array) -> MixedStats:
        """Expected statistics: every part gets its share of a row's weight."""
        k, m = params.mix_weights.shape
        share = np.repeat(resp.T, m, axis=0) * self._parts(params, encoded)[0]
        return MixedStats(self.family.stats(params.inner, encoded, share.T), share.sum(axis=1).reshape(k, m))

    def fit(self, stats: MixedStats, params: MixedParams, support: Support) -> MixedParams:
        """The parameters that maximise ``q`` over the free entries; a component without rows keeps its weights."""
        entry = support.entries["mix_weights"]
        assert isinstance(entry, Simplex)
        inner = self.family.fit(stats.inner, params.inner, _inner(support))
        held = stats.parts.sum(axis=1, keepdims=True) > 0
        return MixedParams(inner, entry.share(np.where(held, stats.parts, params.mix_weights)))

    def q(self, params: MixedParams, stats: MixedStats) -> float:
        """Expected complete-data log-likelihood in nats."""
        held = stats.parts != 0
        with np.errstate(divide="ignore"):
            return float(stats.parts[held] @ np.log(params.mix_weights[held]) + self.family.q(params.inner, stats.inner))

    def score(self, params: MixedParams, stats: MixedStats, support: Support) -> Array:
        """Gradient of ``q`` in free coordinates."""
        entry, inner = support.entries["mix_weights"], _inner(support)
        own = getattr(self.family, "score", None)
        found = own(params.inner, stats.inner, inner) if own else numeric_score(self.family, params.inner, stats.inner, inner)
        return np.concatenate([found, entry.pull(params.mix_weights, stats.parts / np.maximum(params.mix_weights, TINY))])

    def unit_scores(self, params: MixedParams, encoded: Any, resp: Array, support: Support) -> Array:
        """Per row, the gradient of its expected complete-data log-likelihood, (n, p)."""
        entry, (k, m) = support.entries["mix_weights"], params.mix_weights.shape
        share = (np.repeat(resp.T, m, axis=0) * self._parts(params, encoded)[0]).T
        inner = self.family.unit_scores(params.inner, encoded, share, _inner(support))
        units = np.eye(k * m).reshape(k * m, k, m) / np.maximum(params.mix_weights, TINY)
        pulls = np.array([entry.pull(params.mix_weights, unit) for unit in units]).reshape(k * m, -1)
        return np.hstack([inner, share @ pulls])

    def support(self, params: MixedParams, constraints: Constraints) -> Support:
        """The parts' support, and a simplex for each component."""
        fixed = {name: value for name, value in constraints.fixed.items() if name != "mix_weights"}
        tied = {name: value for name, value in constraints.tied.items() if name != "mix_weights"}
        inner = self.family.support(params.inner, Constraints(fixed, tied))
        simplex = Simplex.of("mix_weights", constraints.pattern("mix_weights", params.mix_weights.shape))
        return Support({**{f"{INNER}{n}": e for n, e in inner.entries.items()}, "mix_weights": simplex})

    def prior(self, k: int, settings: Mapping[str, Any]) -> MixedStats:
        """The parts' imagined rows; nothing on the weights."""
        return MixedStats(self.family.prior(k * self.m, settings), np.zeros((k, self.m)))

    def align(self, prior: MixedStats, stats: MixedStats) -> MixedStats:
        """``prior`` about the anchor of ``stats``."""
        own = getattr(self.family, "align", None)
        return MixedStats(own(prior.inner, stats.inner) if own else prior.inner, prior.parts)

    def closer(self, params: MixedParams, stats: MixedStats) -> MixedParams | None:
        """Where to count the parts' moments again, or None."""
        own = getattr(self.family, "closer", None)
        inner = own(params.inner, stats.inner) if own else None
        return None if inner is None else MixedParams(inner, params.mix_weights)

    def dying(self, params: MixedParams, stats: MixedStats, support: Support) -> Any:
        """The first part that has collapsed, or None."""
        own = getattr(self.family, "dying", None)
        return own(params.inner, stats.inner, _inner(support)) if own else None

    def frail(self, params: MixedParams, stats: MixedStats, support: Support) -> Any:
        """The first part that has nearly collapsed, or None."""
        own = getattr(self.family, "frail", None)
        return own(params.inner, stats.inner, _inner(support)) if own else None

    def permute(self, params: MixedParams, order: NDArray[np.intp]) -> MixedParams:
        """Components in another order; parts within them as they are."""
        each = (order[:, None] * self.m + np.arange(self.m)).ravel()
        own = getattr(self.family, "permute", None)
        inner = own(params.inner, each) if own else transform(params.inner, lambda _, leaf: leaf[each])
        return MixedParams(inner, params.mix_weights[order])

    def with_values(self, params: MixedParams, values: Mapping[str, Any]) -> MixedParams:
        """``params`` with the arrays of ``values``, by name, in their places."""
        inner = {n: v for n, v in values.items() if n != "mix_weights"}
        return MixedParams(
            dataclasses.replace(params.inner, **inner), np.asarray(values.get("mix_weights", params.mix_weights))
        )

    def expose(self, params: MixedParams) -> dict[str, Array]:
        """Parameters as users see them: (k, m, ...) where the parts' law has an entry for each of its components."""
        k, m = params.mix_weights.shape
        own = getattr(self.family, "expose", None)
        found = own(params.inner) if own else {n: np.asarray(getattr(params.inner, n)) for n in self.family.names}
        shown = {n: v.reshape(k, m, *v.shape[1:]) if v.ndim and len(v) == k * m else v for n, v in found.items()}
        return {**shown, "mix_weights": params.mix_weights}

    def adopt(self, name: str, value: Any, k: int, d: int, argument: str) -> Array:
        """A user's array for parameter ``name``, (k, m, ...) as it is shown; raises ValueError naming ``argument``."""
        array = np.asarray(value, dtype=float)
        if name == "mix_weights":
            if array.shape != (k, self.m):
                raise ValueError(f"{argument} has shape {array.shape}, expected ({k}, {self.m})")
            return array
        flat = array.reshape(k * self.m, *array.shape[2:]) if array.shape[:2] == (k, self.m) else array
        own = getattr(self.family, "adopt", None)
        return np.asarray(own(name, flat, k * self.m, d, argument) if own else flat)

    def adopt_ties(self, name: str, value: Any, k: int, d: int, argument: str) -> NDArray[np.intp]:
        """A user's integers that tie entries of parameter ``name``, as it is shown."""
        array = np.asarray(value)
        own = getattr(self.family, "adopt_ties", None)
        if name == "mix_weights" or own is None:
            return array
        flat = array.reshape(k * self.m, *array.shape[2:]) if array.shape[:2] == (k, self.m) else array
        return np.asarray(own(name, flat, k * self.m, d, argument))

    def sample(self, params: MixedParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Any:
        """A row for each label."""
        below = np.cumsum(params.mix_weights, axis=1)[labels]
        parts = np.minimum((rng.random(len(labels))[:, None] * below[:, -1:] >= below).sum(axis=1), self.m - 1)
        return self.family.sample(params.inner, labels * self.m + parts, rng)

    def features(self, x: Any) -> Any:
        """Rows as start rules see them: as the parts' law's."""
        own = getattr(self.family, "features", None)
        return x if own is None else own(x)


def _inner(support: Support) -> Support:
    return Support({n.removeprefix(INNER): e for n, e in support.entries.items() if n.startswith(INNER)})
