"""The laws of a model on normal mixtures: structures, gaps, constraints, weights and labels, alone and all together."""

import functools

import numpy as np
import pytest

from estep.core.support import Constraints
from estep.data.memory import Memory
from estep.families.covariance import CODES
from estep.families.normal import Normal
from estep.families.normal_density import NormalParams
from estep.models.latent import Latent, LatentParams
from estep.structures.iid import Iid, IidParams
from estep.testing import MODEL_LAWS, check_model, model_case
from estep.testing import model as laws

K, D, N = 3, 2, 36
LABELS = np.repeat(np.arange(K), N // K)
WEIGHT = np.random.default_rng(5).uniform(0.3, 2.5, size=N)
ALLOWED = np.where(np.arange(N) % 5 == 0, LABELS, -1)
SETS = np.random.default_rng(6).random((N, K)) < 0.6
SETS[np.arange(N), LABELS] = True

CARRIED = {
    "plain": {},
    "weights": {"weight": WEIGHT},
    "labels": {"allowed": ALLOWED},
    "weights and sets of labels": {"weight": WEIGHT, "allowed": SETS},
}
CONSTRAINTS = {
    "free": (),
    "fixed means": ("fixed means",),
    "tied means": ("tied means",),
    "fixed covariance": ("fixed covariance",),
    "tied covariances": ("tied covariances",),
    "weights": ("weights",),
    "everything": ("fixed means", "tied means", "fixed covariance", "tied covariances", "weights"),
}
QUICK = (
    laws.support_goes_there_and_back,
    laws.chunks_do_not_matter,
    laws.score_is_the_slope_of_the_likelihood,
    laws.mstep_maximises_q,
    laws.weight_two_is_seen_twice,
    laws.constraints_hold,
)
ALL_BUT_RESUMED = tuple(law for law in MODEL_LAWS if law is not laws.resumes_to_the_bit)
PRIOR = (("weights", 1.5),)


def rows(gaps):
    rng = np.random.default_rng(1)
    mixing = np.array([[[1.0, 0.4], [0.0, 0.7]], [[0.6, 0.0], [-0.3, 1.2]], [[1.5, 0.0], [0.5, 0.5]]])
    x = np.einsum("nij,nj->ni", mixing[LABELS], rng.normal(size=(N, D))) + 2.0 * LABELS[:, None] * [1.0, -0.5]
    x[rng.random(x.shape) < (0.2 if gaps else 0.0)] = np.nan
    return x


def constrained(code, names, params):
    """``params`` changed to obey the named constraints, and the constraints."""
    means, covariances, weights = params.family.means.copy(), params.family.covariances.copy(), params.structure.weights
    numbers = {"means": np.arange(K * D).reshape(K, D), "covariances": np.arange(K)}
    if code == "VVI":
        numbers["covariances"] = np.arange(K * D).reshape(K, D)
    fixed, tied = {}, {}
    if "fixed means" in names:
        means[0, 0] = 0.1
        fixed["means"] = np.where(numbers["means"] == 0, 0.1, np.nan)
    if "tied means" in names:
        means[2, 1] = means[1, 1]
        tied["means"] = np.where(numbers["means"] == 2 * D + 1, D + 1, numbers["means"])
    if "fixed covariance" in names:
        fixed["covariances"] = np.full_like(covariances, np.nan)
        fixed["covariances"][0] = covariances[0]
    if "tied covariances" in names:
        covariances[2] = covariances[1]
        tied["covariances"] = np.array([numbers["covariances"][i] for i in (0, 1, 1)])
    if "weights" in names:
        weights = np.array([0.2, 0.4, 0.4])
        fixed["weights"], tied["weights"] = np.array([0.2, np.nan, np.nan]), np.array([0, 1, 1])
    return LatentParams(IidParams(weights), NormalParams(means, covariances)), Constraints(fixed, tied)


@functools.cache
def labelled(code, gaps):
    """Parameters of the true clusters: away from the optimum of any other data, and with unlike components."""
    case = model_case(Latent(Iid(), Normal(code), K), rows(gaps), allowed=LABELS)
    return case.model.mstep(case.expected().stats, case.params)


@functools.cache
def case(code, gaps=False, constraints="free", carried="plain", prior=None):
    x, settings = rows(gaps), CARRIED[carried]
    params, held = constrained(code, CONSTRAINTS[constraints], labelled(code, gaps))
    model = Latent(Iid(), Normal(code), K, constraints=held)
    if prior is not None:
        model = model.bind(Memory(x, **settings)).with_prior(dict(prior))
    return model_case(model, x, params=params, **settings)


def check(laws_to_check, case_to_check):
    for law in laws_to_check:
        law(case_to_check)


# --- alone ---


@pytest.mark.parametrize("law", MODEL_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("code", CODES)
def test_law(code, law):
    law(case(code))


def each_constraint():
    """Every structure with every constraint, on complete rows and on rows with gaps in turn; the other half is slow."""
    names = [name for name in CONSTRAINTS if name not in ("free", "everything")]
    for i, code in enumerate(CODES):
        for j, constraints in enumerate(names):
            for gaps in (False, True):
                carried = list(CARRIED)[(i + j + 1 + gaps + (i + j) // 2) % len(CARRIED)]
                marks = () if gaps == (i + j) % 2 else pytest.mark.slow
                words = "-".join((code, constraints, "missing" if gaps else "complete"))
                yield pytest.param(code, constraints, gaps, carried, id=words, marks=marks)


@pytest.mark.parametrize("code, constraints, gaps, carried", list(each_constraint()))
def test_each_constraint(code, constraints, gaps, carried):
    check(QUICK, case(code, gaps, constraints, carried))


@pytest.mark.parametrize("gaps", [False, True], ids=["complete", "missing"])
@pytest.mark.parametrize("carried", CARRIED)
@pytest.mark.parametrize("code", ["EEI", "VVV"])
def test_what_rows_carry(code, carried, gaps):
    check(ALL_BUT_RESUMED, case(code, gaps, "free", carried))


# --- all together ---


@pytest.mark.parametrize("code", CODES)
def test_missing_values_constraints_weights_labels_and_a_prior_together(code):
    check(ALL_BUT_RESUMED, case(code, True, "everything", "weights and sets of labels", PRIOR))


@pytest.mark.parametrize("code", ["VVI", "VVE", "VVV"])
def test_all_together_resumes_to_the_bit(code):
    laws.resumes_to_the_bit(case(code, True, "everything", "weights and sets of labels", PRIOR))


@pytest.mark.parametrize("code", ["VVV", "EII"])
def test_classification_em(code):
    check_model(Latent(Iid(), Normal(code), K), rows(True), how="cem", params=labelled(code, True), weight=WEIGHT)


@pytest.mark.parametrize("code", ["VII", "VVV"])
def test_equal_weights_as_in_k_means(code):
    check_model(Latent(Iid(equal=True), Normal(code), K), rows(False), params=labelled(code, False), allowed=ALLOWED)
