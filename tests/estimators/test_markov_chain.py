"""Markov chains of seen states: counting by hand, missing states by enumeration, input in every form, errors, files."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

import estep
from estep.core.protocols import Family
from estep.data.memory import Memory
from estep.families.observed import Observed, ObservedParams

OZ = np.array([[0.5, 0.25, 0.25], [0.5, 0.0, 0.5], [0.25, 0.25, 0.5]])
NAMES = ["rain", "nice", "snow"]


def oz(**settings: Any) -> Any:
    """The chain itself, everything fixed."""
    fixed = {"transmat": OZ, "startprob": np.full(3, 1 / 3)}
    return estep.MarkovChain(states=NAMES, fixed=fixed, random_state=0, **settings).fit(NAMES)


def test_counting_by_hand() -> None:
    fit = estep.MarkovChain().fit([["a", "b", "a", "a"], ["b", "a"], ["a"]])
    assert fit.states_.tolist() == ["a", "b"]
    assert fit.counts_.tolist() == [[1.0, 1.0], [2.0, 0.0]]
    np.testing.assert_allclose(fit.transmat_, [[0.5, 0.5], [1.0, 0.0]], atol=1e-15)
    np.testing.assert_allclose(fit.startprob_, [2 / 3, 1 / 3], rtol=1e-15)
    loglik = 2 * np.log(2 / 3) + np.log(1 / 3) + 2 * np.log(0.5)
    assert fit.log_likelihood_ == pytest.approx(loglik, rel=1e-13)
    assert fit.score([["a", "b", "a", "a"], ["b", "a"], ["a"]]) == pytest.approx(loglik / 7, rel=1e-13)
    assert fit.result_.n_free == 3
    assert fit.bic([["a", "b", "a", "a"], ["b", "a"], ["a"]]) == pytest.approx(-2 * loglik + 3 * np.log(7), rel=1e-13)
    assert fit.converged_


def test_the_land_of_oz() -> None:
    fit = oz()
    np.testing.assert_allclose(fit.stationary(), [0.4, 0.2, 0.4], rtol=1e-14)
    assert fit.is_irreducible() and fit.is_ergodic()
    np.testing.assert_allclose(fit.predict_proba(["rain", "snow"], 4), np.linalg.matrix_power(OZ, 4)[[0, 2]], rtol=1e-14)
    assert fit.predict_proba(["nice"], 0).tolist() == [[0.0, 1.0, 0.0]]
    np.testing.assert_allclose(fit.forecast(["snow", "nice"], 2), [OZ[1], OZ[1] @ OZ], rtol=1e-14)
    assert fit.predict(["snow"]).tolist() == ["snow"]
    assert fit.hitting("rain").times.tolist() == pytest.approx([0.0, 8 / 3, 10 / 3])
    assert "ergodic; {rain, nice, snow} closed, period 1" in fit.summary().replace("\n", " ")
    assert "0.2500" in fit.summary()
    assert {"rain", "nice", "snow", "start", "0.33"} <= {text.get_text() for text in fit.plot().axes[0].texts}


def test_draws_follow_the_chain_and_standard_errors_are_those_of_proportions() -> None:
    x = oz().sample(4000)
    fit = estep.MarkovChain(states=NAMES).fit(x)
    moves = fit.counts_.sum(axis=1, keepdims=True)
    formula = np.sqrt(fit.transmat_ * (1 - fit.transmat_) / moves)
    with pytest.warns(UserWarning, match=r"transmat\[1, 1\]"):
        errors = fit.standard_errors(x)
    seen = fit.transmat_ > 0
    np.testing.assert_allclose(errors["transmat"][seen], formula[seen], rtol=1e-5)
    assert not seen[1, 1]
    # five standard errors in each of 8 entries: a false alarm in two hundred thousand
    assert (np.abs(fit.transmat_ - OZ)[seen] < 5 * formula[seen]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        low, high = np.moveaxis(fit.confint(x)["transmat"][seen], -1, 0)
    assert (low < fit.transmat_[seen]).all() and (high > fit.transmat_[seen]).all()


# --- missing states ---


def by_enumeration(transmat: np.ndarray, start: np.ndarray, sequences: list[list[int | None]]) -> float:
    """Log-likelihood, every way to fill in what is missing added up."""
    k, value = len(start), 0.0
    for states in sequences:
        total = 0.0
        for path in itertools.product(*([s] if s is not None else range(k) for s in states)):
            total += start[path[0]] * np.prod([transmat[i, j] for i, j in itertools.pairwise(path)])
        value += np.log(total)
    return float(value)


def test_missing_states_are_summed_over() -> None:
    rng = np.random.default_rng(3)
    start, moves = rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(3), size=3)
    sequences: list[list[int | None]] = [[0, None, 2, None, None, 1], [None, 1], [None], [2, 2, None]]
    fit = estep.MarkovChain(states=[0, 1, 2], fixed={"transmat": moves, "startprob": start}).fit(sequences)
    assert fit.log_likelihood_ == pytest.approx(by_enumeration(moves, start, sequences), rel=1e-13)
    assert fit.score_samples(sequences).sum() == pytest.approx(fit.log_likelihood_, rel=1e-13)
    between = moves[0] * moves[:, 2]
    np.testing.assert_allclose(fit.posterior([0, None, 2])[1], between / between.sum(), rtol=1e-13)
    assert fit.decode([0, None, 2]).tolist() == [0, int(between.argmax()), 2]
    np.testing.assert_allclose(fit.forecast([0, None]), [moves[0] @ moves], rtol=1e-13)


def test_the_maximum_with_missing_states_is_that_of_an_optimiser() -> None:
    rng = np.random.default_rng(1)
    x = [rng.choice(2, size=20).tolist() for _ in range(8)]
    holes: list[list[int | None]] = [[None if rng.random() < 0.25 else s for s in row] for row in x]
    fit = estep.MarkovChain(tol=1e-12).fit(holes)

    def expit(v: np.ndarray) -> np.ndarray:
        p = 1 / (1 + np.exp(-v))
        return np.stack([1 - p, p], axis=-1)

    def below(v: np.ndarray) -> float:
        value, start, moves = 0.0, expit(v[0]), expit(v[1:])
        for row in holes:
            forward = start * np.array([1.0 if s in (None, j) else 0.0 for j, s in ((0, row[0]), (1, row[0]))])
            for s in row[1:]:
                forward = (forward @ moves) * np.array([1.0 if s in (None, j) else 0.0 for j in (0, 1)])
            value += np.log(forward.sum())
        return -float(value)

    best = minimize(below, np.array([0.3, 0.1, -0.2]), method="BFGS", options={"gtol": 1e-7})
    assert fit.log_likelihood_ == pytest.approx(-best.fun, abs=1e-8)
    # EM and the optimiser end within 1e-8 nats of the maximum, whose curvature exceeds 0.1 in every direction
    np.testing.assert_allclose(fit.transmat_, expit(best.x[1:]), atol=5e-4)
    errors = fit.standard_errors(holes)["transmat"][:, 1]
    slope = fit.transmat_[:, 0] * fit.transmat_[:, 1]
    step, at = 1e-4, best.x
    eye = step * np.eye(3)
    bend = np.array(
        [
            [(below(at + a + b) - below(at + a - b) - below(at - a + b) + below(at - a - b)) / (4 * step**2) for b in eye]
            for a in eye
        ]
    )
    np.testing.assert_allclose(errors, np.sqrt(np.diag(np.linalg.inv(bend)))[1:] * slope, rtol=1e-3)
    whole = estep.MarkovChain().fit(x).standard_errors(x)["transmat"][:, 1]
    assert (errors > whole).all()  # what is missing widens them


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from(["a", "b", None]), min_size=1, max_size=5), min_size=1, max_size=4))
def test_the_likelihood_of_any_sequences(sequences: list[list[str | None]]) -> None:
    """Whatever is missing: no error, and the likelihood of the definition."""
    moves, start = np.array([[0.3, 0.7], [0.6, 0.4]]), np.array([0.2, 0.8])
    fit = estep.MarkovChain(states=["a", "b"], fixed={"transmat": moves, "startprob": start}).fit([["a", "b"]])
    codes = [[None if s is None else "ab".index(s) for s in row] for row in sequences]
    found = fit.score(sequences) * sum(map(len, sequences))
    assert found == pytest.approx(by_enumeration(moves, start, codes), rel=1e-12, abs=1e-12)


# --- what may come in ---


def test_every_way_to_bring_the_same_sequences() -> None:
    rows = [["a", "b", None, "a"], ["b", "b", "a"]]
    flat, ids, t = [s for row in rows for s in row], [1, 1, 1, 1, 2, 2, 2], [0, 1, 2, 3, 0, 1, 2]
    table = pd.DataFrame({"id": ids, "t": t, "s": flat})
    fit = estep.MarkovChain().fit(rows)
    gap = table.drop(index=2)  # the missing state as a step of time that has no row
    ways: list[tuple[Any, dict[str, Any]]] = [
        ([np.array(row, dtype=object) for row in rows], {}),
        (tuple(tuple(row) for row in rows), {}),
        (flat, {"lengths": [4, 3]}),
        (np.array(flat, dtype=object)[:, None], {"sequence": np.array(ids)}),
        (pd.Series(flat), {"sequence": ids}),
        (table, {"sequence": "id", "time": "t"}),
        (pl.from_pandas(table), {"sequence": "id", "time": "t"}),
        (gap, {"sequence": "id", "time": "t"}),
    ]
    for X, how in ways:
        again = estep.MarkovChain().fit(X, **how)
        assert again.states_.tolist() == ["a", "b"]
        assert again.log_likelihood_ == pytest.approx(fit.log_likelihood_, rel=1e-12)
        assert again.score(X, **how) == pytest.approx(fit.score(rows) * 7 / (6 if X is gap else 7), rel=1e-12) or X is gap
    numbers = estep.MarkovChain().fit(np.array([3.0, 5.0, np.nan, 3.0]))
    assert numbers.states_.tolist() == [3, 5]
    assert numbers.decode(np.array([3.0, np.nan])).tolist() == [3, 5]


def test_weights_are_frequencies() -> None:
    rows = [["a", "b", "a"], ["b", "b", "a", "a"], ["a", "a"]]
    twice = estep.MarkovChain().fit([rows[0], rows[0], rows[1]])
    fit = estep.MarkovChain().fit(rows, sample_weight=[2.0, 1.0, 0.0])
    np.testing.assert_allclose(fit.counts_, twice.counts_, rtol=1e-14)
    assert fit.log_likelihood_ == pytest.approx(twice.log_likelihood_, rel=1e-14)


def test_priors_zeros_and_fixed_entries_together() -> None:
    rows = [["a", "b", None, "c", "a", "a"], ["b", "b", "c"]]
    held = np.full((3, 3), np.nan)
    held[0, 1] = 0.25
    fit = estep.MarkovChain(topology="cyclic", prior={"transmat": 2.0}, fixed={"transmat": held}).fit(rows)
    assert fit.transmat_[0, 1] == 0.25
    assert (fit.transmat_[[0, 1, 2], [2, 0, 1]] == 0).all()
    assert fit.converged_
    smooth = estep.MarkovChain(prior={"transmat": 2.0}).fit([["a", "b", "a"]])
    np.testing.assert_allclose(smooth.transmat_, [[1 / 3, 2 / 3], [2 / 3, 1 / 3]], rtol=1e-12)
    assert smooth.objective_ == pytest.approx(smooth.log_likelihood_ + np.log(smooth.transmat_).sum(), rel=1e-12)


def test_an_end_is_absorbing() -> None:
    fit = estep.MarkovChain(end=True).fit([["a", "a"], ["a", "b"], ["a"]])
    np.testing.assert_allclose(fit.transmat_, [[0.25, 0.25, 0.5], [0.0, 0.0, 1.0]], atol=1e-14)
    np.testing.assert_allclose(fit.forecast(["a"], 2)[1], [1 / 16, 1 / 16, 7 / 8], rtol=1e-14)
    assert fit.absorption().times.tolist() == pytest.approx([5 / 3, 1.0, 0.0])  # 5 rows in 3 sequences
    assert fit.hitting("end").probabilities.tolist() == [1.0, 1.0, 1.0]
    assert fit.stationary().tolist() == [0.0, 0.0, 1.0]


def test_several_closed_classes() -> None:
    with pytest.warns(UserWarning, match="'lost', 'won' was never left"):
        estep.MarkovChain().fit([["play", "play", "won"], ["play", "lost"]])
    fit = estep.MarkovChain(absorbing=["won", "lost"]).fit([["play", "play", "won"], ["play", "lost"]])
    assert [c.closed for c in fit.classes()] == [True, False, True]
    np.testing.assert_allclose(fit.absorption().probabilities[1], [0.5, 0.5], rtol=1e-14)
    np.testing.assert_allclose(fit.long_run()[1], [0.5, 0.0, 0.5], rtol=1e-14)
    with pytest.raises(ValueError, match=r"2 closed classes, \[\['lost'\], \['won'\]\].*long_run"):
        fit.stationary()


def test_the_other_doors(tmp_path: Path) -> None:
    rows = [["a", "b", None, "a"], ["b", "b", "a"]]
    fit = estep.MarkovChain(random_state=1).fit(rows)
    fit.save(tmp_path / "chain.estep")
    again = estep.load(tmp_path / "chain.estep")
    assert again.score(rows) == fit.score(rows)
    assert again.states_.tolist() == ["a", "b"]
    assert again.counts_.tolist() == fit.counts_.tolist()
    assert (again.sample(5) == fit.sample(5)).all()
    assert clone(fit).get_params() == fit.get_params()
    assert fit.sample(lengths=[2, 3]).shape == (5,)
    sequences = [fit.sample(20) for _ in range(6)]
    assert cross_val_score(estep.MarkovChain(states=["a", "b"]), sequences, cv=3).shape == (3,)


def test_errors_name_what_is_wrong() -> None:
    for X, words in (
        ([], "at least one"),
        ([None, None], "every row is missing"),
        (np.zeros((3, 2)), "2 columns, expected one column of states"),
        (pd.DataFrame({"u": ["a"], "v": ["b"]}), "expected one column of states"),
    ):
        with pytest.raises(ValueError, match=words):
            estep.MarkovChain().fit(X)
    with pytest.raises(ValueError, match="'z' in row 1"):
        oz().score(["rain", "z"])
    with pytest.raises(ValueError, match="name each state once"):
        estep.MarkovChain(states=["a", "a"]).fit(["a"])
    with pytest.raises(ValueError, match="target 'mist' must name states"):
        oz().hitting("mist")
    with pytest.raises(ValueError, match="absorbing names 'mist'"):
        oz(absorbing=["mist"])
    with pytest.raises(ValueError, match="row 1 is impossible given the rows of its sequence before it"):
        oz().score(["nice", "nice"])
    with pytest.raises(ValueError, match="steps must be an integer >= 0"):
        oz().predict_proba(["nice"], -1)


# --- the family of what is seen ---


def test_states_that_are_seen_are_a_family() -> None:
    assert isinstance(Observed(2), Family)
    assert (
        Observed(3)
        .bind(Memory(np.array([[0.0], [np.nan], [2.0]])))
        .support(ObservedParams(), estep.core.support.Constraints())
        .count
        == 0
    )
    with pytest.raises(ValueError, match="row 1 is 2, expected a code 0..1"):
        Observed(2).encode(np.array([[0.0], [2.0]]))
    with pytest.raises(ValueError, match="shows 2 components"):
        Observed(2).start(3)


def test_a_family_that_reads_the_wrong_code_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Observed.encode
    monkeypatch.setattr(Observed, "encode", lambda self, x: np.where((c := right(self, x)) < 0, -1, (c + 1) % self.k))
    with pytest.raises(AssertionError):
        test_counting_by_hand()


def test_what_comes_next_may_begin_where_no_sequence_began() -> None:
    fit = estep.MarkovChain().fit(["a", "b", "a", "a", "b"])
    assert fit.startprob_.tolist() == [1.0, 0.0]
    np.testing.assert_allclose(fit.predict_proba(["b"], 2), [fit.transmat_[1] @ fit.transmat_], rtol=1e-12)
    np.testing.assert_allclose(fit.forecast([None, "b"]), [fit.transmat_[1]], rtol=1e-12)
    with pytest.raises(ValueError, match="row 0 is impossible"):
        fit.score(["b"])
