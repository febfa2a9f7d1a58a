"""Whether more components are needed: the likelihood ratio, compared with that of data drawn from the smaller fit.

    T = 2 (L_large - L_small);   x*_b ~ smaller fit,  T*_b from refits of both to x*_b,  b = 1 .. B
    p = (1 + #{T*_b >= T}) / (1 + B)                              all B replicates
    p = h / b   once h replicates have reached T, at number b     sequential (``stop_after=h``)

The statistic has no chi-squared law here: under the null the extra component has weight 0, an end of the range, and its other
parameters mean nothing. Drawn from the fitted null, T and the T*_b are (nearly) alike in law, so that p <= alpha has
probability (nearly) alpha; the sequential p value keeps this and stops early where T is nothing unusual.

symbol   variable       shape
T        statistic      ()       nats, twice
T*       distribution   (b,)     those of the replicates that succeeded, in order

Sources: McLachlan (1987), Applied Statistics 36:318; McLachlan & Peel (2000), Finite Mixture Models, section 6.4; Besag &
Clifford (1991), Biometrika 78:301 (sequential p values); Davison & Hinkley (1997), Bootstrap Methods, section 4.2.5.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping

import numpy as np

from estep.core.record import Array

LOW = 0.01
"""A statistic this far below zero is no rounding and no early stop."""


@dataclasses.dataclass(frozen=True, eq=False)
class BootstrapLRT:
    """A bootstrap likelihood ratio test: the smaller model is the null.

    Attributes
    ----------
    statistic : float
        Twice the difference of log-likelihoods, in nats.
    p_value : float
        How often data from the smaller fit give a statistic as large.
    distribution : array (b,)
        Statistics of the replicates that succeeded.
    n_boot : int
        Replicates that were drawn, failures included.
    failures : mapping from number of the replicate to reason
    stopped : bool
        Whether ``stop_after`` ended the test before all replicates were drawn.
    notes : tuple of str
    """

    statistic: float
    p_value: float
    distribution: Array
    n_boot: int
    failures: Mapping[int, str]
    stopped: bool
    notes: tuple[str, ...] = ()

    @property
    def error(self) -> float:
        """Monte Carlo standard error of the p value."""
        return math.sqrt(self.p_value * (1.0 - self.p_value) / max(len(self.distribution), 1))

    def __str__(self) -> str:
        words = f"bootstrap likelihood ratio test: 2 log ratio = {self.statistic:.4f}, p = {self.p_value:.4g}"
        counted = f"{len(self.distribution)} replicates{', stopped early' if self.stopped else ''}, {len(self.failures)} failed"
        return "\n".join([f"{words} (Monte Carlo error {self.error:.2g}; {counted})", *(f"  {note}" for note in self.notes)])


def judged(statistic: float, drawn: Iterable[tuple[float, str]], stop_after: int | None) -> BootstrapLRT:
    """The test of ``statistic`` against replicates as they come: pairs of a statistic and a reason why there is none, or "".

    >>> found = judged(5.0, [(1.0, ""), (7.0, ""), (2.0, "")], None)
    >>> found.p_value, found.stopped
    (0.5, False)
    >>> found = judged(5.0, [(1.0, ""), (7.0, ""), (2.0, "")], stop_after=1)
    >>> found.p_value, found.n_boot, found.stopped
    (0.5, 2, True)
    """
    values: list[float] = []
    failures: dict[int, str] = {}
    reached = 0
    for b, (value, reason) in enumerate(drawn):
        if reason:
            failures[b] = reason
            continue
        values.append(value)
        reached += value >= statistic
        if stop_after is not None and reached >= stop_after:
            return BootstrapLRT(
                statistic, reached / len(values), np.array(values), b + 1, failures, True, _notes(values, failures)
            )
    if not values:
        first = next(iter(failures.values()), "none was drawn")
        raise ValueError(f"none of {len(failures)} replicates succeeded; the first failed with: {first}")
    p = (1 + reached) / (1 + len(values))
    return BootstrapLRT(statistic, p, np.array(values), len(values) + len(failures), failures, False, _notes(values, failures))


def _notes(values: list[float], failures: Mapping[int, str]) -> tuple[str, ...]:
    notes = []
    if failures:
        first = next(iter(failures.values()))
        notes.append(f"{len(failures)} of {len(values) + len(failures)} replicates failed and are left out (first: {first})")
    if low := sum(value < -LOW for value in values):
        notes.append(
            f"in {low} of {len(values)} replicates the larger model ended below the smaller one, so its starts missed the "
            "maximum; raise own_starts"
        )
    return tuple(notes)
