"""Logos, aligned blocks and tables of sites: heights by hand, what is drawn, what is refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.patches import PathPatch, Rectangle

import estep
from estep.core.letters import PROTEIN
from estep.data import Pwm
from estep.views.block import AlignedBlock, in_columns
from estep.views.logo import letter_colour, logo_heights, plot_motif
from estep.views.sites import Sites

PROBS = np.array([[1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0.0, 0.0]])


def letters_of(figure: object) -> list[tuple[float, float, float]]:
    """Middle, bottom and height of every letter that is drawn, from left and below."""
    boxes = [p.get_path().get_extents() for p in figure.get_axes()[0].patches if isinstance(p, PathPatch)]  # type: ignore[attr-defined]
    return sorted((round(float(b.x0 + b.x1) / 2, 6), round(float(b.y0), 6), round(float(b.height), 6)) for b in boxes)


def test_letters_are_as_high_as_they_are_informative() -> None:
    np.testing.assert_allclose(logo_heights(PROBS, np.full(4, 0.25)), [[2, 0, 0, 0], [0, 0, 0, 0], [0.5, 0.5, 0, 0]])
    assert letters_of(estep.views.plot_logo(PROBS)) == [(0.0, 0.0, 2.0), (2.0, 0.0, 0.5), (2.0, 0.5, 0.5)]
    skewed = np.array([0.5, 0.5, 0.0, 0.0])
    assert letters_of(estep.views.plot_logo(PROBS, background=skewed))[0] == (0.0, 0.0, 1.0)


def test_logos_of_motifs_and_of_other_alphabets() -> None:
    motif = Pwm("p", np.eye(20)[[3, 7]], PROTEIN, np.full(20, 0.05))
    # log2(20) bits; an I is narrow, but as high
    assert [round(h, 3) for _, _, h in letters_of(estep.views.plot_logo(motif))] == [4.322, 4.322]
    assert letter_colour("W", PROTEIN.letters) == letter_colour("A", PROTEIN.letters)
    assert letter_colour("x", ["x", "y"]) != letter_colour("y", ["x", "y"])
    with pytest.raises(ValueError, match=r"probs has shape \(3, 4\), expected \(W, 2\)"):
        estep.views.plot_logo(PROBS, letters="01")
    with pytest.raises(ValueError, match=r"background has shape \(2,\), expected \(4,\)"):
        estep.views.plot_logo(PROBS, background=[0.5, 0.5])


def test_sites_are_drawn_where_they_lie() -> None:
    columns = ([0, 2], ["a", "c"], [4, 1], [8, 5], [1, -1], [0.9, 0.5], [7.5, 3.0], [0.004, 0.08], ["TGCA", "TGCT"])
    sites = Sites(*map(np.array, columns))
    figure = estep.views.plot_sites(sites, ["a", "b", "c"], [10, 9, 12])
    boxes = [p for p in figure.get_axes()[0].patches if isinstance(p, Rectangle)]
    assert [(b.get_x(), b.get_width(), b.get_alpha()) for b in boxes] == [(4, 4, 0.9), (1, 4, 0.5)]
    assert boxes[0].get_facecolor() != boxes[1].get_facecolor()
    assert str(sites).splitlines()[2].split() == ["1", "c", "1", "-", "0.500", "3.0", "8.0e-02", "TGCT"]
    assert sites.to_csv().splitlines()[1] == "0,a,4,8,+,0.9,7.5,0.004,TGCA"
    frame = sites.to_frame()
    assert frame.shape == (2, 9) and frame["strand"].tolist() == [1, -1]
    none = Sites(*(column[:0] for column in map(np.array, columns)))
    assert str(none) == "no sites" and len(none) == 0


def test_many_sites_are_cut_short() -> None:
    n = 70
    parts = [np.zeros(n, dtype=int), np.full(n, "a"), np.arange(n), np.arange(n) + 4, np.ones(n, dtype=int)]
    text = str(Sites(*parts, np.ones(n), np.ones(n), np.ones(n), np.full(n, "ACGT")))
    assert text.endswith("... and 10 more")


def test_blocks_as_text_and_as_a_picture() -> None:
    assert in_columns([["ac", "TG", ""], ["g", "TG", "cc"]], left=0) == ["acTG..", ".gTGcc"]
    block = AlignedBlock(("one", "b"), ("acTG-c", ".gTGA."), np.array([0, 0, 1, 1, 1, 0], dtype=bool))
    assert str(block).splitlines() == ["one  acTG-c", "b    .gTGA.", "       ***"]
    figure = block.plot()
    drawn = [p for p in figure.get_axes()[0].patches if isinstance(p, Rectangle)]
    assert len(drawn) == 9 and len(figure.get_axes()[0].texts) == 9  # letters, not gaps
    wide = AlignedBlock(("a",), ("A" * 100,), np.ones(100, dtype=bool))
    assert len(str(wide).splitlines()) == 5


def test_a_motif_search_is_drawn_whole() -> None:
    fit = estep.MotifFinder(4, n_motifs=2, random_state=0, n_init=4).fit(
        ["AATGCACTGG", "CTTGCAAGTC", "GATACTGCAT", "CTGCATCCGA"]
    )
    assert len(plot_motif(fit).get_axes()) == 2
    figure = fit.plot(["AATGCACTGG", "CTTGCAAGTC"])
    assert len(figure.get_axes()) == 3
    out = io.BytesIO()
    figure.savefig(out, format="svg")
    assert out.getvalue().startswith(b"<?xml")
    assert "motif 1: " in fit.summary() and "column" in fit.summary()
