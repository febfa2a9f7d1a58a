"""The motif finder as people use it: input of every kind, laws of sites, masks, widths, several motifs, files, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

import estep
from estep.core.letters import DNA
from estep.data import Pwm, read_meme, write_fasta, write_meme
from estep.estimators.motif_settings import widths_of
from estep.estimators.warnings import ConvergenceWarning

WORD = "TTGACGCA"
SMALL = ["AATTGCACTA", "CTTGCAAGTC", "GATACTTGCA", "TTGCATCCGA"]
QUICK: dict[str, Any] = {"random_state": 0, "n_init": 6}


def planted(
    n: int = 24, word: str = WORD, share: float = 1.0, both: bool = False, redrawn: float = 0.05, seed: int = 3
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Sequences of 30 to 45 letters with a word in a share of them; place (-1: none) and strand of each."""
    rng, texts, places, strands = np.random.default_rng(seed), [], [], []
    for length in rng.integers(30, 46, n):
        codes = rng.integers(0, 4, length)
        place = int(rng.integers(length - len(word) + 1)) if rng.random() < share else -1
        strand = -1 if both and rng.random() < 0.5 else 1
        if place >= 0:
            core = DNA.encode(word)
            core = np.where(rng.random(len(word)) < redrawn, rng.integers(0, 4, len(word)), core)
            codes[place : place + len(word)] = core if strand > 0 else DNA.reversed(core)
        texts.append(DNA.decode(codes))
        places.append(place)
        strands.append(strand)
    return texts, np.array(places), np.array(strands)


# --- the laws of sites ---


def test_one_site_in_every_sequence() -> None:
    texts, places, _ = planted()
    fit = estep.MotifFinder(8, **QUICK).fit(texts)
    assert fit.consensus_ == WORD and fit.converged_ and fit.result_.certificate == "exact"
    assert len(fit.sites_) == 24 and (fit.sites_.start == places).mean() > 0.9
    assert fit.information_ == pytest.approx(fit.column_information_.sum()) and fit.information_ > 10
    assert fit.site_probability_ == 1.0
    assert fit.sites_.word.tolist() == [t[p : p + 8] for t, p in zip(texts, fit.sites_.start, strict=True)]
    assert fit.score_samples(texts).sum() == pytest.approx(fit.log_likelihood_, rel=1e-12)
    assert fit.score(texts) == pytest.approx(fit.log_likelihood_ / sum(map(len, texts)), rel=1e-12)
    assert fit.bic(texts) == pytest.approx(fit.motifs_[0].bic) and fit.aic(texts) == pytest.approx(fit.motifs_[0].aic)


def test_sequences_without_a_site_have_none() -> None:
    texts, places, _ = planted(30, share=0.6)
    fit = estep.MotifFinder(8, sites="zoops", **QUICK).fit(texts)
    assert fit.consensus_ == WORD
    found = np.full(30, -1)
    found[fit.sites_.sequence] = fit.sites_.start
    assert (found == places).mean() > 0.85
    assert fit.site_probability_ == pytest.approx((places >= 0).mean(), abs=0.15)


@pytest.mark.parametrize("law", ["any", "any (windows)"])
def test_any_number_of_sites(law: str) -> None:
    rng = np.random.default_rng(5)
    texts = []
    for _ in range(8):
        parts = [DNA.decode(rng.integers(0, 4, int(rng.integers(6, 20)))) for _ in range(4)]
        texts.append(WORD.join(parts))
    fit = estep.MotifFinder(8, sites=law, **QUICK).fit(texts)
    assert fit.consensus_ == WORD and (fit.sites_.word == WORD).sum() == 24 <= len(fit.sites_) <= 25
    assert fit.result_.certificate == ("exact" if law == "any" else "heuristic")
    assert (fit.sites_.probability[fit.sites_.word == WORD] > 0.9).all()
    assert fit.motifs_[0].n_sites == pytest.approx(24, abs=2)
    path = fit.predict(texts)
    assert (path >= 0).sum() >= 24 * 8 and path.max() == 7
    proba = fit.predict_proba(texts)
    assert proba.shape == (len(path), 9) and np.allclose(proba.sum(axis=1), 1.0)


def test_both_strands_share_one_motif() -> None:
    texts, places, strands = planted(24, both=True)
    fit = estep.MotifFinder(8, strands="both", **QUICK).fit(texts)
    turned = fit.consensus_ == DNA.decode(DNA.reversed(DNA.encode(WORD)))  # the motif may be told from either side
    assert fit.consensus_ == WORD or turned
    right = fit.sites_.start == places
    assert right.mean() > 0.85
    assert (fit.sites_.strand[right] == (-strands if turned else strands)[right]).all()
    one = estep.MotifFinder(8, **QUICK).fit(texts)
    assert one.objective_ < fit.objective_ - 10  # one strand alone misses half of them


