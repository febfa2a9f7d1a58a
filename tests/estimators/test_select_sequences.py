"""Selection, tests and criteria of hidden Markov models: lists of sequences, and the entropy of paths by enumeration."""

import itertools

import numpy as np
import pytest

import estep


def short(seed=0, s=12, length=6):
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(s):
        z = np.cumsum(rng.random(length) < 0.25) % 2
        out.append(rng.poisson(np.array([2.0, 7.0])[z])[:, None].astype(float))
    return out


def test_the_entropy_of_paths_is_that_of_their_enumeration():
    x = short()
    weight = np.resize([1.0, 2.0], len(x))
    fit = estep.PoissonHMM(2, random_state=0).fit(x, sample_weight=weight)
    law, expected = fit.result_.params.structure, 0.0
    for part, w in zip(x, weight, strict=True):
        logb = fit.result_.model.family.log_density(fit.result_.params.family, fit.result_.model.family.encode(part))
        logs = []
        with np.errstate(divide="ignore"):
            start, moves = np.log(law.startprob), np.log(law.transmat)
        for z in itertools.product((0, 1), repeat=len(part)):
            logs.append(
                start[z[0]] + sum(moves[i, j] for i, j in itertools.pairwise(z)) + logb[np.arange(len(z)), list(z)].sum()
            )
        p = np.exp(np.array(logs) - np.logaddexp.reduce(logs))
        expected -= w * float((p[p > 0] * np.log(p[p > 0])).sum())
    found = 0.5 * (fit.icl_entropy(x, sample_weight=weight) - fit.bic(x, sample_weight=weight))
    assert found == pytest.approx(expected, rel=1e-9)
    resp = fit.predict_proba(x)
    rows = -(np.repeat(weight, 6)[:, None] * resp * np.log(np.where(resp > 0, resp, 1.0))).sum()
    assert found < rows  # negative control: neighbours tell of one another


@pytest.mark.parametrize("criterion", ["bic", "icl", "icl_entropy", "clc", "awe", "nec", "cv"])
def test_every_criterion_takes_lists_of_sequences(criterion):
    x = short(1, 20, 12)
    chosen = estep.select(estep.PoissonHMM(random_state=0, n_init=2), x, {"n_states": [1, 2]}, criterion, folds=4)
    assert chosen.best_.n_states == 2 and len(chosen.table) == 2


def test_score_and_ratio_tests_agree_though_the_start_is_at_its_end():
    """One sequence: its start probabilities are at an end, which both models hold. Moves fixed at the truth."""
    rng = np.random.default_rng(4)
    z = np.cumsum(rng.random(3000) < 0.1) % 2
    x = rng.poisson(np.array([2.0, 9.0])[z])[:, None].astype(float)
    moves = {"transmat": [[0.9, 0.1], [0.1, 0.9]]}
    small = estep.PoissonHMM(2, fixed=moves, tol=1e-12, random_state=0).fit(x)
    large = estep.PoissonHMM(2, tol=1e-12, random_state=0).fit(x)
    score, ratio = estep.score_test(small, x), estep.lr_test(small, large)
    assert score.dof == ratio.dof == 2
    assert score.statistic == pytest.approx(ratio.statistic, rel=0.1, abs=0.05)
    off = estep.PoissonHMM(2, fixed={"transmat": [[0.8, 0.2], [0.2, 0.8]]}, tol=1e-12, random_state=0).fit(x)
    assert estep.score_test(off, x).p_value < 1e-6
