"""``SemiMarkovHMM``: what it finds, its methods, what goes together, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

import estep
from estep.core.record import Array

WHY = "rows of one sequence share a weight"
EXPECTED = dict.fromkeys(("check_sample_weights_not_overwritten", "check_sample_weight_equivalence_on_dense_data"), WHY)


@pytest.mark.filterwarnings("ignore::estep.ConvergenceWarning")
@parametrize_with_checks([estep.SemiMarkovHMM()], expected_failed_checks=lambda estimator: EXPECTED)
def test_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


def rows(seed: int = 0, segments: int = 24) -> Array:
    """Segments of 5 and 8 rows in turn, six standard deviations apart."""
    level = np.tile(np.repeat([0.0, 6.0], [5, 8]), segments // 2)
    return (level + np.random.default_rng(seed).standard_normal(level.size))[:, None]


X = rows()
FIT = estep.SemiMarkovHMM(estep.Normal("EII"), 2, random_state=0).fit(X)


def test_durations_are_found() -> None:
    np.testing.assert_allclose(1.0 + FIT.duration_rates_[:, 0], [8.0, 5.0], atol=0.5)
    np.testing.assert_allclose(FIT.transmat_, [[0.0, 1.0], [1.0, 0.0]], rtol=1e-12)
    assert FIT.durations_.sum(axis=1) == pytest.approx(np.ones(2), abs=1e-3)
    assert FIT.result_.n_free == 1 + 2 + 2 + 1  # start, rates, means, variance; two states have one move each
    assert FIT.weights_[0] > FIT.weights_[1]
    assert (FIT.predict(X) == (X[:, 0] < 3)).mean() > 0.98
    assert "Poisson durations" in FIT.title


def test_it_says_more_than_a_hidden_markov_model_here() -> None:
    """Regular lengths: geometric durations, which are an ordinary chain, are told apart; the two agree on the likelihood."""
    geometric = estep.SemiMarkovHMM(estep.Normal("EII"), 2, duration="geometric", random_state=0).fit(X)
    chain = estep.HMM(estep.Normal("EII"), 2, random_state=0).fit(X)
    assert geometric.log_likelihood_ == pytest.approx(chain.log_likelihood_, abs=1e-4)
    assert geometric.bic(X) == pytest.approx(chain.bic(X), abs=1e-3)
    assert FIT.bic(X) < geometric.bic(X) - 10.0


@pytest.mark.parametrize(
    ("duration", "most"),
    [
        ("negative_binomial", None),
        ("categorical", 12),
        ("binomial", 12),
        ("poisson", 9),
        (estep.ZeroInflated(estep.Poisson()), None),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::estep.ConvergenceWarning")
def test_laws_of_durations(duration: Any, most: int | None) -> None:
    fit = estep.SemiMarkovHMM(estep.Normal("EII"), 2, duration=duration, max_duration=most, n_init=2, random_state=0).fit(X)
    d = 1.0 + np.arange(fit.durations_.shape[1])
    np.testing.assert_allclose(fit.durations_ @ d / fit.durations_.sum(axis=1), [8.0, 5.0], atol=0.7)
    assert most is None or fit.durations_.shape[1] == most


def test_paths_and_likelihoods_agree() -> None:
    path, value = FIT.decode(X)
    assert (path == FIT.predict(X)).all()
    assert FIT.score_samples(X).sum() == pytest.approx(FIT.log_likelihood_, rel=1e-10)
    assert value < FIT.log_likelihood_
    assert FIT.icl(X) == pytest.approx(-2.0 * value + FIT.result_.n_free * np.log(len(X)))
    assert FIT.predict(X, method="mpm").shape == (len(X),)
    np.testing.assert_allclose(FIT.predict_proba(X).sum(axis=1), 1.0, atol=1e-10)
    paths, values = FIT.decode([X[:50], X[50:90]])
    assert paths.shape == (90,)
    assert values.shape == (2,)


def test_the_filter_is_the_forward_pass() -> None:
    online = FIT.filter()
    steps = []
    for x in X[:60]:
        online.update(x)
        steps.append(online.log_density)
    np.testing.assert_allclose(steps, FIT.score_samples(X[:60]), atol=1e-10)
    np.testing.assert_allclose(online.states, FIT.predict_proba(X[:60])[-1], atol=1e-10)
    assert online.elapsed.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(FIT.filter(X[:60]).states, online.states, atol=1e-13)
    lasting = estep.SemiMarkovHMM(estep.Normal("EII"), 2, topology="left-to-right", random_state=0).fit(X[:13])
    assert lasting.transmat_[1].tolist() == [0.0, 1.0]
    np.testing.assert_allclose(lasting.filter(X[:13]).states, lasting.predict_proba(X[:13])[-1], atol=1e-10)


def test_a_forecast_is_what_missing_rows_would_say() -> None:
    """States after T are the posterior of h more rows in which everything is missing; draws follow (6 standard errors)."""
    ahead = FIT.forecast(X[:41], 6)
    longer = FIT.predict_proba(np.vstack([X[:41], np.full((6, 1), np.nan)]))[-6:]
    np.testing.assert_allclose(ahead.states, longer, atol=1e-10)
    drawn = ahead.sample(1500)
    assert drawn.shape == (1500, 6, 1)
    high = (drawn[:, :, 0] > 3.0).mean(axis=0)
    np.testing.assert_allclose(high, 1.0 - ahead.cdf([[3.0]])[:, 0], atol=6 * 0.5 / np.sqrt(1500))
    assert np.isfinite(ahead.log_density([[0.0], [6.0]])).all()
    several = FIT.forecast([X[:41], X[:20]], 6)
    assert several.states.shape == (2, 6, 2)
    np.testing.assert_allclose(several.states[0], ahead.states, atol=1e-12)
    with pytest.raises(ValueError, match="sample draws what follows one sequence"):
        several.sample(3)


@pytest.mark.parametrize("kind", ["ordinary", "forecast"])
def test_pseudo_residuals_are_standard_normal(kind: str) -> None:
    """Of the model's own sample: 312 rows, so mean and standard deviation within 6 standard errors."""
    sample, _ = FIT.sample(312)
    found = FIT.pseudo_residuals(sample, kind=kind)
    assert abs(found.mean()) < 6 / np.sqrt(312)
    assert abs(found.std() - 1.0) < 6 / np.sqrt(2 * 312)


