"""The bootstrap of a latent class model against StepMix's: standard deviations of independent draws, within Monte Carlo error.

``stepmix_bootstrap.json`` comes from ``scripts/stepmix_bootstrap.py`` (stepmix 3.0.0, 600 samples). A standard deviation of B
draws is right to 1 / sqrt(2 B); with 600 and 300 a ratio of two is right to 5 %. Eleven ratios are held to 4.9 such errors:
1 in 100,000 for all together, had the estimates normal tails. As a check of the test, errors of 300 rows in place of 500 fail.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import estep

FOUND = json.loads((Path(__file__).parent / "stepmix_bootstrap.json").read_text(encoding="utf-8"))
B, THEIRS = 300, 600
BAND = 4.9 * np.sqrt(1 / (2 * B) + 1 / (2 * THEIRS))


@pytest.fixture(scope="module")
def fit():
    x, times = np.array(FOUND["patterns"]), np.array(FOUND["times"], dtype=float)
    init = dict(weights=FOUND["weights"], probs=FOUND["probs"])
    return x, times, estep.Mixture(estep.Bernoulli(), 2, init=init, tol=1e-10, max_iter=5000).fit(x, sample_weight=times)


def test_estimates(fit):
    np.testing.assert_allclose(fit[2].probs_, FOUND["probs"], atol=2e-4)
    np.testing.assert_allclose(fit[2].weights_, FOUND["weights"], atol=2e-4)


def test_standard_errors(fit):
    x, times, model = fit
    boot = model.standard_errors(x, times, method="bootstrap", n_boot=B, random_state=0)
    assert not boot.failures
    ratios = np.append(boot["probs"] / FOUND["probs_se"], boot["weights"][0] / FOUND["weight_se"])
    assert np.abs(np.log(ratios)).max() < BAND
    assert np.abs(np.log(np.sqrt(500 / 300) * ratios)).max() > BAND  # negative control: errors of 300 rows
    oakes = model.standard_errors(x, times)
    assert np.abs(np.log(oakes["probs"] / FOUND["probs_se"])).max() < 2 * BAND  # another quantity, near it
