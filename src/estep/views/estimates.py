"""The table of estimates: every parameter with its standard error and interval, as text, DataFrame, LaTeX, Markdown or HTML.

Each number has the decimals that two figures of its standard error ask for. Of a symmetric matrix the lower half is shown.
An entry without a standard error says why.
"""

from __future__ import annotations

import dataclasses
import html
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from estep.core.record import Array
from estep.inference.bootstrap import Bootstrap
from estep.inference.errors import Errors
from estep.inference.intervals import wald
from estep.views.layout import Row, table
from estep.views.table import _arrays
from estep.views.words import column_names, columns_of, component_names, named_components

MOST_DECIMALS = 8
SHOWN_WITHOUT = 5
"""Figures of an estimate without a standard error."""
MOST_LINES = 200
LABELS = 3


@dataclasses.dataclass(frozen=True)
class Line:
    """One entry of a parameter: whose it is and in which column; NaN where there is no standard error, for ``reason``."""

    parameter: str
    component: str
    column: str
    estimate: float
    se: float = math.nan
    lower: float = math.nan
    upper: float = math.nan
    z: float = math.nan
    reason: str = ""

    def cells(self) -> list[str]:
        """Estimate, standard error, ends of the interval and z as text; "" for what there is not."""
        values = (self.estimate, self.se, self.lower, self.upper)
        shown = [_number(value, _decimals(self.estimate, self.se)) for value in values]
        return [*shown, _number(self.z, 2)]


@dataclasses.dataclass(frozen=True)
class EstimateTable:
    """Estimates of a fit, to print or to carry elsewhere.

    Attributes
    ----------
    lines : tuple of Line
    level : float
        Of the intervals.
    method : str
        Of the standard errors; "" where there are none.
    """

    lines: tuple[Line, ...]
    level: float
    method: str

    def header(self) -> list[str]:
        """Headings of the columns of numbers."""
        percent = f"{100 * self.level:g} %"
        return ["estimate", "s.e.", f"{percent} lower", "upper", "z"][: self._width()]

    def to_frame(self) -> Any:
        """A pandas DataFrame, a line an entry: parameter, component, column, estimate, se, lower, upper, z, reason."""
        import pandas as pd

        frame = pd.DataFrame([dataclasses.astuple(line) for line in self.lines], columns=[f.name for f in FIELDS])
        return frame if self.method else frame.drop(columns=["se", "lower", "upper", "z", "reason"])

    def to_latex(self) -> str:
        """A ``tabular`` with the rules of the package booktabs; text is escaped."""
        body = [[_latex(cell) for cell in row] for row in self._rows()]
        head = [_latex(name) for name in self._names()]
        spec = "l" * LABELS + "r" * self._width() + ("l" if self._noted() else "")
        lines = [rf"\begin{{tabular}}{{{spec}}}", r"\toprule", f"{' & '.join(head)} \\\\", r"\midrule"]
        lines += [f"{' & '.join(row)} \\\\" for row in body]
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])

    def to_markdown(self) -> str:
        """A pipe table; text is escaped."""
        names = self._names()
        kinds = ["---"] * LABELS + ["---:"] * self._width() + (["---"] if self._noted() else [])
        rows = [names, kinds, *([_markdown(cell) for cell in row] for row in self._rows())]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"

    def to_html(self, caption: str = "") -> str:
        """A ``table`` element, with a caption or without; text is escaped."""
        head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in self._names())
        body = "\n".join(_html(row) for row in self._rows())
        told = f"<caption>{html.escape(caption)}</caption>\n" if caption else ""
        return f"<table>\n{told}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n"

    def __str__(self) -> str:
        rows: list[Row] = []
        noted = self._noted()
        for i, line in enumerate(self.lines[:MOST_LINES]):
            if i == 0 or line.parameter != self.lines[i - 1].parameter:
                rows.append(Row(line.parameter))
            cells = line.cells()[: self._width()]
            rows.append(Row(f"  {', '.join(v for v in (line.component, line.column) if v)}", cells + [line.reason] * noted))
        left = len(self.lines) - MOST_LINES
        if left > 0:
            rows.append(Row(f"  ... {left} more in to_frame()"))
        return "\n".join(table("estimates", [*self.header(), *[""] * noted], rows or [Row("  nothing is free")]))

    def _width(self) -> int:
        if not self.method:
            return 1
        return 5 if any(np.isfinite(line.z) for line in self.lines) else 4

    def _noted(self) -> bool:
        return any(line.reason for line in self.lines)

    def _names(self) -> list[str]:
        return ["parameter", "component", "column", *self.header(), *(["note"] if self._noted() else [])]

    def _rows(self) -> Iterator[list[str]]:
        for line in self.lines:
            cells = [line.parameter, line.component, line.column, *line.cells()[: self._width()]]
            yield [*cells, line.reason] if self._noted() else cells


FIELDS = dataclasses.fields(Line)


