"""Old Faithful from data to report: which mixture, how sure, what it looks like, how it got there.

    python examples/demo.py [FOLDER]

Fits every number of components from 1 to 9 with every covariance structure, keeps the best by BIC, prints its summary, and
writes a picture (faithful.png) and a report with the run as an animation (report.html) to FOLDER, or to examples/out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

import estep
from estep.data.sets import load_faithful
from estep.views import plot_clusters, plot_selection, write_report

FOLDER = Path(__file__).resolve().parent / "out"
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


def main(folder: Path = FOLDER, components: Iterable[int] = range(1, 10), structures: Any = "all") -> Path:
    """Choose, print, draw, report; gives the report's absolute path."""
    X, columns = load_faithful()
    print(f"Old Faithful: {len(X)} eruptions; x0 is {columns[0]}, x1 is {columns[1]}, both in minutes.\n")

    grid = {"n_components": components, "covariance_type": structures}
    selection = estep.select(estep.GaussianMixture(random_state=0), X, grid, progress=True)
    print(selection, end="\n\n")
    print(selection.best_.summary(X), end="\n\n")

    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    picture, report = folder / "faithful.png", folder / "report.html"
    draw(selection, X).savefig(picture, dpi=120, metadata={"Software": None})
    best = selection.best_
    frames = best.animate(X).frames
    write_report(report, best, X, command="make demo", selection=selection, names="Old Faithful", frames=frames)
    print(f"picture  {picture}\nreport   {report}")
    return report


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
