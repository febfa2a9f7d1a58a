"""The iterates of a run as frames: where components were at each pass, and how the rows were shared between them.

    frame f: polylines of the components (ellipses of 1 sd; for one column curves w_k p(x | k)), their centres, and the
    colour of every row, sum_k r_ik c_k at the parameters of pass f

Of long runs the first passes are kept one by one and later ones ever more sparsely: frames lie at equal steps of
log(pass) once passes outnumber them. Nothing is fitted here: iterates are given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.protocols import Chunk
from estep.core.record import Array
from estep.families.noise import WithNoise
from estep.views.palette import NOISE, colours, mixed
from estep.views.values import curves_of

MOST_FRAMES = 60
MOST_ROWS = 800
CORNERS = 48
GRID = 160


@dataclasses.dataclass(frozen=True)
class Frames:
    """A run as pictures, ready to draw.

    Attributes
    ----------
    points : array (m, 2)
        Rows on the axes drawn; of one column, the heights of a stack of dots under the curves.
    shades : uint8 array (f, m, 3)
        Colour of each row in each frame.
    lines : array (f, k, corners, 2)
        Outline of each component.
    centres : array (f, k, 2)
        Means, whose path is drawn behind them.
    passes, objective : arrays (f,)
        Pass and watched objective (nats) of each frame.
    colours, names : tuples of str
        Of the components; of the two axes.
    ending : str
        What the last frame says.
    """

    points: Array
    shades: NDArray[np.uint8]
    lines: Array
    centres: Array
    passes: NDArray[np.intp]
    objective: Array
    colours: tuple[str, ...]
    names: tuple[str, str]
    ending: str

    def __len__(self) -> int:
        return len(self.passes)

    @property
    def box(self) -> Array:
        """Lower and upper corner (2, 2) of everything drawn in the last frame, and of the rows."""
        seen = np.vstack([self.points, self.lines[-1].reshape(-1, 2), self.centres.reshape(-1, 2)])
        seen = seen[np.isfinite(seen).all(axis=1)]
        low, high = seen.min(axis=0), seen.max(axis=0)
        pad = 0.05 * np.where(high > low, high - low, 1.0)
        return np.array([low - pad, high + pad])


def frames_of(
    model: Any,
    iterates: Sequence[Any],
    objective: Array,
    x: Array,
    columns: Sequence[int],
    names: Sequence[str],
    ending: str,
    hard: bool = False,
) -> Frames:
    """Frames of the parameters ``iterates`` (one a pass) of a mixture on the rows ``x`` (n, d).

    ``hard`` colours rows by their most probable component alone, as k-means assigns them.

    Raises
    ------
    ValueError
        Where other than one or two columns are named, or the family has no curve along the one.
    """
    if len(columns) not in (1, 2):
        raise ValueError(f"columns: an animation draws one or two columns, got {len(columns)}")
    chosen = kept_passes(len(iterates))
    rows = _some(x, columns)
    noisy = isinstance(model.family, WithNoise)
    k = int(model.k) - int(noisy)
    shades = np.stack([_shades(model, iterates[i], x[rows], noisy, hard) for i in chosen])
    draw = _curves if len(columns) == 1 else _ellipses
    drawn = [draw(model, iterates[i], x, list(columns)) for i in chosen]
    lines = np.stack([line for line, _ in drawn])
    points = _stacked(x[rows, columns[0]], lines) if len(columns) == 1 else x[rows][:, list(columns)]
    paint = (*colours(k), NOISE) if noisy and len(columns) == 1 else tuple(colours(k))
    axes = (names[columns[0]], "density" if len(columns) == 1 else names[columns[1]])
    centres = np.stack([centre for _, centre in drawn])
    return Frames(points, shades, lines, centres, chosen + 1, np.asarray(objective)[chosen], paint, axes, ending)


def kept_passes(n: int, most: int = MOST_FRAMES) -> NDArray[np.intp]:
    """Positions of the passes that become frames: all, or ``most`` at equal steps of log(pass), first and last included.

    >>> kept_passes(3).tolist(), len(kept_passes(5000)) <= 60, int(kept_passes(5000)[-1])
    ([0, 1, 2], True, 4999)
    """
    if n <= most:
        return np.arange(n)
    return np.unique(np.rint(np.geomspace(1, n, most)).astype(np.intp)) - 1


def _some(x: Array, columns: Sequence[int]) -> NDArray[np.intp]:
    """At most ``MOST_ROWS`` rows that have a place in the picture, at random with a fixed seed."""
    whole = np.flatnonzero(~np.isnan(x[:, list(columns)]).any(axis=1))
    if len(whole) <= MOST_ROWS:
        return whole
    return np.sort(np.random.default_rng(0).choice(whole, MOST_ROWS, replace=False))


def _shades(model: Any, params: Any, x: Array, noisy: bool, hard: bool) -> NDArray[np.uint8]:
    seen = model.explain(params, Chunk(("frame", 0, len(x)), x))
    resp = np.eye(seen.resp.shape[1])[seen.path] if hard else seen.resp
    return np.rint(255 * mixed(resp, noisy)).astype(np.uint8)


def _ellipses(model: Any, params: Any, x: Array, columns: list[int]) -> tuple[Array, Array]:
    """Ellipses of one standard deviation (k, corners, 2) and means (k, 2); components without covariance have a point."""
    means = _means(model, params, x)[:, columns]
    turn = np.linspace(0.0, 2.0 * np.pi, CORNERS)
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    spread = getattr(params.family, "covariances", None)
    if spread is None or "covariances" in model.constraints.fixed:
        return np.repeat(means[:, None, :], CORNERS, axis=1), means
    spread = np.asarray(spread)
    whole = spread[:, :, None] * np.eye(spread.shape[1]) if spread.ndim == 2 else spread
    lower = np.linalg.cholesky(whole[np.ix_(range(len(means)), columns, columns)])
    return means[:, None, :] + np.einsum("kij,cj->kci", lower, circle), means


def _means(model: Any, params: Any, x: Array) -> Array:
    """Means (k, d) of the components: the family's own, else those of the rows, weighted by responsibilities."""
    own = getattr(params.family, "means", None)
    if own is not None and np.shape(own)[1:] == (x.shape[1],):
        return np.asarray(own)
    resp = model.explain(params, Chunk(("frame", 0, len(x)), x)).resp
    seen = ~np.isnan(x)
    return np.asarray((resp.T @ np.where(seen, x, 0.0)) / np.maximum(resp.T @ seen.astype(float), 1e-300))