def table_of(estimator: Any, errors: Errors | Bootstrap | None = None, level: float = 0.95) -> EstimateTable:
    """The estimates of a fit; with ``errors`` standard errors and intervals, Wald's or of a bootstrap its percentiles.

    Parameters
    ----------
    estimator : fitted estimator
    errors : Errors, Bootstrap or None
        What ``estimator.standard_errors(X)`` returned.
    level : float
        Of the intervals.

    Examples
    --------
    >>> import estep
    >>> X = np.array([[1.0], [3.0], [4.0], [0.0]])
    >>> fit = estep.Mixture(estep.Poisson(), 1).fit(X)
    >>> print(table_of(fit, fit.standard_errors(X)).to_markdown())
    | parameter | component | column | estimate | s.e. | 95 % lower | upper |
    | --- | --- | --- | ---: | ---: | ---: | ---: |
    | rates | 0 | x0 | 2.00 | 0.71 | 1.00 | 4.00 |
    <BLANKLINE>
    """
    if errors is None:
        params = getattr(estimator, "params_", None) or {n: getattr(estimator, f"{n}_") for n in CENTRES}
        chained = any(_base(name) in MOVES for name in params) and "weights" not in params
        own = None if chained else getattr(estimator, "weights_", None)
        named = [("weights", own), *_arrays(params)]
        found = {name: value for name, value in named if value is not None}
        lines = [line for name, value in found.items() for line in _lines(estimator, name, np.asarray(value, dtype=float))]
        return EstimateTable(tuple(lines), level, "")
    if not isinstance(errors, Errors | Bootstrap):
        raise TypeError(f"errors must be what standard_errors returned, got {errors!r}; or give the rows, with method=")
    ends = errors.interval(level) if isinstance(errors, Bootstrap) else wald(errors, level)
    lines = []
    for name, value in errors.estimates.items():
        for line, index in zip(_lines(estimator, name, value), _shown(name, value), strict=True):
            lower, upper = (float(v) for v in ends[name][index])
            se, tested = float(errors.se[name][index]), _tested(name)
            told = dataclasses.replace(line, se=se, lower=lower, upper=upper, reason=str(errors.reasons[name][index]))
            lines.append(dataclasses.replace(told, z=line.estimate / se) if tested and se > 0 else told)
    kept = [line for line in lines if not _idle(line)]
    return EstimateTable(tuple(kept), level, method_of(errors))


def method_of(errors: Errors | Bootstrap) -> str:
    """How standard errors were found, in words."""
    return f"{errors.kind} bootstrap" if isinstance(errors, Bootstrap) else errors.method


def _idle(line: Line) -> bool:
    """Whether an entry says nothing: the weight of a single component, a level that a column does not have."""
    only = line.parameter == "weights" and line.estimate == 1.0
    return line.reason == "fixed" and (only or (line.estimate == 0.0 and line.column.endswith(", -")))


def _tested(name: str) -> bool:
    """Whether zero is a value of interest: of coefficients."""
    return name.rsplit(".", 1)[-1] in TESTED


def _shown(name: str, value: Array) -> list[tuple[int, ...]]:
    """Indices of the entries to show: of symmetric matrices on the last two axes the lower half."""
    every = list(np.ndindex(np.shape(value)))
    half = _base(name) not in (*PROBABILITIES, *TESTED) and _symmetric(value)
    return [index for index in every if index[-1] <= index[-2]] if half else every


def _symmetric(value: Array) -> bool:
    square = value.ndim in (2, 3) and value.shape[-1] == value.shape[-2] > 1
    return bool(square and np.allclose(value, np.swapaxes(value, -1, -2), rtol=1e-9, atol=0))


def _lines(estimator: Any, name: str, value: Array) -> Iterator[Line]:
    axes = _axes(estimator, name, value)
    levels = getattr(estimator, "levels_", None)
    for index in _shown(name, value):
        component, column, at = [], [], -1
        for place, (kind, names, positions) in zip(index, axes, strict=True):
            if kind in ("component", "part"):
                component.append(names[place])
            elif kind == "level" and levels is not None and levels[at] is not None:
                column.append(str(levels[at][place]) if place < len(levels[at]) else "-")
            else:
                column.append(names[place])
                at = positions[place] if positions else at
        yield Line(name, ", ".join(component), ", ".join(column), float(value[index]))


PROBABILITIES = ("weights", "startprob", "transmat", "probs", "mix_weights", "cells")
"""Parameters every entry of which is shown, though a table of them may be symmetric."""
TESTED = ("coefs", "intercepts", "coef", "intercept", "gate_coefs", "gate_intercepts", "move_coefs", "start_coefs")
"""Coefficients."""
Axis = tuple[str, Sequence[str], Sequence[int]]
CENTRES = ("cluster_centers",)
"""What an estimator without ``params_`` shows."""
MOVES: Mapping[str, str] = {"transmat": "to", "move_coefs": "to"}
"""Parameters of a component whose next axis counts components too, and what leads there."""


def _base(name: str) -> str:
    """A parameter's name without the part that it belongs to, and without the number of its chain.

    >>> _base("transmat_1"), _base("visits.rates")
    ('transmat', 'rates')
    """
    last = name.rsplit(".", 1)[-1]
    head, _, chain = last.rpartition("_")
    return head if chain.isdigit() else last


