"""``FactorialHMM``: what it finds, exact and by a bound, its methods, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

import estep
from estep.core.record import Array

SLOW, FAST = np.repeat([0, 1, 0, 1], 40), np.tile(np.repeat([0, 1], 5), 16)


def rows(seed: int = 0) -> Array:
    """A slow chain in steps of (8, 0) and a fast one in steps of (0, 4), unit noise."""
    step = 8.0 * SLOW[:, None] * [1.0, 0.0] + 4.0 * FAST[:, None] * [0.0, 1.0]
    return step + np.random.default_rng(seed).standard_normal((160, 2))


X = rows()
EXACT = estep.FactorialHMM(chains=(2, 2), random_state=0).fit(X)
BOUND = estep.FactorialHMM(chains=(2, 2), inference="variational", random_state=0).fit(X)


def right(found: Any, truth: Any) -> float:
    """Share of rows that agree, up to the names of the states."""
    return max(float((found == truth).mean()), float((found != truth).mean()))


@pytest.mark.parametrize("fit", [EXACT, BOUND], ids=["exact", "variational"])
def test_the_two_chains_are_told_apart(fit: Any) -> None:
    states = fit.predict(X)
    assert states.shape == (160, 2)
    order = [0, 1] if right(states[:, 0], SLOW) > right(states[:, 1], SLOW) else [1, 0]
    assert right(states[:, order[0]], SLOW) > 0.99
    assert right(states[:, order[1]], FAST) > 0.95
    gaps = [np.abs(np.diff(effects, axis=0))[0] for effects in fit.chain_effects_]
    np.testing.assert_allclose(gaps[order[0]], [8.0, 0.0], atol=0.6)
    np.testing.assert_allclose(gaps[order[1]], [0.0, 4.0], atol=0.6)
    stay = [np.diag(moves).min() for moves in fit.transmats_]
    assert stay[order[0]] > stay[order[1]]
    assert [share.shape for share in fit.predict_proba(X)] == [(160, 2), (160, 2)]
    assert fit.predict(X, method="mpm").shape == (160, 2)


def test_the_bound_is_close_and_below() -> None:
    assert EXACT.result_.certificate == "exact"
    assert BOUND.result_.certificate == "bound"
    assert BOUND.log_likelihood_ <= EXACT.log_likelihood_ + 1e-6
    assert BOUND.log_likelihood_ > EXACT.log_likelihood_ - 5.0
    assert BOUND.result_.n_free == EXACT.result_.n_free == 2 + 4 + 6 + 3


@pytest.mark.parametrize("fit", [EXACT, BOUND], ids=["exact", "variational"])
def test_likelihoods_files_and_clones(fit: Any, tmp_path: Path) -> None:
    # the rounds of a bound end within 1e-10 of its size, and begin anew for rows that are scored
    assert fit.score_samples(X).sum() == pytest.approx(fit.log_likelihood_, rel=1e-8)
    assert fit.score(X) * 160 == pytest.approx(fit.score_samples(X).sum())
    assert fit.bic(X) == pytest.approx(-2 * fit.score(X) * 160 + fit.result_.n_free * np.log(160))
    assert fit.aic(X) == pytest.approx(-2 * fit.score(X) * 160 + 2 * fit.result_.n_free)
    fit.save(tmp_path / "model.estep")
    again = estep.load(tmp_path / "model.estep")
    assert again.score(X) == fit.score(X)
    assert (again.predict(X) == fit.predict(X)).all()
    assert clone(fit).get_params() == fit.get_params()
    drawn, states = fit.sample(lengths=[20, 10])
    assert drawn.shape == (30, 2)
    assert states.shape == (30, 2)
    assert "factorial hidden Markov model, 2 x 2 states" in fit.summary()
    with pytest.raises(AttributeError, match="fit the model first"):
        _ = clone(fit).transmats_


def test_paths_and_forecasts() -> None:
    path, value = EXACT.decode(X)
    assert (path == EXACT.predict(X)).all()
    assert value < EXACT.log_likelihood_
    ahead = EXACT.forecast(X, 4)
    longer = EXACT.predict_proba(np.vstack([X, np.full((4, 2), np.nan)]))
    for share, told in zip(ahead.chains, longer, strict=True):
        np.testing.assert_allclose(share, told[-4:], atol=1e-10)
    assert ahead.log_density(X[:3]).shape == (4, 3)
    assert EXACT.forecast([X[:50], X[50:90]], 2).chains[0].shape == (2, 2, 2)
    for what in (BOUND.decode, BOUND.forecast):
        with pytest.raises(ValueError, match="goes through all combinations of states, and this fit is variational"):
            what(X)


def test_a_table_of_any_family() -> None:
    """Rates of every combination: on, off, and both, from one count column."""
    rng = np.random.default_rng(0)
    rate = np.exp(0.5 + 1.5 * SLOW + 0.8 * FAST + 0.5 * SLOW * FAST)
    counts = rng.poisson(rate)[:, None].astype(float)
    fit = estep.FactorialHMM(estep.Poisson(), (2, 2), random_state=0).fit(counts)
    np.testing.assert_allclose(np.sort(fit.rates_[:, 0]), np.sort(np.unique(rate)), rtol=0.35)
    chain = estep.HMM(estep.Poisson(), 4, random_state=0).fit(counts)
    assert fit.result_.n_free < chain.result_.n_free
    with pytest.raises(AttributeError, match="with a family every combination has a component of its own"):
        _ = fit.chain_effects_


def test_known_states_of_one_chain() -> None:
    known = np.full((160, 2), -1)
    known[:, 0] = SLOW
    fit = estep.FactorialHMM(chains=(2, 2), random_state=0).fit(X, known)
    assert (fit.predict(X, y=known)[:, 0] == SLOW).all()
    assert right(fit.predict(X)[:, 1], FAST) > 0.95


def test_gaps_weights_and_held_entries() -> None:
    gappy = X.copy()
    gappy[3], gappy[10, 0] = np.nan, np.nan
    begin = {"effects": [[0.0, 2.0], [8.0, 2.0], [0.0, -2.0], [0.0, 2.0]]}
    held = {"transmat_1": [[0.8, 0.2], [0.2, 0.8]]}
    settings: dict[str, Any] = {"chains": (2, 2), "init": begin, "fixed": held}
    one = estep.FactorialHMM(**settings).fit([gappy[:80], gappy[80:]], sample_weight=[2.0, 1.0])
    two = estep.FactorialHMM(**settings).fit([gappy[:80], gappy[:80], gappy[80:]])
    assert one.log_likelihood_ == pytest.approx(two.log_likelihood_, rel=1e-10)
    assert one.transmats_[1].tolist() == held["transmat_1"]
    sticky = estep.FactorialHMM(chains=(2, 2), init=begin, prior={"sticky": 50.0}).fit(X)
    plain = estep.FactorialHMM(chains=(2, 2), init=begin).fit(X)
    assert sticky.transmats_[1][0, 0] > plain.transmats_[1][0, 0]


def test_many_chains_by_the_bound() -> None:
    """6561 combinations: inference="auto" takes the bound."""
    noisy = np.random.default_rng(0).standard_normal((120, 3)) + np.repeat(
        np.random.default_rng(1).standard_normal((12, 3)), 10, axis=0
    )
    with pytest.warns(estep.ConvergenceWarning, match="stopped at max_iter"):
        fit = estep.FactorialHMM(chains=(3,) * 8, covariance_type="diag", n_init=1, max_iter=6, random_state=0).fit(noisy)
    assert fit.result_.certificate == "bound"
    assert fit.predict(noisy).shape == (120, 8)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"chains": 3}, "chains=3 must be a tuple of integers >= 1"),
        ({"chains": (2, 0)}, "must be a tuple of integers >= 1"),
        ({"inference": "gibbs"}, "inference='gibbs' is unknown"),
        ({"inference": "variational", "family": estep.Poisson()}, "a family needs inference='exact'"),
        ({"inference": "variational", "algorithm": "cem"}, "the bound is of probabilities"),
        ({"init": "kmeans++"}, "is unknown for effects"),
        ({"init": {"means": [[0.0]]}}, "this model has"),
        ({"covariance_type": "tied"}, "covariance_type='tied' is unknown"),
        ({"fixed": {"transmat_0": [0.5, 0.5]}}, r"fixed\['transmat_0'\] has shape \(2,\), expected \(2, 2\)"),
    ],
)
def test_refusals(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        estep.FactorialHMM(**{"random_state": 0, "n_init": 1} | settings).fit(X)


def test_refused_rows() -> None:
    with pytest.raises(ValueError, match=r"y has shape \(160,\), expected \(n, 2\)"):
        EXACT.predict(X, y=SLOW)
    with pytest.raises(ValueError, match="y must hold states"):
        EXACT.predict(X, y=np.full((160, 2), 2))
    with pytest.raises(ValueError, match="known states need inference='exact'"):
        estep.FactorialHMM(inference="variational").fit(X, np.full((160, 2), -1))
    gappy = X.copy()
    gappy[7, 1] = np.nan
    with pytest.raises(ValueError, match="row 7 misses some columns"):
        estep.FactorialHMM(inference="variational", n_init=1).fit(gappy)
    with pytest.raises(ValueError, match="row 7 misses some columns"):
        BOUND.score(gappy)
