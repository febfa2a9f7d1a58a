"""Mixtures of counts and answers from a given start: after a number of EM steps, at convergence, and accelerated.

Values: ``cases.json`` (their sources are named there): death notices of the Times (Hasselblad 1969) as two Poissons, two coins
(Do & Batzoglou 2008), latent classes of Stouffer & Toby (1951) and of the carcinoma slides of Landis & Koch (1977).
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import gammaln

import estep

HERE = Path(__file__).parent
GOLDEN = {case["id"]: case for case in json.loads((HERE / "cases.json").read_text(encoding="utf-8"))}
ELSEWHERE = HERE.parents[1].parent / "shared" / "golden" / "data"  # figures that are not the project's to copy


def frame(case):
    name = Path(case["data"][0]).name
    for folder in (HERE / "data", ELSEWHERE):
        if (folder / name).exists():
            return pd.read_csv(folder / name)
    pytest.skip(f"{name} is not shipped with the project, and is not beside it")


def steps(family, k, X, count=20_000, sample_weight=None, **settings):
    """The mixture after ``count`` EM steps at most; a cap that is meant warns, and that is as it should be."""
    mixture = estep.Mixture(family, k, max_iter=count, tol=1e-14, **{"accelerate": "none", **settings})
    if count < 20_000:
        with pytest.warns(estep.ConvergenceWarning):
            return mixture.fit(X, sample_weight=sample_weight)
    return mixture.fit(X, sample_weight=sample_weight)


# --- death notices: two Poissons ---

DEATHS = GOLDEN["mix-poisson-death-notices"]


def death_notices(count=20_000, **settings):
    table = frame(DEATHS)
    init = {"weights": DEATHS["init"]["weights"], "rates": DEATHS["init"]["rates"]}
    return steps(estep.Poisson(), 2, table[["deaths"]], count, table["days"], init=init, **settings)


@pytest.mark.parametrize("count", [1, 2, 3, 10, 100])
def test_death_notices_after_a_number_of_steps(count):
    fit = death_notices(count)
    found = [fit.weights_[0], *fit.rates_[:, 0]]
    np.testing.assert_allclose(found, DEATHS["expected"]["iterates"][str(count)], atol=DEATHS["tolerance"]["iterates_abs"])


@pytest.mark.parametrize("accelerate", ["none", "squarem", "anderson", "auto"])
def test_death_notices_converged(accelerate):
    fit = death_notices(accelerate=accelerate)
    expected, tolerance = DEATHS["expected"], DEATHS["tolerance"]
    found = [fit.weights_[0], *fit.rates_[:, 0]]
    np.testing.assert_allclose(found, expected["mle_weight_rate1_rate2"], atol=tolerance["mle_abs"])
    assert fit.log_likelihood_ == pytest.approx(expected["loglik"], abs=tolerance["loglik_abs"])


@pytest.mark.parametrize("accelerate", ["squarem", "anderson"])
def test_acceleration_takes_less_than_a_tenth_of_the_passes(accelerate):
    expected = GOLDEN["em-accel-squarem-death-notices"]["expected"]["squarem_scheme_3"]
    fit = death_notices(accelerate=accelerate)
    assert fit.n_iter_ < 0.1 * death_notices().n_iter_
    assert -fit.log_likelihood_ == pytest.approx(expected["objective"], abs=1e-8)
    np.testing.assert_allclose([fit.weights_[0], *fit.rates_[:, 0]], expected["par"], atol=1e-5)


def test_days_written_out_are_the_same_as_days_counted():
    table = frame(DEATHS)
    rows = np.repeat(table[["deaths"]].to_numpy(), table["days"], axis=0)
    init = {"weights": DEATHS["init"]["weights"], "rates": DEATHS["init"]["rates"]}
    written = steps(estep.Poisson(), 2, rows, 10, init=init)
    np.testing.assert_allclose(written.rates_, death_notices(10).rates_, rtol=1e-12)  # sums in another order


# --- two coins: binomial, equal weights held ---

COINS = GOLDEN["em-two-coins"]


def two_coins(count=20_000, trials=10, X=None):
    heads = frame(COINS)[["heads"]] if X is None else X
    settings = {"fixed": {"weights": [0.5, 0.5]}, "init": {"probs": COINS["init"]["theta"], "weights": [0.5, 0.5]}}
    return steps(estep.Binomial(trials), 2, heads, count, **settings)


def sequences(heads):
    """The log of how many sequences of ten tosses have so many heads: the case leaves it out of its likelihood."""
    return float((gammaln(11) - gammaln(heads + 1) - gammaln(11 - heads)).sum())


@pytest.mark.parametrize(("count", "name"), [(1, "theta_after_1"), (2, "theta_after_2"), (10, "theta_after_10")])
def test_two_coins_after_a_number_of_steps(count, name):
    np.testing.assert_allclose(two_coins(count).probs_[:, 0], COINS["expected"][name], atol=COINS["tolerance"]["abs"])


def test_two_coins_converged():
    fit, heads = two_coins(), frame(COINS)["heads"].to_numpy()
    np.testing.assert_allclose(fit.probs_[:, 0], COINS["expected"]["theta_converged"], atol=1e-8)  # where EM stops moving
    assert fit.log_likelihood_ - sequences(heads) == pytest.approx(COINS["expected"]["loglik_converged"], abs=1e-9)
    assert fit.trace_[0] - sequences(heads) == pytest.approx(COINS["expected"]["loglik_initial"], abs=1e-9)
    np.testing.assert_array_equal(fit.weights_, 0.5)


def test_two_coins_with_trials_read_from_the_table():
    table = frame(COINS)
    found = two_coins(10, "columns", table[["heads", "tosses"]])
    np.testing.assert_allclose(found.probs_, two_coins(10).probs_, rtol=1e-12)


def test_the_first_responsibilities_of_the_two_coins():
    family = estep.Binomial(10)
    heads = frame(COINS)[["heads"]].to_numpy(dtype=float)
    from estep.families.binomial import BinomialParams

    logb = family.log_density(BinomialParams(np.array(COINS["init"]["theta"])[:, None]), family.encode(heads))
    resp = np.exp(logb) / np.exp(logb).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(resp[:, 0], COINS["expected"]["responsibility_A_first_estep"], atol=1e-9)


# --- latent classes ---

CLASSES = ("lca-stouffer-toby", "lca-carcinoma-2", "lca-carcinoma-3")
FAMILIES = {"categorical": estep.Categorical, "bernoulli": estep.Bernoulli}


def latent_classes(case, family, count=20_000, **settings):
    table = frame(case)
    answers = table.drop(columns="count") - 1
    probs = np.array(case["init"]["item_prob_category2"]).T
    init = {"weights": case["init"]["class_shares"], "probs": probs}
    fit = steps(FAMILIES[family](), len(probs), answers, count, table["count"], init=init, **settings)
    return fit, (fit.probs_[..., 1] if fit.probs_.ndim == 3 else fit.probs_).T


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", CLASSES)
def test_latent_classes_after_one_step(name, family):
    case = GOLDEN[name]
    fit, probs = latent_classes(case, family, 1)
    expected, tolerance = case["expected"]["after_1"], case["tolerance"]["after_1_abs"]
    np.testing.assert_allclose(fit.weights_, expected["class_shares"], atol=tolerance)
    np.testing.assert_allclose(probs, expected["item_prob_category2"], atol=tolerance)
    assert fit.log_likelihood_ == pytest.approx(expected["loglik"], abs=1e-8)
    assert fit.trace_[0] == pytest.approx(case["expected"]["loglik_initial"], abs=1e-8)


@pytest.mark.parametrize("accelerate", ["none", "auto"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", CLASSES)
def test_latent_classes_converged(name, family, accelerate):
    case = GOLDEN[name]
    fit, probs = latent_classes(case, family, accelerate=accelerate)
    expected, tolerance = case["expected"], case["tolerance"]
    assert fit.log_likelihood_ == pytest.approx(expected["loglik"], abs=tolerance["loglik_abs"])
    np.testing.assert_allclose(fit.weights_, expected["class_shares"], atol=tolerance["parameters_abs"])
    np.testing.assert_allclose(probs, expected["item_prob_category2"], atol=tolerance["parameters_abs"])
    assert fit.result_.n_free == expected["n_parameters"]


@pytest.mark.parametrize("name", CLASSES)
def test_criteria_of_latent_classes(name):
    case = GOLDEN[name]
    fit, _ = latent_classes(case, "categorical")
    table = frame(case)
    answers = table.drop(columns="count") - 1
    for criterion in ("aic", "bic"):
        value = getattr(fit, criterion)(answers, sample_weight=table["count"])
        assert value == pytest.approx(case["expected"][criterion], abs=2 * case["tolerance"]["loglik_abs"])


def test_answers_coded_from_one_are_the_same_classes():
    case = GOLDEN["lca-stouffer-toby"]
    table = frame(case)
    answers, probs = table.drop(columns="count"), np.array(case["init"]["item_prob_category2"]).T
    init = {"weights": case["init"]["class_shares"], "probs": probs}
    fit = steps(estep.Categorical(), 2, answers, 5, table["count"], init=init)
    np.testing.assert_array_equal(fit.probs_, latent_classes(case, "categorical", 5)[0].probs_)