def test_everything_together() -> None:
    """Gaps, weights, labels, fixed and tied entries and a prior in one fit; weight 2 is a sequence seen twice."""
    parts = [X[:60].copy(), X[60:100].copy(), X[100:170].copy()]
    parts[0][5:9] = np.nan
    labels = [np.full(len(part), -1) for part in parts]
    labels[1][:3] = int(X[60, 0] < 3)
    settings: dict[str, Any] = {
        "fixed": {"duration_rates": [[7.0], [np.nan]]},
        "prior": {"durations": 2.0, "startprob": 2.0},
        "init": {"means": [[6.0], [0.0]]},
        "n_init": 1,
        "random_state": 0,
    }
    one = estep.SemiMarkovHMM(estep.Normal("EII"), 2, **settings).fit(parts, labels, sample_weight=[1.0, 2.0, 0.0])
    two = estep.SemiMarkovHMM(estep.Normal("EII"), 2, **settings).fit(
        [parts[0], parts[1], parts[1]], [labels[0], labels[1], labels[1]]
    )
    assert one.duration_rates_[0, 0] == 7.0
    assert one.log_likelihood_ == pytest.approx(two.log_likelihood_, rel=1e-9)
    np.testing.assert_allclose(one.duration_rates_, two.duration_rates_, rtol=1e-6)
    tied = estep.SemiMarkovHMM(estep.Normal("EII"), 2, tied={"duration_rates": [0, 0]}, random_state=0).fit(X)
    assert tied.duration_rates_[0, 0] == tied.duration_rates_[1, 0]
    assert tied.result_.n_free == FIT.result_.n_free - 1


