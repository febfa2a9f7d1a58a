"""Rows, weights and labels that cannot be used: every error names the argument, what was found and what to do.

    case      what ``fit`` is given in place of the good rows, weights or labels, and words the message must hold
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
LABELS = np.repeat([0, 1], 20)


def named(cases):
    return [pytest.param(*case[1:], id=case[0]) for case in cases]


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
def test_rows(refused, estimator, table, words):
    refused(estimator, words, table)


def test_rows_from_a_sparse_matrix(refused):
    import scipy.sparse as sparse

    for estimator in (estep.GaussianMixture(2), estep.KMeans(2)):
        refused(estimator, ["X", "toarray"], sparse.csr_array(X), error=TypeError)


def test_a_constant_column(refused):
    constant = changed((slice(None), 1), 3.0)
    for code in ("VVV", "diag"):
        refused(estep.GaussianMixture(2, covariance_type=code), ["X", "column 1", "constant", "drop"], constant)
    # k-means and one variance for all columns have no such trouble.
    assert estep.KMeans(2).fit(constant).converged_
    assert estep.GaussianMixture(2, covariance_type="EII", random_state=0).fit(constant).converged_


@pytest.mark.parametrize("estimator", [estep.GaussianMixture(3), estep.KMeans(3)], ids=["n_components", "n_clusters"])
def test_more_components_than_distinct_rows(refused, estimator, request):
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
def test_weights(refused, estimator, weight, words):
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
def test_y(refused, y, words):
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
def test_sets_of_classes(refused, labels, words):
    refused(estep.GaussianMixture(2, random_state=0), words, X, labels=labels)


def test_y_and_sets_together(refused):
    refused(estep.GaussianMixture(2), ["y or labels", "not both"], X, LABELS, labels=[None] * 40)


def test_every_way_to_give_a_table_of_classes():
    table = np.ones((40, 2), dtype=bool)
    table[:5, 0] = False
    reference = estep.GaussianMixture(2, random_state=0).fit(X, labels=table).means_
    sets = [{1} if i < 5 else None for i in range(40)]
    tuples, codes = [(1,)] * 5 + [(0, 1)] * 35, [1] * 5 + [-1] * 35
    for labels in (table.tolist(), table.astype(int), pd.DataFrame(table), sets, tuples, codes):
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


@pytest.fixture(scope="module")
def half_labelled():
    return estep.GaussianMixture(2, random_state=0).fit(X, np.array([0, 1, -1, -1] * 10)).means_


@pytest.mark.parametrize("y", named(UNKNOWN))
def test_every_way_to_say_unlabelled(y, half_labelled):
    np.testing.assert_array_equal(estep.GaussianMixture(2, random_state=0).fit(X, y).means_, half_labelled)


def test_a_class_that_the_fit_did_not_see():
    fit = estep.GaussianMixture(2, random_state=0).fit(X, np.where(np.arange(40) % 4, None, np.where(LABELS, "b", "a")))
    with pytest.raises(ValueError, match=r"'c'.*did not see.*\['a', 'b'\]"):
        fit.predict_proba(X, y=np.array(["c"] * 40))


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
