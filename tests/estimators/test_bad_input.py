"""What users may bring by mistake: every error names the argument, says what was found and what to do, and nothing is changed.

    case      settings of the estimator, what ``fit`` is given in place of the good rows, and words the message must hold
"""

import numpy as np
import pytest

import estep

NAN, INF = np.nan, np.inf


def rows(n=40):
    rng = np.random.default_rng(0)
    return np.vstack([rng.normal(size=(n // 2, 2)), 6 + rng.normal(size=(n // 2, 2))])


X = rows()
EYE = np.eye(2)
FREE = np.full((2, 2), NAN)
LABELS = np.repeat([0, 1], 20)


def named(cases):
    return [pytest.param(*case[1:], id=case[0]) for case in cases]


# ---- settings ------------------------------------------------------------------------------------------------------

SETTINGS = [
    ("none", dict(n_components=0), ["n_components", ">= 1", "0"]),
    ("fractional", dict(n_components=2.5), ["n_components", "integer", "2.5"]),
    ("text", dict(n_components="2"), ["n_components", "integer", "'2'"]),
    ("truth", dict(n_components=True), ["n_components", "integer", "True"]),
    ("more-than-rows", dict(n_components=41), ["n_components=41", "40 rows", "at most 40"]),
    ("max_iter", dict(max_iter=-1), ["max_iter", ">= 0", "-1"]),
    ("tol", dict(tol=-1e-3), ["tol", ">= 0", "-0.001", "nats"]),
    ("tol-nan", dict(tol=NAN), ["tol", "nan"]),
    ("tol-text", dict(tol="small"), ["tol", "'small'"]),
    ("n_init", dict(n_init=0), ["n_init", ">= 1", "0"]),
    ("n_jobs", dict(n_jobs=0), ["n_jobs", "None, -1", "0"]),
    ("noise-negative", dict(noise=-1), ["noise", "1 / volume", "-1"]),
    ("noise-zero", dict(noise=0), ["noise", "density > 0", "0"]),
    ("noise-text", dict(noise="yes"), ["noise", "True, False", "'yes'"]),
    ("noise-none", dict(noise=None), ["noise", "True, False", "None"]),
    ("covariance_type", dict(covariance_type="vvv"), ["covariance_type", "'vvv'", "'full'", "VVV"]),
    ("covariance-none", dict(covariance_type=None), ["covariance_type", "None", "'full'"]),
    ("algorithm", dict(algorithm="emm"), ["algorithm", "'emm'", "'em'", "'cem'", "Variant"]),
    ("algorithm-none", dict(algorithm=None), ["algorithm", "None", "'em'"]),
    ("accelerate", dict(accelerate="warp"), ["accelerate", "'warp'", "'squarem'"]),
    ("hard-leap", dict(algorithm="cem", accelerate="squarem"), ["accelerate", "'squarem'", "'cem'", "'none'"]),
    ("prior", dict(prior="weak"), ["prior", "'weak'", "'default'", "None"]),
    ("prior-number", dict(prior=3), ["prior", "3", "dict"]),
    ("prior-key", dict(prior={"strength": 1.0}), ["prior", "strength", "mean_strength", "scale", "dof"]),
    ("prior-dof", dict(prior={"dof": -1}), ["prior", "dof", "> 0", "-1"]),
    ("prior-dof-text", dict(prior={"dof": "a"}), ["prior", "dof", "number"]),
    ("prior-mean", dict(prior={"mean": [0, 0, 0]}), ["prior", "mean", "2 finite numbers"]),
    ("prior-scale", dict(prior={"scale": -EYE}), ["prior", "scale", "positive definite"]),
    ("prior-strength", dict(prior={"mean_strength": -1}), ["prior", "mean_strength", ">= 0", "-1"]),
    ("prior-weights", dict(prior={"weights": 0.5}), ["prior", "weights", ">= 1", "0.5", "Dirichlet"]),
    ("prior-weights-nan", dict(prior={"weights": NAN}), ["prior", "weights", ">= 1", "nan"]),
    ("prior-weights-shape", dict(prior={"weights": [1, 1, 1]}), ["prior", "weights", "(2,)"]),
    ("random_state", dict(random_state="seed"), ["random_state", "'seed'", "integer"]),
    ("random_state-negative", dict(random_state=-1), ["random_state", "integer >= 0"]),
]


@pytest.mark.parametrize(("settings", "words"), named(SETTINGS))
def test_settings(refused, settings, words):
    refused(estep.GaussianMixture(**{"n_components": 2, "random_state": 0, **settings}), words, X)


# ---- starts --------------------------------------------------------------------------------------------------------

STARTS = [
    ("rule", "kmeans", ["init", "'kmeans'", "'kmeans++'", "'auto'"]),
    ("number", 3, ["init", "3", "(40,)", "(40, 2)"]),
    ("none", None, ["init", "None", "rule"]),
    ("too-few-labels", np.zeros(3), ["init", "(3,)", "(40,)"]),
    ("too-many-columns", np.zeros((40, 5)), ["init", "(40, 5)", "(40, 2)"]),
    ("from-one", LABELS + 1, ["init", "0..1", "2"]),
    ("below", LABELS - 2, ["init", "0..1", "-2"]),
    ("half", LABELS + 0.5, ["init", "0..1", "0.5"]),
    ("words", np.array(["a", "b"] * 20), ["init", "0..1", "'a'"]),
    ("no-row", np.full(40, -1), ["init", "component 0", "no row"]),
    ("one-class", np.zeros(40, dtype=int), ["init", "component 1", "no row"]),
    ("above-one", np.full((40, 2), 0.9), ["init", "row 0", "[0.9, 0.9]", "sum to at most one"]),
    ("negative", np.full((40, 2), -0.1), ["init", "row 0", ">= 0"]),
    ("resp-nan", np.full((40, 2), NAN), ["init", "row 0", "finite"]),
    ("resp-zero", np.zeros((40, 2)), ["init", "component 0", "no row"]),
    ("unknown-name", dict(mean=[[0, 0], [6, 6]]), ["init", "'mean'", "'means'"]),
    ("means-shape", dict(means=[0, 6]), ["init['means']", "(2,)", "(2, 2)"]),
    ("means-nan", dict(means=[[0, 0], [6, NAN]]), ["init['means']", "not finite"]),
    ("means-text", dict(means="a"), ["init['means']", "numbers", "str"]),
    ("no-means", dict(weights=[0.5, 0.5]), ["init", "['weights']", "means"]),
    ("nothing", {}, ["init", "[]", "means"]),
    ("weights-sum", dict(weights=[0.5, 0.6], means=[[0, 0], [6, 6]]), ["init['weights']", "sum to one", "0.6"]),
    ("weights-zero", dict(weights=[0, 1], means=[[0, 0], [6, 6]]), ["init['weights']", "above zero", "0.0"]),
    ("flat", dict(means=[[0, 0], [6, 6]], covariances=np.zeros((2, 2, 2))), ["init", "covariances[0, 0]", "positive"]),
    ("slanted", dict(means=[[0, 0], [6, 6]], covariances=[[[1, 0.5], [0, 1]], EYE]), ["init", "not symmetric", "0.5"]),
]


@pytest.mark.parametrize(("init", "words"), named(STARTS))
def test_starts(refused, init, words):
    refused(estep.GaussianMixture(2, init=init, random_state=0), words, X)


def test_a_start_must_have_the_structure(refused):
    init = dict(means=[[0, 0], [6, 6]], covariances=[EYE, 2 * EYE])
    refused(estep.GaussianMixture(2, covariance_type="EEE", init=init), ["init", "covariances[1]", "EEE", "same"], X)


def test_noise_must_have_rows_where_a_start_is_given(refused):
    """A class of weight 0 stays at 0."""
    refused(estep.GaussianMixture(2, noise=True, init=LABELS), ["init", "noise (-1)", "no row"], X)


# ---- fixed and tied ------------------------------------------------------------------------------------------------

FIXED = [
    ("number", "full", 3, ["fixed", "dict", "int"]),
    ("unknown-name", "full", {"mean": [[0, 0], [NAN, NAN]]}, ["fixed", "'mean'", "'means'", "'covariances'"]),
    ("means-shape", "full", {"means": [0, NAN]}, ["fixed['means']", "(2,)", "(2, 2)"]),
    ("means-text", "full", {"means": "a"}, ["fixed['means']", "numbers", "str"]),
    ("means-infinite", "full", {"means": [[INF, 0], [NAN, NAN]]}, ["fixed['means']", "infinity", "NaN"]),
    ("weights-shape", "full", {"weights": [0.5, 0.3, 0.2]}, ["fixed['weights']", "(3,)", "(2,)"]),
    ("weights-above-one", "full", {"weights": [1.2, NAN]}, ["fixed['weights']", "at most one", "1.2"]),
    ("weights-sum-above", "full", {"weights": [0.7, 0.7]}, ["fixed['weights']", "at most one", "0.7"]),
    ("weights-sum-below", "full", {"weights": [0.2, 0.2]}, ["fixed['weights']", "0.4", "not one"]),
    ("weights-negative", "full", {"weights": [-0.2, NAN]}, ["fixed['weights']", ">= 0", "-0.2"]),
    ("weights-nothing-left", "full", {"weights": [1.0, NAN]}, ["fixed['weights']", "leaves nothing", "lower"]),
    ("covariances-shape", "full", {"covariances": EYE}, ["fixed['covariances']", "(2, 2)", "(2, 2, 2)"]),
    ("spherical-shape", "spherical", {"covariances": EYE}, ["fixed['covariances']", "(2, 2)", "(2,)"]),
    ("tied-shape", "tied", {"covariances": [1, 2]}, ["fixed['covariances']", "(2,)", "(2, 2)"]),
    ("diag-shape", "diag", {"covariances": [1, 2]}, ["fixed['covariances']", "(2,)", "(2, 2)"]),
    ("partly", "full", {"covariances": [[[1, NAN], [NAN, 1]], EYE]}, ["fixed['covariances']", "as a whole", "'diag'"]),
    ("partly-tied", "tied", {"covariances": [[1, NAN], [NAN, 1]]}, ["fixed['covariances']", "as a whole", "'diag'"]),
    ("partly-VEI", "VEI", {"covariances": [[[1, 0], [0, NAN]], EYE]}, ["fixed['covariances']", "as a whole"]),
    ("negative", "full", {"covariances": [EYE, -EYE]}, ["fixed['covariances']", "-1", "positive"]),
    ("not-definite", "full", {"covariances": [[[1, 2], [2, 1]], FREE]}, ["fixed['covariances'][0]", "positive definite"]),
    ("slanted", "full", {"covariances": [[[1, 0.5], [0, 1]], FREE]}, ["fixed['covariances'][0]", "symmetric", "(S + S.T) / 2"]),
    ("variance", "diag", {"covariances": [[1, -1], [NAN, NAN]]}, ["fixed['covariances'][0, 1]", "-1", "positive"]),
    ("infinite", "full", {"covariances": [[[INF, 0], [0, INF]], FREE]}, ["fixed['covariances']", "infinity"]),
    ("off-diagonal", "VEI", {"covariances": [[[1, 0.5], [0.5, 1]], EYE]}, ["off-diagonal", "'VEI'", "0"]),
]


@pytest.mark.parametrize(("code", "fixed", "words"), named(FIXED))
def test_fixed(refused, code, fixed, words):
    refused(estep.GaussianMixture(2, covariance_type=code, fixed=fixed, random_state=0), words, X)


TIED = [
    ("number", 3, ["tied", "dict", "int"]),
    ("unknown-name", {"mean": [0, 0]}, ["tied", "'mean'", "'means'"]),
    ("means-shape", {"means": [0, 0, 0]}, ["tied['means']", "(3,)", "(2, 2)"]),
    ("fractions", {"means": [0.0, 0.0]}, ["tied['means']", "integers", "float"]),
    ("text", {"covariances": "a"}, ["tied['covariances']", "integers"]),
    ("weights-shape", {"weights": [0, 0, 0]}, ["tied['weights']", "(3,)", "(2,)"]),
    ("weights-fractions", {"weights": [0.5, 0.5]}, ["tied['weights']", "integers", "float"]),
    ("covariances-shape", {"covariances": [[0, 1], [2, 3]]}, ["tied['covariances']", "(2, 2)", "(2,)"]),
]


@pytest.mark.parametrize(("tied", "words"), named(TIED))
def test_tied(refused, tied, words):
    refused(estep.GaussianMixture(2, tied=tied, random_state=0), words, X)


CONFLICTS = [
    ("means", "full", {"means": [[0, 0], [1, NAN]]}, {"means": [[0, 1], [0, 2]]}, ["'means'", "0.0", "1.0"]),
    ("weights", "full", {"weights": [0.4, 0.6]}, {"weights": [0, 0]}, ["'weights'", "0.4", "0.6"]),
    ("covariances", "full", {"covariances": [EYE, 2 * EYE]}, {"covariances": [0, 0]}, ["'covariances'"]),
    ("variances", "diag", {"covariances": [[1, 1], [2, 1]]}, {"covariances": [[0, 1], [0, 1]]}, ["1.0", "2.0"]),
]


@pytest.mark.parametrize(("code", "fixed", "tied", "words"), named(CONFLICTS))
def test_fixed_against_tied(refused, code, fixed, tied, words):
    model = estep.GaussianMixture(2, covariance_type=code, fixed=fixed, tied=tied, random_state=0)
    refused(model, ["fixed", "tied", "disagree", "untie", *words], X)


# ---- k-means -------------------------------------------------------------------------------------------------------

KMEANS = [
    ("none", dict(n_clusters=0), ["n_clusters", ">= 1", "0"]),
    ("more-than-rows", dict(n_clusters=41), ["n_clusters=41", "40 rows", "at most 40"]),
    ("rule", dict(init="kmeans"), ["init", "'kmeans'", "'kmeans++'", "'farthest_first'"]),
    ("nothing", dict(init=None), ["init", "(2, 2)", "'kmeans++'"]),
    ("shape", dict(init=np.zeros((3, 2))), ["init", "(3, 2)", "(2, 2)"]),
    ("nan", dict(init=FREE), ["init", "not finite", "(2, 2)"]),
    ("words", dict(init=[["a", "b"]] * 2), ["init", "numbers"]),
    ("n_init", dict(n_init=0), ["n_init", ">= 1"]),
    ("max_iter", dict(max_iter=-1), ["max_iter", ">= 0", "-1"]),
    ("n_jobs", dict(n_jobs=-3), ["n_jobs", "-3"]),
    ("random_state", dict(random_state="seed"), ["random_state", "'seed'"]),
]


@pytest.mark.parametrize(("settings", "words"), named(KMEANS))
def test_kmeans_settings(refused, settings, words):
    refused(estep.KMeans(**{"n_clusters": 2, "random_state": 0, **settings}), words, X)
