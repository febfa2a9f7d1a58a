"""StudentMixture: scikit-learn's checks, ECME beside EM, robustness, and every argument together."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import estep
from estep.families.student import HIGHEST
from estep.models.ecme import Ecme, candidates, highest


def rows(seed=0, n=300, dofs=(4.0, 4.0, 4.0)):
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    heavy = rng.standard_normal((n, 2)) / np.sqrt(rng.gamma(np.array(dofs)[labels] / 2, 2 / np.array(dofs)[labels]))[:, None]
    return heavy + 8.0 * np.array([[0, 0], [1, 1], [-1, 1]])[labels], labels


@pytest.mark.filterwarnings("ignore::estep.ConvergenceWarning")
@parametrize_with_checks([estep.StudentMixture(), estep.StudentMixture(dof=4.0, covariance_type="diag")])
def test_scikit_learn(estimator, check):
    check(estimator)


def test_ecme_and_em_end_together():
    x, labels = rows()
    ecme = estep.StudentMixture(3, init=labels, accelerate="none", tol=1e-10).fit(x)
    em = estep.StudentMixture(3, init=labels, algorithm=estep.Variant(), tol=1e-10, max_iter=5000).fit(x)
    assert "ecme" in ecme.result_.variant and "ecme" not in em.result_.variant
    assert ecme.log_likelihood_ == pytest.approx(em.log_likelihood_, abs=1e-6)
    np.testing.assert_allclose(ecme.dofs_, em.dofs_, rtol=2e-3)
    assert np.diff(ecme.trace_).min() >= -1e-12 * abs(ecme.log_likelihood_)
    assert len(ecme.trace_) < len(em.trace_)
    assert ecme.n_iter_ > 1.5 * len(ecme.trace_)  # its second pass is counted


def test_ecme_spends_no_pass_where_no_dof_is_free():
    x, labels = rows()
    held = estep.StudentMixture(3, init=labels, fixed={"dofs": [4.0, 4.0, 4.0]}, accelerate="none").fit(x)
    given = estep.StudentMixture(3, init=labels, dof=4.0, accelerate="none").fit(x)
    assert held.dofs_.tolist() == given.dofs_.tolist() == [4.0] * 3
    assert held.n_iter_ == given.n_iter_
    assert held.log_likelihood_ == pytest.approx(given.log_likelihood_, abs=1e-9)


def test_ecme_candidates():
    dofs = candidates(np.array([5.0, 1e6]), np.array([10.0, 9e5]))
    assert dofs[0].tolist() == [5.0, 1e6] and dofs.min() >= 0.1 and dofs.max() == HIGHEST
    heights = np.zeros(dofs.shape)
    heights[2, 0] = heights[1, 1] = 1.0
    assert highest(dofs, heights, np.array([0, 1])).tolist() == pytest.approx([40.0, 9e5])
    assert highest(dofs, -heights, np.array([-1, -1])).tolist() == [5.0, 1e6]


def test_normal_rows_end_at_the_normal_and_say_so():
    x = np.random.default_rng(1).uniform(size=(200, 2))  # tails shorter than any t's
    student = estep.StudentMixture(1).fit(x)
    normal = estep.GaussianMixture(1).fit(x)
    assert student.normal_limit_.tolist() == [True]
    assert student.converged_
    assert student.log_likelihood_ == pytest.approx(normal.log_likelihood_, abs=1e-3)
    np.testing.assert_allclose(student.covariances_, normal.covariances_, rtol=1e-4)


def test_outliers_do_not_pull():
    x, labels = rows()
    spoilt = np.vstack([x, [[60.0, -50.0], [-50.0, -80.0]]])
    start = np.append(labels, [0, 0])
    clean, robust = (estep.StudentMixture(3, dof=4.0, init=i).fit(r) for i, r in ((labels, x), (start, spoilt)))
    np.testing.assert_allclose(robust.means_, clean.means_, atol=0.1)
    weights = robust.row_weights(spoilt)
    assert (weights[-2:] < 0.01).all() and np.median(weights) > 0.8
    pulled = estep.GaussianMixture(3, init=start).fit(spoilt)
    sizes = [np.linalg.det(fit.covariances_[0]) for fit in (clean, robust, pulled)]
    assert sizes[1] < 2.0 * sizes[0] < 0.2 * sizes[2]  # the control: a normal component spreads over them


def test_missing_weights_labels_fixed_and_tied_together():
    x, labels = rows(n=900)
    x[np.random.default_rng(1).random(x.shape) < 0.1] = np.nan
    weight = np.where(np.arange(900) % 5 == 0, 2.0, 1.0)
    known = np.where(np.arange(900) < 60, labels, -1)
    fixed = {"means": [[0.0, np.nan], [np.nan, np.nan], [np.nan, np.nan]]}
    fit = estep.StudentMixture(3, dof="tied", covariance_type="tied", fixed=fixed, random_state=0, n_init=3)
    fit.fit(x, known, sample_weight=weight)
    assert fit.means_[0, 0] == 0.0
    assert np.ptp(fit.dofs_) == 0.0 and 2.5 < fit.dofs_[0] < 7.0
    assert fit.scales_.shape == fit.covariances_.shape == (2, 2)
    assert (fit.predict(x) == labels).mean() > 0.95
    twice = estep.StudentMixture(3, dof="tied", covariance_type="tied", fixed=fixed, random_state=0, n_init=3)
    repeated = np.repeat(np.arange(900), weight.astype(int))
    twice.fit(x[repeated], known[repeated])
    assert twice.log_likelihood_ == pytest.approx(fit.log_likelihood_, rel=1e-7)


def test_saved_and_loaded(tmp_path):
    x, _ = rows()
    fit = estep.StudentMixture(2, random_state=0, n_init=2).fit(x)
    fit.save(tmp_path / "model.safetensors")
    again = estep.load(tmp_path / "model.safetensors")
    assert again.score(x) == fit.score(x)
    assert again.dofs_.tolist() == fit.dofs_.tolist()
    np.testing.assert_array_equal(again.row_weights(x), fit.row_weights(x))


def test_covariances_of_few_degrees_of_freedom_are_infinite():
    x, labels = rows()
    fit = estep.StudentMixture(3, dof=[1.0, 4.0, 4.0], init=labels).fit(x)
    assert np.isinf(fit.covariances_[0]).any()
    np.testing.assert_allclose(fit.covariances_[1:], 2.0 * fit.scales_[1:])


def test_an_update_without_student_components_says_what_it_needs():
    assert "dofs" in Ecme().name
