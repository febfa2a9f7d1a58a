"""scikit-learn's own checks of estimators on hidden Markov models, whose rows are one sequence there.

Two are expected to fail: they give every row a weight of its own, and the rows of a sequence share one. More than one state is
left out, and counts, as in ``test_check_estimator.py``: the checks hand over three unrelated classes, and random numbers.
"""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import estep

WHY = "rows of one sequence share a weight"
EXPECTED = dict.fromkeys(("check_sample_weights_not_overwritten", "check_sample_weight_equivalence_on_dense_data"), WHY)


@pytest.mark.filterwarnings("ignore::estep.ConvergenceWarning")
@parametrize_with_checks(
    [estep.HMM(), estep.GaussianHMM(covariance_type="diag"), estep.GMMHMM(), estep.CategoricalHMM()],
    expected_failed_checks=lambda estimator: EXPECTED,
)
def test_scikit_learn(estimator, check):
    check(estimator)
