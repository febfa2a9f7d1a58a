"""Mixed columns: blocks of columns, each with a family of its own, independent given the component.

    x_i | z_i = k  has  p(x_i | k) = prod_b p_b(x_i,b | theta_bk),   b over blocks of columns

E-step   log p = sum_b log p_b;   statistics of each block from the same responsibilities
M-step   each block's own                                                              (parts.py)

Within a block a family decides: columns of ``Normal`` are jointly normal, columns of ``Poisson`` independent. A block whose
entries are all missing in a row has log density 0 there, so rows with gaps in any block are exact as far as each family is.

symbol    variable                         shape
b         part: label, columns             indices of columns of x (n, d)
theta_b   params.parts[label]              the family's record; named ``label.name``, such as ``visits.rates``

Source: Hunt & Jorgensen (1999), Australian & New Zealand Journal of Statistics 41:153, for mixed variables.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.record import Array
from estep.core.support import Support
from estep.families import parts as joint
from estep.families.parts import Parts

REST = "rest"


@dataclasses.dataclass(frozen=True)
class ProductPart:
    """A block of columns and its family; ``at`` are their indices once they are known."""

    family: Any
    columns: tuple[Any, ...]
    label: str
    at: tuple[int, ...] | None = None

    def pick(self, x: Array) -> Array:
        """The block's columns of rows (n, d), as a view where they stand in a row."""
        assert self.at is not None
        first, last = self.at[0], self.at[-1]
        return x[:, first : last + 1] if self.at == (*range(first, last + 1),) else x[:, list(self.at)]

    def translate(self, error: ValueError) -> ValueError:
        """An error about the block's columns in words about the columns of X."""

        def name(found: re.Match[str]) -> str:
            at = int(found[1])
            return f"column {self.columns[at]!r}" if at < len(self.columns) else found[0]

        return ValueError(f"{re.sub(r'column ([0-9]+)', name, str(error))} ({type(self.family).__name__}, part {self.label!r})")


@dataclasses.dataclass(frozen=True)
class PartData:
    """Some columns of a data plane, as the family of a part sees it."""

    data: Any
    part: ProductPart

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.data.n_rows)

    def chunks(self) -> Iterator[Any]:
        """The blocks of rows, with the part's columns."""
        return (self._of(chunk) for chunk in self.data.chunks())

    def sum(self, fn: Callable[[Any], Any]) -> Any:
        """``fn`` of every block, added."""
        return self.data.sum(lambda chunk: fn(self._of(chunk)))

    def map(self, fn: Callable[[Any], Any], sink: Callable[[Any, Any], None]) -> None:
        """``fn`` of every block, handed to ``sink``."""
        self.data.map(lambda chunk: fn(self._of(chunk)), sink)

    def shuffled(self, rng: np.random.Generator) -> PartData:
        """The same rows in random order."""
        return dataclasses.replace(self, data=self.data.shuffled(rng))

    def _of(self, chunk: Any) -> Any:
        return dataclasses.replace(chunk, x=self.part.pick(np.asarray(chunk.x)), keep=False)


