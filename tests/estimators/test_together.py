"""Missing values, weights, partial labels, fixed and tied parameters: alone and all together, for all fourteen structures.

The oracle (``oracle.py``) is EM written as slowly as it reads, row by row and value by value. Structures whose M-step has a
closed form are compared with it pass by pass. For all fourteen the end of the fit is checked against what it must be: no slope
left in any free direction (by finite differences of the oracle's likelihood), fixed entries unmoved to the bit, tied entries
equal, labels obeyed, weights counted.
"""

import numpy as np
import pytest

import estep

CODES = ["EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV"]
CLOSED = ["EII", "VII", "EEI", "VVI", "EEE", "VVV"]
K, D, N = 3, 3, 90
NAN = np.nan


# ---- data ----------------------------------------------------------------------------------------------------------


def clusters():
    """Three clusters, overlapping a little, of different size, shape and orientation."""
    rng = np.random.default_rng(5)
    centres = np.array([[0.0, 0.0, 0.0], [3.0, 3.0, 0.0], [0.0, 4.0, 4.0]])
    turns = [np.linalg.qr(rng.normal(size=(D, D)))[0] for _ in range(K)]
    spread = [[1.0, 0.6, 0.4], [1.3, 0.9, 0.5], [0.8, 0.7, 1.4]]
    rows = [c + (rng.normal(size=(N // K, D)) * s) @ t for c, s, t in zip(centres, spread, turns, strict=True)]
    return np.vstack(rows)


COMPLETE = clusters()
TRUTH = np.repeat(np.arange(K), N // K)


def with_holes():
    holes = np.random.default_rng(6).random(COMPLETE.shape) < 0.15
    holes[4] = True  # a row of which nothing was seen
    return np.where(holes, NAN, COMPLETE)


X = with_holes()
WEIGHT = np.random.default_rng(7).integers(0, 4, size=N).astype(float)
CLASSES = np.where(np.arange(N) % 5 == 0, TRUTH, -1)


def sets_of_classes():
    """Every fifth row one class, every seventh two, the others any."""
    sets = np.ones((N, K), dtype=bool)
    sets[::7] = False
    sets[np.arange(0, N, 7), TRUTH[::7]] = True
    sets[np.arange(0, N, 7), (TRUTH[::7] + 1) % K] = True
    sets[::5] = np.eye(K, dtype=bool)[TRUTH[::5]]
    return sets


SETS = sets_of_classes()
EVERYBODY = np.ones((N, K), dtype=bool)

FIXED = {"weights": np.array([NAN, NAN, 0.3]), "means": np.array([[NAN, 0.1, NAN], [NAN, NAN, NAN], [NAN, NAN, 4.2]])}
TIED = {"means": np.array([[0, 1, 2], [3, 4, 2], [0, 5, 6]]), "covariances": np.array([0, 1, 0])}
HELD = np.array([[1.2, 0.3, 0.0], [0.3, 0.9, 0.1], [0.0, 0.1, 0.7]])


def held_matrix(code):
    """A covariance to hold fixed, within reach of the structure."""
    if code.endswith("I"):
        return np.diag([1.1] * D if code[1] == "I" else [1.2, 0.9, 0.7])
    return HELD


def constraints_of(code, fixed, tied):
    """The constraints of a scenario; ``fixed="covariance"`` holds the whole matrix of the last component too."""
    held = dict(FIXED) if fixed else {}
    if fixed == "covariance":
        held["covariances"] = np.stack([np.full((D, D), NAN), np.full((D, D), NAN), held_matrix(code)])
    return held, (dict(TIED) if tied else {})


def start_of(code, held):
    """Starting parameters that obey the structure, though not yet the constraints on means."""
    covariances = np.tile(1.5 * np.eye(D), (K, 1, 1))
    if "covariances" in held:
        covariances[2] = held["covariances"][2]
    weights = np.array([0.4, 0.3, 0.3])
    means = np.array([[0, 0, 0], [3, 3, 0], [0, 4, 4]]) + np.linspace(0.1, 0.6, K * D).reshape(K, D)
    return {"weights": weights, "means": means, "covariances": covariances}


# ---- alone and together, pass by pass ------------------------------------------------------------------------------

ALONE = {
    "nothing": {},
    "missing": {"table": X},
    "weights": {"weight": WEIGHT},
    "classes": {"y": CLASSES},
    "sets": {"labels": SETS},
    "fixed": {"fixed": True},
    "fixed-covariance": {"fixed": "covariance"},
    "tied": {"tied": True},
    "together": {"table": X, "weight": WEIGHT, "labels": SETS, "fixed": True, "tied": True},
    "together-covariance": {"table": X, "weight": WEIGHT, "y": CLASSES, "fixed": "covariance"},
}
PASSES = 5


def fit_of(code, scenario, **settings):
    """The fitted estimator, and what it was given."""
    given = {"table": COMPLETE, "weight": None, "y": None, "labels": None, "fixed": False, "tied": False, **scenario}
    held, tied = constraints_of(code, given["fixed"], given["tied"])
    constraints = {"init": start_of(code, held), "fixed": held, "tied": tied}
    model = estep.GaussianMixture(K, covariance_type=code, prior=None, **constraints, **settings)
    model.fit(given["table"], given["y"], sample_weight=given["weight"], labels=given["labels"])
    return model, given, held, tied


def plain(given):
    """Weights and permitted classes as full arrays."""
    weight = np.ones(N) if given["weight"] is None else given["weight"]
    allowed = EVERYBODY if given["labels"] is None else given["labels"]
    if given["y"] is not None:
        allowed = (given["y"][:, None] < 0) | (given["y"][:, None] == np.arange(K))
    return weight, allowed


@pytest.mark.filterwarnings("ignore::estep.ConvergenceWarning")
@pytest.mark.parametrize("scenario", ALONE)
@pytest.mark.parametrize("code", CLOSED)
def test_pass_by_pass(oracle, code, scenario):
    fit, given, held, tied = fit_of(code, ALONE[scenario], accelerate="none", max_iter=PASSES, tol=0)
    weight, allowed = plain(given)
    start = start_of(code, held)
    trace, weights, means, covs = oracle.em(code, given["table"], weight, allowed, start, held, tied, PASSES)
    # With bound means the M-step alternates until q rests at rounding, which leaves half of the digits of the parameters.
    rtol, atol = (1e-9, 1e-6) if "means" in held or "means" in tied else (1e-12, 1e-9)
    np.testing.assert_allclose(fit.trace_, trace, rtol=rtol)
    np.testing.assert_allclose(fit.weights_, weights, atol=atol)
    np.testing.assert_allclose(fit.means_, means, atol=atol)
    np.testing.assert_allclose(fit.covariances_, covs, atol=atol)


def test_each_part_changes_the_answer(oracle):
    """The control: were any of them ignored, the comparison pass by pass would see it."""
    ends = {}
    for name, scenario in ALONE.items():
        held, tied = constraints_of("VVV", scenario.get("fixed"), scenario.get("tied"))
        given = {"table": COMPLETE, "weight": None, "y": None, "labels": None, **scenario}
        ends[name] = oracle.em("VVV", given["table"], *plain(given), start_of("VVV", held), held, tied, 3)[2]
    for name in ALONE:
        for other in ALONE:
            assert name == other or np.abs(ends[name] - ends[other]).max() > 1e-4, (name, other)


# ---- the end of a fit, all fourteen --------------------------------------------------------------------------------

TOGETHER = {
    "tied": {"table": X, "weight": WEIGHT, "labels": SETS, "fixed": True, "tied": True},
    "held": {"table": X, "weight": WEIGHT, "y": CLASSES, "fixed": "covariance"},
}


def matrices(covariances):
    return covariances if covariances.ndim == 3 else covariances[:, :, None] * np.eye(D)


def slope_of(oracle, fit, given):
    """The gradient of the oracle's likelihood in free coordinates, by central differences."""
    params, support = fit.result_.params, fit.result_.model.support(fit.result_.params)
    weight, allowed = plain(given)

    def loglik(vector):
        p = support.unpack(vector, params)
        weights, means, covariances = p.structure.weights, p.family.means, matrices(p.family.covariances)
        return oracle.loglik(given["table"], weight, allowed, weights, means, covariances)

    at, step = support.pack(params), 1e-5
    return np.array([(loglik(at + step * e) - loglik(at - step * e)) / (2 * step) for e in np.eye(at.size)])


@pytest.mark.parametrize("scenario", TOGETHER)
@pytest.mark.parametrize("code", CODES)
def test_the_end_of_a_fit(oracle, code, scenario):
    fit, given, held, tied = fit_of(code, TOGETHER[scenario], tol=1e-13, max_iter=5000)
    assert fit.converged_
    assert (np.diff(fit.trace_) >= -1e-9 * (1 + np.abs(fit.trace_[1:]))).all()
    weight, allowed = plain(given)
    mine = oracle.loglik(given["table"], weight, allowed, fit.weights_, fit.means_, fit.covariances_)
    assert fit.log_likelihood_ == pytest.approx(mine, rel=1e-12)
    # What is left to gain is at most 1e-13 nats a row, and slope^2 = 2 left times a curvature of the order of the rows.
    assert np.abs(slope_of(oracle, fit, given)).max() < 1e-3
    for name in ("weights", "means", "covariances"):
        value, known = getattr(fit, f"{name}_"), held.get(name, np.full((K, D), NAN))
        if name in held:
            np.testing.assert_array_equal(value[~np.isnan(known)], known[~np.isnan(known)])
    for name, ties in tied.items():
        value = getattr(fit, f"{name}_")
        for tie in np.unique(ties):
            np.testing.assert_array_equal(value[ties == tie], np.broadcast_to(value[ties == tie][0], value[ties == tie].shape))
    resp = fit.predict_proba(given["table"], y=given["y"], labels=given["labels"])
    np.testing.assert_array_equal(resp[~allowed], 0.0)
    np.testing.assert_array_equal(resp[allowed.sum(axis=1) == 1].max(axis=1), 1.0)
    np.testing.assert_allclose(resp.sum(axis=1), 1.0, rtol=1e-12)


def test_a_slope_is_seen(oracle):
    """The control: one pass after the start the likelihood still climbs."""
    with pytest.warns(estep.ConvergenceWarning):
        fit, given, _, _ = fit_of("VVV", TOGETHER["tied"], max_iter=2)
    assert np.abs(slope_of(oracle, fit, given)).max() > 0.1


@pytest.mark.filterwarnings("ignore::estep.ConvergenceWarning")
@pytest.mark.parametrize("bound", [False, True], ids=["free", "bound"])
@pytest.mark.parametrize("code", CODES)
def test_weight_two_is_seen_twice(code, bound):
    """The same number of passes over weighted rows and over rows written out; iterative M-steps keep half of the digits."""
    rtol, atol = (1e-9, 1e-6) if bound or code in ("EVE", "VVE") else (1e-12, 1e-9)
    settings = {"accelerate": "none", "max_iter": 12, "tol": 0}
    scenario = {**TOGETHER["tied"], "fixed": bound, "tied": bound}
    weighted = fit_of(code, scenario, **settings)[0]
    times = WEIGHT.astype(int)
    written = {**scenario, "table": np.repeat(X, times, axis=0), "labels": np.repeat(SETS, times, axis=0), "weight": None}
    repeated = fit_of(code, written, **settings)[0]
    assert weighted.n_iter_ == repeated.n_iter_ == 12
    np.testing.assert_allclose(weighted.trace_, repeated.trace_, rtol=rtol)
    np.testing.assert_allclose(weighted.means_, repeated.means_, atol=atol)
    np.testing.assert_allclose(weighted.weights_, repeated.weights_, atol=atol)
    for criterion in ("bic", "aic", "icl", "icl_entropy"):
        one = getattr(weighted, criterion)(X, sample_weight=WEIGHT, labels=SETS)
        assert one == pytest.approx(getattr(repeated, criterion)(written["table"], labels=written["labels"]), rel=1e-9)


def free_of(code, k):
    """Free parameters of ``k`` covariances: volume, shape, orientation, each once if equal and k times if varying."""
    copies = {"E": 1, "V": k, "I": 0}
    return copies[code[0]] + copies[code[1]] * (D - 1) + copies[code[2]] * D * (D - 1) // 2


@pytest.mark.parametrize("code", CODES)
def test_degrees_of_freedom(code):
    fit = fit_of(code, {}, max_iter=2000)[0]
    assert fit.result_.n_free == (K - 1) + K * D + free_of(code, K)
    # One weight held: the other two share what is left. Two means held, two pairs tied. Two covariances share one.
    fit = fit_of(code, TOGETHER["tied"], max_iter=2000)[0]
    assert fit.result_.n_free == 1 + (K * D - 2 - 2) + free_of(code, 2)
    fit = fit_of(code, TOGETHER["held"], max_iter=2000)[0]
    assert fit.result_.n_free == 1 + (K * D - 2) + free_of(code, 2)
    n = float(WEIGHT.sum())
    expected = -2 * fit.log_likelihood_ + fit.result_.n_free * np.log(n)
    assert fit.bic(X, CLASSES, sample_weight=WEIGHT) == pytest.approx(expected, rel=1e-12)


# ---- single entries of variances -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["diag", "VVI"])
def test_single_variances(oracle, name):
    """Where variances are independent of one another each may be fixed or tied on its own."""
    variances = np.array([[1.2, NAN, NAN], [NAN, NAN, 0.8], [NAN, NAN, NAN]])
    ties = np.array([[0, 1, 2], [3, 1, 4], [5, 6, 7]])
    fixed = {"covariances": variances if name == "diag" else variances[:, :, None] * np.eye(D)}
    if name == "VVI":
        fixed["covariances"] = np.where(np.eye(D, dtype=bool), variances[:, :, None], 0.0)
    init = {"means": start_of("VVI", {})["means"]}
    constraints = {"init": init, "fixed": fixed, "tied": {"covariances": ties}}
    fit = estep.GaussianMixture(K, covariance_type=name, tol=1e-13, prior=None, **constraints)
    fit.fit(X, CLASSES, sample_weight=WEIGHT)
    found = fit.covariances_ if name == "diag" else np.diagonal(fit.covariances_, axis1=1, axis2=2)
    np.testing.assert_array_equal(found[~np.isnan(variances)], variances[~np.isnan(variances)])
    assert found[0, 1] == found[1, 1]
    assert fit.result_.n_free == (K - 1) + K * D + (K * D - 2 - 1)
    given = {"table": X, "weight": WEIGHT, "y": CLASSES, "labels": None}
    assert np.abs(slope_of(oracle, fit, given)).max() < 1e-3


# ---- noise and hard assignment too ---------------------------------------------------------------------------------


def test_noise_with_everything():
    noisy = np.vstack([X, np.random.default_rng(8).uniform(-6, 9, size=(12, D))])
    weight = np.concatenate([WEIGHT, np.ones(12)])
    classes = np.concatenate([CLASSES, np.full(12, -1)])
    fixed = {"weights": np.array([NAN, NAN, 0.2, NAN]), "means": FIXED["means"]}
    fit = estep.GaussianMixture(
        K, covariance_type="EEE", noise=True, fixed=fixed, tied={"means": TIED["means"]}, random_state=0, prior=None, tol=1e-12
    ).fit(noisy, classes, sample_weight=weight)
    assert fit.converged_
    assert fit.weights_.shape == (K + 1,)
    assert fit.weights_[2] == 0.2
    assert (fit.means_[0, 1], fit.means_[2, 2]) == (0.1, 4.2)
    assert fit.means_[0, 2] == fit.means_[1, 2]
    labelled = fit.predict(noisy, y=classes)[classes >= 0]
    np.testing.assert_array_equal(labelled, classes[classes >= 0])
    assert (fit.predict(noisy)[N:] == -1).sum() >= 6
    # Three weights share 0.8, 9 means less 4, one covariance, one volume.
    assert fit.result_.n_free == 2 + 5 + 6 + 1


@pytest.mark.parametrize("code", ["VVV", "EEE", "VEI"])
def test_hard_assignment_with_everything(oracle, code):
    """Classification EM under the same rows and constraints: the classification likelihood never falls."""
    fit, given, held, tied = fit_of(code, TOGETHER["tied"], algorithm="cem")
    assert fit.converged_
    assert (np.diff(fit.trace_) >= -1e-9 * (1 + np.abs(fit.trace_[1:]))).all()
    weight, allowed = plain(given)
    best = [oracle.log_joint(x, a, fit.weights_, fit.means_, fit.covariances_).max() for x, a in zip(X, allowed, strict=True)]
    assert fit.objective_ == pytest.approx(float(np.dot(weight, best)), rel=1e-12)
    assert fit.weights_[2] == 0.3
    np.testing.assert_array_equal(fit.covariances_[0], fit.covariances_[2])
