"""Old Faithful from data to picture: which mixture, how sure, what it looks like.

    python examples/demo.py [PICTURE]

Fits every number of components from 1 to 9 with every covariance structure, keeps the best by BIC, prints its summary and
draws both. The picture goes to PICTURE, or to examples/out/faithful.png.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

import estep
from estep.data.sets import load_faithful
from estep.views.plot import plot_clusters, plot_selection

PICTURE = Path(__file__).resolve().parent / "out" / "faithful.png"
LABELS = ("duration of the eruption (minutes)", "waiting time to the next (minutes)")


def draw(selection: Any, X: Any) -> Figure:
    """Two panels: the criterion of every fit, and the rows with the components of the best."""
    figure = Figure(figsize=(11.5, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.2, 1.0))
    plot_selection(selection, ax=left)
    left.set_title(f"{len(selection.table)} fits compared", loc="left", fontweight="bold", fontsize="medium")
    plot_clusters(selection.best_, X, ax=right)
    right.set_title("Old Faithful: the best fit", loc="left", fontweight="bold", fontsize="medium")
    right.set_xlabel(LABELS[0])
    right.set_ylabel(LABELS[1])
    return figure


def main(picture: Path = PICTURE, components: Iterable[int] = range(1, 10), structures: Any = "all") -> Path:
    """Choose, print, draw; gives the picture's absolute path."""
    X, columns = load_faithful()
    print(f"Old Faithful: {len(X)} eruptions; x0 is {columns[0]}, x1 is {columns[1]}, both in minutes.\n")

    grid = {"n_components": components, "covariance_type": structures}
    selection = estep.select(estep.GaussianMixture(random_state=0), X, grid, progress=True)
    print(selection, end="\n\n")
    print(selection.best_.summary(X), end="\n\n")

    picture = Path(picture).resolve()
    picture.parent.mkdir(parents=True, exist_ok=True)
    draw(selection, X).savefig(picture, dpi=120, metadata={"Software": None})
    print(picture)
    return picture


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)