@dataclasses.dataclass(frozen=True)
class Product:
    """Blocks of columns with a family each, independent given the component: ``p(x | k) = prod_b p_b(x_b | k)``.

    Parameters
    ----------
    parts : list of (family, columns) or (family, columns, label), or dict from columns to family
        ``columns``: a name or an index from 0, or several. ``label`` (the names joined by commas unless given) names the
        block's parameters: ``visits.rates``, ``x,y.means``.
    ignore : columns, or "rest"
        Columns that belong to no part and are not read: names or indices, or all that are left over.

    Raises
    ------
    ValueError
        On a column that is used twice, unknown or left over, and on what a part's family refuses.
    TypeError
        Where a family is missing or is a class.

    Examples
    --------
    >>> from estep.families.normal import Normal
    >>> from estep.families.poisson import Poisson
    >>> family = Product([(Normal("VVV"), [0, 1], "size"), (Poisson(), 2, "visits")])
    >>> family.names
    ('size.means', 'size.covariances', 'visits.rates')
    >>> Product({"visits": Poisson(), ("x", "y"): Normal()}).names
    ('visits.rates', 'x,y.means', 'x,y.covariances')
    """

    parts: Any
    ignore: Any = ()
    width: int | None = None

    def __post_init__(self) -> None:
        given = [(family, columns) for columns, family in self.parts.items()] if isinstance(self.parts, Mapping) else self.parts
        if isinstance(given, str) or not isinstance(given, Sequence) or not given:
            raise ValueError(
                f"Product takes a list of (family, columns) or a dict from columns to family, got {given!r}; "
                "for instance [(Normal(), ['x', 'y']), (Poisson(), 'visits')]"
            )
        parts = tuple(_part(one) for one in given)
        _refuse_repeats([column for part in parts for column in part.columns], "column", "give each column to one part")
        _refuse_repeats([part.label for part in parts], "label", "give the parts different labels")
        object.__setattr__(self, "parts", parts)
        object.__setattr__(self, "ignore", self.ignore if self.ignore == REST else _listed(self.ignore))

    @property
    def family_of(self) -> dict[str, Any]:
        """Label -> family."""
        return {part.label: part.family for part in self.parts}

    @property
    def names(self) -> tuple[str, ...]:
        """Parameter names, ``label.name``."""
        return joint.names_of(self.family_of)

    @property
    def constants(self) -> int:
        """Parameters that binding estimated in the parts."""
        return sum(int(getattr(part.family, "constants", 0)) for part in self.parts)

    @property
    def discrete(self) -> bool:
        """Whether rows take few values: whether they do in every part."""
        return all(getattr(part.family, "discrete", False) for part in self.parts)

    @property
    def exchangeable(self) -> bool:
        """Whether components may be renamed: whether they may in every part."""
        return all(getattr(part.family, "exchangeable", True) for part in self.parts)

    def by_name(self, names: Sequence[str] | None) -> Product:
        """This product with its columns found among ``names``; None where columns have no names. Raises ValueError."""
        at = {str(name): i for i, name in enumerate(names or ())}
        placed = tuple(dataclasses.replace(p, at=tuple(_place(c, at, self) for c in p.columns)) for p in self.parts)
        ignore = self.ignore if self.ignore == REST else tuple(_place(c, at, self) for c in self.ignore)
        found = dataclasses.replace(self, parts=placed, ignore=ignore)
        return found._placed(len(names), names) if names is not None else found

    def bind(self, data: Any) -> Product:
        """Bind every part to its columns; raises ValueError on columns left over or out of range, and where a part refuses."""
        d = int(np.shape(next(iter(data.chunks())).x)[1])
        whole = self._known(None)._placed(d, None)
        return dataclasses.replace(whole, parts=tuple(_bound(part, data) for part in whole.parts))

    def _known(self, names: Sequence[str] | None) -> Product:
        """This product with the places of its columns: as they are where they are known."""
        return self if all(part.at is not None for part in self.parts) else self.by_name(names)

    def _placed(self, d: int, names: Sequence[str] | None) -> Product:
        """This product for rows of ``d`` columns, each in one place."""
        used = [i for part in self.parts for i in part.at]
        told = [] if self.ignore == REST else list(self.ignore)
        for i in (*used, *told):
            if i >= d:
                raise ValueError(f"Product names column {i}, but X has the columns 0..{d - 1}")
        shown = list(range(d)) if names is None else [str(name) for name in names]
        _refuse_repeats([shown[i] for i in (*used, *told)], "column", "give each column to one part")
        left = [shown[i] for i in range(d) if i not in {*used, *told}]
        if left and self.ignore != REST:
            raise ValueError(
                f"Product gives no family to {_listing(left)}; add {'it' if len(left) == 1 else 'them'} to a part, "
                f"or leave out with ignore={left!r} (ignore='rest': whatever is left over)"
            )
        return dataclasses.replace(self, width=d)

    def start(self, k: int) -> Parts:
        """Every component like the whole of the data."""
        return Parts({part.label: part.family.start(k) for part in self.parts})

    def encode(self, x: Any) -> tuple[Any, ...]:
        """Each part's encoding of its columns."""
        x = np.asarray(x)
        return tuple(_encoded(part.family, part.pick(x)) for part in self.parts)

    def log_density(self, params: Parts, encoded: tuple[Any, ...]) -> Array:
        """Log densities (n, k), summed over parts."""
        first, *others = (p.family.log_density(params.parts[p.label], e) for p, e in zip(self.parts, encoded, strict=True))
        total = np.array(first, dtype=float)
        for logb in others:
            total += logb
        return total

    def stats(self, params: Parts, encoded: tuple[Any, ...], resp: Array) -> Parts:
        """Each part's statistics under the same responsibilities."""
        pairs = zip(self.parts, encoded, strict=True)
        return Parts({p.label: p.family.stats(params.parts[p.label], e, resp) for p, e in pairs})

    def prior(self, k: int, settings: Mapping[str, Any]) -> Parts:
        """The parts' weak priors (None for a part without one); ``settings`` by label, the defaults else."""
        own = joint.prior_settings(self, settings)
        return Parts({p.label: f(k, own[p.label]) if (f := getattr(p.family, "prior", None)) else None for p in self.parts})

    def permute(self, params: Parts, order: NDArray[np.intp]) -> Parts:
        """Components in another order."""
        return Parts({p.label: joint.permuted(p.family, params.parts[p.label], order) for p in self.parts})

    def features(self, x: Any) -> Array:
        """The parts' pictures of their columns side by side, for start rules (which scale every column of it to variance 1)."""
        x = np.asarray(x, dtype=float)
        pictures = (getattr(part.family, "features", np.asarray)(part.pick(x)) for part in self.parts)
        return np.hstack([np.asarray(picture, dtype=float) for picture in pictures])

    def categorical(self, names: Sequence[str]) -> list[int]:
        """The columns that parts read as categories, among all ``names``."""
        found: list[int] = []
        for part in self._known(names).parts:
            if own := getattr(part.family, "categorical", None):
                found += [part.at[i] for i in own([names[i] for i in part.at])]
        return sorted(found)

    def unread(self, names: Sequence[str]) -> list[int]:
        """The columns that no part reads, among all ``names``."""
        used = {i for part in self._known(names).parts for i in part.at}
        return [i for i in range(len(names)) if i not in used]

    def with_levels(self, sizes: Mapping[int, int]) -> Product:
        """This product with the number of levels of every categorical column, by its index."""

        def told(part: ProductPart) -> ProductPart:
            assert part.at is not None
            own = {i: sizes[column] for i, column in enumerate(part.at) if column in sizes}
            take = getattr(part.family, "with_levels", None)
            return dataclasses.replace(part, family=take(own)) if take and own else part

        return dataclasses.replace(self, parts=tuple(told(part) for part in self.parts))

    def collapsed(self, label: str, gone: Collapsed) -> Collapsed:
        """A part's collapse in words that name the part."""
        return Collapsed(gone.component, f"{gone.reason} (part {label!r})")

    def components_of(self, label: str, k: int) -> int:
        """Components of a part: all."""
        return k

    def columns_of(self, label: str, d: int) -> int:
        """Columns of a part."""
        return next(len(part.columns) for part in self.parts if part.label == label)

    def __getattr__(self, name: str) -> Any:
        return joint.optional(self, OPTIONAL, name)

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


