"""Motifs, alignments and profiles against values found elsewhere.

The promoters are the 18 sequences of Stormo & Hartzell (1989), PNAS 86:1183, with the CRP sites printed there; the case
``motif-crp-oops`` gives EM's steps on them from a fixed seed, by a program of its own. The planted alignment is ours: 60
sequences with TGCA between flanks, one letter in twenty redrawn. ``profile-hmm-globin`` is the worked example of Durbin et al.
(1998), section 5.3.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

import estep
from estep.core.letters import DNA
from estep.data import read_fasta, sets
from estep.estimators.warnings import ConvergenceWarning

HERE = Path(__file__).parent
GOLDEN = {case["id"]: case for case in json.loads((HERE / "cases.json").read_text(encoding="utf-8"))}
ELSEWHERE = HERE.parents[1].parent / "shared" / "golden" / "data"


def promoters() -> tuple[dict[str, str], list[list[int]]]:
    """Sequences by name, and the starts of the known sites, from 1."""
    table = sets.load("promoters")
    known = [[int(v) for v in (a, b) if v == v] for a, b in zip(table["site"], table["second_site"], strict=True)]
    return dict(zip(table["name"], table["sequence"], strict=True)), known


def near_known(starts: np.ndarray, known: list[list[int]], most: int) -> int:
    """How many sites begin within ``most`` letters of a known one."""
    return sum(min(abs(s + 1 - k) for k in each) <= most for s, each in zip(starts.tolist(), known, strict=True))


def seeded(passes: int) -> estep.MotifFinder:
    case = GOLDEN["motif-crp-oops"]
    strong = np.full((22, 4), 0.1) + 0.6 * np.eye(4)[DNA.encode(case["init"]["seed"])]
    finder = estep.MotifFinder(
        22,
        background=case["settings"]["background_values"],
        beta=0,
        init={"pwm": strong},
        max_iter=passes,
        tol=0.0,
        accelerate="none",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return finder.fit(promoters()[0])


# --- CRP binding sites ---


def test_the_promoters_are_those_of_the_case() -> None:
    path = ELSEWHERE / "crp_sites.fasta"
    if not path.exists():
        pytest.skip(f"{path.name} is not shipped with the project, and is not beside it")
    texts, known = promoters()
    records = read_fasta(path)
    assert {r.name: r.sequence for r in records} == texts
    assert [[int(v) for v in r.description.split()] for r in records] == known


def test_steps_from_a_fixed_seed() -> None:
    expected, tolerance = GOLDEN["motif-crp-oops"]["expected"], GOLDEN["motif-crp-oops"]["tolerance"]
    ten = seeded(11)
    assert ten.trace_[0] == pytest.approx(expected["iteration_0_loglik"], abs=1e-7)
    assert ten.trace_[1] == pytest.approx(expected["iteration_1"]["loglik"], abs=tolerance["iteration_10_abs"])
    assert ten.trace_[10] == pytest.approx(expected["iteration_10_loglik"], abs=tolerance["iteration_10_abs"])
    one = seeded(1)
    np.testing.assert_allclose(one.pwm_, expected["iteration_1"]["theta_A_C_G_T"], atol=tolerance["iteration_1_abs"])


def test_where_the_fixed_seed_ends() -> None:
    case, (texts, known) = GOLDEN["motif-crp-oops"], promoters()
    expected = case["expected"]["converged"]
    fit = seeded(200)
    assert fit.log_likelihood_ == pytest.approx(expected["loglik"], abs=case["tolerance"]["converged_loglik_abs"])
    assert fit.consensus_ == expected["consensus"]
    assert (fit.sites_.start + 1).tolist() == expected["best_start_1_based"]
    np.testing.assert_allclose(fit.sites_.probability, expected["posterior_of_best_start"], atol=1e-5)
    # twelve digits are stored, and both runs stand within 1e-5 nats of the same end
    np.testing.assert_allclose(fit.pwm_, expected["theta_A_C_G_T"], atol=2e-4)
    assert near_known(fit.sites_.start, known, 2) == expected["sequences_within_2_of_a_known_site"]
    assert len(texts) == 18


def test_sixteen_of_eighteen_sites_are_found_from_words() -> None:
    """All words of width 22, as in the literature: at least 16 sites, three letters to the right of where papers begin them."""
    texts, known = promoters()
    fit = estep.MotifFinder(22, random_state=0).fit(texts)
    assert near_known(fit.sites_.start, known, 3) >= 16
    offsets = [min((s + 1 - k for k in each), key=abs) for s, each in zip(fit.sites_.start.tolist(), known, strict=True)]
    assert offsets.count(3) >= 16
    # an independent program that runs on from the best word by itself ends at -2472.2044 with 14.5 bits
    assert fit.log_likelihood_ > -2472.2044
    assert fit.information_ == pytest.approx(14.6, abs=0.15)
    assert fit.consensus_.startswith("TGTGA") and "TCACA" in fit.consensus_
    weak = estep.MotifFinder(22, n_init=1, shifts=0, random_state=0).fit(texts)
    assert weak.objective_ < fit.objective_ - 1.0  # the many words and the shifts were needed


def test_the_width_of_the_core_is_chosen() -> None:
    """The core TGTGANNNNNNTCACA has 16 letters; half-sites of a palindrome, which is preferred where it is offered."""
    texts, _ = promoters()
    fit = estep.MotifFinder([12, 16, 26], random_state=0, n_init=10).fit(texts)
    assert fit.width_ == 16 and fit.consensus_[:5] == "TGTGA" and fit.consensus_[-5:] == "TCACA"
    mirrored = estep.MotifFinder(16, palindrome=True, random_state=0, n_init=10).fit(texts)
    assert mirrored.motifs_[0].bic < fit.motifs_[0].bic
    np.testing.assert_allclose(mirrored.pwm_, mirrored.pwm_[::-1, ::-1], atol=1e-14)


# --- the planted alignment ---


def planted() -> tuple[list[str], np.ndarray]:
    rng, texts, places = np.random.default_rng(0), [], []
    for _ in range(60):
        before, after = rng.integers(3, 15, 2)
        redrawn = rng.random(4) < 0.05
        core = np.where(redrawn, rng.integers(0, 4, 4), DNA.encode("TGCA"))
        letters = np.concatenate([rng.integers(0, 4, before), core, rng.integers(0, 4, after)])
        texts.append(DNA.decode(letters))
        places.append(int(before))
    return texts, np.array(places)


@pytest.mark.parametrize("algorithm", ["em", "cem"])
def test_the_planted_alignment_is_found(algorithm: str) -> None:
    texts, places = planted()
    fit = estep.AlignmentHMM(4, algorithm=algorithm, random_state=0, beta=0).fit(texts)
    assert fit.consensus_ == "TGCA"
    flanks = 1.0 / (1.0 - fit.stay_)
    # 60 flanks of 3 to 14 letters, mean 8.5 and variance 12: four standard errors of their mean
    np.testing.assert_allclose(flanks, 8.5, atol=4 * np.sqrt(12 / 60))
    assert (fit.places_ == places).mean() > 0.8
    lengths = np.array([len(t) for t in texts])
    if algorithm == "cem":  # with hard places the stays are counts: a flank of n letters stays n - 1 times of n
        assert flanks[0] == pytest.approx(fit.places_.mean(), rel=1e-9)
        assert flanks[1] == pytest.approx((lengths - 4 - fit.places_).mean(), rel=1e-9)
    block = fit.align(texts)
    assert [row[int(np.flatnonzero(block.match)[0]) :][:4] for row in block.rows] == [
        t[p : p + 4] for t, p in zip(texts, fit.places_, strict=True)
    ]


# --- the profile of globins ---


def test_a_profile_is_counted_as_in_the_book() -> None:
    case = GOLDEN["profile-hmm-globin"]
    expected, atol = case["expected"], case["tolerance"]["abs"]
    fit = estep.ProfileHMM(pseudocounts=1).fit_aligned(HERE / case["data"][0])
    assert fit.length_ == case["model"]["match_states"] == len(expected["match_columns_1_based"])
    for probs, told in zip(fit.match_, expected["match_emissions"], strict=True):
        assert dict(zip(fit.letters_, probs.tolist(), strict=True)) == pytest.approx(told, abs=atol)
    for j, told in enumerate(expected["transitions_laplace_by_node"]):
        for s, t in np.ndindex(3, 3):
            name = "MID"[s] + "MID"[t]
            if name in told and not (j == 0 and s == 2):  # there is no delete state before the first node
                assert fit.moves_[j, s, t] == pytest.approx(told[name], abs=atol)
    assert fit.converged_ and fit.n_iter_ <= 3  # a start, the counts, and a pass that changes nothing
    rows = {r.name: r.sequence for r in read_fasta(HERE / case["data"][0])}
    plain = {name: row.replace("-", "") for name, row in rows.items()}
    block = fit.align(plain)
    match = np.array(expected["match_columns_1_based"]) - 1
    assert [row for row, name in zip(block.rows, rows, strict=True) if name == "GLB1_GLYDI"] == ["IAGadNIAGV"]
    assert block.match.sum() == len(match) == 8


def test_the_book_is_not_met_without_its_pseudocounts() -> None:
    case = GOLDEN["profile-hmm-globin"]
    fit = estep.ProfileHMM(pseudocounts=0.5).fit_aligned(HERE / case["data"][0])
    assert abs(fit.match_[0].max() - case["published"]["first_column"]["V"]) > 0.05


def test_baum_welch_from_the_alignment_climbs_on_unaligned_globins() -> None:
    rows = {r.name: r.sequence for r in read_fasta(HERE / GOLDEN["profile-hmm-globin"]["data"][0])}
    plain = {name: row.replace("-", "") for name, row in rows.items()}
    counted = estep.ProfileHMM(pseudocounts=0.1).fit_aligned(rows)
    trained = estep.ProfileHMM(pseudocounts=0, insert=counted.insert_[0], init=counted.params_).fit(plain)
    letters = sum(map(len, plain.values()))
    assert trained.trace_[0] == pytest.approx(letters * counted.score(plain), rel=1e-12)
    assert trained.log_likelihood_ > trained.trace_[0] + 1.0 and trained.length_ == 8
