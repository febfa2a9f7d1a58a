"""Reports of regressions and of every model of sequences, and the picture of several chains."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import estep
from estep.views.chains import plot_chains
from estep.views.report import report_html
from estep.views.with_rows import WithRows, with_rows

RNG = np.random.default_rng(0)
COVARIATE = RNG.uniform(-2, 2, size=(120, 1))
UPPER = RNG.random(120) < 0.4
RESPONSE = np.where(UPPER, 3 - COVARIATE[:, 0], 2 * COVARIATE[:, 0]) + 0.5 * RNG.normal(size=120)
WORDS = "Pseudo-residuals of the responses: standard normal"


def test_pages_of_regressions_show_their_residuals() -> None:
    fit = estep.MixtureOfRegressions("linear", 2, n_init=3, random_state=0).fit(COVARIATE, RESPONSE)
    page = report_html(fit, COVARIATE, y=RESPONSE)
    assert WORDS in page and "Uncertainty of each row" in page
    assert f"{fit.icl(COVARIATE, RESPONSE):.4f}" in page  # the responses were there: these are the rows of the fit
    experts = estep.MixtureOfExperts("linear", 2, gate_ridge=0.01, n_init=3, random_state=0).fit(COVARIATE, RESPONSE)
    assert WORDS in report_html(experts, COVARIATE, y=RESPONSE)
    table = pd.DataFrame({"x": COVARIATE[:, 0], "y": RESPONSE})
    named = estep.MixtureOfRegressions("linear", 2, formula="y ~ x", n_init=3, random_state=0).fit(table)
    assert WORDS in report_html(named, table)
    offset = np.log(1.0 + UPPER)
    counts = RNG.poisson(np.exp(offset + 0.5 * COVARIATE[:, 0]))
    rates = estep.MixtureOfRegressions("poisson", 1, random_state=0).fit(COVARIATE, counts, offset=offset)
    told, rows = with_rows(rates, COVARIATE, y=counts, offset=offset)
    assert told.plot_residuals(rows).axes


def test_the_residuals_on_the_page_are_those_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page without its responses, or with others, is found out: the picture is drawn from what is told."""
    fit = estep.MixtureOfRegressions("linear", 2, n_init=3, random_state=0).fit(COVARIATE, RESPONSE)
    told, rows = with_rows(fit, COVARIATE, y=RESPONSE)
    assert isinstance(told, WithRows)
    across, z = told.plot_residuals(rows, along="fitted").axes[0].lines[0].get_xydata().T
    expected = fit.pseudo_residuals(COVARIATE, RESPONSE)
    near = np.abs(expected) <= 3
    np.testing.assert_allclose(z, expected[near])
    np.testing.assert_allclose(across, fit.predict(COVARIATE)[near])
    with pytest.raises(ValueError, match="y is missing: a page about a MixtureOfRegressions takes the responses"):
        report_html(fit, COVARIATE)
    with pytest.raises(ValueError, match="y belongs to the rows of regressions, and this is a GaussianMixture"):
        report_html(estep.GaussianMixture(1).fit(COVARIATE), COVARIATE, y=RESPONSE)


def test_classes_have_no_residuals_on_the_page() -> None:
    classes = np.where(UPPER, "up", "down")
    fit = estep.MixtureOfExperts("logistic", 2, gate_ridge=1.0, ridge=1.0, n_init=2, random_state=0).fit(COVARIATE, classes)
    page = report_html(fit, COVARIATE, y=classes)
    assert WORDS not in page and "How the run went" in page


PARTS = [RESPONSE[i : i + 30, None] for i in range(0, 120, 30)]
SHORT: dict[str, Any] = {"random_state": 0, "n_init": 2}
MODELS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "SemiMarkovHMM": (estep.SemiMarkovHMM(estep.Normal("EII"), 2, max_duration=8, **SHORT), PARTS, {}),
    "FactorialHMM": (estep.FactorialHMM(chains=(2, 2), **SHORT), PARTS, {}),
    "InputOutputHMM": (estep.InputOutputHMM(estep.Normal("EII"), 2, ridge=0.1, **SHORT), PARTS, {"covariates": COVARIATE}),
    "AutoregressiveHMM": (estep.AutoregressiveHMM(1, **SHORT), PARTS, {}),
    "HMMMixture": (estep.HMMMixture(estep.Normal("EII"), 2, 2, **SHORT), PARTS, {}),
    "MarkovChain": (estep.MarkovChain(), [list("aabbabab"), list("babbaabb")], {}),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODELS)
def test_every_model_of_sequences_has_a_page(name: str) -> None:
    estimator, X, told = MODELS[name]
    fit = estimator.fit(X, **told)
    errors, findings = fit.standard_errors(X, **told), fit.diagnose(X, n_sim=0, errors=None, **told)
    page = report_html(fit, X, errors=errors, findings=findings, **told)
    assert str(fit.title).split(",")[0] in page
    assert "Estimates with standard errors" in page and "What was checked" in page
    pictured = "States, the moves between them" if name in ("HMMMixture", "MarkovChain") else "Rows over time"
    assert pictured in page


def test_the_picture_of_several_chains() -> None:
    slow, fast = np.repeat([0, 1, 0], 20), np.tile(np.repeat([0, 1], 5), 6)
    x = (10.0 * slow + 3.0 * fast + np.random.default_rng(0).normal(size=60))[:, None]
    fit = estep.FactorialHMM(chains=(2, 2), **SHORT).fit(x)
    figure = fit.plot([x[:40], x[40:]])
    series, *rest = figure.axes
    assert [ax.get_ylabel() for ax in rest] == ["p(chain 0 | x)", "from state", "p(chain 1 | x)", "from state"]
    states = fit.predict([x[:40], x[40:]])
    means = sum(effects[own] for effects, own in zip(fit.chain_effects_, states.T, strict=True))
    drawn = np.concatenate([line.get_ydata() for line in series.lines[:2]])
    np.testing.assert_allclose(drawn, means[:, 0])
    lower = rest[0].collections[0].get_paths()[0].vertices[:, 1].max()
    assert lower == pytest.approx(fit.predict_proba([x[:40], x[40:]])[0][:, 0].max())
    assert [ax.get_title() for ax in fit.plot().axes] == ["moves of chain 0", "moves of chain 1"]
    bound = estep.FactorialHMM(chains=(2, 2), inference="variational", **SHORT).fit(x)
    assert len(bound.plot(x).axes) == 5
    counts = estep.FactorialHMM(estep.Poisson(), (2, 2), **SHORT).fit(np.abs(np.rint(x)))
    assert not counts.plot(np.abs(np.rint(x))).axes[0].lines  # a component for every combination: no sum of effects
    assert len(plot_chains([np.eye(2)] * 3).axes) == 3
