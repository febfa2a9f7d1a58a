"""What every fitted estimator offers: attributes and their shapes, methods by their definitions, rows in any wrapping."""

import math
import pickle
import sys
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone

import estep
from estep.data import Memory

ROWS_OF = (70, 50)
N, D = sum(ROWS_OF), 2


def two_clusters():
    rng = np.random.default_rng(0)
    return np.vstack([rng.normal(size=(ROWS_OF[0], D)), rng.normal(size=(ROWS_OF[1], D)) * [1.0, 0.5] + [3.5, 2.0]])


X = two_clusters()
TRUTH = np.repeat([0, 1], ROWS_OF)
PARTIAL = np.where(np.arange(N) % 4 == 0, TRUTH, -1)
WEIGHT = np.random.default_rng(1).integers(0, 3, size=N).astype(float)


def mixture(k=2, **settings):
    return estep.GaussianMixture(k, **{"random_state": 0, "n_init": 3, **settings})


# ---- attributes ----------------------------------------------------------------------------------------------------

SHAPES = [
    ("full", (2, D, D)),
    ("tied", (D, D)),
    ("diag", (2, D)),
    ("spherical", (2,)),
    *[(code, (2, D, D)) for code in ("EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EEV", "VEV", "EVV", "VVV")],
]


def whole(covariance_type, covariances):
    """Covariances as matrices (k, d, d), whatever the shape they are shown in."""
    spread = {
        "tied": lambda c: np.stack([c, c]),
        "diag": lambda c: c[:, :, None] * np.eye(D),
        "spherical": lambda c: c[:, None, None] * np.eye(D),
    }
    return spread.get(covariance_type, lambda c: c)(covariances)


@pytest.mark.parametrize(("covariance_type", "shape"), SHAPES, ids=[name for name, _ in SHAPES])
def test_attributes(covariance_type, shape):
    fit = mixture(covariance_type=covariance_type).fit(X)
    assert fit.weights_.shape == (2,)
    assert fit.weights_.sum() == pytest.approx(1.0, abs=1e-12)
    assert fit.means_.shape == (2, D)
    assert fit.covariances_.shape == fit.precisions_.shape == shape
    product = whole(covariance_type, fit.covariances_) @ whole(covariance_type, fit.precisions_)
    np.testing.assert_allclose(product, np.stack([np.eye(D)] * 2), atol=1e-10)
    assert set(fit.params_) == {"weights", "means", "covariances"}
    assert fit.params_["means"] is fit.means_
    assert fit.n_features_in_ == D
    assert fit.converged_ is True
    assert isinstance(fit.status_, estep.Status)
    assert len(fit.trace_) <= fit.n_iter_ + 1 <= fit.max_iter
    assert (np.diff(fit.trace_) >= -1e-9 * np.abs(fit.trace_[1:])).all()
    assert fit.log_likelihood_ == pytest.approx(fit.objective_, rel=1e-14)
    assert fit.lower_bound_ == pytest.approx(fit.objective_ / N, rel=1e-14)
    np.testing.assert_allclose(fit.lower_bounds_, fit.trace_ / N, rtol=1e-14)
    assert len(fit.starts_) == 3


def test_one_column():
    fit = mixture(covariance_type="V", init={"means": [0.0, 3.0]}, fixed={"covariances": [np.nan, 1.0]}).fit(X[:, :1])
    assert (fit.means_.shape, fit.covariances_.shape) == ((2, 1), (2, 1, 1))
    assert fit.covariances_[1, 0, 0] == 1.0


def test_a_mixture_of_any_family_is_the_gaussian_mixture_for_normals():
    ours = estep.Mixture(estep.Normal("VEI"), 2, random_state=0, n_init=3).fit(X)
    theirs = mixture(covariance_type="VEI").fit(X)
    np.testing.assert_array_equal(ours.covariances_, theirs.covariances_)
    assert ours.bic(X) == theirs.bic(X)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


