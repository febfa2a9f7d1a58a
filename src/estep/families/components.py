"""Components of unlike families: the first of one law, the second of another.

    x_i | z_i = j ~ p_j(. | theta_j),   j = 0 .. k - 1, each p_j a family of its own on the same columns

E-step   logb_ij = log p_j(x_i | theta_j): one column from each family
M-step   theta_j = argmax q_j(., stats of column j of the responsibilities)            (parts.py)

Components have names of their own and no order by size: they cannot be renamed, so ``exchangeable`` is False. The families must
measure rows in the same way: all densities on the same columns, or all probabilities of counts. Every family reads every row,
so one that refuses a value (``Gamma`` at or below zero) refuses it for all.

symbol    variable                    shape
theta_j   params.parts["0"], ["1"]    the record of family j with one component; named ``0.means``

Source: McLachlan & Peel (2000), Finite Mixture Models, section 1.2, with component densities of different parametric forms.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.record import Array
from estep.core.support import Support
from estep.families import parts as joint
from estep.families.parts import Parts


@dataclasses.dataclass(frozen=True)
class Components:
    """A family for each component: ``p(x | z = j) = p_j(x | theta_j)``; ``n_components`` is the number of families.

    Parameters
    ----------
    families : sequence of families
        One for each component. The parameters of the j-th are named ``j.name``, as ``0.means``, with first axis 1.

    Raises
    ------
    ValueError
        Where ``n_components`` is not the number of families, and what a family refuses.
    TypeError
        On a class in place of a family.

    Examples
    --------
    >>> from estep.families.normal import Normal
    >>> Components([Normal(), Normal("EII")]).names
    ('0.means', '0.covariances', '1.means', '1.covariances')
    """

    families: Any
    exchangeable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if isinstance(self.families, str) or not isinstance(self.families, Sequence) or not self.families:
            raise ValueError(f"Components takes a list of families, one for each component, got {self.families!r}")
        for j, family in enumerate(self.families):
            if isinstance(family, type):
                raise TypeError(f"Components: {family.__name__} is a class; give an instance, such as {family.__name__}()")
            if not hasattr(family, "log_density"):
                raise TypeError(f"Components: component {j} is {family!r}, which is no family")
        object.__setattr__(self, "families", tuple(self.families))

    @property
    def family_of(self) -> dict[str, Any]:
        """Component number, as text -> family."""
        return {str(j): family for j, family in enumerate(self.families)}

    @property
    def names(self) -> tuple[str, ...]:
        """Parameter names, ``j.name``."""
        return joint.names_of(self.family_of)

    @property
    def constants(self) -> int:
        """Parameters that binding estimated in the families."""
        return sum(int(getattr(family, "constants", 0)) for family in self.families)

    @property
    def discrete(self) -> bool:
        """Whether rows take few values."""
        return all(getattr(family, "discrete", False) for family in self.families)

    def by_name(self, names: Sequence[str]) -> Components:
        """Every family with its columns found among ``names``."""
        return self._each("by_name", names)

    def categorical(self, names: Sequence[str]) -> list[int]:
        """The columns that the families read as categories; raises ValueError where they differ."""
        found = [sorted(getattr(family, "categorical", lambda _: [])(names)) for family in self.families]
        if any(columns != found[0] for columns in found):
            at = next(j for j, columns in enumerate(found) if columns != found[0])
            raise ValueError(
                f"Components: component 0 reads the columns {found[0]} as categories and component {at} reads {found[at]}; "
                "components must read the same columns in the same way"
            )
        return found[0]

    def with_levels(self, sizes: Mapping[int, int]) -> Components:
        """Every family with the number of levels of each categorical column."""
        return self._each("with_levels", sizes)

    def bind(self, data: Any) -> Components:
        """Bind every family to the whole data; raises ValueError where one refuses it."""
        bound = []
        for j, family in enumerate(self.families):
            try:
                bound.append(family.bind(data) if hasattr(family, "bind") else family)
            except ValueError as error:
                raise ValueError(f"{error} (component {j}, {type(family).__name__})") from None
        return dataclasses.replace(self, families=tuple(bound))

    def start(self, k: int) -> Parts:
        """Every component like the whole of the data."""
        self._require(k)
        return Parts({name: family.start(1) for name, family in self.family_of.items()})

    def encode(self, x: Any) -> tuple[Any, ...]:
        """Each family's encoding of the rows; equal families share one."""
        found: list[tuple[Any, Any]] = []
        blocks = []
        for family in self.families:
            block = next((b for f, b in found if f is family), None)
            if block is None:
                encode = getattr(family, "encode", None)
                block = encode(x) if encode else x
                found.append((family, block))
            blocks.append(block)
        return tuple(blocks)

    def log_density(self, params: Parts, encoded: tuple[Any, ...]) -> Array:
        """Log densities (n, k): a column from each family."""
        pairs = zip(self.family_of.items(), encoded, strict=True)
        return np.vstack([np.asarray(f.log_density(params.parts[name], block))[:, 0] for (name, f), block in pairs]).T

    def stats(self, params: Parts, encoded: tuple[Any, ...], resp: Array) -> Parts:
        """Each family's statistics from its own column of the responsibilities."""
        trios = zip(self.family_of.items(), encoded, range(resp.shape[1]), strict=True)
        return Parts({name: f.stats(params.parts[name], block, resp[:, [j]]) for (name, f), block, j in trios})

    def prior(self, k: int, settings: Mapping[str, Any]) -> Parts:
        """The families' weak priors (None for one without); ``settings`` by component number as text, the defaults else."""
        self._require(k)
        own = joint.prior_settings(self, settings)
        found = {
            name: prior(1, own[name]) if (prior := getattr(f, "prior", None)) else None for name, f in self.family_of.items()
        }
        return Parts(found)

    def carried(self, k: int) -> Parts | None:
        """The priors that settings of the families ask for, or None where none does."""
        found = {name: getattr(f, "carried", lambda k: None)(1) for name, f in self.family_of.items()}
        return None if all(prior is None for prior in found.values()) else Parts(found)

    def features(self, x: Any) -> Array:
        """The picture of the first family that has one, for start rules; else the rows themselves."""
        own = next((f.features for f in self.families if hasattr(f, "features")), np.asarray)
        return np.asarray(own(x), dtype=float)

    def permute(self, params: Parts, order: NDArray[np.intp]) -> Parts:
        """``params`` where the order is the old one; raises ValueError on any other, for components are not alike."""
        if not np.array_equal(order, np.arange(len(self.families))):
            raise ValueError("Components of different families cannot be renamed: they stand in the order of their families")
        return params

    def collapsed(self, name: str, gone: Collapsed) -> Collapsed:
        """A family's collapse as that of its component."""
        return Collapsed(int(name), gone.reason)

    def components_of(self, name: str, k: int) -> int:
        """Components of a part: one."""
        self._require(k)
        return 1

    def columns_of(self, name: str, d: int) -> int:
        """Columns of a part: all."""
        return d

    def __getattr__(self, name: str) -> Any:
        return joint.optional(self, OPTIONAL, name)

    def _each(self, method: str, argument: Any) -> Components:
        told = (own(argument) if (own := getattr(family, method, None)) else family for family in self.families)
        return dataclasses.replace(self, families=tuple(told))

    def _require(self, k: int) -> None:
        if k != len(self.families):
            raise ValueError(
                f"n_components={k}, but Components lists {len(self.families)} families; "
                f"set n_components={len(self.families)} or list a family for each component"
            )

    support = joint.support
    fit = joint.fit
    q = joint.q
    score = joint.score
    align = joint.align
    closer = joint.closer
    dying = joint.dying
    frail = joint.frail
    expose = joint.expose
    adopt = joint.adopt
    adopt_ties = joint.adopt_ties
    with_values = joint.with_values


