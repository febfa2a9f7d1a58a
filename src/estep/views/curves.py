"""The curves of a selection: which lines there are, how they look, and where the best fit lies.

A covariance structure's colour and marker name its shape and orientation, filled and solid is equal volume, open and
dashed is varying volume: fourteen lines in seven pairs. Structures that coincide for one component share its value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from estep.core.record import Array
from estep.families.covariance import CODES, NAMES
from estep.inference.select import SAME_AT_ONE
from estep.views.palette import colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = ("o", "s", "^", "v", "D", "P", "X")
PAIRS = ("II", "EI", "VI", "EE", "VE", "EV", "VV")
NAMED = ("bic", "aic", "icl")
ROOM = 1.12
"""Where the view ends above: this times the range that the shown part of the curves spans."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """One line: its name and the criterion at every value on the x axis, NaN where there is none."""

    name: str
    values: Array


def curves_of(selection: Any) -> tuple[str, list[Any], list[Curve]]:
    """The setting on the x axis, its values, and the curves."""
    settings = list(selection.table[0].settings)
    axis = "n_components" if "n_components" in settings else settings[0]
    places = list(dict.fromkeys(cell.settings[axis] for cell in selection.table))
    found: dict[str, Array] = {}
    for cell in selection.table:
        values = found.setdefault(_name_of(cell.settings, axis), np.full(len(places), np.nan))
        if cell.usable:
            values[places.index(cell.settings[axis])] = cell.criterion
    _share_one_component(found, places, axis)
    return axis, places, [Curve(name, values) for name, values in found.items()]


def draw_selection(selection: Any, ax: Axes) -> None:
    """Draw the curves, mark the best, name what failed."""
    from estep.views.plot import INK, SOFT, tidy

    axis, places, curves = curves_of(selection)
    numeric = all(isinstance(place, int | float | np.number) for place in places)
    x = np.asarray(places, dtype=float) if numeric else np.arange(len(places), dtype=float)
    for i, curve in enumerate(curves):
        ax.plot(x, curve.values, label=curve.name or selection.criterion.upper(), linewidth=1.3, markersize=5, **look(curve.name, i))
    best = selection.best_cell
    at, height = float(x[places.index(best.settings[axis])]), float(best.criterion)
    words = ", ".join(part for part in (_name_of(best.settings, axis), str(best.settings[axis])) if part)
    ax.plot([at], [height], marker="o", markersize=13, markerfacecolor="none", markeredgecolor=INK, linestyle="none", label="_best")
    ax.annotate(f"best: {words}\n{height:.1f}", (at, height), (0, -16), textcoords="offset points", ha="center", va="top", fontsize="small")
    ax.set_ylim(*view([curve.values for curve in curves], height))
    ax.set_xticks(x, [str(place) for place in places])
    ax.set_xlabel("number of components" if axis == "n_components" else axis)
    shown = selection.criterion.upper() if selection.criterion in NAMED else selection.criterion
    ax.set_ylabel(f"{shown} (lower is better)")
    ax.grid(axis="y", color="#ececec", linewidth=0.8)
    ax.set_axisbelow(True)
    if selection.failures:
        note = f"{len(selection.failures)} of {len(selection.table)} fits could not be used"
        ax.set_title(note, fontsize="small", color=SOFT, loc="right")
    if len(curves) > 1:
        ax.legend(frameon=False, fontsize="small", ncols=2 if len(curves) > 6 else 1, loc="upper right")
    tidy(ax)


def look(name: str, i: int) -> dict[str, Any]:
    """Colour, marker and line of a curve: by structure where it is named by one, else by its place in the list."""
    code = CODES.get(NAMES.get(name, name))
    place = PAIRS.index(code.shape + code.orientation) if code else i % len(PAIRS)
    equal = code.volume == "E" if code else i < len(PAIRS)
    colour = colours(len(PAIRS))[place]
    face = colour if equal else "white"
    return {"color": colour, "marker": MARKERS[place], "linestyle": "-" if equal else "--", "markerfacecolor": face}


def view(values: list[Array], best: float) -> tuple[float, float]:
    """Limits of the y axis."""
    flat = np.concatenate(values)
    flat = flat[np.isfinite(flat)]
    span = max(float(flat.max()) - best, 1e-9 * abs(best), 1e-12)
    return best - 0.18 * span, best + ROOM * span


def _name_of(settings: Mapping[str, Any], axis: str) -> str:
    others = {name: value for name, value in settings.items() if name != axis}
    if list(others) == ["covariance_type"]:
        return str(others["covariance_type"])
    return ", ".join(f"{name}={value}" for name, value in others.items())


def _share_one_component(found: dict[str, Array], places: list[Any], axis: str) -> None:
    """Structures that are the same model for one component begin at the same point."""
    if axis != "n_components" or 1 not in places:
        return
    at = places.index(1)
    for name, values in found.items():
        twin = SAME_AT_ONE.get(name)
        if twin in found and np.isnan(values[at]):
            values[at] = found[twin][at]
