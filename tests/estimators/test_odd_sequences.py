"""Odd input to estimators of sequences: rounding in semi-Markov counts, zeros in motifs, and sentences instead of crashes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import estep
from estep.structures.durations import DurationCounts, at_risk

LETTERS = ["ACGTTGACATCGATT", "CCTTGACAGGATTAC", "GATTACTTGACACCC", "TTTTGACAGATTACA"]


def two_levels(n: int = 120) -> np.ndarray:
    """Rows that are near 0 and near 4 in turns of twelve."""
    rng = np.random.default_rng(0)
    return (np.where((np.arange(n) // 12) % 2 == 1, 4.0, 0.0) + rng.normal(size=n))[:, None]


def test_segments_at_risk_are_never_fewer_than_those_that_ended() -> None:
    counts = DurationCounts(np.array([[1e-17, 0.3, 1e-20]]), np.array([[2.0, 0.0, 1.0]]))
    assert (at_risk(counts) >= counts.ended).all()
    assert np.allclose(at_risk(counts), [[1.3, 1.3, 1e-20]], rtol=1e-15)


def test_free_durations_are_fitted_where_some_are_hardly_ever_seen() -> None:
    fit = estep.SemiMarkovHMM(estep.Normal("EII"), 2, duration="categorical", max_duration=20, random_state=0, n_init=1)
    fit.fit(two_levels())
    assert (fit.duration_probs_ >= 0).all() and np.allclose(fit.duration_probs_.sum(axis=-1), 1.0)
    assert (np.diff(fit.trace_) > -1e-9 * abs(fit.log_likelihood_)).all()


def test_motifs_without_imagined_letters_are_shifted_only_where_each_sequence_keeps_a_place() -> None:
    fit = estep.MotifFinder(6, beta=0, n_init=2, random_state=0).fit(LETTERS)
    assert fit.consensus_ == "TTGACA" and fit.sites_.start.tolist() == [3, 2, 6, 2]


@pytest.mark.parametrize(
    ("told", "error", "words"),
    [
        (pd.DataFrame({"dna": LETTERS}), TypeError, "table with the columns"),
        ([LETTERS[0], None], TypeError, "sequence 1 is None"),
    ],
)
def test_what_holds_no_letters_is_named(told: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        estep.MotifFinder(3, random_state=0).fit(told)


@pytest.mark.parametrize(("told", "words"), [({"a": ["x", "y"]}, "a dict"), (None, "got NoneType"), (5, "got int")])
def test_states_that_are_none_are_refused(told: object, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        estep.MarkovChain().fit(told)


@pytest.mark.parametrize("semi", [False, True])
def test_a_filter_takes_one_number_for_each_column(semi: bool) -> None:
    make = estep.SemiMarkovHMM if semi else estep.HMM
    fit = make(estep.Normal("EII"), 2, random_state=0, n_init=1).fit(two_levels())
    with pytest.raises(ValueError, match=r"x has shape \(2,\), expected \(1,\)"):
        fit.filter().update([1.0, 2.0])
    with pytest.raises(ValueError, match="x must be a row of numbers"):
        fit.filter().update("much")
    assert fit.filter().update(4.0).shape == (2,)


def test_lists_of_covariates_are_cut_like_the_rows() -> None:
    x, given = two_levels(), np.random.default_rng(1).normal(size=120)
    for model in (
        estep.InputOutputHMM(estep.Normal("EII"), 2, random_state=0, n_init=1),
        estep.AutoregressiveHMM(2, random_state=0, n_init=1),
    ):
        with pytest.raises(ValueError, match=r"covariates\[0\] has 40 rows and X\[0\] has 60"):
            model.fit([x[:60], x[60:]], covariates=[given[:40], given[40:]])


def test_chains_are_a_tuple_of_whole_numbers() -> None:
    for chains in ("22", (2, 1.5)):
        with pytest.raises(ValueError, match="must be a tuple of integers"):
            estep.FactorialHMM(chains=chains).fit(two_levels())


@pytest.mark.parametrize("family", [estep.Normal("EII"), estep.Exponential()])
def test_a_summary_shows_moves_in_the_column_of_the_state_they_leave(family: object) -> None:
    held = {"transmat": [[0.9, 0.1], [0.3, 0.7]], "startprob": [1.0, 0.0]}
    fit = estep.HMM(family, 2, fixed=held, n_init=1, random_state=0).fit(np.abs(two_levels()) + 0.1)
    lines = [line.split() for line in fit.summary().splitlines()]
    at = lines.index(["moves", "from", "it", "to"])
    assert lines[at - 1][0] == "starts" and [float(v) for v in lines[at - 1][1:]] == [1.0, 0.0]
    assert [[float(v) for v in line] for line in lines[at + 1 : at + 3]] == [[0, 0.9, 0.3], [1, 0.1, 0.7]]
    assert not any(line[:1] == ["transmat"] for line in lines)


def test_a_partition_without_rows_is_named() -> None:
    from estep.data.dask_parts import columns_of

    with pytest.raises(TypeError, match="a partition is 'rows.parquet', expected a table"):
        columns_of("rows.parquet")
