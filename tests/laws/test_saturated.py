"""The saturated multinomial and its log-linear restrictions: every law, brute force, and closed forms."""

import dataclasses
import itertools

import numpy as np
import pytest

from estep.core.assign import ImpossibleRow
from estep.data import Memory
from estep.engine.fit import fit
from estep.models.loglinear import LogLinear, design_of
from estep.models.saturated import CellCounts, CellProbs, Saturated, fitted_to, reached_cells, table_cells
from estep.testing import check_model

LEVELS = (2, 3, 2)
CELLS = table_cells(LEVELS)
UNIFORM = CellProbs(np.full(12, 1 / 12))


def rows(seed=0, n=60):
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.integers(m, size=n) for m in LEVELS]).astype(float)
    X[:, 2] = np.where(rng.random(n) < 0.7, X[:, 0], X[:, 2])
    X[rng.random(X.shape) < 0.25] = np.nan
    return X


@pytest.mark.parametrize(
    "settings",
    [
        dict(),
        dict(prior=CellCounts(np.full(12, 0.5))),
        dict(margins=((0, 1), (0, 2))),  # decomposable: one cycle of proportional fitting is the maximum
        dict(margins=((0, 1), (1, 2), (0, 2)), cycles=40),  # not decomposable: cycles converge
    ],
    ids=["saturated", "prior", "decomposable", "no three-way"],
)
def test_laws(settings):
    weight = np.random.default_rng(1).integers(1, 4, size=60).astype(float)
    check_model(
        Saturated(LEVELS, CELLS, **settings), rows(), weight=weight, params=UNIFORM if settings.get("margins") else None
    )


def test_one_cycle_of_proportional_fitting_never_lowers_the_likelihood():
    """ECM: the conditional maximisations of one cycle do not maximise q, and still the likelihood never falls."""
    model = Saturated(LEVELS, CELLS, margins=((0, 1), (1, 2), (0, 2)))
    result = fit(model, Memory(rows()), model.start(), tol=1e-13)
    assert result.converged
    assert (np.diff(result.trace.objective) >= -1e-10).all()
    more = fit(dataclasses.replace(model, cycles=50), Memory(rows()), model.start(), tol=1e-13)
    np.testing.assert_allclose(result.params.probs, more.params.probs, atol=1e-6)


def test_expected_counts_beside_brute_force():
    """Every completion of every row, weighted by its probability."""
    rng, X = np.random.default_rng(2), rows(n=15)
    probs, weight = rng.dirichlet(np.ones(12)), rng.uniform(0.5, 2.0, size=15)
    model = Saturated(LEVELS, CELLS)
    seen = Memory(X, weight=weight, rows=4).sum(lambda chunk: model.estep(CellProbs(probs), chunk, None))
    counts, loglik = np.zeros(LEVELS), 0.0
    for row, w in zip(X, weight, strict=True):
        options = [range(m) if np.isnan(v) else [int(v)] for v, m in zip(row, LEVELS, strict=True)]
        cells = list(itertools.product(*options))
        mass = np.array([probs.reshape(LEVELS)[c] for c in cells])
        loglik += w * np.log(mass.sum())
        for c, p in zip(cells, mass / mass.sum(), strict=True):
            counts[c] += w * p
    np.testing.assert_allclose(seen.stats.counts, counts.ravel(), rtol=1e-12)
    assert seen.loglik == pytest.approx(loglik, rel=1e-12)


def test_cells_that_rows_reach_are_enough():
    """Maximum likelihood over the cells that rows reach is that over the whole table, with the same degrees of freedom."""
    X = rows(n=8)
    few = reached_cells(X, LEVELS)
    assert len(few) < 12
    small, whole = Saturated(LEVELS, few), Saturated(LEVELS, CELLS)
    a, b = (fit(m, Memory(X), m.start(), tol=1e-13) for m in (small, whole))
    assert a.loglik == pytest.approx(b.loglik, abs=1e-8)
    at = (CELLS[:, None] == few[None]).all(axis=2).argmax(axis=0)
    np.testing.assert_allclose(a.params.probs, b.params.probs[at], atol=1e-5)


def test_independence_is_the_product_of_margins():
    X = np.column_stack([np.random.default_rng(3).integers(m, size=200) for m in LEVELS]).astype(float)
    model = Saturated(LEVELS, CELLS, margins=((0,), (1,), (2,)))
    result = fit(model, Memory(X), model.start(), tol=1e-14)
    margins = [np.bincount(X[:, j].astype(int), minlength=m) / 200 for j, m in enumerate(LEVELS)]
    np.testing.assert_allclose(result.params.probs.reshape(LEVELS), np.einsum("i,j,k->ijk", *margins), rtol=1e-9)
    assert result.n_free == 1 + 2 + 1


def test_the_design_loses_what_structural_zeros_make_redundant():
    whole = design_of(CELLS, LEVELS, ((0, 1), (0, 2)))
    assert whole.shape[1] == 1 + 2 + 1 + 2 + 1
    no_level_two = CELLS[CELLS[:, 1] != 2]
    assert design_of(no_level_two, LEVELS, ((0, 1), (0, 2))).shape[1] == 1 + 1 + 1 + 1 + 1


def test_a_start_is_brought_to_the_surface_by_its_margins():
    rng = np.random.default_rng(4)
    start, model = CellProbs(rng.dirichlet(np.ones(12))), Saturated(LEVELS, CELLS, margins=((0, 1), (2,)))
    there = fitted_to(model, start)
    surface = LogLinear(design_of(CELLS, LEVELS, model.margins))
    surface.check("probs", there.probs)
    with pytest.raises(ValueError, match="log-linear"):
        surface.check("probs", start.probs)
    table, given = there.probs.reshape(LEVELS), start.probs.reshape(LEVELS)
    np.testing.assert_allclose(table.sum(axis=2), given.sum(axis=2), rtol=1e-10)
    np.testing.assert_allclose(table.sum(axis=(0, 1)), given.sum(axis=(0, 1)), rtol=1e-10)


def test_errors_in_words():
    model = Saturated((2,), table_cells((2,)), prior=CellCounts(np.full(2, -0.7)))
    with pytest.raises(ValueError, match=r"cell \[1\] has the negative estimate 0 \+ 0.3 - 1"):
        fit(model, Memory(np.zeros((3, 1))), model.start())
    with pytest.raises(ImpossibleRow, match="row 1"):
        fit(Saturated((2,), np.array([[0]])), Memory(np.array([[0.0], [1.0]])), CellProbs(np.ones(1)))
    with pytest.raises(ValueError, match="over 4.19e"):
        reached_cells(np.full((1, 30), np.nan), (2,) * 30)


def test_a_row_counted_whole_in_every_cell_is_noticed():
    """The planted bug: a partly seen row counts once in each cell that agrees with it, whatever the probabilities."""

    class Doubling(Saturated):
        def estep(self, params, chunk, assign):
            seen = super().estep(params, chunk, assign)
            return dataclasses.replace(seen, stats=CellCounts(seen.stats.counts + (params.probs > 0)))

    with pytest.raises(AssertionError):
        check_model(Doubling(LEVELS, CELLS), rows())
