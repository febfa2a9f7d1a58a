"""Checks of single rows: those that move the fit, and those that hardly belong to it.

    outlying rows    n_out = #{ i : log p(x_i) < c },  c the r-th smallest log density of m rows drawn from the model
                     under the model n_out ~ BetaBinomial(n, r, m + 1 - r) if the parameters are right: exact, as c is drawn too

Rows with missing entries are left out of the second, since their densities are not those of whole rows. Estimates adapt to
outlying rows, so the check errs on the side of silence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from estep.core.protocols import Chunk, Explained
from estep.core.record import Array
from estep.data.memory import Memory
from estep.inference.findings import Finding, Severity
from estep.inference.influence import influence
from estep.inference.scene import Scene, complete_rows, drawn, some

MOVES = 2.0
"""Standard errors by which one row may move a parameter before it is a finding."""
ALARM = 0.002
RATIO, MOST_DRAWN = 500, 200_000
LISTED = 8


def influential(scene: Scene) -> Iterator[Finding]:
    """Rows without which a parameter would move by more than two standard errors."""
    assert scene.errors is not None
    found = influence(scene.errors, scene.data, scene.numbers)
    large = np.abs(found.shift) > MOVES
    if large.any():
        chosen = dataclasses.replace(
            found,
            distance=found.distance[large],
            shift=found.shift[large],
            mostly=tuple(np.array(found.mostly)[large].tolist()),
            numbers=found.numbers[large],
        )
        unit = found.unit
        told = ", ".join(f"{unit} {row} ({name} by {shift:+.1f})" for row, _, name, shift in chosen.top(LISTED))
        yield Finding(
            "influential", Severity.WARNING, f"Single {unit}s decide some of the estimates",
            f"{int(large.sum())} of {len(large)} {unit}s would move a parameter by more than {MOVES:g} standard errors if left "
            f"out: {told}",
            f"look at these {unit}s, and fit without them to see what changes (sample_weight=0 leaves a {unit} out)",
            {"rows": tuple(int(i) for i in chosen.numbers), "shift": tuple(float(s) for s in chosen.shift)},
        )  # fmt: skip


def outlying(scene: Scene) -> Iterator[Finding]:
    """More rows of very low density than the model would have."""
    from scipy.stats import betabinom

    whole = np.flatnonzero(complete_rows(scene.data.x))
    n = len(whole)
    if n == 0:
        return
    m = min(RATIO * n, MOST_DRAWN)
    rank = max(1, int(ALARM * m / n))
    bar = float(np.partition(_densities(scene, whole, m), rank - 1)[rank - 1])
    low = whole[scene.log_density[whole] < bar]
    chance = float(betabinom.sf(len(low) - 1, n, rank, m + 1 - rank)) if len(low) else 1.0
    if chance <= ALARM:
        order = low[np.argsort(scene.log_density[low], kind="stable")]
        told = ", ".join(f"row {scene.numbers[i]} ({scene.log_density[i]:.1f} nats)" for i in order[:LISTED])
        yield Finding(
            "outliers", Severity.WARNING, "More rows lie outside the model than it allows for",
            f"{len(low)} of {n} rows have a log density below {bar:.1f}, where {n * rank / (m + 1):.2g} are expected "
            f"(p = {chance:.2g}, by {m:,} rows drawn from the model): {told}",
            "look at these rows; a noise component (noise=True), heavier tails (StudentMixture) or one more component take "
            "them up without moving the others",
            {"rows": tuple(int(scene.numbers[i]) for i in order), "p_value": chance, "bar": bar},
        )  # fmt: skip


def _densities(scene: Scene, whole: NDArray[np.intp], m: int) -> Array:
    """Log densities (m,) of rows drawn with the covariates and groups of the whole rows, in turn."""
    rows = np.resize(whole, m)
    like = some(scene.data, rows)
    assert isinstance(like, Memory)
    made = drawn(scene.model, scene.params, like, np.random.default_rng(scene.seed))
    out = np.empty(m)

    def keep(chunk: Chunk, part: Explained) -> None:
        out[chunk.rows] = part.log_density

    made.map(lambda chunk: scene.model.explain(scene.params, chunk), keep)
    return out
