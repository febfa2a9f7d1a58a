"""Sequences drawn from hidden Markov models, lengths included where states end them; and what is said of bad labels."""

import warnings

import numpy as np
import pytest

import estep
from estep.structures import Chain
from estep.structures.chain import ChainParams

ENDING = {
    "startprob": [0.8, 0.2],
    "transmat": [[0.7, 0.2, 0.1], [0.1, 0.65, 0.25]],
    "means": [[0.0], [6.0]],
    "covariances": [[[1.0]], [[1.0]]],
}


def ending(seed=0, s=400):
    """A model with an end, fitted to sequences of its own."""
    rng = np.random.default_rng(seed)
    chain, params = Chain(end=True), ChainParams(np.array(ENDING["startprob"]), np.array(ENDING["transmat"]))
    labels, ends = chain.sample_sequences(params, s, rng)
    x = (rng.normal(size=len(labels)) + 6.0 * labels)[:, None]
    return estep.GaussianHMM(2, end=True, init=ENDING, random_state=1).fit(np.split(x, ends[:-1])), labels, ends


def test_lengths_have_their_law():
    """Mean and variance of the lengths from the fundamental matrix; 20,000 sequences, bounds of five standard errors."""
    chain, params = Chain(end=True), ChainParams(np.array(ENDING["startprob"]), np.array(ENDING["transmat"]))
    labels, ends = chain.sample_sequences(params, 20_000, np.random.default_rng(0))
    lengths = np.diff(ends, prepend=0)
    moves = params.transmat[:, :2]
    steps = np.linalg.inv(np.eye(2) - moves)
    mean = params.startprob @ steps.sum(axis=1)
    square = params.startprob @ (2 * steps - np.eye(2)) @ steps.sum(axis=1)
    spread = np.sqrt(square - mean**2)
    assert abs(lengths.mean() - mean) < 5 * spread / np.sqrt(20_000)
    assert abs(lengths.std() - spread) < 0.1 * spread
    shares = np.bincount(labels[ends - 1], minlength=2) / 20_000
    last = params.startprob @ steps * params.transmat[:, 2]
    assert np.abs(shares - last).max() < 5 * np.sqrt(0.25 / 20_000)
    # negative control: paths of the same lengths that are told when to end forget where sequences end
    told = chain.sample(params, len(labels), np.random.default_rng(0), ends=ends)
    blind = np.bincount(told[ends - 1], minlength=2) / 20_000
    assert np.abs(blind - last).max() > 10 * np.sqrt(0.25 / 20_000)


def test_what_is_drawn_is_what_was_fitted():
    fit, _, ends = ending()
    rows, states = fit.sample(sequences=2000)
    assert len(rows) == len(states) == 2000 and all(len(x) == len(z) for x, z in zip(rows, states, strict=True))
    assert abs(np.mean([len(x) for x in rows]) - np.diff(ends, prepend=0).mean()) < 1.0
    again = estep.GaussianHMM(2, end=True, init=ENDING).fit(rows)
    np.testing.assert_allclose(again.transmat_, fit.transmat_, atol=0.03)
    one, z = fit.sample()
    assert one.shape == (len(z), 1)
    assert fit.sample(7)[0].shape == (7, 1) and fit.sample(lengths=[2, 3])[0].shape == (5, 1)
    assert (fit.sample(sequences=3)[0][0] == fit.sample(sequences=3)[0][0]).all()


def test_what_cannot_be_drawn_is_said():
    fit, _, _ = ending(s=50)
    plain = estep.GaussianHMM(2, random_state=0).fit(np.random.default_rng(0).normal(size=(40, 1)))
    with pytest.raises(ValueError, match=r"no state ends a sequence \(end=False\); give lengths"):
        plain.sample(sequences=2)
    assert plain.sample()[0].shape == (1, 1)
    with pytest.raises(ValueError, match="give one of n_samples"):
        fit.sample(4, sequences=2)
    with pytest.raises(ValueError, match="sequences must be an integer >= 1, got 0"):
        fit.sample(sequences=0)
    stuck = ChainParams(np.array([1.0, 0.0]), np.array([[0.5, 0.3, 0.2], [0.0, 1.0, 0.0]]))
    with pytest.raises(ValueError, match="from state 1 a sequence never ends"):
        Chain(end=True).sample_sequences(stuck, 1, np.random.default_rng(0))


def test_a_parametric_bootstrap_draws_lengths_where_states_end_sequences():
    """Lengths that were held would leave the probabilities of ending with no spread of their own."""
    fit, labels, ends = ending(s=150)
    x = np.split((np.random.default_rng(3).normal(size=len(labels)) + 6.0 * labels)[:, None], ends[:-1])
    fit = estep.GaussianHMM(2, end=True, init=ENDING, random_state=1).fit(x)
    errors = fit.standard_errors(x)
    boot = fit.standard_errors(x, method="bootstrap", kind="parametric", n_boot=60)
    ratio = boot["transmat"] / errors["transmat"]
    assert (ratio > 0.7).all() and (ratio < 1.35).all()  # a standard deviation of 60 draws is right to 9 %
    x[0] = np.where(np.arange(len(x[0]))[:, None] == 0, np.nan, x[0])
    with pytest.raises(ValueError, match="lengths are drawn, as states end sequences"):
        fit.standard_errors(x, method="bootstrap", kind="parametric", n_boot=3)


@pytest.mark.parametrize("labels", [{"y": [0, 1, 5] + [-1] * 37}, {"y": ["a", "b", "c"] + [None] * 37}])
def test_bad_labels_name_the_setting_of_the_estimator(labels):
    x = np.random.default_rng(0).normal(size=(40, 1))
    labels = {n: np.array(v, dtype=object) for n, v in labels.items()}
    for model, name in ((estep.GaussianHMM(2), "n_states"), (estep.GaussianMixture(2), "n_components")):
        with pytest.raises(ValueError, match=f"raise {name}"), warnings.catch_warnings():
            warnings.simplefilter("error")
            model.fit(x, **labels)
    with pytest.raises(ValueError, match=r"labels\[0\] names the class 7, but the states are 0..1"):
        estep.GaussianHMM(2).fit(x, labels=[7, *[None] * 39])
