"""Parameters recovered from samples, with an honest error rate.

For a sample of n rows from known parameters theta_0, the Wald statistic (theta_hat - theta_0)' I (theta_hat - theta_0), with I
the empirical information (sum of outer products of per-row scores, in free coordinates), is close to chi-square with as many
degrees of freedom as there are free parameters. A correct program fails a case with probability about 1e-7.
"""

import numpy as np
import pytest
from scipy import stats

import estep
from estep.families.normal_density import NormalParams
from estep.models.latent import LatentParams
from estep.structures.iid import IidParams

ALARM = 1e-7
N = 4000
K, D = 3, 2
CODES = ["EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV"]
WEIGHTS = np.array([0.5, 0.3, 0.2])
MEANS = np.array([[0.0, 0.0], [4.0, 1.0], [-1.0, 5.0]])
VOLUMES = {"E": [1.0, 1.0, 1.0], "V": [0.6, 1.0, 1.9]}
SHAPES = {"I": [1.0, 1.0, 1.0], "E": [2.5, 2.5, 2.5], "V": [3.0, 1.6, 2.2]}
ANGLES = {"I": [0.0, 0.0, 0.0], "E": [0.5, 0.5, 0.5], "V": [0.5, -0.4, 1.1]}


def covariances(code):
    """Matrices (k, d, d) of the structure: volume, shape (ratio of variances) and angle of the first axis."""
    out = []
    for volume, ratio, angle in zip(VOLUMES[code[0]], SHAPES[code[1]], ANGLES[code[2]], strict=True):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        out.append(volume * turn @ np.diag([np.sqrt(ratio), 1 / np.sqrt(ratio)]) @ turn.T)
    return np.array(out)


def sample(code, missing, rng):
    labels = rng.choice(K, size=N, p=WEIGHTS)
    roots = np.linalg.cholesky(covariances(code))
    X = MEANS[labels] + np.einsum("nij,nj->ni", roots[labels], rng.normal(size=(N, D)))
    if missing:
        X[rng.random(X.shape) < 0.15] = np.nan
    return X


def wald(code, missing, moved=0.0):
    """The statistic's p-value; ``moved`` displaces the truth by so many standard errors of its first coordinate."""
    X = sample(code, missing, np.random.default_rng([CODES.index(code), missing]))
    start = {"weights": WEIGHTS, "means": MEANS, "covariances": covariances(code)}
    fit = estep.GaussianMixture(K, covariance_type=code, init=start, prior=None, tol=1e-10).fit(X)
    model, params = fit.result_.model, fit.result_.params
    matrices = covariances(code)
    inner = matrices if params.family.covariances.ndim == 3 else np.diagonal(matrices, axis1=1, axis2=2)
    truth = LatentParams(IidParams(WEIGHTS), NormalParams(MEANS, np.array(inner)))
    support = model.support(params)
    gap = support.pack(params) - support.pack(truth, params)
    scores = np.vstack([model.unit_scores(params, chunk) for chunk in estep.data.Memory(X).chunks()])
    information = scores.T @ scores
    gap[0] += moved / np.sqrt(information[0, 0])
    return stats.chi2.sf(gap @ information @ gap, support.count)


@pytest.mark.parametrize("missing", [False, True], ids=["complete", "missing"])
@pytest.mark.parametrize("code", CODES)
def test_parameters_are_recovered(code, missing):
    assert wald(code, missing) > ALARM


@pytest.mark.parametrize("code", ["EII", "VVV"])
def test_a_displaced_truth_is_noticed(code):
    assert wald(code, False, moved=15.0) < ALARM
