"""Files of sequences, alignments and motifs: what is written is read back, Biopython reads the same, bad files are named."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from estep.core.letters import DNA, PROTEIN, RNA, Alphabet, alphabet_of
from estep.data import Pwm, SequenceRecord, read_fasta, read_meme, read_stockholm, write_fasta, write_meme
from estep.data.meme import information

STOCKHOLM = """# STOCKHOLM 1.0
#=GF ID   toy
#=GF DE   two blocks
#=GS a/1-4 AC X1

a/1-4   AC-G
b       ACTG
#=GC SS_cons HH-E
#=GR a/1-4 SS H..E

a/1-4   TT.
b       T-A
#=GR a/1-4 SS ...
#=GC SS_cons ..C
//
"""
RECORDS = [SequenceRecord("a", "ACGTN" * 20, "the first one"), SequenceRecord("b|2", "gat-taca"), SequenceRecord("c", "M" * 61)]


def written(tmp_path: Path, text: str, name: str = "x.txt") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


# --- FASTA ---


def test_fasta_goes_there_and_back_and_biopython_agrees(tmp_path: Path) -> None:
    seqio = pytest.importorskip("Bio.SeqIO")
    write_fasta(tmp_path / "a.fasta", RECORDS)
    assert read_fasta(tmp_path / "a.fasta") == RECORDS
    theirs = list(seqio.parse(io.StringIO((tmp_path / "a.fasta").read_text("utf-8")), "fasta"))
    assert [(r.id, str(r.seq)) for r in theirs] == [(r.name, r.sequence) for r in RECORDS]
    assert theirs[0].description == "a the first one"
    out = io.StringIO()
    seqio.write(theirs, out, "fasta")
    assert read_fasta(written(tmp_path, out.getvalue())) == RECORDS


def test_fasta_as_it_comes(tmp_path: Path) -> None:
    path = written(tmp_path, ">a\r\nAC G\r\n\r\nTT\r\n; a remark\r\n>b x\r\nGGA")
    assert [(r.name, r.sequence, r.description) for r in read_fasta(path)] == [("a", "ACGTT", ""), ("b", "GGA", "x")]
    packed = tmp_path / "x.fasta.gz"
    packed.write_bytes(gzip.compress(b">a\nACG\n"))
    assert read_fasta(packed) == [SequenceRecord("a", "ACG")]


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "no sequence in it"),
        ("ACGT\n>a\nAC\n", "line 1: letters before the first header"),
        (">a\n>b\nAC\n", "line 1: 'a' has no letters"),
        (">a\nAC\n> \nGG\n", "line 3: the header has no name"),
    ],
)
def test_bad_fasta_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_fasta(written(tmp_path, text))


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b">a\n\xff\xfe\x00")
    with pytest.raises(ValueError, match="not a text file"):
        read_fasta(tmp_path / "x")
    (tmp_path / "x.gz").write_bytes(b"plain")
    with pytest.raises(ValueError, match="not a text file"):
        read_fasta(tmp_path / "x.gz")
    with pytest.raises(ValueError, match="one word"):
        write_fasta(tmp_path / "y", [("two words", "ACG")])


# --- Stockholm ---


def test_stockholm_is_what_biopython_reads(tmp_path: Path) -> None:
    alignio = pytest.importorskip("Bio.AlignIO")
    mine = read_stockholm(written(tmp_path, STOCKHOLM))
    assert [(r.name, r.sequence) for r in mine.records] == [("a/1-4", "AC-GTT."), ("b", "ACTGT-A")]
    assert mine.columns == {"SS_cons": "HH-E..C"} and mine.about == {"ID": "toy", "DE": "two blocks"}
    theirs = alignio.read(io.StringIO(STOCKHOLM), "stockholm")
    assert [str(r.seq).replace(".", "-") for r in theirs] == [r.sequence.replace(".", "-") for r in mine.records]
    assert len(theirs) == 2 and theirs.get_alignment_length() == 7


@pytest.mark.parametrize(
    "text, words",
    [
        (">a\nACG\n", "is this FASTA"),
        ("# STOCKHOLM 1.0\na ACG\n", "has no end"),
        ("# STOCKHOLM 1.0\n//\n", "has no rows"),
        ("# STOCKHOLM 1.0\na ACG\nb AC\n//\n", "row 'b' has 2 columns and 'a' 3"),
        ("# STOCKHOLM 1.0\nalone\n//\n", "line 2: expected a name and letters"),
    ],
)
def test_bad_stockholm_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_stockholm(written(tmp_path, text))


# --- MEME ---


def motifs() -> list[Pwm]:
    rng, background = np.random.default_rng(0), np.array([0.3, 0.2, 0.2, 0.3])
    return [Pwm(f"motif_{w}", rng.dirichlet(np.full(4, 0.5), w), DNA, background, 100_000.0 + w, 1.5e-8) for w in (3, 8)]


def test_meme_goes_there_and_back_and_biopython_agrees(tmp_path: Path) -> None:
    bio = pytest.importorskip("Bio.motifs")
    path = tmp_path / "m.meme"
    write_meme(path, motifs())
    for found, told in zip(read_meme(path), motifs(), strict=True):
        # nine decimals are written
        np.testing.assert_allclose(found.probs, told.probs, atol=2e-9)
        assert (found.name, found.n_sites, found.evalue) == (told.name, told.n_sites, told.evalue)
        np.testing.assert_allclose(found.background, told.background, atol=1e-6)
    with open(path) as file:
        theirs = bio.parse(file, "minimal")
    for found, told in zip(theirs, motifs(), strict=True):
        assert found.name == told.name and found.length == told.width
        counts = np.array([[found.pwm[letter][w] for letter in "ACGT"] for w in range(told.width)])
        np.testing.assert_allclose(counts, told.probs, atol=1e-5)  # they round p * nsites to whole counts
        assert str(found.consensus) == told.consensus
        assert found.background["A"] == pytest.approx(0.3)


def test_information_is_that_of_biopython() -> None:
    bio = pytest.importorskip("Bio.motifs")
    motif = motifs()[1]
    counts = {letter: (motif.probs[:, a]).tolist() for a, letter in enumerate("ACGT")}
    theirs = bio.matrix.PositionWeightMatrix("ACGT", counts)
    background = dict(zip("ACGT", motif.background, strict=True))
    assert theirs.log_odds(background).mean(background) == pytest.approx(information(motif.probs, motif.background).sum())


def test_other_alphabets_and_other_spellings(tmp_path: Path) -> None:
    protein = Pwm("p", np.full((2, 20), 0.05), PROTEIN, np.full(20, 0.05))
    write_meme(tmp_path / "p", [protein])
    assert read_meme(tmp_path / "p")[0].alphabet is PROTEIN
    own = Pwm("own", np.array([[0.25, 0.75]]), alphabet_of("01", []), np.array([0.5, 0.5]))
    write_meme(tmp_path / "o", [own])
    assert read_meme(tmp_path / "o")[0].alphabet.letters == ("0", "1")
    text = "MEME version 4\nALPHABET= ACGT\nMOTIF 1 long name\nletter-probability matrix: alength= 4 w= 1 nsites= 5 E= 0.1\n\n"
    found = read_meme(written(tmp_path, text + " 0.25\t0.25 0.25 0.251\nURL x\n"))[0]
    assert found.name == "1" and found.probs.sum() == pytest.approx(1.0) and (found.background == 0.25).all()


@pytest.mark.parametrize(
    "text, words",
    [
        ("ACGT\n", "no line 'MEME version'"),
        ("MEME version 4\n", "no line 'ALPHABET= ...'"),
        ("MEME version 4\nALPHABET= ACGT\n", "no 'letter-probability matrix'"),
        ("MEME version 4\nALPHABET= ACGT\nletter-probability matrix: w= 2\n1 0 0 0\n", "has 1 rows of 4 numbers, expected 2"),
        ("MEME version 4\nALPHABET= ACGT\nletter-probability matrix: w= 1\n1 1 0 0\n", "line 4: .* they sum to 2"),
        ("MEME version 4\nALPHABET= ACGT\nBackground letter frequencies\nA 0.5 C x\n", "line 4: expected a letter"),
    ],
)
def test_bad_meme_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_meme(written(tmp_path, text))


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="motifs is empty"):
        write_meme(tmp_path / "m", [])
    other = Pwm("r", np.full((1, 4), 0.25), RNA, np.full(4, 0.25))
    with pytest.raises(ValueError, match="different alphabets"):
        write_meme(tmp_path / "m", [motifs()[0], other])
    words = Pwm("w", np.array([[0.5, 0.5]]), Alphabet("words", ("aa", "b")), np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match="letters of one character"):
        write_meme(tmp_path / "m", [words])


# --- alphabets ---


@budget(max_examples=50, deadline=None)
@given(st.text("ACGTacgtN", min_size=1, max_size=30))
def test_letters_go_there_and_back(text: str) -> None:
    codes = DNA.encode(text)
    assert DNA.decode(codes) == text.upper()
    assert DNA.decode(DNA.reversed(DNA.reversed(codes))) == text.upper()


def test_reversed_complements_are_those_of_biopython() -> None:
    seq = pytest.importorskip("Bio.Seq")
    text = "GATTACANCCGT"
    assert DNA.decode(DNA.reversed(DNA.encode(text))) == str(seq.Seq(text).reverse_complement())


@pytest.mark.parametrize(
    "texts, name",
    [
        (["ACGT"], "DNA"), (["acgu"], "RNA"), (["ACGTRYN", "AACCGGTTAACCGGTTAACCGGTTAACC"], "DNA"), (["VGAHAGEY"], "protein"),
        (["RYKMSWNN"], "protein"),
    ],
)  # fmt: skip
def test_alphabets_are_recognised(texts: list[str], name: str) -> None:
    assert alphabet_of("auto", texts).name == name


def test_what_is_no_letter_is_named() -> None:
    with pytest.raises(ValueError, match=r"s1: character 2, '5', is no letter of DNA \(ACGT\)"):
        DNA.encode("AC5", "s1")
    with pytest.raises(ValueError, match="'-', is a gap"):
        DNA.encode("AC-G")
    with pytest.raises(ValueError, match="'0' is no letter of DNA, RNA or protein"):
        alphabet_of("auto", ["10101"])
    with pytest.raises(ValueError, match="has no other strand"):
        PROTEIN.reversed([0])
    with pytest.raises(ValueError, match="each once"):
        alphabet_of("AA", [])
    with pytest.raises(ValueError, match="alphabet must be"):
        alphabet_of(4, [])