def _leading(estimator: Any, name: str, value: Array) -> list[Axis]:
    """The first axes of a parameter where these are classes and their states, or states of several chains."""
    if hasattr(estimator, "n_components") and hasattr(estimator, "n_states"):
        classes = [f"class {c}" for c in range(estimator.n_components)]
        states: Axis = ("component", [str(j) for j in range(estimator.n_states)], ())
        if name == "weights":
            return [("component", classes, ())]
        alone = estimator.shared and name not in ("startprob", "transmat")
        return [states] if alone else [("component", classes, ()), states]
    structure: Any = getattr(estimator.result_.model, "structure", None)
    if not hasattr(structure, "each_chain"):
        return []
    if name == "effects":
        return [("component", [f"{a} of chain {m}" for m, size in enumerate(structure.sizes) for a in range(size)], ())]
    return [("component", [str(a) for a in range(len(value))], ())] if _base(name) in ("startprob", "transmat") else []


def _axes(estimator: Any, name: str, value: Array) -> list[Axis]:
    """What each axis of a parameter counts (component, column, level, number), its names, and the columns' positions."""
    if name == "cells":
        named = zip(column_names(estimator), estimator.levels_, strict=True)
        return [("number", [f"{column}={level}" for level in levels], ()) for column, levels in named]
    components, (columns, positions) = component_names(estimator), _columns(estimator, name)
    sizes = (len(components), named_components(estimator.result_))
    groups = getattr(estimator, "groups_", None)
    mixed_states = "mix_weights" in getattr(estimator, "params_", ())
    parts = getattr(getattr(estimator.result_.model, "family", None), "m", None) if mixed_states else None
    mixed = len(components) > 1 or hasattr(estimator, "n_components")
    axes = _leading(estimator, name, value)
    first = max(len(axes), 1)
    for axis, size in list(enumerate(value.shape))[len(axes) :]:
        kinds = [kind for kind, _, _ in axes]
        if axis == first and _base(name) in MOVES:
            towards = [f"{MOVES[_base(name)]} {state}" for state in axes[-1][1]]
            axes.append(("number", [*towards, "end"][:size], ()))
        elif name == "weights" and groups is not None and axis == 0 and value.ndim == 2:
            axes.append(("group", [str(group) for group in groups], ()))
        elif mixed and size in sizes and not {"component", "column", "number"} & {*kinds}:
            axes.append(("component", components, ()))
        elif parts == size and kinds == ["component"] and name not in ("startprob", "transmat"):
            axes.append(("part", [f"part {i}" for i in range(size)], ()))
        elif size == len(columns) and ("column" not in kinds or _symmetric(value)):
            axes.append(("column", columns, positions))
        elif name == "gate_coefs" and size == len(columns) + 1:
            axes.append(("number", ["1", *columns], ()))
        else:
            axes.append(("level" if "column" in kinds else "number", [str(i) for i in range(size)], ()))
    return axes


def _columns(estimator: Any, name: str) -> tuple[list[str], list[int]]:
    """Names and positions of the columns that a parameter is about: of a product's part its own."""
    names = column_names(estimator)
    family = getattr(estimator.result_.model, "family", None)
    for part in getattr(family, "parts", ()):
        if getattr(part, "at", None) is not None and name.rpartition(".")[0] == part.label:
            return [names[i] for i in part.at], list(part.at)
    own = columns_of(estimator, name)
    return own, list(range(len(own)))


def _decimals(estimate: float, se: float) -> int | None:
    """Decimals that show two figures of the standard error; None for scientific notation."""
    scale, figures = (se, 2) if np.isfinite(se) and se > 0 else (abs(estimate), SHOWN_WITHOUT)
    if not scale > 0:
        return 0 if estimate == 0 else 4
    decimals = max(figures - 1 - math.floor(math.log10(scale)), 0)
    return decimals if decimals <= MOST_DECIMALS and abs(estimate) < 1e12 else None


def _number(value: float, decimals: int | None) -> str:
    if np.isnan(value):
        return ""
    if np.isinf(value):
        return "inf" if value > 0 else "-inf"
    text = f"{value:.{decimals}f}" if decimals is not None else f"{value:.4e}"
    return text.lstrip("-") if not text.strip("-0.") else text


def _html(row: Sequence[str]) -> str:
    cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
    return f'<tr><th scope="row">{html.escape(row[0])}</th>{cells}</tr>'


LATEX: Mapping[str, str] = {
    "\\": r"\textbackslash{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}


def _latex(text: str) -> str:
    r"""Text as LaTeX shows it.

    >>> print(_latex("a_b & 5 %"), _latex("-1.20"))
    a\_b \& 5 \% $-$1.20
    """
    out = "".join(LATEX.get(c, c) for c in " ".join(text.split()))
    return f"$-${out[1:]}" if out[:1] == "-" and out[1:2].isdigit() else out


def _markdown(text: str) -> str:
    r"""Text as Markdown shows it.

    >>> _markdown("a|b_c")
    'a\\|b\\_c'
    """
    return "".join(f"\\{c}" if c in "\\|`*_[]<>" else c for c in " ".join(text.split()))
