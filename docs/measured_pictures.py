"""The picture of the documentation that shows measurements: ``python docs/measured_pictures.py [results.json] [picture.png]``.

Passes to the optimum on the suite of slow problems (row ``slow_suite``), by accelerator, on a logarithmic scale.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHOWN = ("plain EM", "squarem", "quasi_newton", "anderson", "auto")


def passes(results: Path) -> dict[str, dict[str, float]]:
    """Problem -> accelerator -> passes."""
    found: dict[str, dict[str, float]] = {}
    for line in json.loads(results.read_text(encoding="utf-8"))["rows"]["slow_suite"]["lines"]:
        if line["unit"] == "passes" and line["ours"] is not None:
            row = found.setdefault(line["case"], {"plain EM": line["theirs"]})
            row[line["rival"].removeprefix("plain EM, ours ")] = line["ours"]
    return found


def draw(found: dict[str, dict[str, float]], picture: Path) -> None:
    """Dots of every problem, one row each, slowest at the top."""
    from matplotlib.figure import Figure

    from estep.views.palette import colours

    figure = Figure(figsize=(9.2, 4.6), layout="constrained")
    ax = figure.subplots()
    names = sorted(found, key=lambda name: found[name]["plain EM"])
    for name, colour, marker in zip(SHOWN, colours(len(SHOWN)), "osv^D", strict=True):
        values = [found[problem].get(name) for problem in names]
        ax.plot(values, range(len(names)), marker, color=colour, label=name, markersize=7, alpha=0.9)
    for y, name in enumerate(names):
        ax.plot([min(found[name].values()), found[name]["plain EM"]], [y, y], color="0.85", zorder=0)
    ax.set_yticks(range(len(names)), names)
    ax.set_xscale("log")
    ax.set_xlabel("passes until within 1e-6 nats a row of the optimum")
    ax.grid(axis="x", color="0.92")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="lower right")
    figure.savefig(picture, dpi=150)


if __name__ == "__main__":
    sys.path[:0] = [str(HERE.parent / "src")]
    given = [Path(argument) for argument in sys.argv[1:]]
    results = given[0] if given else HERE.parent / "bench" / "results.json"
    draw(passes(results), given[1] if len(given) > 1 else HERE / "_static" / "passes.png")
