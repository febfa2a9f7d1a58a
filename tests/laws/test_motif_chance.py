"""By chance: laws of scores against every word, bounds of E-values against every alignment, and their size under the null."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from estep.inference import motif_significance
from estep.inference.motif_significance import (
    Significance,
    likelihood_ratio,
    log_choices,
    log_moment,
    log_tail_bound,
    significance,
)
from estep.inference.site_scores import UNIT, score_law, tail_of

UNEVEN = np.array([0.4, 0.1, 0.3, 0.2])


def every_word(width: int, size: int = 4) -> np.ndarray:
    return np.array(list(itertools.product(range(size), repeat=width)), dtype=np.int64)


# --- scores of sites ---


@budget(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(0, 10_000), st.booleans())
def test_p_values_are_those_of_every_word_written_out(width: int, seed: int, zeros: bool) -> None:
    rng = np.random.default_rng(seed)
    columns, background = rng.dirichlet(np.ones(4), width), rng.dirichlet(np.full(4, 5.0))
    if zeros:
        columns[0, 1] = 0.0
        columns[0] /= columns[0].sum()
    words, law = every_word(width), score_law(columns, background)
    scores, share = law.score(words), background[words].prod(axis=1)
    expected = np.array([share[scores >= s - 1e-9].sum() for s in scores])
    expected[np.isneginf(scores)] = 1.0
    np.testing.assert_allclose(law.pvalue(words), expected, rtol=1e-12)
    with np.errstate(divide="ignore"):
        exact = np.log2(columns[np.arange(width), words]).sum(axis=1) - np.log2(share)
    held = np.isfinite(exact)
    assert np.isneginf(scores[~held]).all()
    assert np.abs(scores[held] - exact[held]).max() <= 0.5 * width * law.unit * (1 + 1e-9)


def test_the_size_of_p_values_holds_and_is_not_less() -> None:
    """P(p <= u) <= u for every u; at the values that p takes the two are equal."""
    columns = np.random.default_rng(1).dirichlet(np.ones(4), 4)
    words, law = every_word(4), score_law(columns, UNEVEN)
    p, share = law.pvalue(words), UNEVEN[words].prod(axis=1)
    for u in np.unique(p):
        assert share[p <= u * (1 + 1e-12)].sum() == pytest.approx(u, rel=1e-12)


def test_unknown_letters_are_left_out() -> None:
    columns = np.random.default_rng(2).dirichlet(np.ones(4), 4)
    law, rest = score_law(columns, UNEVEN), score_law(columns[[0, 2, 3]], UNEVEN)
    holed, whole = np.array([[1, -1, 3, 0], [0, 1, 2, 3]]), np.array([[1, 3, 0]])
    assert law.pvalue(holed)[0] == pytest.approx(rest.pvalue(whole)[0], rel=1e-3)  # units may differ in the last place
    assert law.pvalue(np.full((1, 4), -1))[0] == 1.0


def test_thresholds_are_where_the_tail_is_low_enough() -> None:
    columns = np.random.default_rng(3).dirichlet(np.ones(4), 5)
    law = score_law(columns, UNEVEN)
    words = every_word(5)
    scores, share = law.score(words), UNEVEN[words].prod(axis=1)
    for p in (0.1, 0.01, 1e-3):
        at = law.threshold(p)
        assert share[scores >= at - 1e-9].sum() <= p < share[scores >= at - law.unit - 1e-9].sum() + 1e-15
    assert law.threshold(0.0) == math.inf


def test_a_wide_motif_has_coarser_units_and_the_same_law() -> None:
    columns = np.random.default_rng(4).dirichlet(np.full(4, 0.05), 40) * (1 - 4e-9) + 1e-9
    law = score_law(columns, np.full(4, 0.25))
    assert law.unit > UNIT
    lowest, tail = tail_of(law.scores, law.background)
    assert tail[0] == pytest.approx(1.0, rel=1e-12) and tail[-1] == 0.0 and (np.diff(tail) <= 0).all()
    mean = (tail[:-1] - tail[1:]) @ (lowest + np.arange(len(tail) - 1)) * law.unit
    assert mean == pytest.approx(float((0.25 * law.scores).sum() * law.unit), rel=1e-9)


def test_a_background_that_is_forgotten_is_noticed() -> None:
    columns, words = np.random.default_rng(5).dirichlet(np.ones(4), 3), every_word(3)
    law = score_law(columns, UNEVEN)
    wrong = dataclasses.replace(law, background=np.full(4, 0.25))
    assert np.abs(np.log(law.pvalue(words)) - np.log(wrong.pvalue(words))).max() > 0.1


def test_biopython_s_distribution_of_scores_agrees() -> None:
    """Bio.motifs counts on a grid of 1000 points a column and reads scores off it: thresholds agree to a few of its steps."""
    bio = pytest.importorskip("Bio.motifs")
    counts = np.array([[9, 1, 1, 1], [1, 1, 9, 1], [2, 8, 1, 1], [1, 1, 1, 9], [6, 1, 4, 1], [1, 5, 5, 1]], dtype=float)
    probs = counts / counts.sum(axis=1, keepdims=True)
    motif = bio.Motif(alphabet="ACGT", counts={a: counts[:, i].tolist() for i, a in enumerate("ACGT")})
    motif.background = dict(zip("ACGT", UNEVEN.tolist(), strict=True))
    pssm = motif.pssm
    law = score_law(probs, UNEVEN)
    text = "GGATCAGCTTACGATGACGTAGCATCGA"
    theirs = np.asarray(pssm.calculate(text), dtype=float)
    codes = np.array(["ACGT".index(c) for c in text])
    words = codes[np.arange(len(text) - 5)[:, None] + np.arange(6)]
    np.testing.assert_allclose(law.score(words), theirs, atol=0.5 * 6 * law.unit + 1e-4)  # theirs are single precision
    distribution = pssm.distribution(background=motif.background, precision=1000)
    for rate in (0.05, 0.01, 1e-3):
        assert law.threshold(rate) == pytest.approx(distribution.threshold_fpr(rate), abs=6 * (distribution.step + law.unit))
    # and the rate that Biopython means: the false alarms at its own threshold
    at = distribution.threshold_fpr(0.01)
    lowest, tail = tail_of(law.scores, law.background)
    near = [tail[int(round((at + shift) / law.unit)) - lowest] for shift in (-0.05, 0.05)]
    assert near[1] <= 0.011 and near[0] >= 0.009


# --- E-values ---


def column_law(n: int, background: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every composition of ``n`` letters: likelihood ratio and probability."""
    m, values, shares = len(background), [], []
    for bars in itertools.combinations(range(n + m - 1), m - 1):
        counts = np.diff([-1, *bars, n + m - 1]) - 1
        log = math.lgamma(n + 1) - sum(math.lgamma(c + 1) for c in counts) + float((counts * np.log(background)).sum())
        values.append(likelihood_ratio(counts[None].astype(float), background))
        shares.append(math.exp(log))
    return np.array(values), np.array(shares)


