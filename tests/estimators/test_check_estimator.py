"""scikit-learn's own checks of estimators, all of them, on every estimator and the settings that change how rows are read.

Left out on purpose: more than one component. The checks hand over ``y`` with three unrelated classes, which a mixture of two
refuses: for a mixture ``y`` are known classes.
"""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

import estep

ESTIMATORS = [
    estep.GaussianMixture(),
    estep.GaussianMixture(covariance_type="EEE"),
    estep.GaussianMixture(covariance_type="spherical", prior="default", accelerate="none"),
    estep.GaussianMixture(noise=True, n_init=2),
    estep.Mixture(),
    estep.Mixture(estep.Normal("VVI"), algorithm="cem"),
    estep.LatentClass(measurement="normal"),  # as categories, the checks' random numbers are answers that no later row gives
    estep.KMeans(),
    estep.KMeans(n_clusters=3, init="kmeans++", n_init=2),
]
# Fewer rows than columns, single rows, random labels: the checks bring data that no mixture can be fitted to, and are told so.
OURS = "ignore::estep.ConvergenceWarning"


@pytest.mark.filterwarnings(OURS)
@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn(estimator, check):
    check(estimator)


def test_other_settings_than_these_are_refused():
    """The control: a check of scikit-learn's does fail on an estimator that breaks its rules."""

    class Careless(estep.KMeans):
        def fit(self, X, y=None, sample_weight=None):
            self.n_clusters = 1
            return super().fit(X, y, sample_weight=sample_weight)

    from sklearn.utils.estimator_checks import check_estimators_overwrite_params

    with pytest.raises(AssertionError, match="n_clusters"):
        check_estimators_overwrite_params("Careless", Careless(3))


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_clone_and_params(estimator):
    again = clone(estimator)
    assert repr(again) == repr(estimator)
    for name, value in estimator.get_params(deep=False).items():
        assert getattr(again, name) is value or repr(getattr(again, name)) == repr(value)


def test_nothing_is_fitted_by_making_one():
    for estimator in ESTIMATORS:
        assert [name for name in vars(estimator) if name.endswith("_")] == []


def test_warnings_of_a_plain_fit():
    """A fit that converges says nothing at all."""
    X = np.random.default_rng(0).normal(size=(60, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for estimator in ESTIMATORS:
            clone(estimator).set_params(random_state=0).fit(X)