def test_known_states_make_the_fit_a_count() -> None:
    states = (X[:, 0] < 3).astype(int)
    with pytest.warns(UserWarning, match="every row has a label"):
        fit = estep.SemiMarkovHMM(estep.Normal("EII"), 2, random_state=0).fit(X, states)
    assert (fit.predict(X, y=states) == states).all()
    np.testing.assert_allclose(1.0 + fit.duration_rates_[:, 0], [8.0, 5.0], atol=0.2)


def test_files_clones_and_searches(tmp_path: Path) -> None:
    FIT.save(tmp_path / "model.estep")
    again = estep.load(tmp_path / "model.estep")
    assert again.score(X) == FIT.score(X)
    np.testing.assert_array_equal(again.durations_, FIT.durations_)
    assert clone(FIT).get_params() == FIT.get_params()
    with pytest.raises(AttributeError, match="fit the model first"):
        _ = clone(FIT).durations_
    search = GridSearchCV(estep.SemiMarkovHMM(estep.Normal("EII"), n_init=1, random_state=0), {"n_states": [1, 2]}, cv=2).fit(X)
    assert search.best_params_ == {"n_states": 2}


def test_pictures_and_words() -> None:
    assert len(FIT.plot(X).axes) == 3
    assert len(FIT.plot_durations().axes) == 2
    assert "hidden semi-Markov model, 2 states" in FIT.summary(X)


@pytest.mark.filterwarnings("ignore:standard_errors")
def test_standard_errors() -> None:
    """Oakes' observed information is the Hessian's; for a Poisson law of uncut durations alone, sqrt(rate / segments)."""
    one, two = (FIT.standard_errors(X, method=method) for method in ("oakes", "hessian"))
    for name in ("duration_rates", "means"):
        np.testing.assert_allclose(one[name], two[name], rtol=1e-4)
    np.testing.assert_allclose(one["duration_rates"][:, 0], np.sqrt(FIT.duration_rates_[:, 0] / 12), rtol=0.1)
    low, high = FIT.confint(X)["duration_rates"][..., 0], FIT.confint(X)["duration_rates"][..., 1]
    assert (low[:, 0] < [7.0, 4.0]).all()
    assert (high[:, 0] > [7.0, 4.0]).all()


def test_viterbi_training_and_samples() -> None:
    hard = estep.SemiMarkovHMM(estep.Normal("EII"), 2, algorithm="cem", random_state=0).fit(X)
    np.testing.assert_allclose(1.0 + hard.duration_rates_[:, 0], [8.0, 5.0], atol=0.5)
    drawn, states = FIT.sample(lengths=[30, 1])
    assert drawn.shape == (31, 1)
    assert set(states.tolist()) <= {0, 1}
    ends = estep.SemiMarkovHMM(estep.Normal("EII"), 2, censored=False, random_state=0).fit([X[:13], X[13:39]])
    assert ends.converged_


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"duration": "weibull"}, "duration='weibull' is unknown; choose one of"),
        ({"duration": "categorical"}, "duration='categorical' needs max_duration"),
        ({"max_duration": 0}, "max_duration=0 must be an integer >= 1"),
        ({"topology": "ring"}, "topology='ring' is unknown"),
        ({"n_states": 0}, "n_states must be an integer >= 1"),
        ({"prior": {"durations": -1.0}}, r"prior\['durations'\] must be a number >= 0"),
        ({"fixed": {"duration_rates": [[-1.0], [np.nan]]}}, "duration_rates"),
        ({"fixed": {"rates": [[1.0], [np.nan]]}}, "this model has"),
        ({"max_duration": 2}, "is impossible given the rows"),
    ],
)
def test_refusals(settings: dict[str, Any], words: str) -> None:
    labels = None
    if "max_duration" in settings and settings["max_duration"] == 2:
        labels = (X[:, 0] < 3).astype(int)
        labels[0] = -1
    with pytest.raises(ValueError, match=words):
        estep.SemiMarkovHMM(estep.Normal("EII"), **{"n_states": 2, "n_init": 1, "random_state": 0} | settings).fit(X, labels)


def test_a_family_that_is_no_law_of_counts() -> None:
    with pytest.raises(TypeError, match="duration must be a family of counts"):
        estep.SemiMarkovHMM(estep.Normal("EII"), 2, duration=estep.Normal()).fit(X)