def test_kmeans_attributes():
    fit = estep.KMeans(3, random_state=0).fit(X)
    assert fit.cluster_centers_.shape == (3, D)
    assert fit.labels_.shape == (N,)
    distances = ((X[:, None] - fit.cluster_centers_) ** 2).sum(axis=2)
    assert fit.inertia_ == pytest.approx(distances.min(axis=1).sum(), rel=1e-12)
    np.testing.assert_array_equal(fit.labels_, distances.argmin(axis=1))
    np.testing.assert_allclose(fit.transform(X), np.sqrt(distances), rtol=1e-12)
    assert fit.score(X) == -fit.inertia_
    assert fit.get_feature_names_out().tolist() == ["kmeans0", "kmeans1", "kmeans2"]
    frame = estep.KMeans(3, random_state=0).set_output(transform="pandas").fit(X).transform(X)
    assert list(frame.columns) == ["kmeans0", "kmeans1", "kmeans2"]
    holes = X.copy()
    holes[::5, 0] = np.nan
    assert np.isfinite(fit.transform(holes)).all()


# ---- order of components -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_components_come_in_decreasing_weight(seed):
    weights = mixture(3, covariance_type="EII", random_state=seed, init="random").fit(X).weights_
    assert (np.diff(weights) <= 0).all()


def test_noise_stays_last():
    noisy = np.vstack([X, np.random.default_rng(2).uniform(-9, 9, size=(60, D))])
    fit = mixture(3, covariance_type="EII", noise=True).fit(noisy)
    assert (np.diff(fit.weights_[:3]) <= 0).all()
    assert fit.weights_[3] > fit.weights_[2]
    assert fit.predict_proba(np.array([[80.0, -80.0]]))[0, 3] == 1.0
    assert fit.predict(np.array([[80.0, -80.0]])).tolist() == [-1]


def test_three_ways_to_start_noise():
    """Labels with -1, responsibilities with a column for noise, or without: what the others leave is noise."""
    noisy = np.vstack([X, np.random.default_rng(2).uniform(-9, 9, size=(40, D))])
    labels = np.concatenate([TRUTH, np.full(40, -1)])
    resp = np.eye(3)[labels]  # the last column for -1
    fits = [mixture(noise=True, init=init).fit(noisy) for init in (labels, resp, resp[:, :2])]
    for fit in fits[1:]:
        np.testing.assert_array_equal(fit.means_, fits[0].means_)
    assert 0.1 < fits[0].weights_[2] < 0.4


KEEPING = {
    "labels-as-start": {"init": 1 - TRUTH},
    "resp-as-start": {"init": np.eye(2)[1 - TRUTH]},
    "parameters-as-start": {"init": {"means": [[3.5, 2.0], [0.0, 0.0]]}},
    "fixed": {"fixed": {"means": [[3.5, np.nan], [np.nan, np.nan]]}},
    "prior-of-each": {"prior": {"weights": [1.0, 30.0]}, "init": "ward"},
}


@pytest.mark.parametrize("settings", KEEPING.values(), ids=KEEPING)
def test_an_order_that_was_given_is_kept(settings):
    fit = mixture(**settings).fit(X)
    if "prior" not in settings:
        assert fit.weights_[0] < fit.weights_[1]
        assert fit.means_[0, 0] > fit.means_[1, 0]
    q = fit.result_.model.q(fit.result_.params, fit.result_.model.prior) if fit.result_.model.prior is not None else 0.0
    assert fit.objective_ == pytest.approx(fit.log_likelihood_ + q, rel=1e-12)


def test_known_classes_give_the_order():
    fit = mixture().fit(X, 1 - TRUTH * (PARTIAL >= 0) - (PARTIAL < 0) * 2)
    assert fit.means_[0, 0] > fit.means_[1, 0]


# ---- methods by their definitions ----------------------------------------------------------------------------------