@pytest.mark.parametrize("law", ["any", "any (windows)"])
def test_a_word_that_reads_the_same_from_both_strands_is_one_site(law: str) -> None:
    """Each strand has half of the probability of such a site, so that neither reaches one half by itself."""
    rng = np.random.default_rng(0)
    texts = []
    for _ in range(12):
        letters = rng.integers(0, 4, 60)
        letters[8:16] = letters[35:43] = DNA.encode("ATGCGCAT")
        texts.append(DNA.decode(letters))
    fit = estep.MotifFinder(8, sites=law, strands="both", **QUICK).fit(texts)
    assert fit.sites_.start[fit.sites_.word == "ATGCGCAT"].tolist() == [8, 35] * 12
    assert len(fit.sites_) <= 25  # one more may look like it by chance


def test_palindromes_have_half_the_parameters() -> None:
    texts, places, _ = planted(20, word="ACGTACGT", redrawn=0.1)
    fit = estep.MotifFinder(8, palindrome=True, **QUICK).fit(texts)
    np.testing.assert_allclose(fit.pwm_, fit.pwm_[::-1, ::-1], atol=1e-14)
    free = estep.MotifFinder(8, **QUICK).fit(texts)
    assert fit.result_.n_free == free.result_.n_free - 12
    assert fit.objective_ <= free.objective_ + 1e-6 or fit.motifs_[0].bic < free.motifs_[0].bic


def test_several_motifs_are_found_one_after_another() -> None:
    texts, _, _ = planted(20, redrawn=0.0)
    other = "GGTATAGC"
    rng = np.random.default_rng(9)
    both = []
    for text in texts:
        at = int(rng.integers(0, 3))
        both.append(other + "ACGT"[:at] + text)
    fit = estep.MotifFinder(8, n_motifs=2, **QUICK).fit(both)
    assert {m.pwm.consensus for m in fit.motifs_} == {WORD, other}
    first, second = (set(zip(m.sites.sequence.tolist(), m.sites.start.tolist(), strict=True)) for m in fit.motifs_)
    assert not first & second
    assert fit.consensus_ == fit.motifs_[0].pwm.consensus and "motif 2" in fit.summary()


def test_the_width_is_chosen_and_every_width_is_told() -> None:
    texts, _, _ = planted(40, redrawn=0.02)
    fit = estep.MotifFinder("6:10", **QUICK).fit(texts)
    assert fit.width_ == 8 and [w["width"] for w in fit.widths_] == [6, 7, 8, 9, 10]
    assert min(fit.widths_, key=lambda w: w["bic"])["width"] == 8
    assert widths_of("8:10") == widths_of(range(8, 11)) == [8, 9, 10]


def test_shifts_mend_a_motif_that_is_off() -> None:
    texts, places, _ = planted(24)
    off = np.full((8, 4), 0.1) + 0.6 * np.eye(4)[DNA.encode("GACGCAAA")]  # two letters to the right
    stuck = estep.MotifFinder(8, init={"pwm": off}, shifts=0, random_state=0).fit(texts)
    assert (stuck.sites_.start == places + 2).mean() > 0.5
    found = estep.MotifFinder(8, n_init=1, shifts=3, random_state=0).fit(texts)
    assert (found.sites_.start == places).mean() > 0.85
    assert found.objective_ > stuck.objective_


# --- input ---


def test_every_way_to_give_sequences(tmp_path: Path) -> None:
    path = tmp_path / "small.fasta"
    write_fasta(path, [(f"s{i}", text) for i, text in enumerate(SMALL)])
    ways: list[Any] = [SMALL, [t.lower() for t in SMALL], path, str(path), {f"s{i}": t for i, t in enumerate(SMALL)}]
    fits = [estep.MotifFinder(5, random_state=0).fit(X) for X in ways]
    assert {f.log_likelihood_ for f in fits} == {fits[0].log_likelihood_}
    assert fits[2].sites_.name.tolist() == ["s0", "s1", "s2", "s3"]
    codes = [DNA.encode(t) for t in SMALL]
    coded = estep.MotifFinder(5, random_state=0).fit(codes)
    assert coded.log_likelihood_ == pytest.approx(fits[0].log_likelihood_) and coded.consensus_ == "33210"
    assert coded.letters_ == ("0", "1", "2", "3")