def unit_scores(self: Components, params: Parts, encoded: tuple[Any, ...], resp: Array, support: Support) -> Array:
    """Per row, the families' gradients side by side, (n, p)."""
    own = joint.supports(self, support)
    found = [np.empty((len(resp), 0))]
    for j, (name, family) in enumerate(self.family_of.items()):
        found.append(family.unit_scores(params.parts[name], encoded[j], resp[:, [j]], own[name]))
    return np.hstack(found)


def sample(self: Components, params: Parts, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
    """One row for each label, from the family of its component."""
    drawn = {
        j: np.asarray(family.sample(params.parts[str(j)], np.zeros(int((labels == j).sum()), dtype=np.intp), rng))
        for j, family in enumerate(self.families)
    }
    rows = np.empty((labels.size, *drawn[0].shape[1:]))
    for j, own in drawn.items():
        rows[labels == j] = own
    return rows


def cdf(self: Components, params: Parts, x: Array) -> Array:
    """Distribution functions (n, k) in a single column; NaN where missing."""
    return np.column_stack([family.cdf(params.parts[name], x)[:, 0] for name, family in self.family_of.items()])


def seat(self: Components, params: Parts, component: int, row: Array) -> Parts:
    """``params`` with ``component`` moved to ``row``."""
    name = str(component)
    return Parts({**params.parts, name: self.families[component].seat(params.parts[name], 0, row)})


def means(self: Components, params: Parts, x: Any) -> Array:
    """Expected response of each row under each component, (n, k), of regressions."""
    return np.column_stack([family.means(params.parts[name], x)[:, 0] for name, family in self.family_of.items()])


OPTIONAL: dict[str, Callable[..., Any]] = {
    "unit_scores": unit_scores,
    "sample": sample,
    "cdf": cdf,
    "seat": seat,
    "means": means,
}
"""What a mixture of unlike components can do if every family can."""