def densities(fit, rows):
    """log w_k + log N(x | k), written out."""
    out = np.empty((len(rows), len(fit.weights_)))
    for k, (w, mean, cov) in enumerate(zip(fit.weights_, fit.means_, fit.covariances_, strict=True)):
        gap = rows - mean
        distance = np.einsum("ij,jk,ik->i", gap, np.linalg.inv(cov), gap)
        out[:, k] = np.log(w) - 0.5 * (D * np.log(2 * np.pi) + np.linalg.slogdet(cov)[1] + distance)
    return out


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
@pytest.mark.parametrize("labelled", [False, True], ids=["unlabelled", "labelled"])
def test_methods_mean_what_they_say(weight, labelled):
    y = PARTIAL if labelled else None
    fit = mixture().fit(X, y, sample_weight=weight)
    logs = densities(fit, X)
    if labelled:
        logs = np.where((PARTIAL[:, None] < 0) | (PARTIAL[:, None] == np.arange(2)), logs, -np.inf)
    rows = np.logaddexp.reduce(logs, axis=1)
    resp = np.exp(logs - rows[:, None])
    w = np.ones(N) if weight is None else weight
    total, n, p = float(w @ rows), float(w.sum()), 1 + 2 * D + 2 * D * (D + 1) // 2
    np.testing.assert_allclose(fit.score_samples(X, y=y), rows, rtol=1e-9)
    np.testing.assert_allclose(fit.predict_proba(X, y=y), resp, atol=1e-9)
    np.testing.assert_array_equal(fit.predict(X, y=y), resp.argmax(axis=1))
    assert fit.log_likelihood_ == pytest.approx(total, rel=1e-10)
    assert fit.score(X, y, sample_weight=weight) == pytest.approx(total / n, rel=1e-10)
    assert fit.result_.n_free == p
    assert fit.aic(X, y, sample_weight=weight) == pytest.approx(-2 * total + 2 * p, rel=1e-10)
    bic = -2 * total + p * math.log(n)
    assert fit.bic(X, y, sample_weight=weight) == pytest.approx(bic, rel=1e-10)
    hard = float(w @ np.log(resp.max(axis=1)))
    soft = float(w @ np.where(resp > 0, resp * np.log(np.where(resp > 0, resp, 1.0)), 0.0).sum(axis=1))
    assert fit.icl(X, y, sample_weight=weight) == pytest.approx(bic - 2 * hard, rel=1e-10)
    assert fit.icl_entropy(X, y, sample_weight=weight) == pytest.approx(bic - 2 * soft, rel=1e-10)


def test_samples_follow_the_fit():
    fit = mixture().fit(X)
    rows, labels = fit.sample(20_000)
    assert rows.shape == (20_000, D)
    for k in range(2):
        mine = rows[labels == k]
        # Six standard errors: a false alarm in 10^8.
        error = 6 * np.sqrt(np.diag(fit.covariances_[k]) / len(mine))
        assert (np.abs(mine.mean(axis=0) - fit.means_[k]) < error).all()
        assert abs(len(mine) / 20_000 - fit.weights_[k]) < 6 * math.sqrt(0.25 / 20_000)
    np.testing.assert_array_equal(fit.sample(5)[0], fit.sample(5)[0])


def test_fit_predict():
    y = np.where(np.arange(N) < 3, 0, -1)
    np.testing.assert_array_equal(mixture().fit_predict(X, y), mixture().fit(X, y).predict(X, y=y))
    kmeans = estep.KMeans(2, random_state=0)
    np.testing.assert_array_equal(kmeans.fit_predict(X), kmeans.fit(X).labels_)
    assert mixture().fit_predict(X, sample_weight=WEIGHT).shape == (N,)


@pytest.mark.parametrize("method", ["score", "bic", "aic", "icl", "icl_entropy"])
def test_row_keywords_everywhere(method):
    """Labels as single classes and as sets say the same; a weight of 0 is an absent row, 2 is a row seen twice."""
    fit = mixture().fit(X)
    call = getattr(fit, method)
    sets = (PARTIAL[:, None] < 0) | (PARTIAL[:, None] == np.arange(2))
    assert call(X, labels=sets) == pytest.approx(call(X, PARTIAL), rel=1e-14)
    assert call(X, PARTIAL) != call(X)
    times = WEIGHT.astype(int)
    written = call(np.repeat(X, times, axis=0), np.repeat(PARTIAL, times))
    assert call(X, PARTIAL, sample_weight=WEIGHT) == pytest.approx(written, rel=1e-12)
    for other in ("predict", "predict_proba", "score_samples"):
        np.testing.assert_array_equal(getattr(fit, other)(X, labels=sets), getattr(fit, other)(X, y=PARTIAL))