def _curves(model: Any, params: Any, x: Array, columns: list[int]) -> tuple[Array, Array]:
    """Curves w_k p(x | k) of one column, (k, grid, 2), and their feet under the means, (k', 2)."""
    grid, found, _ = curves_of(model, params, x[~np.isnan(x[:, columns[0]]), columns[0]], columns[0], x.shape[1])
    places = np.linspace(0, len(grid) - 1, min(GRID, len(grid))).astype(np.intp)
    heights = np.asarray(params.structure.weights) * found[places]
    means = _means(model, params, x)[:, columns[0]]
    lines = np.stack([np.broadcast_to(grid[places], heights.T.shape), heights.T], axis=-1)
    return lines, np.stack([means, np.zeros_like(means)], axis=1)


def _stacked(values: Array, lines: Array) -> Array:
    """Rows of one column as dots piled up in bins under the curves, (m, 2)."""
    low, high = lines[0, 0, 0, 0], lines[0, 0, -1, 0]
    bins = np.clip(((values - low) / (high - low) * 80).astype(np.intp), 0, 79)
    order = np.argsort(bins, kind="stable")
    first = np.searchsorted(bins[order], np.arange(80))
    rank = np.empty(len(values))
    rank[order] = np.arange(len(values)) - first[bins[order]]
    peak = float(np.max(lines[-1, :, :, 1], initial=0.0, where=np.isfinite(lines[-1, :, :, 1])))
    return np.stack([values, 0.9 * peak * (rank + 0.5) / max(float(rank.max()) + 1.0, 1.0)], axis=1)