@pytest.mark.parametrize("background", [np.full(4, 0.25), UNEVEN, np.array([0.7, 0.3]), np.array([0.05, 0.0, 0.95])])
@pytest.mark.parametrize("n", [1, 2, 7])
def test_moments_are_sums_over_all_compositions(n: int, background: np.ndarray) -> None:
    values, shares = column_law(n, background[background > 0])
    assert shares.sum() == pytest.approx(1.0, rel=1e-12)
    for t in (0.0, 0.4, 1.0, 1.3, 6.0, 64.0):
        expected = float(np.logaddexp.reduce(np.log(shares) + t * values))
        assert log_moment(n, background, t) == pytest.approx(expected, rel=1e-11, abs=1e-11)
    assert log_moment(0, background, 2.0) == 0.0


def test_moments_of_many_letters_stay_in_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """By Fourier transform from 2048 letters on, as from fewer; 2 G tends to chi square: E exp(tG) -> (1 - t)^(-3/2)."""
    quick = {t: log_moment(2500, UNEVEN, t) for t in (0.3, 0.9, 1.1, 3.0)}
    monkeypatch.setattr(motif_significance, "LONG", 10**9)
    for t, value in quick.items():
        assert value == pytest.approx(log_moment(2500, UNEVEN, t), abs=1e-9)
    assert log_moment(3000, UNEVEN, 0.3) == pytest.approx(-1.5 * math.log(0.7), rel=0.01)