# ---- known classes -------------------------------------------------------------------------------------------------


def test_y_is_ignored_with_one_component_and_by_kmeans():
    names = np.array(["a", "b", "c"] * (N // 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(mixture(1).fit(X, names).means_, mixture(1).fit(X).means_)
        assert not hasattr(mixture(1).fit(X, names), "classes_")
        fit = mixture(1).fit(X)
        assert fit.score(X, names) == fit.score(X)
        kmeans = estep.KMeans(2, random_state=0)
        np.testing.assert_array_equal(kmeans.fit(X, names).labels_, clone(kmeans).fit(X).labels_)


@pytest.mark.parametrize("given", [{"y": TRUTH}, {"labels": np.eye(2, dtype=bool)[TRUTH]}], ids=["y", "sets"])
def test_every_row_labelled_is_supervised(given):
    with pytest.warns(UserWarning, match="every row has a label.*supervised.*y=None"):
        fit = mixture().fit(X, **given)
    np.testing.assert_allclose(fit.means_, [X[k == TRUTH].mean(axis=0) for k in range(2)], rtol=1e-12)
    np.testing.assert_allclose(fit.covariances_, [np.cov(X[k == TRUTH].T, bias=True) for k in range(2)], rtol=1e-10)


def test_names_of_classes():
    names = np.where(PARTIAL < 0, None, np.where(PARTIAL == 0, "setosa", "virginica"))
    fit = mixture().fit(X, names)
    assert fit.classes_.tolist() == ["setosa", "virginica"]
    np.testing.assert_array_equal(fit.means_, mixture().fit(X, PARTIAL).means_)
    np.testing.assert_array_equal(fit.predict_proba(X, y=names), fit.predict_proba(X, y=PARTIAL))
    # A later fit without names forgets them.
    assert not hasattr(fit.fit(X), "classes_")


# ---- rows in any wrapping ------------------------------------------------------------------------------------------

FRAMES = {
    "pandas": lambda x: pd.DataFrame(x, columns=["a", "b"]),
    "polars": lambda x: pl.DataFrame(x, schema=["a", "b"]),
}


@pytest.mark.parametrize("estimator", [mixture(), estep.KMeans(2, random_state=0)], ids=["mixture", "kmeans"])
@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_frames(frame, estimator):
    fit = clone(estimator).fit(frame(X))
    plain = clone(estimator).fit(X)
    assert fit.feature_names_in_.tolist() == ["a", "b"]
    np.testing.assert_array_equal(fit.predict(frame(X)), plain.predict(X))
    with pytest.raises(ValueError, match="feature names should match"):
        fit.predict(frame(X)[["b", "a"]])
    with pytest.raises(ValueError, match="feature names should match"):
        fit.predict(frame(X)[["a"]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        fit.predict(X)


def test_columns_of_frames_beside_the_rows():
    nothing = [None if v < 0 else int(v) for v in PARTIAL]
    sets = [[0, 1] if v < 0 else [int(v)] for v in PARTIAL]
    reference = mixture().fit(X, PARTIAL, sample_weight=WEIGHT).means_
    for series in (pd.Series, pl.Series):
        np.testing.assert_array_equal(mixture().fit(X, series(nothing), sample_weight=series(WEIGHT)).means_, reference)
        by_sets = mixture().fit(X, labels=series(sets), sample_weight=series(WEIGHT)).means_
        np.testing.assert_allclose(by_sets, reference, atol=1e-4)  # another start, the same optimum


def test_missing_in_polars():
    holes = [None, *X[1:, 0].tolist()]
    fit = mixture().fit(pl.DataFrame({"a": holes, "b": X[:, 1]}))
    reference = mixture().fit(np.where(np.arange(2 * N).reshape(N, 2) == 0, np.nan, X)).means_
    np.testing.assert_allclose(fit.means_, reference, rtol=1e-6)  # a frame holds columns together, an array rows


def test_single_precision_is_kept_and_close():
    single = X.astype(np.float32)
    fit, reference = mixture(covariance_type="VEV").fit(single), mixture(covariance_type="VEV").fit(X)
    # The rows were rounded to 6e-8 of their size, and nothing is lost after that.
    np.testing.assert_allclose(fit.means_, reference.means_, atol=1e-5)
    np.testing.assert_allclose(fit.covariances_, reference.covariances_, atol=1e-5)
    assert fit.means_.dtype == np.float64
    exact = mixture(covariance_type="VEV").fit(single.astype(float))
    assert fit.log_likelihood_ == pytest.approx(exact.log_likelihood_, rel=1e-12)
    np.testing.assert_allclose(fit.predict_proba(single), reference.predict_proba(X), atol=1e-5)


def test_memory_order_does_not_matter():
    reference = mixture().fit(X).means_
    np.testing.assert_allclose(mixture().fit(np.asfortranarray(X)).means_, reference, rtol=1e-6)
    np.testing.assert_allclose(mixture().fit(np.repeat(X, 2, axis=0)[::2]).means_, reference, rtol=1e-6)


# ---- the same seed, the same bits ----------------------------------------------------------------------------------


def test_threads_do_not_change_a_bit():
    rng = np.random.default_rng(3)
    many = np.vstack([rng.normal(size=(18_000, 3)), 4 + rng.normal(size=(22_000, 3))])
    many[::17, 1] = np.nan
    assert len(list(Memory(many).chunks())) > 3
    fits = [mixture(n_jobs=n_jobs, n_init=1, init="kmeans++", tol=1e-4).fit(many) for n_jobs in (1, 2, 3, None, -1)]
    for fit in fits[1:]:
        assert fit.log_likelihood_ == fits[0].log_likelihood_
        np.testing.assert_array_equal(fit.covariances_, fits[0].covariances_)
        np.testing.assert_array_equal(fit.predict_proba(many), fits[0].predict_proba(many))
    centres = [estep.KMeans(2, random_state=0, n_jobs=n_jobs).fit(many).cluster_centers_ for n_jobs in (1, 2, 3)]
    np.testing.assert_array_equal(centres[1], centres[0])
    np.testing.assert_array_equal(centres[2], centres[0])


def test_seeds():
    settings = {"init": "random", "n_init": 1, "max_iter": 2, "covariance_type": "EII"}
    with pytest.warns(estep.ConvergenceWarning):
        same = [mixture(3, **settings, random_state=7).fit(X).means_ for _ in range(2)]
        other = mixture(3, **settings, random_state=8).fit(X).means_
        state = mixture(3, **settings, random_state=np.random.RandomState(7)).fit(X).means_
    np.testing.assert_array_equal(*same)
    np.testing.assert_array_equal(same[0], state)
    assert np.abs(same[0] - other).max() > 1e-6
    assert mixture(random_state=None).fit(X).converged_
    assert estep.KMeans(2, random_state=None, init="kmeans++").fit(X).converged_


def test_a_fit_travels():
    """Between processes and into copies, with every bit."""
    for fit in (mixture(noise=True).fit(X), mixture(prior="default").fit(X), estep.KMeans(2).fit(X)):
        again = pickle.loads(pickle.dumps(fit))  # noqa: S301
        np.testing.assert_array_equal(again.predict(X), fit.predict(X))
        assert again.score(X) == fit.score(X)


def test_what_is_kept_is_small():
    """A fit does not hold on to the rows it was made from."""
    many = np.random.default_rng(4).normal(size=(20_000, 2))
    fit = mixture(1).fit(many)
    fit.predict(many)
    assert len(pickle.dumps(fit)) < 20_000
    assert sys.getsizeof(fit.trace_) < 1_000
