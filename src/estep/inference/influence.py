"""How much single rows, or whole sequences, move a fit: one step towards the estimates without them.

    s_i = score of row (or sequence) i at the estimates,  I = observed information
    distance_i = s_i' I^-1 s_i              joint change in squared standard errors; they sum to about the number of parameters
    shift_ij   = (G I^-1 s_i)_j / se_j      standard errors by which parameter j falls when row i is left out

symbol     variable   shape
distance   distance   (n,)
shift      shift      (n,) of the parameter that moves most, named by ``mostly``

Source: Cook & Weisberg (1982), Residuals and Influence in Regression, sections 5.2 and 5.3; Louis (1982) for the scores.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.protocols import Chunk
from estep.core.record import Array
from estep.inference import units
from estep.inference.errors import Errors, shown
from estep.inference.information import lacking_scores, unit_scores

ALONE = "influence is of whole sequences, and there is one, without which nothing is left; see plot_residuals for single rows"


@dataclasses.dataclass(frozen=True)
class Influence:
    """Influence of every row on a fit; where rows hang together, of every sequence.

    Attributes
    ----------
    distance : array (n,)
        Joint change of all parameters when the row is left out, in squared standard errors.
    shift : array (n,)
        Standard errors by which the parameter that moves most would change, with the sign of that change.
    mostly : tuple of str
        That parameter, such as "means[1, 0]".
    numbers : ints (n,)
        The rows' places in what the user gave, or the numbers of the sequences.
    unit : str
        "row" or "sequence".

    Examples
    --------
    >>> found = Influence(np.array([0.1, 4.0]), np.array([0.2, -1.9]), ("mean[0]", "mean[0]"), np.arange(2))
    >>> found.top(1)
    [(1, 4.0, 'mean[0]', -1.9)]
    """

    distance: Array
    shift: Array
    mostly: tuple[str, ...]
    numbers: NDArray[np.intp]
    unit: str = "row"

    def top(self, m: int = 10) -> list[tuple[int, float, str, float]]:
        """The ``m`` most influential rows: place, distance, parameter that moves most, its change in standard errors."""
        order = np.argsort(-self.distance, kind="stable")[:m]
        return [(int(self.numbers[i]), float(self.distance[i]), self.mostly[i], float(self.shift[i])) for i in order]

    def to_frame(self) -> Any:
        """A pandas DataFrame, a line a row of data (or a sequence): row, distance, shift, parameter."""
        import pandas as pd

        return pd.DataFrame({self.unit: self.numbers, "distance": self.distance, "shift": self.shift, "parameter": self.mostly})


def influence(errors: Errors, data: Any, numbers: NDArray[np.intp] | None = None) -> Influence:
    """Influence of every row (or sequence) of ``data``, from standard errors of the fit to them (any method but "opg").

    Parameters
    ----------
    errors : Errors
        Of the fit to these rows.
    data
        The rows, one each (equal ones not collapsed). A row of weight 3 is three rows, of which one is left out.
    numbers : ints (n,) or None
        The rows' places in what a user gave; None counts them. Sequences are counted as they come.

    Raises
    ------
    TypeError
        From a model without scores of single rows, or of whole sequences.
    ValueError
        Where there is one sequence, without which nothing is left.
    """
    point = dataclasses.replace(errors.point, data=data)
    if words := lacking_scores(point.model, data):
        raise TypeError(f"influence needs {words}")
    n, what = units.counted(data)
    if n < 2 and what == units.SEQUENCES:
        raise ValueError(ALONE)
    labels = [(name, index) for name, index in errors.labels() if np.isfinite(errors.se[name][index])]
    slopes = np.array([errors.jacobian[name][index] for name, index in labels]).reshape(len(labels), point.p)
    scaled = slopes / np.array([errors.se[name][index] for name, index in labels])[:, None]
    distance, shift, which = np.zeros(n), np.zeros(n), np.zeros(n, dtype=np.intp)
    inverse, at = errors.ways.inverse, units.Places(data)

    def measure(chunk: Chunk) -> tuple[Array, Array]:
        scores = unit_scores(point, chunk)
        step = scores @ inverse
        return (step * scores).sum(axis=1), -step @ scaled.T

    def keep(chunk: Chunk, found: tuple[Array, Array]) -> None:
        here = at.of(chunk)
        distance[here] = found[0]
        if labels:
            which[here] = np.abs(found[1]).argmax(axis=1)
            shift[here] = found[1][np.arange(len(found[1])), which[here]]

    data.map(measure, keep)
    names = [shown(name, index) for name, index in labels] or ["no parameter"]
    rows = what == units.ROWS
    places = np.arange(n) if numbers is None or not rows else np.asarray(numbers, dtype=np.intp)
    return Influence(distance, shift, tuple(names[j] for j in which), places, "row" if rows else "sequence")