@pytest.mark.parametrize("background", [np.full(4, 0.25), UNEVEN])
@pytest.mark.parametrize("n, width", [(3, 2), (6, 2), (8, 3)])
def test_the_bound_is_above_the_exact_tail_and_not_far(n: int, width: int, background: np.ndarray) -> None:
    values, shares = column_law(n, background)
    total, weight = np.zeros(1), np.ones(1)
    for _ in range(width):
        total, weight = np.add.outer(total, values).ravel(), np.outer(weight, shares).ravel()
        total, which = np.unique(np.round(total, 9), return_inverse=True)
        weight = np.bincount(which, weight)
    tail = np.cumsum(weight[::-1])[::-1]
    for g in np.quantile(total, [0.05, 0.3, 0.6, 0.9, 1.0], method="lower"):
        exact = math.log(tail[np.searchsorted(total, g)])
        bound = log_tail_bound(float(g), np.full(width, n), background)
        assert exact <= bound + 1e-6  # ratios are rounded to 1e-9 here, and t goes up to 64
        # Chernoff loses about sqrt(2 pi) t sigma; a few columns of a few letters stay below a factor of 30
        assert bound - exact < math.log(30.0)
    if background[0] == 0.25:  # no chance to be better than perfect: the bound is the probability itself
        assert log_tail_bound(float(total[-1]), np.full(width, n), background) == pytest.approx(math.log(tail[-1]), abs=1e-6)


def test_choices_are_counted_or_bounded_from_above() -> None:
    ways = np.array([3.0, 5.0, 0.0, 2.0, 7.0])
    for n in range(5):
        exact = sum(math.prod(c) for c in itertools.combinations(ways.tolist(), n))
        if exact:
            assert math.log(exact) <= log_choices(ways, n) + 1e-12
    assert log_choices(ways, 4) == pytest.approx(math.log(210.0)) and log_choices(np.full(6, 4.0), 2) == pytest.approx(
        math.log(15 * 16)
    )
    assert log_choices(ways, 5) == -math.inf and log_choices(np.zeros(0), 0) == 0.0


def test_every_alignment_is_in_the_expectation() -> None:
    """All pairs of sequences of three letters: the expected number of alignments as good is below the E-value."""
    background, width, places = np.array([0.5, 0.3, 0.2]), 2, 2
    g: dict[float, list[float]] = {}
    texts = every_word(3, 3)
    for a, b in itertools.product(texts, texts):
        share = float(background[a].prod() * background[b].prod())
        for i, j in itertools.product(range(places), repeat=2):
            counts = np.array([np.bincount([a[i + w], b[j + w]], minlength=3) for w in range(width)], dtype=float)
            value = round(likelihood_ratio(counts, background), 9)
            if value not in g:
                g[value] = [0.0, significance(counts, background, np.full(2, float(places)), 2).evalue]
            g[value][0] += share
    expected = 0.0
    for value in sorted(g, reverse=True):
        expected += g[value][0]
        assert expected <= g[value][1] * (1 + 1e-9)


def test_numbers_are_written_as_people_read_them() -> None:
    tiny = Significance(1000.0, 20, -1000.0, 50.0, 2, 3)
    assert tiny.evalue == 0.0 if tiny.log_evalue < -745 else tiny.evalue > 0
    assert str(tiny) == "1.6e-412" and str(Significance(0.0, 0, 0.0, 0.0)) == "1.0e+00"
    assert str(Significance(0.0, 1, math.log(9.97e-5), 0.0)) == "1.0e-04"
    assert Significance(0.0, 1, 0.0, 2000.0).evalue == math.inf
