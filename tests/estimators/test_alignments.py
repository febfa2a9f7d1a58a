"""The partial alignment and the profile as people use them: alignment, paths, files, surgery, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

import estep
from estep.core.letters import DNA
from estep.data import read_fasta, write_fasta
from estep.views.block import AlignedBlock

FLANKED = ["AATGCACT", "CTTGCAAGTC", "GATACTGCAT", "CTGCATCCGA", "GGTGCAGG", "ATTGCATT"]
FAMILY = ["ACGTT", "ACGT", "ACCGTT", "ACGTT", "AGTT", "ACGTT", "ACGTT", "CCGTT"]


def family(n: int = 40, seed: int = 0) -> list[str]:
    """Descendants of ACGTACGGT: a letter in fifteen is another, one in fifteen lost, one in fifteen preceded by another."""
    rng, out = np.random.default_rng(seed), []
    for _ in range(n):
        letters: list[int] = []
        for a in DNA.encode("ACGTACGGT"):
            fate = rng.random()
            letters += [int(rng.integers(4))] if fate < 1 / 15 else []
            letters += [] if 1 / 15 < fate < 2 / 15 else [int(rng.integers(4)) if fate > 14 / 15 else int(a)]
        out.append(DNA.decode(letters or [0]))
    return out


# --- the partial alignment ---


def test_the_block_is_found_and_set_in_columns() -> None:
    fit = estep.AlignmentHMM(4, random_state=0).fit(FLANKED)
    assert fit.consensus_ == "TGCA" and fit.converged_ and fit.pwm_.shape == (4, 4) and fit.flanks_.shape == (2, 4)
    block = fit.align(FLANKED)
    assert [row.strip(".").lower() for row in block.rows] == [t.lower() for t in FLANKED]
    assert {row[int(np.flatnonzero(block.match)[0]) :][:4] for row in block.rows} == {"TGCA"}
    path = fit.predict(FLANKED)
    assert (path == 1).sum() == 6 and path.max() == 5
    assert fit.predict_proba(FLANKED).shape == (len(path), 6)
    assert (fit.predict(FLANKED, method="mpm") == path).mean() > 0.8
    assert fit.score_samples(FLANKED).sum() == pytest.approx(fit.log_likelihood_, rel=1e-10)
    assert fit.score(FLANKED) == pytest.approx(fit.log_likelihood_ / len(path), rel=1e-10)


def test_its_structure_is_held() -> None:
    fit = estep.AlignmentHMM(3, random_state=0, beta=0).fit(FLANKED)
    moves = fit.transmat_
    assert moves.shape == (5, 6) and fit.startprob_.tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]
    np.testing.assert_array_equal(moves[1:4], np.eye(6)[[2, 3, 4]])
    assert (moves[0, 2:] == 0).all() and moves[4, :4].sum() == 0 and fit.stay_.tolist() == [moves[0, 0], moves[4, 4]]
    # five states of three free letters, and two stays
    assert fit.result_.n_free == 17
    assert fit.bic(FLANKED) == pytest.approx(-2 * fit.log_likelihood_ + 17 * np.log(sum(map(len, FLANKED))), rel=1e-10)


def test_the_length_of_the_block_is_chosen() -> None:
    rng = np.random.default_rng(0)
    texts = []
    for _ in range(60):
        before, after = (DNA.decode(rng.integers(0, 4, 1 + int(rng.geometric(0.15)))) for _ in range(2))
        texts.append(before + "TGCA" + after)
    fit = estep.AlignmentHMM("3:5", random_state=0, n_init=6).fit(texts)
    assert fit.consensus_ == "TGCA"


def test_samples_have_the_block() -> None:
    fit = estep.AlignmentHMM(4, random_state=0, beta=0).fit(FLANKED)
    texts = fit.sample(20)
    assert all("TGCA" in text for text in texts) and fit.sample(20) == texts
    with pytest.raises(ValueError, match="n_samples must be an integer"):
        fit.sample(0)


def test_weights_of_sequences() -> None:
    settings: dict[str, Any] = {"random_state": 0, "beta": 0.0, "n_init": 4, "tol": 1e-12}
    twice = estep.AlignmentHMM(4, **settings).fit(FLANKED * 2)
    weighted = estep.AlignmentHMM(4, **settings).fit(FLANKED, sample_weight=np.full(6, 2.0))
    assert weighted.log_likelihood_ == pytest.approx(twice.log_likelihood_, rel=1e-9)
    absent = estep.AlignmentHMM(4, **settings).fit([*FLANKED, "TTTTTTTTTTT"], sample_weight=[1.0] * 6 + [0.0])
    assert absent.log_likelihood_ == pytest.approx(twice.log_likelihood_ / 2, rel=1e-9)
    assert weighted.score(FLANKED, sample_weight=np.full(6, 3.0)) == pytest.approx(weighted.score(FLANKED), rel=1e-12)


def test_short_sequences_are_named() -> None:
    with pytest.raises(ValueError, match="width=4: sequence 1 is shorter than 6 letters"):
        estep.AlignmentHMM(4, random_state=0).fit(["ACGTACGT", "ACGTA", "ACGTACG"])
    with pytest.raises(ValueError, match="beta must be a number >= 0"):
        estep.AlignmentHMM(4, beta="much").fit(FLANKED)


# --- the profile ---


@pytest.mark.parametrize("algorithm", ["em", "cem"])
def test_a_family_is_aligned(algorithm: str) -> None:
    texts = family()
    fit = estep.ProfileHMM(9, pseudocounts=0.2, algorithm=algorithm, random_state=0).fit(texts)
    assert fit.consensus_ == "ACGTACGGT" and fit.converged_
    assert fit.match_.shape == (9, 4) and fit.insert_.shape == (10, 4) and fit.moves_.shape == (10, 3, 3)
    block = fit.align(texts)
    assert block.match.sum() == 9 and block.deletes.shape == (40, 9)
    assert [row.replace("-", "").replace(".", "").upper() for row in block.rows] == texts
    deleted = [sum(kind == "D" for _, kind in path) for path in fit.paths(texts)]
    assert block.deletes.sum(axis=1).tolist() == deleted and sum(deleted) > 0
    states = fit.predict(texts)
    kinds = [kind for path in fit.paths(texts) for _, kind in path if kind != "D"]
    assert (states % 2 == 1).tolist() == [kind == "M" for kind in kinds]
    proba = fit.predict_proba(texts)
    assert proba.shape == (len(states), 19) and np.allclose(proba.sum(axis=1), 1.0)
    assert fit.score_samples(texts).sum() == pytest.approx(fit.log_likelihood_, rel=1e-12)
    assert fit.score(texts) == pytest.approx(fit.log_likelihood_ / sum(map(len, texts)), rel=1e-12)


def test_an_alignment_goes_in_and_comes_out(tmp_path: Path) -> None:
    rows = {"a": "AC-GTT", "b": "AC-GT-", "c": "ACCGTT", "d": "AC-GTT", "e": "A--GTT"}
    fit = estep.ProfileHMM(pseudocounts=0.1).fit_aligned(rows)
    assert fit.length_ == 5 and fit.consensus_ == "ACGTT"
    block = fit.align({name: row.replace("-", "") for name, row in rows.items()})
    assert block.rows == ("AC.GTT", "AC.GT-", "ACcGTT", "AC.GTT", "A-.GTT")
    again = estep.ProfileHMM(pseudocounts=0.1).fit_aligned(block)
    np.testing.assert_array_equal(again.match_, fit.match_)
    block.write(tmp_path / "a.afa")
    assert estep.ProfileHMM(pseudocounts=0.1).fit_aligned(tmp_path / "a.afa").log_likelihood_ == fit.log_likelihood_
    assert [r.sequence for r in read_fasta(tmp_path / "a.afa")] == list(block.rows)
    (tmp_path / "a.sto").write_text("# STOCKHOLM 1.0\n" + "".join(f"{n} {r}\n" for n, r in rows.items()) + "//\n")
    assert estep.ProfileHMM(pseudocounts=0.1).fit_aligned(str(tmp_path / "a.sto")).log_likelihood_ == fit.log_likelihood_
    twice = estep.ProfileHMM(pseudocounts=0).fit_aligned(rows, sample_weight=np.full(5, 2.0))
    once = estep.ProfileHMM(pseudocounts=0).fit_aligned(rows)
    np.testing.assert_allclose(twice.moves_, once.moves_)
    assert twice.log_likelihood_ == pytest.approx(2 * once.log_likelihood_)


def test_training_goes_on_from_an_alignment() -> None:
    texts = family(12)
    counted = estep.ProfileHMM(pseudocounts=0.5).fit_aligned({"a": "ACGTACGGT", "b": "ACG-ACGGT", "c": "ACGTACG-T"})
    trained = estep.ProfileHMM(pseudocounts=0.5, init=counted.params_).fit(texts)
    assert trained.length_ == 9 and len(trained.starts_) == 1
    assert trained.score(texts) > counted.score(texts)


def test_surgery_finds_the_number_of_nodes() -> None:
    texts = family(60)
    short = estep.ProfileHMM(7, pseudocounts=0.2, random_state=0).fit(texts)
    assert short.length_ == 7  # off by default
    for begun in (7, 12):
        fit = estep.ProfileHMM(begun, pseudocounts=0.2, surgery=True, random_state=0).fit(texts)
        assert fit.length_ == 9 and fit.consensus_ == "ACGTACGGT"


def test_insert_letters_are_held_or_fitted() -> None:
    texts = family(30)
    held = estep.ProfileHMM(9, random_state=0).fit(texts)
    assert (held.insert_ == held.insert_[0]).all()
    told = estep.ProfileHMM(9, insert=[0.1, 0.2, 0.3, 0.4], random_state=0).fit(texts)
    np.testing.assert_allclose(told.insert_[3], [0.1, 0.2, 0.3, 0.4])
    free = estep.ProfileHMM(9, insert="fit", random_state=0).fit(texts)
    assert free.result_.n_free == held.result_.n_free + 30 and (free.insert_ != free.insert_[0]).any()


def test_fixed_entries_do_not_move() -> None:
    held = np.full((9, 4), np.nan)
    held[0] = [1.0, 0.0, 0.0, 0.0]
    fit = estep.ProfileHMM(9, fixed={"match": held}, pseudocounts=0.5, random_state=0).fit(family(20))
    np.testing.assert_array_equal(fit.match_[0], held[0])
    assert np.isfinite(fit.objective_)


def test_samples_come_from_the_family() -> None:
    fit = estep.ProfileHMM(9, pseudocounts=0.2, random_state=0).fit(family())
    texts = [t for t in fit.sample(30) if t]
    assert abs(np.mean([len(t) for t in texts]) - 9) < 2
    assert fit.score(texts) > fit.score([DNA.decode(np.random.default_rng(0).integers(0, 4, 9)) for _ in range(30)]) + 0.3


# --- both ---


@pytest.mark.parametrize("model", [estep.AlignmentHMM(4, random_state=0), estep.ProfileHMM(5, random_state=0)], ids=["a", "p"])
def test_files_clones_summaries_and_pictures(model: Any, tmp_path: Path) -> None:
    texts = FLANKED if isinstance(model, estep.AlignmentHMM) else FAMILY
    copy = clone(model)
    assert copy.get_params() == model.get_params() and copy is not model
    fit = copy.fit(texts)
    fit.save(tmp_path / "m")
    back = estep.load(tmp_path / "m")
    assert back.score(texts) == fit.score(texts) and back.align(texts).rows == fit.align(texts).rows
    assert back.letters_ == fit.letters_ and back.summary() == fit.summary()
    assert fit.status_.name in ("CONVERGED", "ROUNDED") and "status" in fit.summary()
    for figure in (fit.plot(), fit.plot(texts)):
        figure.savefig(tmp_path / "x.png")
        assert figure.get_axes()


@pytest.mark.parametrize("model", [estep.AlignmentHMM(4), estep.ProfileHMM(5)], ids=["a", "p"])
def test_a_file_is_a_way_to_give_sequences(model: Any, tmp_path: Path) -> None:
    write_fasta(tmp_path / "x.fasta", [(f"s{i}", t) for i, t in enumerate(FLANKED)])
    fit = clone(model).set_params(random_state=0).fit(tmp_path / "x.fasta")
    assert fit.align(tmp_path / "x.fasta").names == tuple(f"s{i}" for i in range(6))
    assert fit.log_likelihood_ == clone(model).set_params(random_state=0).fit(FLANKED).log_likelihood_


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"length": 0}, "length must be an integer >= 1"),
        ({"insert": "none"}, "insert='none' is unknown"),
        ({"insert": [1.0]}, "insert must be 4 probabilities"),
        ({"pseudocounts": -1}, "match must be a number >= 0"),
        ({"pseudocounts": {"delete": 1}}, r"pseudocounts names \['delete'\]"),
        ({"init": "random"}, "init must be 'sequences' or dict"),
        ({"init": {"moves": np.zeros((6, 3, 3))}}, "init must name match"),
        ({"init": {"match": np.full((5, 3), 1 / 3)}}, r"init\['match'\] has shape \(5, 3\), expected \(5, 4\)"),
        ({"init": {"match": np.ones((5, 4))}}, "init: match must sum to one"),
        ({"fixed": {"match": np.zeros((4, 4))}}, r"fixed\['match'\] has shape \(4, 4\), expected \(5, 4\)"),
        ({"fixed": {"delete": np.zeros(1)}}, r"fixed names \['delete'\]"),
        ({"surgery": "yes"}, "surgery must be True or False"),
        ({"surgery": True, "fixed": {}}, "surgery changes the number of nodes"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        estep.ProfileHMM(**{"length": 5, "random_state": 0, **settings}).fit(FAMILY)


@pytest.mark.parametrize(
    "rows, words",
    [
        (["AC-T", "AC"], "sequence 0 has 4 columns and sequence 1 2"),
        (["ACGT", "----"], "sequence 1 is all gaps"),
        (["A---", "-C--", "--G-"], "no node; is this an alignment"),
        ([], "X holds no row"),
        ([1, 2], "a list of strings with gaps"),
    ],
)
def test_bad_alignments_are_named(rows: Any, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        estep.ProfileHMM().fit_aligned(rows)


def test_an_impossible_sequence_is_named() -> None:
    fit = estep.ProfileHMM(5, pseudocounts=0, random_state=0).fit(["ACGTT", "ACGTT", "ACGTT"])
    with pytest.raises(ValueError, match="row 5 begins a sequence that no path through the profile explains"):
        fit.score(["ACGTT", "GGGGGGGGGGG"])
    assert isinstance(fit.align(["ACGTT"]), AlignedBlock)
