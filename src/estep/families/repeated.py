"""One family's components seen several times: components that share their parameters.

    p(x | z = c m + j) = f(x | theta_j),      c = 0..times - 1,   j = 0..m - 1

Classes of sequences that share what their states look like are this: state j looks the same in every class.

E-step   log densities repeated;  statistics of f for its m components with the responsibilities summed over c
M-step   f's own
prior    f's own

symbol   variable   shape
theta    params     those of f for m components
r        resp       (n, times m), class by class
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array, transform
from estep.core.support import Support

FLAGS = ("discrete", "sparse", "nonnegative", "infinite", "remedy")
SAME = frozenset((*FLAGS, "encode", "features", "categorical", "score", "align", "closer", "expose", "linked"))
"""What has nothing to do with the number of components, where the inner family has it."""
COUNTED = {"prior": 0, "carried": 0, "adopt": 2, "adopt_ties": 2}
"""Optional methods that are told the number of components, and at which place."""


@dataclasses.dataclass(frozen=True)
class Repeated:
    """``family`` for ``m`` components, each of them ``times`` times among k = times m.

    Examples
    --------
    >>> from estep.families.poisson import Poisson, PoissonParams
    >>> family = Repeated(Poisson(), 2, 2)
    >>> params = PoissonParams(np.array([[1.0], [4.0]]))
    >>> family.log_density(params, family.encode(np.array([[2.0]]))).round(2).tolist()
    [[-1.69, -1.92, -1.69, -1.92]]
    """

    family: Any
    times: int
    m: int

    @property
    def names(self) -> tuple[str, ...]:
        """The inner family's parameters."""
        return tuple(self.family.names)

    @property
    def exchangeable(self) -> bool:
        """Components cannot be renamed one by one."""
        return False

    def bind(self, data: Any) -> Repeated:
        """The inner family's constants."""
        bind = getattr(self.family, "bind", None)
        return dataclasses.replace(self, family=bind(data)) if bind else self

    def by_name(self, names: Sequence[str] | None) -> Repeated:
        """Columns given by name, where the inner family has any."""
        own = getattr(self.family, "by_name", None)
        return dataclasses.replace(self, family=own(names)) if own else self

    def with_levels(self, sizes: Mapping[int, int]) -> Repeated:
        """Levels of columns, where the inner family reads categories."""
        own = getattr(self.family, "with_levels", None)
        return dataclasses.replace(self, family=own(sizes)) if own else self

    def start(self, k: int) -> Any:
        """The inner family's start for m components."""
        return self.family.start(self._inner(k))

    def log_density(self, params: Any, encoded: Any) -> Array:
        """The inner log densities side by side, (n, k)."""
        return np.tile(self.family.log_density(params, encoded), self.times)

    def stats(self, params: Any, encoded: Any, resp: Array) -> Any:
        """The inner statistics of what all copies of a component are responsible for."""
        return self.family.stats(params, encoded, self._summed(resp))

    def unit_scores(self, params: Any, encoded: Any, resp: Array, support: Support) -> Array:
        """The inner family's scores of rows."""
        return np.asarray(self.family.unit_scores(params, encoded, self._summed(resp), support))

    def fit(self, stats: Any, params: Any, support: Support) -> Any:
        """The inner family's fit."""
        return self.family.fit(stats, params, support)

    def q(self, params: Any, stats: Any) -> float:
        """The inner family's q."""
        return float(self.family.q(params, stats))

    def support(self, params: Any, constraints: Any) -> Support:
        """The inner family's support."""
        found: Support = self.family.support(params, constraints)
        return found

    def dying(self, params: Any, stats: Any, support: Support) -> Any:
        """The first inner component that has collapsed, or None."""
        own = getattr(self.family, "dying", None)
        return None if own is None else own(params, stats, support)

    def frail(self, params: Any, stats: Any, support: Support) -> Any:
        """The first inner component that has nearly collapsed, or None."""
        own = getattr(self.family, "frail", None)
        return None if own is None else own(params, stats, support)

    def permute(self, params: Any, order: NDArray[np.intp]) -> Any:
        """Components in another order, the same within every copy; raises ValueError otherwise."""
        table = order.reshape(self.times, self.m)
        inner, outer = table % self.m, table // self.m
        if (inner != inner[0]).any() or (outer != outer[:, :1]).any():
            raise ValueError("components that share parameters can be renamed together only: the same way in every copy")
        own = getattr(self.family, "permute", None)
        return own(params, inner[0]) if own else transform(params, lambda _, leaf: leaf[inner[0]])

    def sample(self, params: Any, labels: NDArray[np.intp], rng: np.random.Generator) -> Any:
        """A row for each label."""
        return self.family.sample(params, labels % self.m, rng)

    def __getattr__(self, name: str) -> Any:
        """Optional parts of the inner family, as they are or for m components."""
        if name in SAME:
            return getattr(self.family, name)
        if name in COUNTED:
            own, at = getattr(self.family, name), COUNTED[name]
            return lambda *args: own(*args[:at], self._inner(args[at]), *args[at + 1 :])
        raise AttributeError(f"Repeated has no {name!r}")

    def _inner(self, k: int) -> int:
        if k != self.times * self.m:
            raise ValueError(f"{self.times} times {self.m} components are not {k}")
        return self.m

    def _summed(self, resp: Array) -> Array:
        return np.asarray(resp.reshape(len(resp), self.times, self.m).sum(axis=1))
