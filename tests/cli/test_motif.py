"""``estep motif``: motifs of a file of sequences, from the shell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from estep.data import read_meme, sets, write_fasta


@pytest.fixture
def promoters(here: Path) -> Path:
    table = sets.load("promoters")
    write_fasta(here / "promoters.fasta", zip(table["name"], table["sequence"], strict=True))
    return here


def test_a_motif_is_found_and_written(run: Callable[..., Any], promoters: Path) -> None:
    done = run("motif promoters.fasta --width 15:16 --n-init 8 --out found --json")
    assert done.code == 0
    told = done.document
    assert told["motifs"][0]["width"] == 16 and told["certificate"] == "exact" and len(told["widths"]) == 2
    assert told["motifs"][0]["consensus"].startswith("TGTGA") and len(told["motifs"][0]["sites"]) == 18
    motif = read_meme(promoters / "found" / "motifs.meme")[0]
    assert motif.consensus == told["motifs"][0]["consensus"]
    lines = (promoters / "found" / "sites.csv").read_text("utf-8").splitlines()
    assert lines[0] == "motif,sequence,name,start,end,strand,probability,bits,pvalue,word" and len(lines) == 19
    assert told["motifs"][0]["evalue"] < 1e-4 and motif.evalue == pytest.approx(told["motifs"][0]["evalue"], rel=0.01)
    assert (promoters / "found" / "logo.svg").read_text("utf-8").startswith("<?xml")
    again = run("motif promoters.fasta --width 15 --n-init 2 --out found")
    assert again.code == 2 and "is there already" in again.err


def test_words_and_options(run: Callable[..., Any], promoters: Path) -> None:
    done = run("motif promoters.fasta --width 16 --both-strands --sites at-most-one --motifs 2 --n-init 1 --quiet")
    assert done.code == 0
    assert "2 motifs in sequences" in done.out and "motif 2" in done.out and "on both strands" in done.out
    tested = run("motif promoters.fasta --width 16 --n-init 1 --shuffles 2 --json --quiet")
    assert tested.document["shuffles"] == 2 and tested.document["shuffled_pvalue"] == pytest.approx(1 / 3)
    assert "shuffled     p = 0.5:" in run("motif promoters.fasta --width 16 --n-init 1 --shuffles 1 --quiet").out
    heuristic = run("motif promoters.fasta --width 16 --sites tcm --n-init 1 --json --quiet")
    assert heuristic.document["certificate"] == "heuristic"


@pytest.mark.parametrize(
    "line, words",
    [
        ("motif promoters.fasta --width 8-12", "width='8-12' is no width; write 12, or 8:24"),
        ("motif nowhere.fasta", "is no file"),
        ("motif promoters.fasta --width 200", "no sequence has a place for a site"),
        ("motif promoters.fasta --palindrome --alphabet protein", "has no complements"),
        ("motif promoters.fasta --shuffles -1", "--shuffles must be 0 or more"),
        ("motif faithful.csv", "letters before the first header"),
    ],
)
def test_what_cannot_be_done_is_said(run: Callable[..., Any], promoters: Path, line: str, words: str) -> None:
    done = run(line)
    assert done.code == 2 and words in done.err and done.out == ""