def test_weight_two_is_seen_twice_and_weight_zero_is_absent() -> None:
    texts, _, _ = planted(12)
    settings: dict[str, Any] = {"random_state": 0, "n_init": 4, "beta": 0.02, "background": np.full(4, 0.25), "tol": 1e-12}
    twice = estep.MotifFinder(8, **settings).fit(texts + texts[:6])
    weighted = estep.MotifFinder(8, **settings).fit(texts, sample_weight=[2.0] * 6 + [1.0] * 6)
    assert weighted.log_likelihood_ == pytest.approx(twice.log_likelihood_, rel=1e-9)
    np.testing.assert_allclose(weighted.pwm_, twice.pwm_, atol=1e-6)
    absent = estep.MotifFinder(8, **settings).fit([*texts, "AAAAAAAAAAAAAAAA"], sample_weight=[1.0] * 12 + [0.0])
    plain = estep.MotifFinder(8, **settings).fit(texts)
    assert absent.log_likelihood_ == plain.log_likelihood_ and len(absent.sites_) == 12


def test_unknown_letters_say_nothing_and_masks_keep_sites_away() -> None:
    texts, places, _ = planted(16, redrawn=0.0)
    holed = [t[: p + 3] + "N" + t[p + 4 :] for t, p in zip(texts, places, strict=True)]
    fit = estep.MotifFinder(8, **QUICK).fit([*holed[:4], *texts[4:]])
    assert fit.consensus_ == WORD and (fit.sites_.start == places).mean() > 0.9
    away = estep.MotifFinder(8, unknown="forbid", sites="at most one", **QUICK).fit([*holed[:4], *texts[4:]])
    sites = dict(zip(away.sites_.sequence.tolist(), away.sites_.start.tolist(), strict=True))
    assert all(sites.get(i) != places[i] for i in range(4))
    masked = [t[:p] + t[p : p + 8].lower() + t[p + 8 :] for t, p in zip(texts, places, strict=True)]
    hidden = estep.MotifFinder(8, mask="lower", **QUICK).fit(masked)
    assert not (hidden.sites_.start == places).any()
    told = [np.zeros(len(t), dtype=bool) for t in texts]
    for each, p in zip(told, places, strict=True):
        each[p : p + 8] = True
    same = estep.MotifFinder(8, mask=told, **QUICK).fit(texts)
    assert same.log_likelihood_ == pytest.approx(hidden.log_likelihood_)


def test_proteins_and_alphabets_of_ones_own() -> None:
    rng = np.random.default_rng(2)
    letters = "ACDEFGHIKLMNPQRSTVWY"
    texts = ["".join(rng.choice(list(letters), 12)) + "WHEY" + "".join(rng.choice(list(letters), 9)) for _ in range(8)]
    fit = estep.MotifFinder(4, **QUICK).fit(texts)
    assert fit.consensus_ == "WHEY" and fit.alphabet_.name == "protein"
    bits = estep.MotifFinder(3, alphabet="01", **QUICK).fit(["0010000111", "1000011100", "0111000001", "0000011101"])
    assert bits.letters_ == ("0", "1") and bits.consensus_ == "111"


# --- settings and files ---


def test_fixed_entries_do_not_move() -> None:
    texts, _, _ = planted(16)
    held = np.full((8, 4), np.nan)
    held[2] = [0.0, 0.0, 1.0, 0.0]
    held[0, 0] = 0.25
    fit = estep.MotifFinder(8, fixed={"pwm": held}, shifts=0, **QUICK).fit(texts)
    np.testing.assert_array_equal(fit.pwm_[2], [0.0, 0.0, 1.0, 0.0])
    assert fit.pwm_[0, 0] == 0.25
    # 8 x 3 entries less 3 and 1, and 3 of the background
    assert fit.result_.n_free == 24 - 3 - 1 + 3


def test_a_saved_motif_finds_the_same_sites(tmp_path: Path) -> None:
    texts, _, _ = planted(16)
    fit = estep.MotifFinder(8, strands="both", n_motifs=2, **QUICK).fit(texts)
    fit.save(tmp_path / "m")
    back = estep.load(tmp_path / "m")
    assert back.consensus_ == fit.consensus_ and back.get_params() == fit.get_params()
    assert str(back.find_sites(texts)) == str(fit.sites_)
    assert back.score(texts) == fit.score(texts)
    assert [r.loglik for r in back.motif_results_] == [m.result.loglik for m in fit.motifs_]
    write_meme(tmp_path / "m.meme", [m.pwm for m in fit.motifs_])
    np.testing.assert_allclose(read_meme(tmp_path / "m.meme")[1].probs, fit.motifs_[1].pwm.probs, atol=1e-8)
    assert isinstance(fit.motifs_[0].pwm, Pwm)


def test_it_is_a_scikit_learn_estimator() -> None:
    fit = estep.MotifFinder(5, beta=0.5, random_state=0)
    copy = clone(fit)
    assert copy.get_params() == fit.get_params() and copy is not fit
    assert copy.set_params(width=4).width == 4
    again = [estep.MotifFinder(5, random_state=0, n_jobs=n).fit(SMALL) for n in (1, 2)]
    assert np.array_equal(again[0].pwm_, again[1].pwm_)


