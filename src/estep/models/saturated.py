"""The saturated multinomial: one probability a cell of a contingency table, from rows of which parts are missing.

    row = cell c with probability theta_c;  some of its columns are seen, the others not (missing at random)

E-step   n equal rows with observed part o add  n theta_c / sum_{c' agrees with o} theta_c'  to every cell c that agrees
M-step   theta_c = (N_c + alpha_c - 1) / sum (N + alpha - 1)                     alpha: Dirichlet prior, 1 is none
         under ``margins`` (a log-linear model): ``cycles`` rounds of iterative proportional fitting to those margins of N,
         theta_c <- theta_c N_margin(c) / theta_margin(c), each of which raises q (ECM)

symbol   variable   shape
theta    probs      (m,)     of the m cells that may occur; structural zeros are not among them
N        counts     (m,)
c        cells      (m, p)   codes of each cell in the p columns

Sources: Schafer (1997), Analysis of Incomplete Multivariate Data, sections 7.3 and 8.4; Meng & Rubin (1993), Biometrika 80:267;
Dempster, Laird & Rubin (1977), section 4.1.1.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.assign import ImpossibleRow
from estep.core.memo import remembered
from estep.core.protocols import Assign, Chunk, Expected, Explained
from estep.core.record import Array, record
from estep.core.support import Constraints, Simplex, Support
from estep.models.loglinear import LogLinear, design_of

MOST_CELLS = 1 << 22
WHOLE_TABLE = 1 << 20
TINY = float(np.finfo(float).tiny)
Codes = NDArray[np.intp]


@record
class CellProbs:
    """Probabilities of the cells, (m,)."""

    probs: Array


@record
class CellCounts:
    """Expected counts of the cells, (m,)."""

    counts: Array


@dataclasses.dataclass(frozen=True)
class Saturated:
    """A table of ``cells`` with a probability each.

    Parameters
    ----------
    levels : tuple of int
        Number of levels of each column.
    cells : int array (m, p)
        The cells that may occur; see ``table_cells``.
    prior : CellCounts or None
        Imaginary counts alpha - 1.
    margins : tuple of tuples of columns
        Margins that a log-linear model fits; empty is the saturated model.
    cycles : int
        Rounds of proportional fitting in an M-step.
    constraints : Constraints
        Fixed cells, of a model without margins: standard errors hold those that ended at zero.

    Examples
    --------
    >>> model = Saturated((2, 2), table_cells((2, 2)))
    >>> rows = np.array([[0.0, 0.0], [0.0, np.nan]])
    >>> seen = model.estep(model.start(), Chunk(("memory", 0, 2), rows), None)
    >>> seen.stats.counts.tolist()
    [1.5, 0.5, 0.0, 0.0]
    """

    levels: tuple[int, ...]
    cells: Codes
    prior: CellCounts | None = None
    margins: tuple[tuple[int, ...], ...] = ()
    cycles: int = 1
    constraints: Constraints = dataclasses.field(default_factory=Constraints)

    @property
    def constants(self) -> int:
        """Cells that may occur in principle and are left out because no row reaches them; none where the table is whole."""
        size = math.prod(self.levels)
        return size - len(self.cells) if size > WHOLE_TABLE and not self.margins else 0

    def bind(self, data: Any) -> Saturated:
        """Nothing more depends on the data as a whole."""
        return self

    def start(self) -> CellProbs:
        """Every cell as probable as any other."""
        return CellProbs(np.full(len(self.cells), 1.0 / len(self.cells)))

    def refuses(self, assign: Any) -> str:
        """Why the missing categories cannot be filled in by ``assign``, or an empty text."""
        if assign.name == "soft":
            return ""
        words = "their probabilities are known exactly"
        return f"assign={assign.name!r} fills in no missing categories: {words}; use algorithm='em'"

    def estep(self, params: CellProbs, chunk: Chunk, assign: Assign | None) -> Expected:
        """Expected counts of the cells; raises ImpossibleRow where every cell that agrees with a row has probability zero."""
        weight = np.ones(len(chunk)) if chunk.weight is None else chunk.weight
        counts, loglik = np.zeros(len(self.cells)), 0.0
        for rows, at, seen in self._parts(chunk):
            margin, group = self._margin(params, seen)
            here = margin[at]
            if not (here > 0).all():
                raise ImpossibleRow(int(chunk.key[1] + rows[np.flatnonzero(here <= 0)[0]]))
            loglik += float(weight[rows] @ np.log(here))
            mass = np.bincount(at, weight[rows], minlength=margin.size)
            counts += params.probs * (mass / np.where(margin > 0, margin, 1.0))[group]
        return Expected(CellCounts(counts), loglik, loglik, float(weight.sum()))

    def mstep(self, stats: CellCounts, params: CellProbs) -> CellProbs:
        """The probabilities that maximise q(., stats + prior), or under ``margins`` raise it; ValueError on a negative one."""
        counts = stats.counts if self.prior is None else stats.counts + self.prior.counts
        if (counts < 0).any():
            self._refuse_negative(stats.counts, counts)
        total = float(counts.sum())
        if not total > 0:
            raise ValueError("no row of positive weight tells anything about the cells; bring rows with an observed entry")
        if not self.margins and self.constraints:
            entry = self.support(params).entries["probs"]
            assert isinstance(entry, Simplex)
            return CellProbs(entry.share(counts))
        if not self.margins:
            return CellProbs(counts / total)
        probs = params.probs
        for _ in range(self.cycles):
            for margin in self.margins:
                _, group = self._groups(margin)
                target, now = np.bincount(group, counts / total), np.bincount(group, probs)
                probs = probs * (target / np.where(now > 0, now, 1.0))[group]
        return CellProbs(probs / probs.sum())

    def q(self, params: CellProbs, stats: CellCounts) -> float:
        """``sum_c N_c log theta_c`` in nats (0 log 0 = 0)."""
        held = stats.counts != 0
        with np.errstate(divide="ignore"):
            return float((stats.counts[held] * np.log(params.probs[held])).sum())

    def score(self, params: CellProbs, stats: CellCounts) -> Array:
        """Gradient of ``q`` in free coordinates."""
        slope = stats.counts / np.maximum(params.probs, np.finfo(float).tiny)
        return self.support(params).pull(params, {"probs": slope})

    def unit_scores(self, params: CellProbs, chunk: Chunk) -> Array:
        """Per row, the gradient of the log probability of what it shows, in free coordinates, (n, p)."""
        out, entry = np.empty((len(chunk), self.support(params).count)), self.support(params).entries["probs"]
        for rows, at, seen in self._parts(chunk):
            margin, group = self._margin(params, seen)
            for place in np.unique(at):
                slope = np.where(group == place, 1.0 / max(float(margin[place]), TINY), 0.0)
                out[rows[at == place]] = entry.pull(params.probs, slope)
        return out

    def support(self, params: CellProbs) -> Support:
        """The simplex of the cells, or the log-linear surface within it."""
        return remembered(self, "support", self._support)  # type: ignore[no-any-return]

    def explain(self, params: CellProbs, chunk: Chunk) -> Explained:
        """Per row the log probability of its observed part."""
        out = np.full(len(chunk), -np.inf)
        for rows, at, seen in self._parts(chunk, strict=False):
            margin = np.append(self._margin(params, seen)[0], 0.0)[at]
            with np.errstate(divide="ignore"):
                out[rows] = np.log(margin)
        return Explained(out, np.ones((len(chunk), 1)), np.zeros(len(chunk), dtype=np.intp))

    def sample(self, params: CellProbs, n: int, rng: np.random.Generator) -> tuple[Array, Codes]:
        """``n`` rows of codes and the cells they are in."""
        drawn = rng.choice(len(self.cells), size=n, p=params.probs / params.probs.sum())
        return self.cells[drawn].astype(float), drawn

    def completions(self, params: CellProbs, row: Array) -> tuple[Codes, Array]:
        """The cells that agree with one row, and their probabilities given it."""
        seen = np.flatnonzero(~np.isnan(row))
        agree = np.flatnonzero((self.cells[:, seen] == row[seen]).all(axis=1))
        mass = params.probs[agree]
        return agree, mass / mass.sum() if mass.sum() > 0 else mass

    def _parts(self, chunk: Chunk, strict: bool = True) -> list[tuple[Codes, Codes, tuple[int, ...]]]:
        """By missing pattern: rows, where each stands in the margin of its observed columns, and these columns."""
        if not chunk.keep:
            return list(self._place(chunk, strict))
        table = remembered(self, "table", lambda: (self.levels, self.cells.tobytes()))
        return remembered(chunk, ("places", table, strict), lambda: list(self._place(chunk, strict)))  # type: ignore[no-any-return]

    def _place(self, chunk: Chunk, strict: bool) -> Iterator[tuple[Codes, Codes, tuple[int, ...]]]:
        x = np.asarray(chunk.x, dtype=float)
        kinds, which = np.unique(np.isnan(x), axis=0, return_inverse=True)
        for i, kind in enumerate(kinds):
            rows, seen = np.flatnonzero(which.ravel() == i), tuple(np.flatnonzero(~kind).tolist())
            known, _ = self._groups(seen)
            key = keys_of(x[rows][:, list(seen)].astype(np.intp), self.levels, seen)
            at = np.minimum(np.searchsorted(known, key), known.size - 1)
            lost = known[at] != key
            if lost.any() and strict:
                raise ImpossibleRow(int(chunk.key[1] + rows[np.flatnonzero(lost)[0]]))
            yield rows, np.where(lost, known.size, at), seen

    def _groups(self, columns: tuple[int, ...]) -> tuple[Codes, Codes]:
        """Keys of the margin of ``columns``, ascending, and the place of every cell among them."""
        make = lambda: np.unique(keys_of(self.cells[:, list(columns)], self.levels, columns), return_inverse=True)  # noqa: E731
        known, group = remembered(self, ("margin", columns), make)
        return known, group.ravel()

    def _margin(self, params: CellProbs, columns: tuple[int, ...]) -> tuple[Array, Codes]:
        known, group = self._groups(columns)
        margin: Array = np.bincount(group, params.probs, minlength=known.size).astype(float)
        return margin, group

    def _support(self) -> Support:
        if self.margins:
            return Support({"probs": LogLinear(design_of(self.cells, self.levels, self.margins))})
        return Support({"probs": Simplex.of("probs", self.constraints.pattern("probs", (len(self.cells),)))})

    def _refuse_negative(self, expected: Array, counts: Array) -> None:
        assert self.prior is not None
        at = int(np.argmin(counts))
        alpha = 1.0 + float(self.prior.counts[at])
        raise ValueError(
            f"prior: cell {self.cells[at].tolist()} has the negative estimate {expected[at]:.4g} + {alpha:g} - 1; a prior "
            "below one has no mode where a cell is rarely seen: use prior >= 1, or NaN there if the cell cannot occur"
        )


def keys_of(codes: Codes, levels: tuple[int, ...], columns: tuple[int, ...]) -> Codes:
    """One number for each row of ``codes`` (n, len(columns)), ascending in the order of the codes."""
    key = np.zeros(len(codes), dtype=np.intp)
    for j, column in enumerate(columns):
        key = key * levels[column] + codes[:, j]
    return key


def table_cells(levels: tuple[int, ...]) -> Codes:
    """Every cell of a table, (product of levels, p), the last column fastest."""
    return np.indices(levels, dtype=np.intp).reshape(len(levels), -1).T


def reached_cells(x: Array, levels: tuple[int, ...]) -> Codes:
    """The cells that agree with at least one row of ``x`` (n, p); raises ValueError where they are too many."""
    distinct = np.unique(x, axis=0)
    spread = [math.prod(levels[j] for j in np.flatnonzero(np.isnan(row))) for row in distinct]
    if sum(spread) > MOST_CELLS:
        worst = int(np.argmax(spread))
        raise ValueError(
            f"X: the rows agree with {sum(spread):.3g} cells of a table of {math.prod(levels):.3g}, over {MOST_CELLS:.3g}; "
            f"a row with {int(np.isnan(distinct[worst]).sum())} missing entries alone agrees with {spread[worst]:.3g}. Drop "
            "such rows or columns, or use a latent class model, which has no table"
        )
    parts = [_expand(row, levels) for row in distinct]
    return np.unique(np.concatenate(parts), axis=0)


def _expand(row: Array, levels: tuple[int, ...]) -> Codes:
    hidden = np.flatnonzero(np.isnan(row))
    inner = table_cells(tuple(levels[j] for j in hidden)) if hidden.size else np.zeros((1, 0), dtype=np.intp)
    out = np.tile(np.nan_to_num(row).astype(np.intp), (len(inner), 1))
    out[:, hidden] = inner
    return out


def fitted_to(model: Saturated, target: CellProbs, cycles: int = 10_000) -> CellProbs:
    """The member of a log-linear model that has the margins of ``target``: proportional fitting from equal probabilities."""
    whole = dataclasses.replace(model, prior=None, cycles=1)
    probs, counts = model.start(), CellCounts(target.probs)
    for _ in range(cycles):
        before, probs = probs.probs, whole.mstep(counts, probs)
        if np.abs(probs.probs - before).max() <= 1e-15:
            break
    return probs
