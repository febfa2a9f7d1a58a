"""Hidden Markov models from given starts: other software, published figures, and worked examples.

Values: ``cases.json`` names the source of each (hmmlearn 0.3.3, R's HMM and depmixS4, Zucchini & MacDonald 2009, Durbin et al.
1998, Eisner 2002). The umbrella is Russell & Norvig (2010, Artificial Intelligence, section 15.2), the healthy and feverish
patient the example of the Viterbi algorithm in many courses; both are checked here by hand-written sums besides. The counts of
earthquakes are those of Zucchini & MacDonald (2009), table 1.1.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import estep
from estep.estimators.warnings import ConvergenceWarning

HERE = Path(__file__).parent
GOLDEN = {case["id"]: case for case in json.loads((HERE / "cases.json").read_text(encoding="utf-8"))}
ELSEWHERE = HERE.parents[1].parent / "shared" / "golden" / "data"  # figures that are not the project's to copy
QUAKES = np.fromstring(
    """
    13 14 8 10 16 26 32 27 18 32 36 24 22 23 22 18 25 21 21 14 8 11 14 23 18 17 19 20 22 19 13 26 13 14 22 24 21 22 26 21
    23 24 27 41 31 27 35 26 28 36 39 21 17 22 17 19 15 34 10 15 22 18 15 20 15 22 19 16 30 27 29 23 20 16 21 21 25 16 18 15
    18 14 10 15 8 15 6 11 8 7 18 16 13 12 13 20 15 16 12 18 15 16 13 15 16 11 11
    """,
    sep=" ",
)[:, None]


def frame(case):
    name = Path(case["data"][0]).name
    for folder in (HERE / "data", ELSEWHERE):
        if (folder / name).exists():
            return pd.read_csv(folder / name)
    pytest.skip(f"{name} is not shipped with the project, and is not beside it")


def after(model, X, count, **rows):
    """``model`` after ``count`` EM steps; a cap that is meant warns, and that is as it should be."""
    model.set_params(max_iter=count, tol=0.0, accelerate="none", prior=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, **rows)


# --- categories: casino, ice cream ---


def casino():
    case = GOLDEN["hmm-casino-decode"]
    loaded = [0.1] * 5 + [0.5]
    init = {"startprob": [0.5, 0.5], "transmat": [[0.95, 0.05], [0.1, 0.9]], "probs": [[[1 / 6] * 6], [loaded]]}
    return case, frame(case)[["roll"]], init


def test_casino_decoding():
    case, rolls, init = casino()
    fit = after(estep.CategoricalHMM(2, init=init), rolls, 0)
    expected = case["expected"]
    assert fit.log_likelihood_ == pytest.approx(expected["loglik"], abs=1e-8)
    path, value = fit.decode(rolls)
    assert "".join("FL"[state] for state in path) == expected["viterbi_path"]
    assert value == pytest.approx(expected["viterbi_log_joint"], abs=1e-8)
    np.testing.assert_allclose(fit.predict_proba(rolls)[:, 1], expected["posterior_loaded"], atol=1e-10)


@pytest.mark.parametrize("count", [1, 10, 100, 400])
def test_casino_baum_welch(count):
    case = GOLDEN["hmm-casino-baum-welch"]
    _, rolls, init = casino()
    fit, expected = after(estep.CategoricalHMM(2, init=init), rolls, count), case["expected"][f"iteration_{count}"]
    atol = {1: 1e-9, 10: 1e-8, 100: 1e-6, 400: 1e-5}[count]
    np.testing.assert_allclose(fit.startprob_, expected["start"], atol=atol)
    np.testing.assert_allclose(fit.transmat_, expected["transition"], atol=atol)
    np.testing.assert_allclose(fit.probs_[:, 0], expected["emission"], atol=atol)
    assert fit.log_likelihood_ == pytest.approx(expected["loglik"], abs=max(atol, 1e-8))


def ice_cream(end):
    case = GOLDEN["hmm-ice-cream" if end else "hmm-ice-cream-no-stop"]
    start = case["init"]
    moves = np.array(start["transition"])
    moves = np.hstack([moves, np.array(start["stop"])[:, None]]) if end else moves
    init = {"startprob": start["start"], "transmat": moves, "probs": np.array(start["emission"])[:, None]}
    return case, frame(case)[["cones"]], estep.CategoricalHMM(2, end=end, init=init)


def test_ice_cream_with_an_end_state():
    case, diary, model = ice_cream(True)
    fit, expected = after(model, diary, 0), case["expected"]
    assert np.exp(fit.log_likelihood_) == pytest.approx(expected["probability_of_data"], rel=1e-9)
    np.testing.assert_allclose(fit.predict_proba(diary)[:, 1], expected["posterior_hot"], atol=1e-10)
    assert "".join("CH"[state] for state in fit.predict(diary)) == expected["viterbi"]


@pytest.mark.parametrize("count", [1, 10, 100])
def test_ice_cream_re_estimation_with_an_end_state(count):
    case, diary, model = ice_cream(True)
    fit, expected = after(model, diary, count), case["expected"][f"after_{count}"]
    atol = {1: 1e-9, 10: 1e-7, 100: 1e-5}[count]
    np.testing.assert_allclose(fit.startprob_, expected["start"], atol=atol)
    np.testing.assert_allclose(fit.transmat_[:, :2], expected["transition_to_C_H"], atol=atol)
    np.testing.assert_allclose(fit.transmat_[:, 2], expected["stop"], atol=atol)
    np.testing.assert_allclose(fit.probs_[:, 0], expected["emission_1_2_3"], atol=atol)
    assert fit.log_likelihood_ == pytest.approx(expected["loglik"], abs=atol)


@pytest.mark.parametrize("count", [1, 10, 50])
def test_ice_cream_re_estimation(count):
    case, diary, model = ice_cream(False)
    fit, expected = after(model, diary, count), case["expected"][f"after_{count}"]
    atol = {1: 1e-9, 10: 1e-8, 50: 1e-7}[count]
    np.testing.assert_allclose(fit.startprob_, expected["start"], atol=atol)
    np.testing.assert_allclose(fit.transmat_, expected["transition"], atol=atol)
    np.testing.assert_allclose(fit.probs_[:, 0], expected["emission"], atol=atol)
    assert fit.log_likelihood_ == pytest.approx(expected["loglik"], abs=atol)


# --- normal rows: reaction times ---


def speed(**settings):
    case = GOLDEN["hmm-speed-gaussian"]
    init = {
        "startprob": [0.5, 0.5],
        "transmat": [[0.9, 0.1], [0.1, 0.9]],
        "means": [[5.5], [6.5]],
        "covariances": [[[0.1]], [[0.1]]],
    }
    return case, frame(case), estep.GaussianHMM(2, init=init, **settings)


@pytest.mark.parametrize("count", [1, 20])
def test_reaction_times_in_three_series(count):
    case, table, model = speed()
    fit = after(model, table[["rt"]], count, sequence=table["series"].to_numpy())
    expected = case["expected"][f"after_{count}"]
    np.testing.assert_allclose(fit.startprob_, expected["start"], atol=1e-8)
    np.testing.assert_allclose(fit.transmat_, expected["transition"], atol=1e-8)
    np.testing.assert_allclose(fit.means_[:, 0], expected["means"], atol=1e-8)
    np.testing.assert_allclose(fit.covariances_[:, 0, 0], expected["variances"], atol=1e-8)
    assert fit.log_likelihood_ == pytest.approx(expected["loglik"], abs=1e-8)


def test_reaction_times_converged_and_joined():
    case, table, model = speed(tol=1e-12)
    expected = case["expected"]["converged"]
    fit = model.fit(table, sequence="series")
    assert fit.log_likelihood_ == pytest.approx(expected["loglik"], abs=1e-7)
    np.testing.assert_allclose(fit.means_[:, 0], expected["means"], atol=1e-4)
    first = table["series"] == table["series"].iloc[0]
    path = fit.predict(table[["rt"]][first.to_numpy()])
    assert "".join("12"[state] for state in path) == case["expected"]["viterbi_series_1"]
    apart, joined = fit.log_likelihood_, model.fit(table[["rt"]])
    assert joined.log_likelihood_ == pytest.approx(case["published"]["joined_as_one_series_converged"]["loglik"], abs=1e-4)
    assert joined.log_likelihood_ < apart - 4  # joining the series is another model


# --- counts: earthquakes ---


@pytest.mark.parametrize("count", [0, 1, 2, 30, 50, 500])
def test_earthquakes_iteration_by_iteration(count):
    case = GOLDEN["hmm-earthquakes-2"]
    init = {"startprob": [0.5, 0.5], "transmat": [[0.9, 0.1], [0.1, 0.9]], "rates": [10.0, 30.0]}
    fit, expected = after(estep.PoissonHMM(2, init=init), QUAKES, count), case["expected"]["iterates"][str(count)]
    found = [fit.transmat_[0, 1], fit.transmat_[1, 0], *fit.rates_[:, 0], fit.startprob_[0], -fit.log_likelihood_]
    np.testing.assert_allclose(found, list(expected.values()), atol=case["tolerance"]["iterates_abs"])
    if count == 500:
        path, value = fit.decode(QUAKES)
        assert "".join("12"[state] for state in path) == case["expected"]["viterbi_at_convergence_states_1_2"]
        assert value == pytest.approx(case["expected"]["viterbi_log_joint"], abs=1e-6)


@pytest.mark.parametrize(
    ("states", "minus_loglik", "rates"),
    [(1, 391.91893, [19.36449]), (2, 341.8787010, [15.42077, 26.01825]), (3, 328.5274834, [13.13376, 19.71316, 29.70972])],
)
def test_earthquakes_from_our_own_starts(states, minus_loglik, rates):
    """The best maxima of one to three states (Zucchini & MacDonald 2009, table 3.1 and section 4.2) are found unaided."""
    fit = estep.PoissonHMM(states, random_state=0, tol=1e-11).fit(QUAKES)
    assert -fit.log_likelihood_ == pytest.approx(minus_loglik, abs=1e-5)
    np.testing.assert_allclose(np.sort(fit.rates_[:, 0]), rates, atol=2e-4)
    assert fit.result_.n_free == states * states - 1 + states


def test_four_states_of_earthquakes_are_no_worse_than_three():
    three, four = (estep.PoissonHMM(k, random_state=0).fit(QUAKES) for k in (3, 4))
    assert four.log_likelihood_ > three.log_likelihood_
    assert four.bic(QUAKES) > three.bic(QUAKES)


# --- textbooks ---


def known(model, **values):
    """The model with these parameters, as they are."""
    return model.set_params(init=values, max_iter=0)


def test_umbrella():
    umbrella = np.array([1.0, 1.0, 0.0, 1.0, 1.0])[:, None]
    model = known(
        estep.HMM(estep.Bernoulli(), 2), startprob=[0.5, 0.5], transmat=[[0.7, 0.3], [0.3, 0.7]], probs=[[0.9], [0.2]]
    )
    fit = after(model, umbrella, 0)
    smoothed = [0.86734, 0.82042, 0.30748, 0.82042, 0.86734]
    np.testing.assert_allclose(fit.predict_proba(umbrella)[:, 0], smoothed, atol=5e-6)
    seen, found = fit.filter(), []
    for x in umbrella:
        found.append(seen.update(x)[0])
    np.testing.assert_allclose(found, [0.81818, 0.88336, 0.19067, 0.73079, 0.86734], atol=5e-6)
    assert fit.filter(umbrella).states[0] == pytest.approx(found[-1], rel=1e-12)
    np.testing.assert_allclose(fit.forecast(umbrella, 1).states[0, 0], 0.7 * found[-1] + 0.3 * (1 - found[-1]), rtol=1e-12)


def test_healthy_or_feverish():
    visits = np.array(["normal", "cold", "dizzy"])[:, None]
    probs = [[[0.4, 0.1, 0.5]], [[0.3, 0.6, 0.1]]]  # cold, dizzy, normal
    model = estep.CategoricalHMM(2)
    fit = after(known(model, startprob=[0.6, 0.4], transmat=[[0.7, 0.3], [0.4, 0.6]], probs=probs), visits, 0)
    assert np.exp(fit.log_likelihood_) == pytest.approx(0.03628, abs=1e-12)
    path, value = fit.decode(visits)
    assert path.tolist() == [0, 0, 1]
    assert np.exp(value) == pytest.approx(0.01512, abs=1e-12)


LEFT_TO_RIGHT = np.array([0.1, 0.3, 1.6, 0.7, 2.6, 2.9, 3.2])[:, None]


@pytest.mark.parametrize(
    ("stay", "sigmas", "path"),
    [
        (0.3, (0.05, 0.3, 0.5, 0.8), "1111222"),
        (0.3, (1.0, 1.5), "1122222"),
        (0.3, (2.0, 3.0, 5.0, 10.0, 100.0), "1222222"),
        (0.4, (1.0,), "1111222"),
        (0.4, (1.5,), "1122222"),
        (0.4, (2.0,), "1222222"),
    ],
)
def test_left_to_right_between_data_and_prior(stay, sigmas, path):
    """With small noise the rows decide when to leave the first state, with large noise the chain does."""
    for sigma in sigmas:
        model = known(
            estep.GaussianHMM(2, covariance_type="tied", topology="left-to-right"),
            startprob=[1.0, 0.0],
            transmat=[[stay, 1 - stay], [0.0, 1.0]],
            means=[[0.0], [3.0]],
            covariances=[[sigma**2]],
        )
        fit = after(model, LEFT_TO_RIGHT, 0)
        assert "".join("12"[state] for state in fit.predict(LEFT_TO_RIGHT)) == path
        if sigma == 100.0 and stay == 0.3:
            expected = [1, 0.3001, 0.0900, 0.0270, 0.0081, 0.0024, 0.0007]
            np.testing.assert_allclose(fit.predict_proba(LEFT_TO_RIGHT)[:, 0], expected, atol=6e-5)


# --- hmmlearn from the same start ---

try:
    from hmmlearn import hmm
except ImportError:
    hmm = None
beside_hmmlearn = pytest.mark.skipif(hmm is None, reason="hmmlearn is not installed")
START, MOVES = np.array([0.5, 0.3, 0.2]), np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6]])


def rows(d=2, n=(60, 90, 1, 49)):
    rng = np.random.default_rng(d)
    labels = np.repeat(rng.integers(3, size=sum(n) // 10), 10)
    centres = 2.5 * rng.normal(size=(3, d))
    return centres[labels] + rng.normal(size=(sum(n), d)), list(n), centres + 0.3


def agree(theirs, ours, X, lengths, *names, count=10):
    """Iterations side by side: log-likelihoods to 1e-8 relative, then every parameter to 1e-8."""
    theirs.startprob_, theirs.transmat_ = START, MOVES
    theirs.n_iter, theirs.tol, theirs.init_params = count, -np.inf, ""
    theirs.fit(X, lengths)
    fit = after(ours, X, count, lengths=lengths)
    np.testing.assert_allclose(fit.trace_[:count], theirs.monitor_.history, rtol=1e-8)
    assert fit.log_likelihood_ > fit.trace_[0] + 1.0  # there was something to learn
    np.testing.assert_allclose(fit.startprob_, theirs.startprob_, atol=1e-8)
    np.testing.assert_allclose(fit.transmat_, theirs.transmat_, atol=1e-8)
    for own, other in names:
        np.testing.assert_allclose(getattr(fit, own), np.reshape(other(theirs), np.shape(getattr(fit, own))), atol=1e-8)
    return fit


@beside_hmmlearn
@pytest.mark.parametrize("implementation", ["log", "scaling"])
@pytest.mark.parametrize("kind", ["full", "diag", "spherical", "tied"])
def test_gaussian_rows_as_hmmlearn(kind, implementation):
    X, lengths, means = rows()
    theirs = hmm.GaussianHMM(3, covariance_type=kind, covars_prior=0, min_covar=0, implementation=implementation)
    shapes = {"full": np.tile(np.eye(2), (3, 1, 1)), "diag": np.ones((3, 2)), "spherical": np.ones(3), "tied": np.eye(2)}
    theirs.means_, theirs.covars_ = means, shapes[kind]
    init = {"startprob": START, "transmat": MOVES, "means": means, "covariances": shapes[kind]}
    ours = estep.GaussianHMM(3, covariance_type=kind, init=init)
    fit = agree(theirs, ours, X, lengths, ("means_", lambda t: t.means_))
    covars = theirs._covars_[:, 0] if kind == "spherical" else theirs._covars_
    np.testing.assert_allclose(fit.covariances_, covars, atol=1e-8)
    np.testing.assert_allclose(fit.predict_proba(X, lengths=lengths), theirs.predict_proba(X, lengths), atol=1e-8)
    assert fit.predict(X, lengths=lengths).tolist() == theirs.predict(X, lengths).tolist()
    assert fit.score(X, lengths=lengths) * len(X) == pytest.approx(theirs.score(X, lengths), rel=1e-10)


@beside_hmmlearn
def test_counts_as_hmmlearn():
    X, lengths, _ = rows()
    counts = np.random.default_rng(0).poisson(np.exp(0.5 * X))
    theirs = hmm.PoissonHMM(3, lambdas_prior=0, lambdas_weight=0)
    theirs.lambdas_ = rates = np.array([[1.0, 2.0], [3.0, 0.5], [6.0, 4.0]])
    ours = estep.PoissonHMM(3, init={"startprob": START, "transmat": MOVES, "rates": rates})
    agree(theirs, ours, counts, lengths, ("rates_", lambda t: t.lambdas_))


@beside_hmmlearn
def test_categories_as_hmmlearn():
    X, lengths, _ = rows()
    codes = np.digitize(X[:, :1], [-2.0, 0.0, 2.0])
    theirs = hmm.CategoricalHMM(3)
    theirs.emissionprob_ = probs = np.array([[0.4, 0.3, 0.2, 0.1], [0.25, 0.25, 0.25, 0.25], [0.1, 0.2, 0.3, 0.4]])
    ours = estep.CategoricalHMM(3, init={"startprob": START, "transmat": MOVES, "probs": probs[:, None]})
    agree(theirs, ours, codes, lengths, ("probs_", lambda t: t.emissionprob_))


@beside_hmmlearn
@pytest.mark.parametrize("kind", ["full", "diag", "spherical"])
def test_mixtures_within_states_as_hmmlearn(kind):
    """One step. hmmlearn 0.3.3 counts covariances about the means before the step, as the check of ``moved`` shows.

    Its step is thus no maximum of q in means and covariances together, and what follows it differs.
    """
    X, lengths, means = rows()
    theirs = hmm.GMMHMM(3, 2, covariance_type=kind, min_covar=0)
    theirs.weights_ = weights = np.array([[0.6, 0.4], [0.5, 0.5], [0.3, 0.7]])
    theirs.means_ = centres = np.stack([means - 0.7, means + 0.7], axis=1)
    shapes = {"full": np.tile(np.eye(2), (3, 2, 1, 1)), "diag": np.ones((3, 2, 2)), "spherical": np.ones((3, 2))}
    theirs.covars_ = shapes[kind]
    init = {"startprob": START, "transmat": MOVES, "mix_weights": weights, "means": centres, "covariances": shapes[kind]}
    ours = estep.GMMHMM(3, 2, covariance_type=kind, init=init)
    means_and_weights = ("means_", lambda t: t.means_), ("mix_weights_", lambda t: t.weights_)
    one = agree(theirs, ours, X, lengths, *means_and_weights, count=1)
    moved = one.means_ - centres
    extra = {
        "full": moved[..., :, None] * moved[..., None, :],
        "diag": moved**2,
        "spherical": (moved**2).mean(axis=-1),
    }
    np.testing.assert_allclose(theirs.covars_, one.covariances_ + extra[kind], atol=1e-8)
    assert np.abs(extra[kind]).max() > 1e-3
    fit = after(estep.GMMHMM(3, 2, covariance_type=kind, init=init), X, 20, lengths=lengths)
    assert (np.diff(fit.trace_) > 0).all()