def test_samples_look_like_the_sequences() -> None:
    fit = estep.MotifFinder(5, random_state=0).fit(SMALL)
    texts = fit.sample(lengths=[12, 20, 5])
    assert [len(t) for t in texts] == [12, 20, 5] and set("".join(texts)) <= set("ACGT")
    assert fit.sample(7) == fit.sample(7)
    with pytest.raises(ValueError, match="at least the width, 5"):
        fit.sample(lengths=[4])
    with pytest.raises(ValueError, match="n_samples must be whole numbers"):
        fit.sample(0)


def test_a_cap_is_said() -> None:
    texts, _, _ = planted(10)
    with pytest.warns(ConvergenceWarning, match="MotifFinder: stopped at max_iter"):
        fit = estep.MotifFinder(8, n_init=1, max_iter=1, shifts=0, random_state=0).fit(texts)
    assert not fit.converged_


# --- refusals ---


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"width": 0}, "width must be a whole number"),
        ({"width": "8-12"}, "write 12, or 8:24"),
        ({"width": "9:8"}, "at most the last"),
        ({"width": 11}, "width=11: no sequence has a place"),
        ({"sites": "some"}, "sites='some' is unknown"),
        ({"strands": "reverse"}, "strands='reverse' is unknown"),
        ({"palindrome": 1}, "palindrome must be True or False"),
        ({"criterion": "icl"}, "criterion='icl' is unknown"),
        ({"beta": -1}, "beta must be a number >= 0"),
        ({"background": "uniform"}, "background='uniform' is unknown"),
        ({"background": [0.5, 0.5]}, "background must be 4 probabilities"),
        ({"background": [0.0, 0.5, 0.25, 0.25]}, "gives a letter that occurs the probability 0"),
        ({"init": "best"}, "init must be 'words' or dict"),
        ({"init": {"pwm": np.eye(4)}}, r"init\['pwm'\] has shape \(4, 4\), expected \(5, 4\)"),
        ({"init": {"pwm": np.ones((5, 4))}}, "init: probs must sum to one"),
        ({"fixed": {"background": 1}}, r"fixed must be dict\(pwm=...\)"),
        ({"mask": "upper"}, "mask must be 'lower', or a list of boolean arrays"),
        ({"unknown": "drop"}, "unknown='drop' is unknown"),
        ({"alphabet": "A"}, "must list two letters or more"),
        ({"n_motifs": 0}, "n_motifs must be an integer >= 1"),
        ({"algorithm": "sem"}, "softly or by the best arrangement|unknown"),
        ({"init": {"pwm": np.full((5, 4), 0.25)}, "width": "5:6"}, "width several widths"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        estep.MotifFinder(**{"width": 5, "random_state": 0, **settings}).fit(SMALL)


@pytest.mark.parametrize(
    "X, words",
    [
        ([], "X holds no sequence"),
        (["ACGTAC", ""], "sequence 1 is empty"),
        (["ACGTAC", "AC-GTAC"], "sequence 1: character 2, '-', is a gap"),
        (["ACGTAC", "AC5"], "'5' is no letter"),
        (["NNNNNN", "NNNNNNN"], "no letter that is known"),
        ("nowhere.fasta", "is no file"),
        ([np.array([0.5, 1.0])], "array of whole numbers"),
        ([np.array([0, -2])], "holds the code -2"),
        (["ACGT", np.array([0, 1])], "mixes strings and arrays"),
        (7, "must be a list of strings"),
    ],
)
def test_sequences_that_cannot_be_read_are_named(X: Any, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        estep.MotifFinder(3, random_state=0).fit(X)


def test_short_sequences_are_named_where_each_needs_a_site() -> None:
    X = {"long one": "ACGTACGTAC", "tiny": "ACG", "small": "AC", "other": "TTGACGTACA"}
    with pytest.raises(ValueError, match="width=5: tiny, small are shorter than that.*sites='at most one'"):
        estep.MotifFinder(5, random_state=0).fit(X)
    fit = estep.MotifFinder(5, sites="at most one", random_state=0).fit(X)
    assert set(fit.sites_.name.tolist()) <= {"long one", "other"}
    with pytest.raises(ValueError, match="sequence 0 cannot hold a site of 5 letters"):
        estep.MotifFinder(5, random_state=0).fit(SMALL).find_sites(["ACG"])
    with pytest.raises(TypeError, match="fitted to arrays of codes"):
        estep.MotifFinder(2, random_state=0).fit([np.array([0, 1, 2, 1])] * 2).score(["ACGT"])


def test_strands_are_of_dna() -> None:
    with pytest.raises(ValueError, match="has no complements"):
        estep.MotifFinder(3, strands="both", random_state=0).fit(["WHEYWHEY", "HEYWHEYW"])
    with pytest.raises(ValueError, match="one weight a sequence"):
        estep.MotifFinder(3, random_state=0).fit(SMALL, sample_weight=[1.0])
