"""Diagrams of chains: what is drawn is what there is."""

import numpy as np
import pytest

import estep
from estep.views import plot_graph


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def arrows(figure):
    from matplotlib.patches import FancyArrowPatch

    return [patch for patch in figure.axes[0].patches if isinstance(patch, FancyArrowPatch)]


def test_the_chain_of_variables():
    plain, hidden, full = plot_graph(3, hidden=False), plot_graph(3), plot_graph(4, covariates=True, lags=2)
    assert texts(plain) == ["$s_0$", "$s_1$", "$s_2$", "..."]
    assert (len(arrows(plain)), len(arrows(hidden))) == (3, 6)
    assert len(arrows(full)) == 4 + 4 + 3 + (1 + 2 + 2), "moves, observations, covariates, lags"
    with pytest.raises(ValueError, match="at least 2 steps"):
        plot_graph(1)
    with pytest.raises(ValueError, match="only observations of hidden states"):
        plot_graph(3, hidden=False, lags=1)


def test_states_and_emissions_of_a_hidden_markov_model():
    rng = np.random.default_rng(0)
    x = rng.poisson(np.where(np.arange(200) // 20 % 2, 9.0, 2.0))[:, None].astype(float)
    fit = estep.PoissonHMM(2, random_state=0, n_init=2).fit(x)
    drawn = texts(fit.plot_states(["low", "high"]))
    assert {"low", "high"} <= set(drawn)
    shown = {text for text in drawn if text.startswith("0.")}
    assert {f"{p:.2f}" for p in fit.transmat_.ravel()} <= shown
    with pytest.raises(ValueError, match="3 labels"):
        fit.plot_states(["a", "b", "c"])
    figure = fit.plot_emissions(x, lengths=[120, 80])
    assert figure.axes[0].get_xlabel() == "x0"
    assert len(figure.axes[0].lines) >= 2
