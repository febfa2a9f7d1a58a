"""Scores of the observed likelihood at no pass of their own: Fisher's identity.

    s(phi) = d loglik / dphi = dq(phi, S)/dphi at S = S(phi)         S: expected statistics, imagined data (a prior) included

phi are free coordinates in the chart of some ``base``. A model's own ``score`` is in the chart about the point where it is
taken; where charts differ (rotations, points on a sphere) it is carried over by the Jacobian of one chart in the other.

Source: Fisher's identity as in Dempster, Laird & Rubin (1977), J. R. Statist. Soc. B 39:1, section 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from estep.core.numeric import numeric_score
from estep.core.record import Array, leaves
from estep.core.support import Support

PROBE = 1e-6


def with_imagined(model: Any, stats: Any) -> Any:
    """``stats`` and the model's prior, which is imagined data."""
    own = getattr(model, "with_imagined", None)
    if own:
        return own(stats)
    prior = getattr(model, "prior", None)
    return stats if prior is None else prior + stats


def score_at(model: Any, support: Support, params: Any, base: Any, stats: Any) -> Array:
    """Gradient of q(., ``stats``) at ``params`` in the chart of ``base``, (p,); of a model without ``score`` by differences."""
    own = getattr(model, "score", None)
    found = np.array(own(params, stats) if own else numeric_score(model, params, stats, support), dtype=float)
    if params is base:
        return found
    here, there, at = dict(leaves(base)), dict(leaves(params)), 0
    for name, entry in support.entries.items():
        part = slice(at, at + entry.count)
        if entry.count and np.isfinite(found[part]).all():
            found[part] = carried(entry, np.asarray(here[name]), np.asarray(there[name]), found[part])
        at += entry.count
    return found


def carried(entry: Any, base: Array, value: Array, gradient: Array) -> Array:
    """A gradient in the chart about ``value``, carried to the chart about ``base``.

    Near the base the two charts differ by signs and order of the axes at most, which one probe tells; else the Jacobian is
    found by differences.
    """
    here, own = entry.pack(value, base), entry.pack(value, value)
    m = here.size
    probe = PROBE * (1.0 + np.arange(m) / m)
    seen = entry.pack(entry.unpack(here + probe, base), value) - own
    near = 0.25 * PROBE / m
    if np.abs(seen - probe).max() < near:
        return gradient
    if np.abs(np.abs(seen) - probe).max() < near:
        return np.asarray(gradient * np.sign(seen))
    jacobian, step = np.empty((m, m)), 1e-5
    for b in range(m):
        e = step * (np.arange(m) == b)
        ends = [entry.pack(entry.unpack(here + s * e, base), value) for s in (1.0, -1.0)]
        jacobian[:, b] = (ends[0] - ends[1]) / (2 * step)
    return np.asarray(jacobian.T @ gradient)