def unit_scores(self: Product, params: Parts, encoded: tuple[Any, ...], resp: Array, support: Support) -> Array:
    """Per row, the parts' gradients side by side, (n, p)."""
    own = joint.supports(self, support)
    found = [np.empty((len(resp), 0))]
    for part, block in zip(self.parts, encoded, strict=True):
        found.append(part.family.unit_scores(params.parts[part.label], block, resp, own[part.label]))
    return np.hstack(found)


def sample(self: Product, params: Parts, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
    """One row for each label; NaN in columns that no part reads."""
    width = self.width or 1 + max(i for part in self.parts for i in part.at)
    rows = np.full((labels.size, width), np.nan)
    for part in self.parts:
        rows[:, list(part.at)] = part.family.sample(params.parts[part.label], labels, rng)
    return rows


def seat(self: Product, params: Parts, component: int, row: Array) -> Parts:
    """``params`` with ``component`` of every part moved to its columns of ``row``."""
    row = np.asarray(row)[None, :]
    return Parts({p.label: p.family.seat(params.parts[p.label], component, p.pick(row)[0]) for p in self.parts})


OPTIONAL: dict[str, Callable[..., Any]] = {"unit_scores": unit_scores, "sample": sample, "seat": seat}
"""What a product can do if every part can."""


def _part(given: Any) -> ProductPart:
    """One part from what the user wrote."""
    if isinstance(given, ProductPart):
        return given
    if not isinstance(given, tuple | list) or len(given) not in (2, 3):
        raise ValueError(f"a part of a Product is (family, columns) or (family, columns, label), got {given!r}")
    family, columns = given[0], _listed(given[1])
    if isinstance(family, type):
        raise TypeError(f"Product: {family.__name__} is a class; give an instance, such as {family.__name__}()")
    if not hasattr(family, "log_density"):
        raise TypeError(f"Product: {family!r} is no family; a part is (family, columns), such as (Normal(), ['x', 'y'])")
    if not columns:
        raise ValueError(f"Product: {type(family).__name__} is given no columns; name at least one")
    label = given[2] if len(given) == 3 else ",".join(str(column) for column in columns)
    if not isinstance(label, str) or not label:
        raise ValueError(f"Product: the label of a part must be a text, got {label!r}")
    return ProductPart(family, columns, label)


def _listed(columns: Any) -> tuple[Any, ...]:
    """Names and indices as a tuple; raises ValueError on anything else."""
    several = isinstance(columns, Sequence | np.ndarray | range) and not isinstance(columns, str)
    listed = tuple(columns) if several else (columns,)
    for column in listed:
        index = isinstance(column, int | np.integer) and not isinstance(column, bool) and column >= 0
        if not index and not isinstance(column, str):
            raise ValueError(f"Product: a column is a name or an index from 0, got {column!r}")
    return tuple(column if isinstance(column, str) else int(column) for column in listed)


def _refuse_repeats(values: list[Any], what: str, remedy: str) -> None:
    twice = next((value for i, value in enumerate(values) if value in values[:i]), None)
    if twice is not None:
        raise ValueError(f"Product uses the {what} {twice!r} twice; {remedy}")


def _place(column: str | int, at: Mapping[str, int], product: Product) -> int:
    if isinstance(column, int):
        return column
    if not at:
        raise ValueError(f"Product names the column {column!r}, but columns of X have no names; give a DataFrame, or indices")
    if column not in at:
        near = difflib.get_close_matches(column, [*at], n=3, cutoff=0.5)
        words = f"the nearest are {near}" if near else f"there are {[*at][:10]}"
        raise ValueError(f"Product names the column {column!r}, which X does not have; {words}")
    return at[column]


def _listing(columns: list[Any]) -> str:
    shown = ", ".join(repr(column) for column in columns[:5]) + (", ..." if len(columns) > 5 else "")
    return f"column {shown}" if len(columns) == 1 else f"{len(columns)} columns ({shown})"


def _bound(part: ProductPart, data: Any) -> ProductPart:
    bind = getattr(part.family, "bind", None)
    if bind is None:
        return part
    try:
        return dataclasses.replace(part, family=bind(PartData(data, part)))
    except ValueError as error:
        raise part.translate(error) from None


def _encoded(family: Any, x: Array) -> Any:
    encode = getattr(family, "encode", None)
    return encode(x) if encode else x
