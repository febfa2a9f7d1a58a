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
from estep.inference.select import SAME_AT_ONE, STRUCTURES
from estep.views.palette import colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = ("o", "s", "^", "v", "D", "P", "X")
PAIRS = ("II", "EI", "VI", "EE", "VE", "EV", "VV")
WRITTEN = {"bic": "BIC", "aic": "AIC", "icl": "ICL", "icl_entropy": "ICL (entropy)"}
LONGEST = 24
"""Names of curves up to this length are written beside the best."""
FLAT = 3.0
"""The view is cut where the whole range is more than this times that of the best three quarters of the values."""


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
    names = sorted(found, key=lambda name: STRUCTURES.index(name) if name in STRUCTURES else -1)
    return axis, places, [Curve(name, found[name]) for name in names]


def draw_selection(selection: Any, ax: Axes) -> None:
    """Draw the curves, mark the best, name what failed and what lies above the view."""
    from estep.views.plot import SOFT, add_legend, tidy

    axis, places, curves = curves_of(selection)
    numeric = all(isinstance(place, int | float | np.number) for place in places)
    x = np.asarray(places, dtype=float) if numeric else np.arange(len(places), dtype=float)
    low, high, cut = view(np.concatenate([curve.values for curve in curves]))
    for i, curve in enumerate(curves):
        above = not (curve.values <= high).any() and np.isfinite(curve.values).any()
        label = (curve.name or criterion_name(selection)) + (" (above)" if above else "")
        ax.plot(x, curve.values, label=label, linewidth=1.3, markersize=5, **look(curve.name, i))
    _mark_best(selection, axis, x, places, ax)
    ax.set_ylim(low, high)
    ax.set_xticks(x, [str(place) for place in places])
    ax.set_xlabel("number of components" if axis == "n_components" else axis)
    ax.set_ylabel(f"{criterion_name(selection)} (lower is better)")
    ax.grid(axis="y", color="#ececec", linewidth=0.8)
    ax.set_axisbelow(True)
    failed = f"{len(selection.failures)} of {len(selection.table)} fits could not be used" if selection.failures else ""
    said = [part for part in (failed, f"cut off above {high:.0f}" if cut else "") if part]
    ax.set_title("; ".join(said), fontsize="small", color=SOFT, loc="right")
    if len(curves) > 1:
        add_legend(ax, handlelength=3.0, loc="center left", bbox_to_anchor=(1.0, 0.5))
    tidy(ax)


def criterion_name(selection: Any) -> str:
    """The criterion as it is written."""
    return str(WRITTEN.get(selection.criterion, selection.criterion))


def _mark_best(selection: Any, axis: str, x: Array, places: list[Any], ax: Axes) -> None:
    from estep.views.plot import INK

    best = selection.best_cell
    place = best.settings[axis]
    i = places.index(place)
    count = f"{place} component{'s' if place != 1 else ''}" if axis == "n_components" else str(place)
    name = _name_of(best.settings, axis)
    words = f"{name}, {count}" if 0 < len(name) <= LONGEST else count
    side = {0: "left", len(places) - 1: "right"}.get(i, "center")
    point = (float(x[i]), float(best.criterion))
    ring = {"marker": "o", "markersize": 13, "markerfacecolor": "none", "markeredgecolor": INK, "linestyle": "none"}
    ax.plot([point[0]], [point[1]], label="_best", **ring)  # type: ignore[arg-type]
    text = f"best: {words}\n{criterion_name(selection)} {best.criterion:.1f}"
    ax.annotate(text, point, (0, -12), textcoords="offset points", ha=side, va="top", fontsize="small")


def look(name: str, i: int) -> dict[str, Any]:
    """Colour, marker and line of a curve: by structure where it is named by one, else by its place in the list."""
    code = CODES.get(NAMES.get(name, name))
    place = PAIRS.index(code.shape + code.orientation) if code else i % len(PAIRS)
    equal = code.volume == "E" if code else i < len(PAIRS)
    colour = colours(len(PAIRS))[place]
    face = colour if equal else "white"
    return {"color": colour, "marker": MARKERS[place], "linestyle": "-" if equal else "--", "markerfacecolor": face}


def view(values: Array) -> tuple[float, float, bool]:
    """Limits of the y axis, and whether they cut anything off.

    Where the worst fits would press the others flat, the view ends a little above three quarters of the values.

    >>> view(np.array([0.0, 1.0, 2.0, 3.0]))[2], view(np.array([0.0, 1.0, 2.0, 3.0, 100.0]))[2]
    (False, True)
    """
    finite = values[np.isfinite(values)]
    low, high = float(finite.min()), float(finite.max())
    usual = float(np.quantile(finite, 0.75, method="lower")) - low
    cut = usual > 0 and high - low > FLAT * usual
    span = max(1.6 * usual if cut else high - low, 1e-9 * abs(low), 1e-12)
    return low - 0.2 * span, low + 1.06 * span, cut


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
