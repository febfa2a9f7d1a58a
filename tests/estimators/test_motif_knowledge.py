"""What is known of a motif beforehand (sites, priors), and what its significance says afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

import estep
from estep.core.letters import DNA, alphabet_of
from estep.data import read_meme, sets, write_meme
from estep.estimators.letters import read_texts
from estep.estimators.motif_evalue import shuffled
from estep.models.dirichlet_mixture import DirichletMixture

WORD, OTHER = "TTGACGCA", "GGCTATTC"
QUICK: dict[str, Any] = {"random_state": 0, "n_init": 4, "shifts": 0}
KINDS: dict[str, Any] = {"weights": [0.7, 0.3], "alphas": [[0.25] * 4, [2.0] * 4]}


def background_texts(n: int, length: int, seed: int, shares: Any = (0.25, 0.25, 0.25, 0.25)) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACGT"), length, p=shares)) for _ in range(n)]


def planted(n: int, seed: int = 3, word: str = WORD) -> tuple[list[str], list[int]]:
    rng = np.random.default_rng(seed)
    texts, places = background_texts(n, 30, seed + 1), rng.integers(0, 31 - len(word), n).tolist()
    return [t[:p] + word + t[p + len(word) :] for t, p in zip(texts, places, strict=True)], places


# --- known sites ---


def test_a_few_known_sites_choose_the_motif() -> None:
    """Two words are planted in every sequence; the fit ends at the one whose sites are told."""
    rng, texts, first, second = np.random.default_rng(0), [], [], []
    for text in background_texts(16, 40, 5):
        a, b = int(rng.integers(0, 10)), int(rng.integers(20, 30))
        texts.append(text[:a] + WORD + text[a + 8 : b] + OTHER + text[b + 8 :])
        first.append(a)
        second.append(b)
    for places, word in ((first, WORD), (second, OTHER)):
        told: list[Any] = [*places[:6], *[None] * 10]
        fit = estep.MotifFinder(8, **QUICK).fit(texts, told)
        assert fit.consensus_ == word and fit.sites_.start.tolist() == places
        assert fit.sites_.probability[:6] == pytest.approx(np.ones(6)) and "known sites" in [r.start for r in fit.starts_.rows]
        as_array = estep.MotifFinder(8, **QUICK).fit(texts, np.array([*places[:6], *[-1] * 10]))
        assert as_array.log_likelihood_ == fit.log_likelihood_


def test_all_sites_known_is_counting() -> None:
    texts, places = planted(8)
    fit = estep.MotifFinder(8, beta=0.5, **QUICK).fit(texts, places)
    counts = 8.0 * np.eye(4)[DNA.encode(WORD)] + 0.5 * read_texts(texts).frequencies()
    np.testing.assert_allclose(fit.pwm_, counts / counts.sum(axis=1, keepdims=True), rtol=1e-9)
    assert fit.motifs_[0].significance.log_alignments == 0.0  # there was nothing to choose
    # letters and labels together are less probable than letters
    assert fit.log_likelihood_ < fit.score_samples(texts).sum()


def test_strands_and_several_sites_can_be_told() -> None:
    back = DNA.decode(DNA.reversed(DNA.encode(WORD)))
    texts = [t[:5] + WORD + t[13:20] + back + t[28:] for t in background_texts(8, 36, 2)]
    told: list[Any] = [[(5, "+"), (20, "-")], (5, "+"), *[None] * 6]
    fit = estep.MotifFinder(8, sites="any", strands="both", **QUICK).fit(texts, told)
    assert fit.consensus_ == WORD
    sites = {(s, p): d for s, p, d in zip(fit.sites_.sequence, fit.sites_.start, fit.sites_.strand, strict=True)}
    assert all(sites[j, 5] == 1 and sites[j, 20] == -1 for j in range(8)) and len(sites) <= 18
    other = estep.MotifFinder(8, sites="any", strands="both", **QUICK).fit(texts, [[(5, "-"), (20, "+")], *[None] * 7])
    assert other.consensus_ == back


@pytest.mark.parametrize("law", ["one", "at most one", "any", "any (windows)"])
def test_permitted_places_and_widths(law: str) -> None:
    texts, places = planted(12)
    away = [[q for q in range(20) if abs(q - p) > 8] for p in places]
    fit = estep.MotifFinder(range(7, 9), sites=law, **QUICK).fit(texts, labels=away[:6] + [None] * 6)
    first = fit.sites_.sequence < 6
    assert all(q in away[s] for s, q in zip(fit.sites_.sequence[first], fit.sites_.start[first], strict=True))
    if law != "one":
        none = estep.MotifFinder(8, sites=law, **QUICK).fit(texts, labels=[[]] * 3 + [None] * 9)
        assert (none.sites_.sequence >= 3).all() and none.consensus_ == WORD


def test_weights_of_zero_take_their_labels_along() -> None:
    texts, places = planted(8)
    told: list[Any] = [0, *places[1:3], *[None] * 5]
    fit = estep.MotifFinder(8, **QUICK).fit(texts, told, sample_weight=[0.0] + [1.0] * 7)
    same = estep.MotifFinder(8, **QUICK).fit(texts[1:], told[1:])
    assert fit.log_likelihood_ == same.log_likelihood_


@pytest.mark.parametrize(
    "settings, how, words",
    [
        ({}, {"y": [1, 2]}, "y has 2 entries, expected 4"),
        ({}, {"y": [1, 2, 3, 4], "labels": [None] * 4}, "give y or labels, not both"),
        (
            {},
            {"y": [40, None, None, None]},
            r"y\[0\] \(sequence 0\) names the place 40, but the sequence has",
        ),
        ({}, {"y": [None, 25, None, None]}, "sequence 1 has a known site at 25, where a site has no room or a mask lies"),
        ({}, {"y": [[1, 15], None, None, None]}, r"names 2 sites, and sites='one' allows one"),
        ({}, {"y": [(1, "-"), None, None, None]}, "look at it with strands='both'"),
        ({}, {"y": [1.5, None, None, None]}, "holds 1.5; a site is the place of its first letter"),
        ({}, {"y": ["x", None, None, None]}, "holds 'x'; a site is the place"),
        ({"sites": "any"}, {"y": [[1, 5], None, None, None]}, "sequence 0 has known sites at 1 and 5, which overlap"),
        ({}, {"labels": [[], None, None, None]}, "permits no place, and sites='one' wants a site"),
    ],
)
def test_labels_that_cannot_be_are_refused(settings: dict[str, Any], how: dict[str, Any], words: str) -> None:
    texts, _ = planted(4)
    with pytest.raises(ValueError, match=words):
        estep.MotifFinder(8, **settings, **QUICK).fit(texts, **how)


# --- priors ---


def test_priors_of_every_kind(tmp_path: Path) -> None:
    texts, _ = planted(12)
    plain = estep.MotifFinder(8, beta=0.5, **QUICK).fit(texts)
    same = estep.MotifFinder(8, beta=0, prior={"strength": 0.5}, **QUICK).fit(texts)
    np.testing.assert_allclose(same.pwm_, plain.pwm_, rtol=1e-10)
    flat = estep.MotifFinder(8, beta=0, prior={"alpha": 3}, **QUICK).fit(texts)
    assert flat.consensus_ == WORD and flat.information_ < plain.information_
    kinds = estep.MotifFinder(8, beta=0, prior=KINDS, **QUICK).fit(texts)
    assert kinds.consensus_ == WORD and np.diff(kinds.trace_).min() >= 0
    assert kinds.objective_ == pytest.approx(kinds.log_likelihood_ + DirichletMixture(**KINDS).log_density(kinds.pwm_))
    np.testing.assert_allclose(
        kinds.pwm_.max(axis=1), 12.25 / 13, atol=1e-3
    )  # the sharp kind: 12 letters and a quarter of each
    kinds.save(tmp_path / "kinds")
    back = estep.load(tmp_path / "kinds")
    assert back.score(texts) == kinds.score(texts) and back.evalue_ == kinds.evalue_
    assert "log prior" in kinds.summary() and clone(kinds).prior == KINDS
    mirrored = estep.MotifFinder(8, palindrome=True, prior=DirichletMixture(**KINDS), **QUICK).fit(texts)
    assert np.allclose(mirrored.pwm_, mirrored.pwm_[::-1, ::-1])


def test_a_profile_takes_the_same_priors(tmp_path: Path) -> None:
    family = ["ACGTT", "ACGT", "ACCGTT", "ACGTT", "AGTT", "ACGTT"]
    counts = {"moves": 1.0}
    fit = estep.ProfileHMM(5, pseudocounts=counts, prior=KINDS, random_state=0).fit(family)
    assert fit.consensus_ == "ACGTT" and np.diff(fit.trace_).min() >= 0
    fit.save(tmp_path / "profile")
    assert estep.load(tmp_path / "profile").score(family) == fit.score(family)
    aligned = ["ACGTT", "ACGT-", "ACGTT"]
    one = {"weights": [1.0], "alphas": [[0.1, 0.2, 0.3, 0.4]]}
    counted = estep.ProfileHMM(pseudocounts=counts, prior=one).fit_aligned(aligned)
    np.testing.assert_allclose(counted.match_[0], (3 * np.eye(4)[0] + [0.1, 0.2, 0.3, 0.4]) / 4.0, rtol=1e-9)
    laplace = estep.ProfileHMM(pseudocounts=counts, prior={"alpha": 2}).fit_aligned(aligned)
    usual = estep.ProfileHMM(pseudocounts={"match": 1.0, "moves": 1.0}).fit_aligned(aligned)
    np.testing.assert_allclose(laplace.match_, usual.match_, rtol=1e-12)
    grown = estep.ProfileHMM(4, pseudocounts=counts, prior=KINDS, surgery=True, random_state=0).fit(family)
    assert grown.result_.model.mixture is not None and grown.consensus_.endswith("GTT")


@pytest.mark.parametrize(
    "prior, words",
    [
        ("dirichlet", "prior must be None, dict"),
        ({"strength": -1}, r"prior\['strength'\] must be a number"),
        ({"alpha": 0.5}, r"prior\['alpha'\] must be a number >= 1"),
        ({"weights": [1.0]}, "prior of a mixture has weights and alphas"),
        ({"weights": [1.0], "alphas": [[1.0, 1.0]]}, r"prior\['alphas'\] has shape \(1, 2\), expected \(kinds, 4\)"),
        ({"weights": [0.5, 0.2], "alphas": np.ones((2, 4))}, "prior: weights must be probabilities > 0 that sum to one"),
        ({"weights": [1.0], "alphas": [[0.0, 1, 1, 1]]}, "prior: alphas must be numbers > 0"),
    ],
)
def test_what_is_no_prior_is_refused(prior: Any, words: str) -> None:
    texts, _ = planted(4)
    for finder in (estep.MotifFinder(8, prior=prior, **QUICK), estep.ProfileHMM(5, prior=prior)):
        with pytest.raises(ValueError, match=words):
            finder.fit(texts)


# --- by chance ---


def test_a_planted_motif_is_no_chance_and_files_say_so(tmp_path: Path) -> None:
    texts, _ = planted(12)
    fit = estep.MotifFinder([7, 8], strands="both", n_motifs=2, **QUICK).fit(texts)
    first, second = (motif.significance for motif in fit.motifs_)
    assert first.evalue == fit.evalue_ == fit.motifs_[0].pwm.evalue < 1e-6 < 1.0 < second.evalue
    assert first.n_sites == 12 and first.widths == 2 and first.site_counts == 1
    # 30 - 7 places on two strands in each of 12 sequences
    assert first.log_alignments == pytest.approx(12 * np.log(2 * 23)) and f"E-value {first}" in fit.summary()
    write_meme(tmp_path / "m.meme", [motif.pwm for motif in fit.motifs_])
    assert read_meme(tmp_path / "m.meme")[0].evalue == pytest.approx(fit.evalue_, rel=0.01)
    assert (fit.sites_.pvalue < 1e-3).all() and fit.sites_.to_frame().shape == (12, 9)


def test_the_promoters_motif_is_significant_under_every_law() -> None:
    table = sets.load("promoters")
    promoters = dict(zip(table["name"], table["sequence"], strict=True))
    found = {law: estep.MotifFinder(16, sites=law, **QUICK).fit(promoters) for law in ("one", "at most one")}
    assert all(fit.evalue_ < 1e-2 for fit in found.values())
    one, some = (found[law].motifs_[0].significance for law in ("one", "at most one"))
    assert one.log_alignments == pytest.approx(18 * np.log(90)) and some.site_counts == 19
    same = [fit.sites_.start.tolist() for fit in found.values()]
    if same[0] == same[1]:  # the same sites cost what it costs to leave open how many there are
        assert some.log_evalue == pytest.approx(one.log_evalue + np.log(19), abs=1e-6)


def test_whole_weights_are_repeated_sequences_and_others_have_no_e_value() -> None:
    texts, _ = planted(6)
    settings: dict[str, Any] = {**QUICK, "background": np.full(4, 0.25), "tol": 1e-12}
    twice = estep.MotifFinder(8, **settings).fit(texts + texts[:2])
    weighted = estep.MotifFinder(8, **settings).fit(texts, sample_weight=[2.0, 2.0, 1.0, 1.0, 1.0, 1.0])
    assert weighted.motifs_[0].significance.log_evalue == pytest.approx(twice.motifs_[0].significance.log_evalue, abs=1e-9)
    odd = estep.MotifFinder(8, **settings).fit(texts, sample_weight=[1.5] * 6)
    assert odd.motifs_[0].significance is None and np.isnan(odd.evalue_) and "E-value" not in odd.summary()


@pytest.mark.parametrize("law", ["one", "at most one", "any"])
def test_background_letters_hold_no_significant_motif(law: str) -> None:
    """P(E <= 0.05) <= 0.05 under the null: of 12 searches 5 or more as low have a probability below 2e-4, none is the rule."""
    low = [
        estep.MotifFinder(6, sites=law, n_init=2, shifts=0, random_state=0).fit(background_texts(6, 25, seed)).evalue_ <= 0.05
        for seed in range(12)
    ]
    assert sum(low) < 5
    sure = estep.MotifFinder(6, sites=law, n_init=2, shifts=0, random_state=0).fit(planted(8, word="TTGACG")[0])
    assert sure.evalue_ <= 0.05  # the negative control has power


def test_without_the_number_of_alignments_the_size_does_not_hold() -> None:
    """What the number of alignments is for: the p-value of the alignment that was chosen is far too small."""
    fits = [estep.MotifFinder(6, n_init=2, shifts=0, random_state=0).fit(background_texts(6, 25, seed)) for seed in range(6)]
    assert all(fit.motifs_[0].significance.log_pvalue < np.log(0.05) for fit in fits)


def test_unknown_letters_in_sites_are_no_letters() -> None:
    texts, places = planted(6)
    texts[0] = texts[0][: places[0] + 2] + "N" + texts[0][places[0] + 3 :]
    fit = estep.MotifFinder(8, **QUICK).fit(texts)
    assert fit.consensus_ == WORD and fit.sites_.word[0] == "TTNACGCA"
    counts, b = 6.0 * np.eye(4)[DNA.encode(WORD)], read_texts(texts).frequencies()
    counts[2] *= 5 / 6
    held = counts > 0
    llr = (counts[held] * np.log((counts / (counts.sum(axis=1, keepdims=True) * b))[held])).sum()
    assert fit.motifs_[0].significance.llr == pytest.approx(llr) and fit.sites_.pvalue[0] > fit.sites_.pvalue[1]


# --- shuffles ---


def test_shuffles_keep_letters_masks_and_unknown_ones_where_they_belong() -> None:
    texts = read_texts(["AACCGGTTNA", "ACGTACGT"])
    movable = (texts.codes >= 0) & (np.arange(18) != 4)
    rng, orders = np.random.default_rng(0), set()
    for _ in range(60):
        codes = shuffled(texts, movable, rng)
        assert (codes[~movable] == texts.codes[~movable]).all()
        for part in (slice(0, 10), slice(10, 18)):
            assert sorted(codes[part].tolist()) == sorted(texts.codes[part].tolist())
        orders.add(tuple(codes.tolist()))
    assert len(orders) > 55
    three = read_texts(["012"], alphabet_of("012", []))
    seen = [tuple(shuffled(three, np.ones(3, dtype=bool), rng).tolist()) for _ in range(3000)]
    counts = np.array([seen.count(order) for order in set(seen)])
    # all six orders, 500 times each: chi square with 5 degrees of freedom, a false alarm in 10^7
    assert len(counts) == 6 and ((counts - 500) ** 2 / 500).sum() < 41.0


def test_a_planted_motif_is_no_shuffle() -> None:
    texts, places = planted(8)
    test = estep.MotifFinder(8, n_init=1, shifts=0, random_state=0).shuffle_test(texts, n_shuffles=9)
    assert test.pvalue == 0.1 and str(test) == "p = 0.1: 0 of 9 shuffles hold a motif as good"
    assert test.log_evalue < test.shuffled.min() - 10 and test.shuffled.shape == (9,)
    null = estep.MotifFinder(8, n_init=1, shifts=0, random_state=0).shuffle_test(background_texts(8, 30, 8), n_shuffles=9)
    assert null.pvalue > 0.1
    told = estep.MotifFinder(8, n_init=1, shifts=0, random_state=0).shuffle_test(texts, places, n_shuffles=3)
    assert told.pvalue == 0.25
    with pytest.raises(ValueError, match="n_shuffles must be an integer >= 1"):
        estep.MotifFinder(8).shuffle_test(texts, n_shuffles=0)


@pytest.mark.slow
def test_the_size_of_the_shuffle_test_holds() -> None:
    """p is 1/10 or less in one of ten searches of background letters: of 100, 4 to 20 (a false alarm in a hundred)."""
    finder = estep.MotifFinder(5, n_init=1, shifts=0, random_state=0, tol=1e-4)
    p = np.array([finder.shuffle_test(background_texts(5, 15, 1000 + i), n_shuffles=9).pvalue for i in range(100)])
    assert 4 <= (p <= 0.1).sum() <= 20 and 0.4 < p.mean() < 0.7
