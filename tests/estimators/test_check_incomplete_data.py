"""scikit-learn's own checks of the estimators for incomplete data, factors and topics, and that files keep them whole."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

import estep

ESTIMATORS = [
    estep.MultivariateNormal(),
    estep.MultivariateNormal(prior="default", accelerate="none", n_init=1),
    estep.FactorAnalysis(),
    estep.FactorAnalysis(noise_type="spherical"),
    estep.SaturatedMultinomial(),
    estep.PLSA(n_init=2, tol=1e-5, max_iter=200),
    estep.PLSA(prior="default", n_init=1, tol=1e-5, max_iter=200),
]
# Fewer rows than columns, single rows: the checks bring data that have no maximum of the likelihood, and are told so.
OURS = "ignore::estep.ConvergenceWarning"


@pytest.mark.filterwarnings(OURS)
@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_clone_and_params(estimator):
    assert repr(clone(estimator)) == repr(estimator)
    assert [name for name in vars(estimator) if name.endswith("_")] == []


def counts(rng):
    return rng.poisson(2.0, size=(20, 6)).astype(float)


def columns(rng):
    X = rng.normal(size=(80, 1)) @ np.ones((1, 4)) + rng.normal(size=(80, 4))
    X[rng.random(X.shape) < 0.1] = np.nan
    return X


def table(rng):
    return np.where(rng.random((60, 3)) < 0.1, np.nan, rng.integers(0, 2, size=(60, 3)))


@pytest.mark.parametrize(
    ("estimator", "make"),
    [
        (estep.MultivariateNormal(), columns),
        (estep.FactorAnalysis(1), columns),
        (estep.FactorAnalysis(1, 2, random_state=0, tol=1e-5), columns),
        (estep.SaturatedMultinomial(), table),
        (estep.PLSA(2, random_state=0, tempering=0.9), counts),
    ],
    ids=lambda v: getattr(v, "__name__", repr(v)),
)
def test_files_keep_them_whole(estimator, make, tmp_path):
    X = make(np.random.default_rng(0))
    fit = clone(estimator).fit(X)
    fit.save(tmp_path / "model.safetensors")
    again = estep.load(tmp_path / "model.safetensors")
    assert {n for n in vars(fit) if n.endswith("_")} == {n for n in vars(again) if n.endswith("_")}
    np.testing.assert_array_equal(again.score_samples(X), fit.score_samples(X))
    assert again.summary() == fit.summary()
    if hasattr(fit, "transform"):
        np.testing.assert_array_equal(again.transform(X), fit.transform(X))


def test_a_file_whose_cells_lie_outside_its_table_is_refused(tmp_path):
    fit = estep.SaturatedMultinomial().fit(table(np.random.default_rng(0)))
    fit.result_.model.cells[0, 0] = 9
    fit.save(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="outside its table"):
        estep.load(tmp_path / "model.safetensors")
