"""One row for every kind of model, small: bound, with data and starts, for tests of every algorithm on every model.

Every family of ``every_family`` under independent rows; some of them under groups, gates and chains; and the models that are no
mixtures. A start is an M-step from the labels that the rows were drawn with, one in five of them wrong, and softened.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np

from estep import families as law
from estep.data.memory import Memory
from estep.models.latent import Latent
from estep.models.plsa import Plsa
from estep.models.saturated import CellProbs, Saturated, table_cells
from estep.structures.chain import Chain
from estep.structures.factorial import FactorialChain
from estep.structures.gated import Gated
from estep.structures.grouped import Grouped
from estep.structures.iid import Iid
from estep.structures.semimarkov import SemiMarkov
from tests.every_family import CASES, Case, with_gaps

ROWS = 90
MORE_ROWS = {"FactorNormal": 250}
"""Families whose likelihood is so flat on 90 rows that EM takes many hundred passes."""
WEIGHT = np.random.default_rng(8).integers(1, 4, ROWS).astype(float)
WRONG, SURE = 0.2, 0.8


@dataclasses.dataclass(frozen=True)
class Problem:
    """``make() -> model, data`` and ``begin(model, data, seed) -> params``."""

    name: str
    make: Callable[[], tuple[Any, Any]]
    begin: Callable[[Any, Any, int], Any]

    @cached_property
    def parts(self) -> tuple[Any, Any]:
        """The bound model and its data."""
        return self.make()

    @property
    def model(self) -> Any:
        return self.parts[0]

    @property
    def data(self) -> Any:
        return self.parts[1]

    def start(self, seed: int) -> Any:
        """Parameters to begin at."""
        return self.begin(self.model, self.data, seed)


def drawn(case: Case, labels: Any, rng: np.random.Generator, gaps: float = 0.0) -> Any:
    return with_gaps(case, case.draw(labels, rng), gaps, rng)


def labelled_start(labels: Any) -> Callable[[Any, Any, int], Any]:
    """A start from the true labels, some of them wrong, softened."""

    def begin(model: Any, data: Any, seed: int) -> Any:
        rng, k = np.random.default_rng([seed, 17]), model.k
        told = np.where(rng.random(len(labels)) < WRONG, rng.integers(0, k, len(labels)), labels)
        resp = (1.0 - SURE) / k + SURE * (told[:, None] == np.arange(k))
        neutral = model.start()
        tally = lambda chunk: model.tally(neutral, chunk, resp[chunk.rows])  # noqa: E731
        return model.mstep(dataclasses.replace(data, n_jobs=1).sum(tally), neutral)

    return begin


def mixture(case: Case, structure: Any = None, name: str = "", rows: int = ROWS, gaps: float = 0.0, **plane: Any) -> Problem:
    """Rows of a family under a structure; ``plane`` is what the data carry beside (given, ends, weight)."""
    rng = np.random.default_rng(len(case.name))
    labels = rng.integers(0, case.k, rows)
    if "ends" in plane:
        stay = rng.random(rows) < 0.8
        for t in range(1, rows):
            labels[t] = labels[t - 1] if stay[t] else labels[t]

    cut = None if "ends" in plane else 40
    if case.labelled:
        plane = {"allowed": np.where(rng.random(rows) < case.labelled, labels, -1), **plane}

    def make() -> tuple[Any, Any]:
        data = Memory(drawn(case, labels, np.random.default_rng(1), gaps), n_jobs=1, rows=cut, **plane)
        return Latent(structure or Iid(), case.family, case.k).bind(data), data

    return Problem(name or case.name, make, labelled_start(labels))


def named(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


def structured() -> Iterator[Problem]:
    """Some families under other structures than independent rows."""
    rng = np.random.default_rng(0)
    groups, gate = rng.integers(0, 3, ROWS), rng.normal(size=(ROWS, 1))
    ends = np.array([20, 45, 60, ROWS])
    for name in ("Normal", "Poisson", "Categorical"):
        yield mixture(named(name), Grouped(3), f"{name} in groups", given=groups)
    for name in ("Normal", "Bernoulli", "LinearRegression"):
        yield mixture(named(name), Gated(), f"{name} with a gate", given=gate)
    for name in ("Normal", "Poisson", "Categorical"):
        yield mixture(named(name), Chain(), f"{name} in a chain", ends=ends)
    yield mixture(named("Normal"), Chain(end=True), "Normal in a chain with ends, gaps and weights", gaps=0.1, ends=ends,
                  weight=np.repeat([1.0, 2.0, 1.0, 3.0], np.diff(ends, prepend=0)))  # fmt: skip
    yield mixture(named("Normal"), SemiMarkov(law.Geometric()), "Normal in a semi-Markov chain", ends=ends)
    yield mixture(named("Poisson"), FactorialChain((2, 1)), "Poisson under two chains", ends=ends)
    yield mixture(named("Normal"), None, "Normal with gaps and weights", gaps=0.1, weight=WEIGHT)


def other() -> Iterator[Problem]:
    """Models that are no mixtures."""
    rng = np.random.default_rng(3)
    topics, shares = rng.dirichlet(np.full(12, 0.3), 2), rng.dirichlet(np.ones(2), 15)
    counts = np.array([rng.multinomial(40, s @ topics) for s in shares])
    begin_topics = lambda model, data, seed: model.random_start(np.random.default_rng([seed, 5]))  # noqa: E731
    yield Problem("PLSA", lambda: (Plsa(2, 12, 15), Memory(counts, n_jobs=1, rows=6)), begin_topics)
    cells = rng.integers(0, 2, size=(ROWS, 3)).astype(float)
    cells[rng.random(cells.shape) < 0.3] = np.nan
    table = lambda: (Saturated((2, 2, 2), table_cells((2, 2, 2))), Memory(cells, n_jobs=1, rows=40))  # noqa: E731
    begin_table = lambda model, data, seed: CellProbs(np.random.default_rng(seed).dirichlet(np.full(8, 4.0)))  # noqa: E731
    yield Problem("Saturated", table, begin_table)
    x = rng.normal(size=(ROWS, 3)) @ rng.normal(size=(3, 3))
    x[rng.random(x.shape) < 0.3] = np.nan

    def normal() -> tuple[Any, Any]:
        data = Memory(x, n_jobs=1, rows=40)
        return Latent(Iid(), law.Normal(), 1).bind(data), data

    def begin(model: Any, data: Any, seed: int) -> Any:
        params, support = model.start(), model.support(model.start())
        moved = support.pack(params) + 0.2 * np.random.default_rng(seed).standard_normal(support.count)
        return support.unpack(moved, params)

    yield Problem("MultivariateNormal", normal, begin)


PROBLEMS: list[Problem] = [*(mixture(case, rows=MORE_ROWS.get(case.name, ROWS)) for case in CASES), *structured(), *other()]
