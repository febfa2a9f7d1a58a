"""Hidden Markov models as estimators: every way to bring sequences, every method, and all of it together."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import kstest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold

import estep
from estep.estimators.sequences import layout_of
from estep.estimators.warnings import ConvergenceWarning

LENGTHS = [40, 25, 60]


def made(seed: int = 0, lengths: list[int] = LENGTHS) -> tuple[np.ndarray, np.ndarray]:
    """Rows and states of three sticky states far apart."""
    rng = np.random.default_rng(seed)
    moves = np.array([[0.9, 0.08, 0.02], [0.05, 0.9, 0.05], [0.02, 0.08, 0.9]])
    labels = np.concatenate([_walk(moves, n, rng) for n in lengths])
    return np.array([[0.0, 3.0], [4.0, 0.0], [8.0, 4.0]])[labels] + rng.normal(size=(sum(lengths), 2)), labels


def _walk(moves: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    path = [int(rng.integers(3))]
    for _ in range(n - 1):
        path.append(int(rng.choice(3, p=moves[path[-1]])))
    return np.array(path)


def fitted(**settings: Any) -> Any:
    X, _ = made()
    return estep.GaussianHMM(3, random_state=0, n_init=4, **settings).fit(X, lengths=LENGTHS), X


def sequences_of(X: np.ndarray, lengths: list[int] = LENGTHS) -> list[np.ndarray]:
    return np.split(X, np.cumsum(lengths)[:-1])


# --- input ---


def test_every_way_to_bring_the_same_sequences() -> None:
    fit, X = fitted()
    ids = np.repeat(["b", "a", "c"], LENGTHS)
    time = np.concatenate([np.arange(n) for n in LENGTHS])
    table = pd.DataFrame({"id": ids, "t": time, "u": X[:, 0], "v": X[:, 1]})
    shuffled = np.random.default_rng(0).permutation(len(X))
    mixed = np.sort(shuffled[:60]).tolist() + np.sort(shuffled[60:]).tolist()
    ways: list[tuple[Any, dict[str, Any], Any]] = [
        (sequences_of(X), {}, slice(None)),
        (tuple(sequences_of(X)), {}, slice(None)),
        (X, {"sequence": ids}, slice(None)),
        (table, {"sequence": "id", "time": "t"}, slice(None)),
        (pl.from_pandas(table), {"sequence": "id", "time": "t"}, slice(None)),
        ([part[["u", "v"]] for _, part in table.groupby("id", sort=False)], {}, slice(None)),
        (X, {"sequence": ids, "time": pd.date_range("2024-01-01", periods=len(X), freq="D").to_numpy()}, slice(None)),
    ]
    proba, path, rowwise = (m(X, lengths=LENGTHS) for m in (fit.predict_proba, fit.predict, fit.score_samples))
    for rows, how, order in ways:
        again = estep.GaussianHMM(3, random_state=0, n_init=4).fit(rows, **how)
        assert again.log_likelihood_ == pytest.approx(fit.log_likelihood_, rel=1e-12)
        np.testing.assert_allclose(again.predict_proba(rows, **how), proba[order], atol=1e-9)
        assert again.predict(rows, **how).tolist() == path[order].tolist()
        assert again.score(rows, **how) == pytest.approx(fit.score(X, lengths=LENGTHS), rel=1e-12)
    apart = np.argsort(np.concatenate([np.arange(n) for n in LENGTHS]), kind="stable")  # sequences interleaved
    np.testing.assert_allclose(fit.score_samples(X[apart], sequence=ids[apart]), rowwise[apart], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(fit.predict_proba(X[apart], sequence=ids[apart]), proba[apart], atol=1e-12)
    assert len(mixed) == len(X)


def test_a_missing_step_of_time_is_a_missing_row() -> None:
    fit, X = fitted()
    part, time = X[:40], np.arange(40)
    kept = np.setdiff1d(time, [7, 8, 20])
    gaps = part.copy()
    gaps[[7, 8, 20]] = np.nan
    np.testing.assert_allclose(fit.predict_proba(part[kept], time=kept), fit.predict_proba(gaps)[kept], atol=1e-14)
    np.testing.assert_allclose(fit.predict_proba(part[kept], time=10 * kept), fit.predict_proba(gaps)[kept], atol=1e-14)
    assert fit.score_samples(part[kept], time=kept).sum() == pytest.approx(fit.score_samples(gaps).sum(), rel=1e-13)
    assert abs(fit.score_samples(part[kept]).sum() - fit.score_samples(gaps).sum()) > 1e-3  # closing the gaps is another model


def test_layouts() -> None:
    told = estep.estimators.rows.Arguments(None, sequence=np.array([5, 3, 5, 3]), time=np.array([0, 2, 3, 5]))  # type: ignore[attr-defined]
    found = layout_of(told, 4)
    assert found.ends.tolist() == [2, 4]
    assert found.place.tolist() == [0, 2, 1, 3]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"lengths": [60, 60]}, "lengths add up to 120, but X has 125 rows"),
        ({"lengths": [125, 0]}, "whole numbers >= 1"),
        ({"sequence": np.zeros(3)}, r"sequence has shape \(3,\), expected \(125,\)"),
        ({"sequence": np.full(125, np.nan)}, "sequence has no value in row 0"),
        ({"sequence": np.zeros(125), "lengths": [125]}, "lengths cuts rows as they stand"),
        ({"time": np.zeros(125)}, "rows 0 and 1 have the same time"),
        ({"time": np.arange(125)[::-1]}, "row 1 is earlier than row 0"),
        ({"time": np.arange(125) + 0.5}, "time must be whole numbers"),
        ({"time": np.arange(125) ** 2 + np.arange(125)}, "steps of 2 without a row"),
        ({"sequence": "id"}, "sequence names a column, but X is no table"),
        ({"sample_weight": np.ones(7)}, "a weight for each sequence"),
        ({"sample_weight": np.arange(125.0)}, "sample_weight differs within the sequence of row"),
    ],
)
def test_input_that_is_refused(how: dict[str, Any], words: str) -> None:
    X, _ = made()
    with pytest.raises(ValueError, match=words):
        estep.GaussianHMM(2).fit(X, **how)


def test_lists_that_are_refused() -> None:
    X, _ = made()
    with pytest.raises(ValueError, match="share their columns"):
        estep.GaussianHMM(2).fit([X, X[:, :1]])
    with pytest.raises(ValueError, match="has no rows"):
        estep.GaussianHMM(2).fit([X, X[:0]])
    with pytest.raises(ValueError, match="do not go together"):
        estep.GaussianHMM(2).fit([X, X], lengths=[125, 125])
    with pytest.raises(ValueError, match=r"y\[1\] has 3 values, but sequence 1 of X has 125 rows"):
        estep.GaussianHMM(2).fit([X, X], y=[np.zeros(125), np.zeros(3)])
    with pytest.raises(ValueError, match="sequence='person' is no column"):
        estep.GaussianHMM(2).fit(pd.DataFrame(X), sequence="person")
    with pytest.raises(ValueError, match="n_states"):
        estep.GaussianHMM(0).fit(X)


# --- together ---


def test_weights_labels_gaps_fixed_and_prior_together() -> None:
    X, labels = made()
    X = X.copy()
    X[::7, 0] = np.nan
    X[11] = np.nan
    y = np.where(np.arange(len(X)) % 3 == 0, labels, -1)
    fixed = np.full((3, 3), np.nan)
    fixed[0, 2] = 0.0
    settings: dict[str, Any] = {
        "fixed": {"transmat": fixed},
        "prior": {"sticky": 2.0},
        "random_state": 0,
        "n_init": 3,
        "covariance_type": "tied",
    }
    once = estep.GaussianHMM(3, **settings).fit(X, y, [2.0, 0.0, 1.0], lengths=LENGTHS)
    first, _, third = sequences_of(X)
    y1, _, y3 = sequences_of(y)
    twice = estep.GaussianHMM(3, **settings).fit([first, first, third], [y1, y1, y3])
    assert once.converged_
    assert once.transmat_[0, 2] == 0.0
    assert once.log_likelihood_ == pytest.approx(twice.log_likelihood_, rel=1e-9)
    np.testing.assert_allclose(once.means_, twice.means_, rtol=1e-4)
    assert once.bic(X, y, [2.0, 0.0, 1.0], lengths=LENGTHS) == pytest.approx(
        twice.bic([first, first, third], [y1, y1, y3]), rel=1e-9
    )
    assert once.result_.n_free == 2 + 5 + 6 + 3
    told = once.predict_proba(X, y=y, lengths=LENGTHS)
    np.testing.assert_allclose(told[y >= 0], np.eye(3)[y[y >= 0]])
    gap = once.predict_proba(X, lengths=LENGTHS)[11]
    assert gap.sum() == pytest.approx(1.0)


def test_all_labels_is_counting() -> None:
    X, labels = made()
    with pytest.warns(UserWarning, match="every row has a label"):
        fit = estep.GaussianHMM(3).fit(X, labels, lengths=LENGTHS)
    counts, begin = np.zeros((3, 3)), 0
    for end in np.cumsum(LENGTHS):
        np.add.at(counts, (labels[begin : end - 1], labels[begin + 1 : end]), 1.0)
        begin = end
    np.testing.assert_allclose(fit.transmat_, counts / counts.sum(axis=1, keepdims=True), atol=1e-12)
    np.testing.assert_allclose(fit.means_, [X[labels == c].mean(axis=0) for c in range(3)], atol=1e-10)


def test_sets_of_permitted_states() -> None:
    X, labels = made()
    allowed = np.ones((len(X), 3), dtype=bool)
    allowed[np.arange(0, len(X), 2), (labels[::2] + 1) % 3] = False
    fit = estep.GaussianHMM(3, random_state=0).fit(X, labels=allowed, lengths=LENGTHS)
    assert (fit.predict_proba(X, labels=allowed, lengths=LENGTHS)[~allowed] == 0).all()
    assert (fit.predict(X, labels=allowed, lengths=LENGTHS) == labels).mean() > 0.95


def test_viterbi_training_and_variants() -> None:
    X, labels = made()
    soft = estep.GaussianHMM(3, random_state=0, n_init=3).fit(X, lengths=LENGTHS)
    hard = estep.GaussianHMM(3, random_state=0, n_init=3, algorithm="cem").fit(X, lengths=LENGTHS)
    assert (np.diff(hard.trace_) >= -1e-9).all()
    assert hard.objective_ <= soft.log_likelihood_
    np.testing.assert_allclose(np.sort(hard.means_[:, 0]), np.sort(soft.means_[:, 0]), atol=0.2)
    assert len(np.unique(labels)) == 3


@pytest.mark.parametrize("topology", ["left-to-right", "cyclic", "banded"])
def test_topologies_keep_their_zeros(topology: str) -> None:
    rng = np.random.default_rng(1)
    X = [np.repeat([0.0, 5.0, 10.0], rng.integers(5, 15, 3))[:, None] for _ in range(8)]
    X = [x + rng.normal(size=x.shape) for x in X]
    fit = estep.GaussianHMM(3, topology=topology, bandwidth=1, random_state=0, n_init=4).fit(X)
    at = np.arange(3)
    near = {"left-to-right": at - at[:, None], "cyclic": (at - at[:, None]) % 3, "banded": np.abs(at - at[:, None])}[topology]
    assert (fit.transmat_[(near > 1) | (near < 0)] == 0).all()
    free = {"left-to-right": 2, "cyclic": 3 + 2, "banded": 4 + 2}[topology]
    assert fit.result_.n_free == free + 6
    if topology == "left-to-right":
        np.testing.assert_allclose(fit.means_[:, 0], [0.0, 5.0, 10.0], atol=0.5)
        assert fit.startprob_.tolist() == [1.0, 0.0, 0.0]


def test_states_come_in_decreasing_share() -> None:
    fit, X = fitted()
    assert (np.diff(fit.weights_) <= 0).all()
    assert fit.weights_.sum() == pytest.approx(1.0)
    given = {"means": [[8.0, 4.0], [0.0, 3.0], [4.0, 0.0]]}
    again = estep.GaussianHMM(3, init=given).fit(X, lengths=LENGTHS)
    np.testing.assert_allclose(again.means_, given["means"], atol=1.0)  # an order that is given stays


# --- methods ---


def test_paths_and_their_probabilities() -> None:
    fit, X = fitted()
    path, values = fit.decode(X, lengths=LENGTHS)
    assert values.shape == (3,)
    assert path.tolist() == fit.predict(X, lengths=LENGTHS).tolist()
    alone, value = fit.decode(X[:40])
    assert alone.tolist() == path[:40].tolist()
    assert value == pytest.approx(values[0], rel=1e-13)
    several, best = fit.decode(X[:40], count=5)
    assert several[0].tolist() == alone.tolist()
    assert best[0] == pytest.approx(value, rel=1e-13)
    assert (np.diff(best) <= 0).all()
    assert len({tuple(p) for p in several.tolist()}) == 5
    with pytest.raises(ValueError, match="several best paths are of one sequence"):
        fit.decode(X, count=2, lengths=LENGTHS)
    with pytest.raises(ValueError, match="method='best'"):
        fit.predict(X, method="best")
    assert (
        fit.predict(X, method="mpm", lengths=LENGTHS).tolist() == fit.predict_proba(X, lengths=LENGTHS).argmax(axis=1).tolist()
    )


def test_filter_is_the_running_score() -> None:
    fit, X = fitted()
    X = X[:40].copy()
    X[5] = np.nan
    seen, steps = fit.filter(), []
    for x in X:
        seen.update(x)
        steps.append(seen.log_density)
    np.testing.assert_allclose(steps, fit.score_samples(X), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(seen.states, fit.predict_proba(X)[-1], atol=1e-12)
    later = fit.filter(X[:20])
    for x in X[20:]:
        later.update(x)
    np.testing.assert_allclose(later.states, seen.states, rtol=1e-9)


def test_forecasts() -> None:
    fit, X = fitted()
    ahead = fit.forecast(X, 3, lengths=LENGTHS)
    last = fit.predict_proba(X[:40])[-1]
    np.testing.assert_allclose(ahead.states[0], [last @ np.linalg.matrix_power(fit.transmat_, h) for h in (1, 2, 3)], rtol=1e-9)
    one = fit.forecast(X[:40], 2)
    density = np.exp(one.log_density(X[:5]))
    longer = np.vstack([X[:40], X[:1]])
    assert np.log(density[0, 0]) == pytest.approx(fit.score_samples(longer)[-1], rel=1e-9)
    draws = one.sample(4000, random_state=1)
    assert draws.shape == (4000, 2, 2)
    mean = one.states @ fit.means_
    spread = draws.std(axis=0) / np.sqrt(4000)
    assert (np.abs(draws.mean(axis=0) - mean) < 6 * spread).all()  # six standard errors: 2e-9 each
    with pytest.raises(ValueError, match="distribution functions are of one column"):
        one.cdf(X[:5])
    with pytest.raises(ValueError, match="h must be an integer"):
        fit.forecast(X, 0)


@pytest.mark.parametrize("kind", ["ordinary", "forecast"])
def test_pseudo_residuals_are_standard_normal_where_the_model_is_right(kind: str) -> None:
    rng = np.random.default_rng(3)
    labels = np.repeat(rng.integers(2, size=60), 10)
    X = np.where(labels == 0, 0.0, 4.0)[:, None] + rng.normal(size=(600, 1))
    fit = estep.GaussianHMM(2, random_state=0).fit(X)
    X[4] = np.nan
    found = fit.pseudo_residuals(X, kind=kind)
    assert np.isnan(found[4])
    assert kstest(np.delete(found, 4), "norm").pvalue > 1e-4
    wrong = estep.GaussianHMM(1).fit(X).pseudo_residuals(X, kind=kind)
    assert kstest(np.delete(wrong, 4), "norm").pvalue < 1e-4


def test_residuals_of_counts() -> None:
    counts = np.random.default_rng(0).poisson(np.repeat([2.0, 20.0, 2.0, 20.0], 60))[:, None].astype(float)
    fit = estep.PoissonHMM(2, random_state=0).fit(counts)
    assert abs(fit.pseudo_residuals(counts).mean()) < 0.3
    assert fit.forecast(counts, 1).cdf([[5.0], [1000.0]])[0, 1] == pytest.approx(1.0)


def test_samples_and_their_states() -> None:
    fit, _ = fitted()
    X, labels = fit.sample(5000)
    assert X.shape == (5000, 2)
    moves = np.zeros((3, 3))
    np.add.at(moves, (labels[:-1], labels[1:]), 1.0)
    n = moves.sum(axis=1, keepdims=True)
    spread = np.sqrt(fit.transmat_ * (1 - fit.transmat_) / n)
    assert (np.abs(moves / n - fit.transmat_) < 6 * spread + 1e-12).all()
    pieces, _ = fit.sample(lengths=[3, 4])
    assert pieces.shape == (7, 2)
    assert (fit.sample(5)[0] == fit.sample(5)[0]).all()


def test_files_keep_everything(tmp_path: Path) -> None:
    X, _ = made()
    words = np.array(list("abcab"))[np.arange(125) % 5][:, None]
    for model, rows in (
        (estep.GaussianHMM(3, random_state=0, n_init=2), X),
        (estep.HMM(estep.Normal("EII"), 2, topology="left-to-right", random_state=0, n_init=2), X),
        (estep.PoissonHMM(2, random_state=0, n_init=2), np.abs(X).round()),
        (estep.CategoricalHMM(2, end=True, random_state=0, n_init=2), words),
        (estep.GMMHMM(2, 2, random_state=0, n_init=2), X),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fit = model.fit(rows, lengths=LENGTHS)
        fit.save(tmp_path / "model.safetensors")
        again = estep.load(tmp_path / "model.safetensors")
        np.testing.assert_array_equal(again.predict_proba(rows, lengths=LENGTHS), fit.predict_proba(rows, lengths=LENGTHS))
        assert again.get_params(deep=False).keys() == fit.get_params(deep=False).keys()


def test_grid_search_over_lists_of_sequences() -> None:
    X, _ = made(lengths=[30] * 6)
    parts = sequences_of(X, [30] * 6)
    search = GridSearchCV(estep.GaussianHMM(random_state=0, n_init=2), {"n_states": [1, 3]}, cv=KFold(3))
    search.fit(parts)
    assert search.best_params_ == {"n_states": 3}
    assert search.best_estimator_.score(parts) == pytest.approx(search.best_estimator_.log_likelihood_ / 180, rel=1e-12)


def test_clones_summary_and_plot() -> None:
    fit, X = fitted()
    assert clone(fit).get_params() == fit.get_params()
    text = fit.summary(X)
    assert text.startswith("hidden Markov model, 3 states, Normal rows (full)")
    assert f"{fit.icl(X):.4f}" in text
    path, value = fit.decode(X)
    assert fit.icl(X) == pytest.approx(-2 * value + fit.result_.n_free * np.log(125), rel=1e-12)
    assert len(path) == 125
    figure = fit.plot(X, lengths=LENGTHS)
    assert len(figure.axes) == 4
    assert len(fit.plot().axes) == 1


def test_mixtures_within_states_find_parts_that_share_a_future() -> None:
    """States of two parts each, {-4, 4} and {-1, 1}: only what follows tells which parts belong together."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.choice(pair, 60) for pair in ([-4.0, 4.0], [-1.0, 1.0])] * 4)[:, None]
    X = X + 0.3 * rng.normal(size=X.shape)
    fit = estep.GMMHMM(2, n_mix=2, random_state=0, n_init=6).fit(X)
    found = sorted(sorted(np.abs(means).round(0).tolist()) for means in fit.means_[:, :, 0])
    assert found == [[1.0, 1.0], [4.0, 4.0]]
    assert np.bincount(fit.predict(X)).min() > 200
