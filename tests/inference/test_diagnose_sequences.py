"""After the fit of every model of sequences: findings on planted cases, silence on clean ones, tables in their own words."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import estep
from estep.data.memory import Memory
from estep.inference import check_law
from estep.inference.check_classes import alike, told_apart
from estep.inference.diagnose import diagnose
from estep.inference.findings import Severity
from estep.inference.scene import see

P = np.array([[0.5, 0.25, 0.25], [0.5, 0.0, 0.5], [0.25, 0.25, 0.5]])


@pytest.fixture(autouse=True)
def _few_data_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The law is judged at one in twenty, by 19 data sets that are soon drawn."""
    monkeypatch.setattr(check_law, "ALARM", 0.05)


def quietly(call: Any, *rows: Any, **how: Any) -> Any:
    """What ``call`` gives, its warnings of estimates at ends left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*rows, **how)


# --- chains whose states are seen ---


def walks(seed: int, moves: Any, lengths: tuple[int, ...], names: str = "abcdef") -> list[list[str]]:
    rng, found = np.random.default_rng(seed), []
    for length in lengths:
        state = int(rng.integers(len(moves)))
        path = [names[state]]
        for _ in range(length - 1):
            state = int(rng.choice(len(moves), p=moves[state]))
            path.append(names[state])
        found.append(path)
    return found


def test_a_clean_chain_has_nothing_but_its_ends() -> None:
    moves = np.array([[0.5, 0.25, 0.25], [0.4, 0.2, 0.4], [0.25, 0.25, 0.5]])
    paths = walks(0, moves, (200, 200, 200, 200))
    chain = estep.MarkovChain().fit(paths)
    found = chain.diagnose(paths)
    assert found.clean
    assert {"states never seen", "states never left", "classes of states", "moves that are few"} <= set(found.checked)
    assert ("components of few rows", "the states are seen") in found.skipped
    assert not {"never_seen", "never_left", "apart", "few_moves", "one_start"} & set(found.kinds)
    assert "influence of single rows" in found.checked  # of four sequences


def test_what_chains_lack_is_named_by_state() -> None:
    chain = quietly(estep.MarkovChain(states=list("abcd")).fit, [list("aababaabab"), list("bbaabc")])
    found = quietly(chain.diagnose, [list("aababaabab"), list("bbaabc")])
    assert found.of("never_seen").numbers["states"] == (3,)
    assert "no row shows d" in found.of("never_seen").evidence
    assert found.of("never_left").numbers["states"] == (2,)
    assert found.of("never_left").severity is Severity.WARNING
    assert "sequences stop in c" in found.of("never_left").evidence
    few = found.of("few_moves").numbers
    assert dict(zip(few["cells"], few["moves"], strict=True))[(1, 2)] == 1.0  # b -> c, once
    assert "b -> c (1 of 6)" in found.of("few_moves").evidence


def test_classes_that_the_moves_seen_do_not_join() -> None:
    paths = [list("aabbab") * 4, list("cddcd") * 4]
    chain = quietly(estep.MarkovChain().fit, paths)
    finding = quietly(chain.diagnose, paths).of("apart")
    assert finding.evidence == "{a, b} is never left; {c, d} is never left"
    assert finding.numbers["classes"] == 2
    declared = quietly(estep.MarkovChain(absorbing=["w"]).fit, [list("papbbapw"), list("pbapw")])
    assert "apart" not in quietly(declared.diagnose, [list("papbbapw"), list("pbapw")]).kinds  # as it was declared
    ending = estep.MarkovChain(end=True).fit([list("abab"), list("ba"), list("bba")])
    assert "apart" not in quietly(ending.diagnose, [list("abab"), list("ba"), list("bba")]).kinds


def test_fixed_moves_are_no_findings_and_priors_answer_for_states_never_left() -> None:
    oz = quietly(estep.MarkovChain(states=list("abc"), fixed={"transmat": P}).fit, list("abcab"))
    assert not {"few_moves", "never_left"} & set(quietly(oz.diagnose, list("abcab")).kinds)
    imagined = quietly(estep.MarkovChain(prior={"transmat": 2.0}).fit, list("ababac"))
    assert "never_left" not in quietly(imagined.diagnose, list("ababac")).kinds


def test_missing_states_count_as_expected() -> None:
    """A move that is seen once, and once more with certainty behind a gap, counts two."""
    path: list[Any] = [*"ab" * 30, "c", *"ab" * 30, None, "a", "b"]  # from b to a through c alone
    chain = quietly(estep.MarkovChain(fixed={"transmat": [[0, 1, 0], [np.nan, 0, np.nan], [1, 0, 0]]}).fit, path)
    few = quietly(chain.diagnose, path).of("few_moves").numbers
    assert dict(zip(few["cells"], few["moves"], strict=True))[(1, 2)] == pytest.approx(2.0)


# --- hidden chains of every kind ---


def test_diagnosis_and_tables_of_an_input_output_model() -> None:
    rng, state = np.random.default_rng(1), [0]
    dose = rng.normal(size=400)
    for t in range(1, 400):
        state.append(int(rng.random() < (1 / (1 + np.exp(2 - 2 * dose[t])) if state[-1] == 0 else 0.8)))
    x = np.array([0.0, 5.0])[state][:, None] + rng.normal(size=(400, 1))
    fit = estep.InputOutputHMM(estep.Normal("EII"), 2, random_state=0, n_init=2).fit(x, covariates=dose)
    found = quietly(fit.diagnose, x, covariates=dose, n_sim=19)
    assert found.clean and "the law of the rows" in found.checked
    skewed = x**3
    worse = estep.InputOutputHMM(estep.Normal("EII"), 2, random_state=0, n_init=2).fit(skewed, covariates=dose)
    assert "misfit" in quietly(worse.diagnose, skewed, covariates=dose, n_sim=19).kinds
    table = quietly(fit.to_frame, x, covariates=dose)
    moves = table[(table.parameter == "move_coefs") & (table.reason == "")]
    assert moves.column.tolist() == ["to 1, 1", "to 1, c0", "to 0, 1", "to 0, c0"]
    np.testing.assert_allclose(moves.z, moves.estimate / moves.se)
    assert "move_coefs" in quietly(fit.summary, x, covariates=dose, errors=True)
    parts = estep.InputOutputHMM(estep.Normal("EII"), 2, random_state=0, n_init=2).fit(x, covariates=dose, lengths=[150, 250])
    assert quietly(parts.influence, x, covariates=dose, lengths=[150, 250]).distance.shape == (2,)


def test_diagnosis_and_tables_of_an_autoregression() -> None:
    rng, x = np.random.default_rng(1), [0.0]
    for t in range(300):
        x.append((0.9 if t // 75 % 2 else -0.6) * x[-1] + rng.normal())
    series = np.array(x)
    fit = estep.AutoregressiveHMM(2, random_state=0, n_init=2).fit(series)
    found = quietly(fit.diagnose, series, n_sim=19)
    assert found.clean and {"speed of EM", "the law of the rows"} <= set(found.checked)
    odd = np.sign(series) * series**2
    worse = estep.AutoregressiveHMM(1, random_state=0).fit(odd)
    assert "misfit" in quietly(worse.diagnose, odd, n_sim=19).kinds
    counts = np.abs(np.rint(series))
    rates = estep.AutoregressiveHMM(1, family="poisson", random_state=0).fit(counts)
    assert dict(quietly(rates.diagnose, counts).skipped)["the law of the rows"] == "the responses are counts or categories"
    assert {"lag1"} == set(fit.to_frame().query("parameter == 'coefs'").column)
    assert "95 % lower" in quietly(fit.summary, series, errors=True)
    parts = [series[:100], series[100:200], series[200:]]
    again = estep.AutoregressiveHMM(2, random_state=0, n_init=2).fit(parts)
    assert quietly(again.influence, parts).distance.shape == (3,)


@pytest.mark.parametrize("shared", [False, True])
def test_diagnosis_and_tables_of_classes_of_sequences(shared: bool) -> None:
    rng = np.random.default_rng(0)
    calm = [np.repeat([0.0, 4.0, 0.0], [8, 7, 10])[:, None] + rng.normal(size=(25, 1)) for _ in range(12)]
    hasty = [np.tile([0.0, 4.0], 13)[:25, None] + rng.normal(size=(25, 1)) for _ in range(8)]
    fit = estep.HMMMixture(estep.Normal("EII"), 2, 2, shared=shared, random_state=0, n_init=2).fit(calm + hasty)
    found = quietly(fit.diagnose, calm + hasty, n_sim=19)
    assert found.clean and {"the law of the rows", "influence of single rows"} <= set(found.checked)
    table = quietly(fit.to_frame, calm + hasty)
    first = table[table.parameter == "transmat"].iloc[1]
    assert (first.component, first.column) == ("class 0, 0", "to 1")
    weights = table[table.parameter == "weights"]
    assert weights.component.tolist() == ["class 0", "class 1"]
    np.testing.assert_allclose(weights.se, np.sqrt(0.6 * 0.4 / 20), rtol=1e-4)  # the classes are certain
    logit = np.log(1.5) + 1.959964 * np.array([-1, 1]) * np.sqrt(1 / 12 + 1 / 8)
    np.testing.assert_allclose(weights.iloc[0][["lower", "upper"]].astype(float), 1 / (1 + np.exp(-logit)), rtol=1e-4)
    assert set(table[table.parameter == "startprob"].reason) == {"boundary"}  # every sequence of a class begins alike
    named = {"0", "1"} if shared else {f"class {c}, {j}" for c in (0, 1) for j in (0, 1)}
    assert set(table[table.parameter == "means"].component) == named
    assert "class 0, 0" in quietly(fit.summary, calm + hasty, errors=True)
    ahead = fit.forecast(calm + hasty, 2)
    assert ((ahead.cdf([[2.0]]) > 0) & (ahead.cdf([[2.0]]) < 1)).all()


def test_diagnosis_of_durations() -> None:
    rng = np.random.default_rng(0)
    lengths = np.where(np.arange(24) % 2 == 0, rng.poisson(3, 24), rng.poisson(6, 24)) + 1
    x = np.where(np.repeat(np.arange(24) % 2, lengths) == 1, 4.0, 0.0)[:, None] + rng.normal(size=(lengths.sum(), 1))
    fit = estep.SemiMarkovHMM(estep.Normal("EII"), 2, random_state=0, n_init=2).fit(x)
    found = quietly(fit.diagnose, x, n_sim=19)
    assert found.clean and "the law of the rows" in found.checked
    one = estep.SemiMarkovHMM(estep.Normal("EII"), 1, random_state=0, n_init=1).fit(x)
    assert "misfit" in quietly(one.diagnose, x, n_sim=19).kinds  # two levels and one state
    assert {"duration_rates", "means"} <= set(fit.to_frame().parameter)
    assert fit.plot_residuals(x, kind="forecast").axes


def test_durations_of_any_law_have_errors_beside_those_that_were_never_seen() -> None:
    """Lengths that no segment had have probability 0, an end of the range; the others keep theirs."""
    rng = np.random.default_rng(2)
    lengths = rng.choice([2, 3, 6], size=60, p=[0.3, 0.3, 0.4])
    x = np.where(np.repeat(np.arange(60) % 2, lengths) == 1, 9.0, 0.0)[:, None] + rng.normal(size=(lengths.sum(), 1))
    fit = estep.SemiMarkovHMM(estep.Normal("EII"), 2, duration="categorical", max_duration=6, random_state=0, n_init=2).fit(x)
    one, two = (quietly(fit.standard_errors, x, method=method) for method in ("oakes", "hessian"))
    reasons = one.reasons["duration_probs"].reshape(2, 6)
    assert (reasons[:, [0, 3, 4]] == "boundary").all()
    assert (reasons[:, [1, 2, 5]] == "").all()
    np.testing.assert_allclose(one["duration_probs"], two["duration_probs"], rtol=1e-3)
    complete = [np.bincount(lengths[z:59:2], minlength=7)[1:] for z in (0, 1)]  # the last one may go on
    order = np.argsort(fit.means_[:, 0])
    for z, state in enumerate(order):
        p, n = complete[z] / complete[z].sum(), complete[z].sum()
        near = np.sqrt(p * (1 - p) / n)[[1, 2, 5]]
        np.testing.assert_allclose(one["duration_probs"].reshape(2, 6)[state, [1, 2, 5]], near, rtol=0.05)


# --- several chains ---


def several(seed: int, effect: float = 4.0) -> Any:
    rng = np.random.default_rng(seed)
    slow, fast = np.cumsum(rng.random(160) < 0.1) % 2, np.cumsum(rng.random(160) < 0.3) % 2
    return (9.0 * slow + effect * fast + rng.standard_normal(160))[:, None]


@pytest.mark.parametrize("inference", ["exact", "variational"])
def test_diagnosis_of_several_chains_goes_chain_by_chain(inference: str) -> None:
    x = several(0)
    fit = estep.FactorialHMM(chains=(2, 2), inference=inference, random_state=0, n_init=3).fit(x)
    found = quietly(fit.diagnose, x, n_sim=19)
    assert set(found.kinds) <= {"boundary", "not_replicated"}
    assert "components that are alike" in found.checked
    why = dict(found.skipped)
    if inference == "variational":
        assert "climbs a lower bound" in why["speed of EM"]
    else:
        assert "the law of the rows" in found.checked
    skewed = estep.FactorialHMM(chains=(2, 3), inference=inference, random_state=0, n_init=1, max_iter=3)
    unfinished = quietly(quietly(skewed.fit, x).diagnose, x, n_sim=0)
    assert unfinished[0].kind == "not_converged"


@pytest.mark.parametrize("inference", ["exact", "variational"])
def test_a_chain_without_effect_has_states_that_are_alike(inference: str) -> None:
    x = several(0, effect=0.0)
    held = {"effects": [[0.0], [9.0], [0.0], [0.0]], "transmat_1": [[0.5, 0.5], [0.5, 0.5]], "startprob_1": [0.5, 0.5]}
    fit = estep.FactorialHMM(chains=(2, 2), inference=inference, fixed=held, random_state=0, n_init=1).fit(x)
    result = fit.result_
    data = Memory(x, ends=np.array([160]))
    chains = [*see(result.model, data, result).each_chain()]
    assert [len(list(alike(chain))) for chain in chains] == [0, 1]
    found = diagnose(result.model, data, result, n_sim=0)
    assert "0 of chain 1 and 1 of chain 1 (1.000)" in found.of("alike").evidence
    assert [f.numbers["entropy"] > 0.9 for f in told_apart(chains[0])] == []
