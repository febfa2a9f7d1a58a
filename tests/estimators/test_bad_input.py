"""What users may bring by mistake: every error names the argument, says what was found and what to do, and nothing is changed.

    case      settings of the estimator, what ``fit`` is given in place of the good rows, and words the message must hold
"""

import warnings

import numpy as np
import pandas as pd
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


def refused(estimator, words, *given, error=ValueError, **more):
    """``fit`` raises ``error`` itself (no subclass from numpy's insides) and the message holds all ``words``."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error) as caught:
            estimator.fit(*given, **more)
    assert type(caught.value) is error, f"{type(caught.value).__name__} is not for users"
    missing = [word for word in words if word not in str(caught.value)]
    assert not missing, f"{missing} not in: {caught.value}"


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
def test_settings(settings, words):
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
def test_starts(init, words):
    refused(estep.GaussianMixture(2, init=init, random_state=0), words, X)


def test_a_start_must_have_the_structure():
    init = dict(means=[[0, 0], [6, 6]], covariances=[EYE, 2 * EYE])
    refused(estep.GaussianMixture(2, covariance_type="EEE", init=init), ["init", "covariances[1]", "EEE", "same"], X)


def test_noise_must_have_rows_where_a_start_is_given():
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
    ("off-diagonal", "VEI", {"covariances": [[[1, 0.5], [0.5, 1]], EYE]}, ["fixed['covariances']", "off-diagonal", "'VEI'", "0"]),
]


@pytest.mark.parametrize(("code", "fixed", "words"), named(FIXED))
def test_fixed(code, fixed, words):
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
def test_tied(tied, words):
    refused(estep.GaussianMixture(2, tied=tied, random_state=0), words, X)


CONFLICTS = [
    ("means", "full", {"means": [[0, 0], [1, NAN]]}, {"means": [[0, 1], [0, 2]]}, ["'means'", "0.0", "1.0"]),
    ("weights", "full", {"weights": [0.4, 0.6]}, {"weights": [0, 0]}, ["'weights'", "0.4", "0.6"]),
    ("covariances", "full", {"covariances": [EYE, 2 * EYE]}, {"covariances": [0, 0]}, ["'covariances'"]),
    ("variances", "diag", {"covariances": [[1, 1], [2, 1]]}, {"covariances": [[0, 1], [0, 1]]}, ["'covariances'", "1.0", "2.0"]),
]


@pytest.mark.parametrize(("code", "fixed", "tied", "words"), named(CONFLICTS))
def test_fixed_against_tied(code, fixed, tied, words):
    model = estep.GaussianMixture(2, covariance_type=code, fixed=fixed, tied=tied, random_state=0)
    refused(model, ["fixed", "tied", "disagree", "untie", *words], X)


# ---- rows ----------------------------------------------------------------------------------------------------------


def changed(at, value):
    table = X.copy()
    table[at] = value
    return table


ROWS = [
    ("one-dimension", X[:, 0], ["1D array", "Reshape"]),
    ("three-dimensions", X[None], ["dim 3"]),
    ("number", 3.0, ["scalar", "Reshape"]),
    ("words", [["a", "b"]] * 40, ["X", "numbers", "'a'"]),
    ("text-column", pd.DataFrame({"a": ["x"] * 40, "b": 1.0}), ["X", "numbers", "'x'"]),
    ("ragged", [[1.0, 2.0], [3.0]], ["X", "numbers", "inhomogeneous"]),
    ("infinite", changed((3, 1), INF), ["X", "infinity"]),
    ("too-large", X * 1e200, ["X", "1e+150", "rescale"]),
    ("complex", X + 1j, ["Complex"]),
    ("no-rows", X[:0], ["0 sample", "minimum of 1"]),
    ("one-row", X[:1], ["X", "1 sample", "at least 2"]),
    ("no-columns", X[:, :0], ["0 feature", "minimum of 1"]),
    ("missing-column", changed((slice(None), 1), NAN), ["X", "column 1", "no observed", "drop"]),
    ("all-missing", np.full((40, 2), NAN), ["X", "column 0", "no observed"]),
]


@pytest.mark.parametrize("estimator", [estep.GaussianMixture(2), estep.KMeans(2)], ids=["mixture", "kmeans"])
@pytest.mark.parametrize(("table", "words"), named(ROWS))
def test_rows(estimator, table, words):
    refused(estimator, words, table)


def test_rows_from_a_sparse_matrix():
    import scipy.sparse as sparse

    for estimator in (estep.GaussianMixture(2), estep.KMeans(2)):
        refused(estimator, ["X", "toarray"], sparse.csr_array(X), error=TypeError)


def test_a_constant_column():
    constant = changed((slice(None), 1), 3.0)
    for code in ("VVV", "diag"):
        refused(estep.GaussianMixture(2, covariance_type=code), ["X", "column 1", "constant", "drop"], constant)
    # k-means and one variance for all columns have no such trouble.
    assert estep.KMeans(2).fit(constant).converged_
    assert estep.GaussianMixture(2, covariance_type="EII", random_state=0).fit(constant).converged_


@pytest.mark.parametrize("estimator", [estep.GaussianMixture(3), estep.KMeans(3)], ids=["n_components", "n_clusters"])
def test_more_components_than_distinct_rows(estimator, request):
    name = request.node.callspec.id
    repeated = np.repeat([[0.0, 1.0], [2.0, 5.0]], 20, axis=0)
    refused(estimator, [f"{name}=3", "2 distinct rows", f"lower {name} to at most 2"], repeated)


@pytest.mark.parametrize("code", ["EEE", "VVV", "VEV", "VVE", "EII", "diag"])
def test_rows_that_lie_on_a_line(code):
    """Either the default prior with a warning that says so, or an error that says why; nothing that numpy raises."""
    on_a_line = np.repeat([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]], 10, axis=0)
    model = estep.GaussianMixture(2, covariance_type=code, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model.fit(on_a_line)
        except ValueError as error:
            assert "collapsed" in str(error) or "positive definite" in str(error)
            return
    assert np.isfinite(model.covariances_).all()
    if model.status_ is not estep.Status.CONVERGED and model.status_ is not estep.Status.ROUNDED:
        assert "prior" in str(caught[0].message)


MISSING = [
    ("None", np.where(np.isnan(changed((3, 1), NAN)), None, X.astype(object))),
    ("masked", np.ma.masked_array(X, mask=np.isnan(changed((3, 1), NAN)))),
    ("pandas-NA", pd.DataFrame(changed((3, 1), NAN), columns=["a", "b"]).astype("Float64")),
    ("list", changed((3, 1), NAN).tolist()),
    ("object", changed((3, 1), NAN).astype(object)),
]


@pytest.mark.parametrize("table", named(MISSING))
def test_every_way_to_say_missing(table):
    reference = estep.GaussianMixture(2, random_state=0).fit(changed((3, 1), NAN))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        fit = estep.GaussianMixture(2, random_state=0).fit(table)
        np.testing.assert_array_equal(fit.means_, reference.means_)
        np.testing.assert_array_equal(fit.predict_proba(table), reference.predict_proba(changed((3, 1), NAN)))
    # Negative control: were the entry read as it is, the fit would be another.
    assert not np.array_equal(estep.GaussianMixture(2, random_state=0).fit(X).means_, reference.means_)


# ---- weights -------------------------------------------------------------------------------------------------------

WEIGHTS = [
    ("negative", np.where(np.arange(40) == 7, -2.0, 1.0), ["sample_weight[7]", "negative", "-2", ">= 0"]),
    ("zero", np.zeros(40), ["sample_weight", "zero everywhere", "at least one"]),
    ("nan", np.where(np.arange(40) == 7, NAN, 1.0), ["sample_weight[7]", "not finite", ">= 0"]),
    ("infinite", np.where(np.arange(40) == 7, INF, 1.0), ["sample_weight[7]", "not finite"]),
    ("short", np.ones(3), ["sample_weight", "(3,)", "(40,)"]),
    ("two-columns", np.ones((40, 2)), ["sample_weight", "(40, 2)", "(40,)"]),
    ("text", ["a"] * 40, ["sample_weight", "numbers"]),
    ("one-row", np.eye(40)[0], ["1 sample", "positive weight", "at least 2"]),
]


@pytest.mark.parametrize("estimator", [estep.GaussianMixture(2), estep.KMeans(2)], ids=["mixture", "kmeans"])
@pytest.mark.parametrize(("weight", "words"), named(WEIGHTS))
def test_weights(estimator, weight, words):
    refused(estimator, words, X, sample_weight=weight)


# ---- labels --------------------------------------------------------------------------------------------------------

CLASSES = [
    ("short", LABELS[:3], ["y", "(3,)", "(40,)"]),
    ("two-columns", np.zeros((40, 2)), ["y", "(40, 2)", "(40,)"]),
    ("number", 1, ["y", "()", "(40,)"]),
    ("above", LABELS + 5, ["y", "class 5", "0..1", "raise n_components"]),
    ("below", LABELS - 3, ["y", "class -3", "0..1"]),
    ("too-many-names", np.array(["a", "b", "c", "d"] * 10), ["y", "4 classes", "'a'", "n_components=2"]),
    ("half", LABELS + 0.5, ["y", "0.5", "whole numbers"]),
    ("infinite", np.full(40, INF), ["y", "inf", "whole numbers"]),
    ("text-of-unknown", np.array(["a", -1] * 20), ["y", "'-1'", "dtype=object"]),
]


@pytest.mark.parametrize(("y", "words"), named(CLASSES))
def test_y(y, words):
    refused(estep.GaussianMixture(2, random_state=0), words, X, y)


SETS = [
    ("number", 3, ["labels", "3", "40"]),
    ("text", "a" * 40, ["labels", "expected 40"]),
    ("short", [0] * 3, ["labels", "3 entries", "40"]),
    ("above", [None] * 39 + [5], ["labels[39]", "class 5", "0..1"]),
    ("below", [{-2}] * 40, ["labels[0]", "class -2", "0..1"]),
    ("half", [1.5] * 40, ["labels[0]", "1.5", "0..1"]),
    ("word", [{"a"}] * 40, ["labels[0]", "'a'", "0..1"]),
    ("no-class", [None] * 7 + [set()] + [None] * 32, ["labels[7]", "no class", "at least one"]),
    ("no-class-in-table", np.arange(80).reshape(40, 2) > 1, ["labels[0]", "no class"]),
    ("three-columns", np.ones((40, 3), dtype=bool), ["labels", "(40, 3)", "(40, 2)"]),
    ("shares", np.full((40, 2), 0.5), ["labels", "booleans", "float"]),
    ("words", np.full((40, 2), "a"), ["labels", "booleans"]),
]


@pytest.mark.parametrize(("labels", "words"), named(SETS))
def test_sets_of_classes(labels, words):
    refused(estep.GaussianMixture(2, random_state=0), words, X, labels=labels)


def test_y_and_sets_together():
    refused(estep.GaussianMixture(2), ["y or labels", "not both"], X, LABELS, labels=[None] * 40)


def test_every_way_to_give_a_table_of_classes():
    table = np.ones((40, 2), dtype=bool)
    table[:5, 0] = False
    reference = estep.GaussianMixture(2, random_state=0).fit(X, labels=table).means_
    sets = [{1} if i < 5 else None for i in range(40)]
    for labels in (table.tolist(), table.astype(int), pd.DataFrame(table), sets, [1] * 5 + [-1] * 35, [(1,)] * 5 + [(0, 1)] * 35):
        np.testing.assert_array_equal(estep.GaussianMixture(2, random_state=0).fit(X, labels=labels).means_, reference)


UNKNOWN = [
    ("None", np.array(["a", "b", None, None] * 10, dtype=object)),
    ("nan", np.array(["a", "b", NAN, NAN] * 10, dtype=object)),
    ("minus-one", np.array(["a", "b", -1, -1] * 10, dtype=object)),
    ("pandas-string", pd.Series(["a", "b", None, None] * 10, dtype="string")),
    ("pandas-category", pd.Series(["a", "b", None, None] * 10, dtype="category")),
    ("pandas-integer", pd.Series([0, 1, None, None] * 10, dtype="Int64")),
    ("column", np.array([[0], [1], [-1], [-1]] * 10)),
    ("list", [0, 1, None, None] * 10),
    ("floats", np.array([0.0, 1.0, NAN, NAN] * 10)),
]


@pytest.mark.parametrize("y", named(UNKNOWN))
def test_every_way_to_say_unlabelled(y):
    reference = estep.GaussianMixture(2, random_state=0).fit(X, np.array([0, 1, -1, -1] * 10)).means_
    np.testing.assert_array_equal(estep.GaussianMixture(2, random_state=0).fit(X, y).means_, reference)


def test_a_class_that_the_fit_did_not_see():
    fit = estep.GaussianMixture(2, random_state=0).fit(X, np.where(np.arange(40) % 4, None, np.where(LABELS, "b", "a")))
    with pytest.raises(ValueError, match=r"'c'.*did not see.*\['a', 'b'\]"):
        fit.predict_proba(X, y=np.array(["c"] * 40))


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
def test_kmeans_settings(settings, words):
    refused(estep.KMeans(**{"n_clusters": 2, "random_state": 0, **settings}), words, X)


# ---- after the fit -------------------------------------------------------------------------------------------------


def test_before_the_fit():
    from sklearn.exceptions import NotFittedError

    for estimator in (estep.GaussianMixture(2), estep.Mixture(estep.Normal(), 2), estep.KMeans(2)):
        for method in ("predict", "score"):
            with pytest.raises(NotFittedError, match="not fitted yet"):
                getattr(estimator, method)(X)
    for method in ("predict_proba", "score_samples", "bic", "aic", "icl", "icl_entropy", "summary"):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            getattr(estep.GaussianMixture(2), method)(X)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        estep.GaussianMixture(2).sample(3)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        estep.GaussianMixture(2).save("never.safetensors")


@pytest.mark.parametrize("estimator", [estep.GaussianMixture(2, random_state=0), estep.KMeans(2)], ids=["mixture", "kmeans"])
def test_other_rows_than_fitted(estimator):
    estimator.fit(X)
    with pytest.raises(ValueError, match="3 features.*expecting 2"):
        estimator.predict(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="infinity"):
        estimator.predict(np.full((4, 2), INF))
    with pytest.raises(ValueError, match=r"sample_weight has shape \(3,\)"):
        estimator.score(X, sample_weight=np.ones(3))


@pytest.mark.parametrize("n", [0, -1, 2.5, "a"])
def test_how_many_to_sample(n):
    with pytest.raises(ValueError, match="n_samples must be an integer >= 1"):
        estep.GaussianMixture(2, random_state=0).fit(X).sample(n)


# ---- nothing is changed --------------------------------------------------------------------------------------------


def frozen(array):
    array = np.array(array)
    array.setflags(write=False)
    return array


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("code", ["VVV", "EEE", "diag", "VEV"])
def test_the_users_arrays_stay_as_they_are(code, dtype):
    table = X.astype(dtype)
    table[::7, 0] = NAN
    resp = np.stack([1 - LABELS, LABELS], axis=1).astype(float)
    fixed = {"weights": [0.5, NAN], "means": [[NAN, 0.0], [NAN, NAN]]}
    given = {
        "table": frozen(table),
        "weight": frozen(np.where(np.arange(40) % 5, 1.0, 0.0)),
        "labels": frozen(np.ones((40, 2), dtype=bool)),
        "resp": frozen(resp),
        **{name: frozen(value) for name, value in fixed.items()},
        "tied": frozen([0, 1]),
    }
    before = {name: array.tobytes() for name, array in given.items()}
    fit = estep.GaussianMixture(
        2,
        covariance_type=code,
        init=given["resp"],
        fixed={name: given[name] for name in fixed},
        tied={"covariances": given["tied"]},
        random_state=0,
    ).fit(given["table"], sample_weight=given["weight"], labels=given["labels"])
    fit.predict_proba(given["table"], labels=given["labels"])
    fit.bic(given["table"], sample_weight=given["weight"])
    assert {name: array.tobytes() for name, array in given.items()} == before
    params = fit.get_params()
    assert params["init"] is given["resp"]
    assert params["fixed"]["means"] is given["means"]


@pytest.mark.parametrize("init", ["farthest_first", "kmeans++", frozen([[0, 0], [6, 6]])], ids=str)
def test_kmeans_leaves_the_users_arrays_as_they_are(init):
    table, weight = frozen(changed((3, 1), NAN)), frozen(np.arange(40) % 3)
    before = table.tobytes(), weight.tobytes()
    fit = estep.KMeans(2, init=init, random_state=0).fit(table, sample_weight=weight)
    fit.predict(table)
    fit.transform(table)
    assert (table.tobytes(), weight.tobytes()) == before


def test_the_fitted_attributes_are_not_the_users_arrays():
    """Changing a start after the fit does not change the fit."""
    means = np.array([[0.0, 0.0], [6.0, 6.0]])
    fit = estep.GaussianMixture(2, init=dict(means=means, weights=[0.5, 0.5], covariances=[EYE, EYE]), max_iter=0)
    with pytest.warns(estep.ConvergenceWarning):
        fit.fit(X)
    means[:] = -1
    np.testing.assert_array_equal(fit.means_, [[0, 0], [6, 6]])
