"""Sequence logos: in each column letters upon one another, as high as they are informative; and where sites lie in sequences.

    height of letter a in column w = f_wa IC_w,   IC_w = sum_a f_wa log2(f_wa / f0_a)   bits

Source: Schneider & Stephens (1990), Nucleic Acids Research 18:6097.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from estep.core.record import Array
from estep.data.meme import Pwm, information
from estep.views.palette import colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUCLEOTIDES = {"A": "#009E73", "C": "#0072B2", "G": "#E69F00", "T": "#D55E00", "U": "#D55E00"}
AMINO = {
    **dict.fromkeys("AVLIMFWPC", "#333333"), **dict.fromkeys("GSTYNQ", "#009E73"),
    **dict.fromkeys("DE", "#D55E00"), **dict.fromkeys("KRH", "#0072B2"),
}  # fmt: skip
THINNEST = 0.002
MOST_SEQUENCES = 60


def letter_colour(letter: str, letters: Sequence[str]) -> str:
    """The colour of a letter: nucleotides and amino acids have their own, other letters those of components.

    >>> letter_colour("A", ["A", "C", "G", "T"]), letter_colour("0", ["0", "1"])
    ('#009E73', '#0072B2')
    """
    known = NUCLEOTIDES if set(letters) <= {*NUCLEOTIDES, "N"} else AMINO
    if letter in known:
        return known[letter]
    return colours(len(letters))[list(letters).index(letter)] if letter in letters else "#777777"


def plot_logo(probs: Any, letters: Sequence[str] | None = None, background: Any = None, *, ax: Axes | None = None) -> Figure:
    """The logo of a motif.

    Parameters
    ----------
    probs : Pwm or array (W, m)
        A motif, or letter probabilities of each column.
    letters : sequence of str
        The letters, where ``probs`` is an array (default: A, C, G, T).
    background : array (m,)
        Against which information is counted (default: equal probabilities).
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        Where letters and columns do not fit together.
    """
    from estep.views.plot import figure_of, new_figure, tidy

    values, names, base = _told(probs, letters, background)
    if ax is None:
        ax = new_figure("plot_logo", (0.32 * len(values) + 1.2, 2.2)).subplots()
    heights = logo_heights(values, base)
    for w, column in enumerate(heights):
        bottom = 0.0
        for a in np.argsort(column, kind="stable"):
            if column[a] > THINNEST:
                _stack(ax, names[a], w, bottom, float(column[a]), letter_colour(names[a], names))
                bottom += float(column[a])
    top = max(float(heights.sum(axis=1).max()), float(np.log2(len(names))) if len(names) <= 4 else 1.0)
    ax.set(xlim=(-0.6, len(values) - 0.4), ylim=(0.0, 1.03 * top), ylabel="bits")
    step = 1 if len(values) <= 30 else 5
    ax.set_xticks(range(0, len(values), step), [str(w + 1) for w in range(0, len(values), step)], fontsize="small")
    tidy(ax)
    return figure_of(ax)


def logo_heights(probs: Array, background: Array) -> Array:
    """Heights (W, m) in bits; none below zero.

    >>> logo_heights(np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([0.5, 0.5])).tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    """
    return np.asarray(probs * np.maximum(information(probs, background), 0.0)[:, None])


def _told(probs: Any, letters: Sequence[str] | None, background: Any) -> tuple[Array, list[str], Array]:
    if isinstance(probs, Pwm):
        return probs.probs, list(probs.alphabet.letters), probs.background if background is None else np.asarray(background)
    values = np.asarray(probs, dtype=float)
    names = list("ACGT" if letters is None else letters)
    if values.ndim != 2 or values.shape[1] != len(names):
        raise ValueError(f"probs has shape {values.shape}, expected (W, {len(names)}): a column for each of {names}")
    base = np.full(len(names), 1.0 / len(names)) if background is None else np.asarray(background, dtype=float)
    if base.shape != (len(names),):
        raise ValueError(f"background has shape {base.shape}, expected ({len(names)},)")
    return values, names, base


def _stack(ax: Axes, letter: str, place: int, bottom: float, height: float, colour: str) -> None:
    """One letter, drawn as wide as its column and as high as told."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.patches import PathPatch
    from matplotlib.textpath import TextPath
    from matplotlib.transforms import Affine2D

    path: Any = TextPath((0, 0), letter, size=1, prop=FontProperties(family="DejaVu Sans", weight="bold"))
    box = path.get_extents()
    width = 0.9 if letter != "I" else 0.4
    scale = Affine2D().translate(-box.x0, -box.y0).scale(width / box.width, height / box.height)
    placed = scale.translate(place - 0.5 * width, bottom)
    ax.add_patch(PathPatch(placed.transform_path(path), facecolor=colour, linewidth=0))


def plot_motif(estimator: Any, sites: Any = None, names: Sequence[str] = (), lengths: Any = ()) -> Figure:
    """The logos of a motif search; with sites, below them the sequences and where the sites of the first motif lie."""
    from estep.views.plot import new_figure

    motifs = getattr(estimator, "motifs_", None)
    pwms = [each.pwm for each in motifs] if motifs else [
        Pwm("motif_1", estimator.pwm_, estimator.alphabet_, estimator.background_)
    ]  # fmt: skip
    shown = min(len(lengths), MOST_SEQUENCES) if sites is not None else 0
    tall = [2.0] * len(pwms) + ([0.17 * shown + 0.8] if shown else [])
    width = max(0.32 * max(pwm.width for pwm in pwms) + 1.2, 6.0 if shown else 2.5)
    figure = new_figure("plot_motif", (width, sum(tall)))
    axes = np.atleast_1d(figure.subplots(len(tall), 1, height_ratios=tall))
    for pwm, ax in zip(pwms, axes, strict=False):
        plot_logo(pwm, ax=ax)
        ax.set_title(f"{pwm.name.replace('_', ' ')}: {pwm.information.sum():.1f} bits", loc="left", fontsize="small")
    if shown:
        plot_sites(sites, names, lengths, ax=axes[-1])
    return figure


def plot_sites(sites: Any, names: Sequence[str], lengths: Any, *, ax: Axes | None = None) -> Figure:
    """Where sites lie: a line for each sequence, a box for each site, above it on the forward strand, below on the other.

    Parameters
    ----------
    sites : Sites
        As ``MotifFinder.sites_``.
    names : sequence of str
    lengths : array (s,)
        Letters of each sequence; at most 60 are drawn.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Figure
        The darker a box, the more probable its site.
    """
    from matplotlib.patches import Rectangle

    from estep.views.plot import figure_of, new_figure, tidy

    shown = min(len(lengths), MOST_SEQUENCES)
    if ax is None:
        ax = new_figure("plot_sites", (6.0, 0.17 * shown + 0.8)).subplots()
    ax.hlines(np.arange(shown), 0, np.asarray(lengths)[:shown], color="#bbbbbb", linewidth=1)
    for row in sites.rows():
        if row["sequence"] < shown:
            up = row["strand"] > 0
            low = row["sequence"] - (0.38 if up else 0.0)
            box = Rectangle((row["start"], low), row["end"] - row["start"], 0.38, linewidth=0, alpha=float(row["probability"]))
            box.set_facecolor("#0072B2" if up else "#D55E00")
            ax.add_patch(box)
    ax.set(ylim=(shown - 0.4, -0.8), xlim=(0, float(np.max(lengths))), xlabel="letter")
    ax.set_yticks(range(shown), list(names)[:shown], fontsize=6)
    tidy(ax)
    return figure_of(ax)
