"""Checks of the components: alike, tiny, poorly told apart.

    affinity_jk = mean_i sqrt(r_ij r_ik / (p_j p_k)),  p_k = mean_i r_ik     estimates  int sqrt(f_j f_k),  1 where f_j = f_k
    entropy     = 1 + sum_ik r_ik log r_ik / (n log k)                       1 where every row is sure
    sureness_k  = mean r_ik over the rows whose most probable component is k

Sources: Bhattacharyya (1943), Bull. Calcutta Math. Soc. 35:99; Nagin (2005), Group-Based Modeling of Development, section 5.2
(an average posterior of .7 at least).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from estep.core.record import Array
from estep.inference.contingency import entropy_r2, posterior_by_class
from estep.inference.findings import Finding, Severity
from estep.inference.scene import Scene

ALIKE = 0.97
"""Affinity of two normals of one variance whose means are half a standard deviation apart: exp(-0.5^2 / 8)."""
FEWEST, PER_PARAMETER = 5.0, 2.0
SURE = 0.7


def alike(scene: Scene) -> Iterator[Finding]:
    """Pairs of components that are nearly one."""
    table = affinities(scene.resp, scene.weight)
    found = [(table[j, k], j, k) for j, k in itertools.combinations(range(scene.k), 2) if table[j, k] > ALIKE]
    if found:
        value, j, k = max(found)
        pairs = ", ".join(f"{scene.component(a)} and {scene.component(b)} ({v:.3f})" for v, a, b in sorted(found)[::-1][:4])
        yield Finding(
            "alike", Severity.WARNING, "Components are nearly the same",
            f"affinity (1 for equal densities) of {pairs}",
            "take fewer components, or start elsewhere; between equal components neither weights nor parameters mean anything",
            {"affinity": float(value), "pair": (j, k), "pairs": len(found)},
        )  # fmt: skip


def affinities(resp: Array, weight: Array) -> Array:
    """Affinity (k, k) of the components' densities, over the rows.

    >>> affinities(np.array([[0.5, 0.5], [0.5, 0.5]]), np.ones(2)).round(9).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    share = weight @ resp / weight.sum()
    roots = np.sqrt(resp) * np.sqrt(weight / weight.sum())[:, None]
    size = np.sqrt(np.outer(share, share))
    return np.asarray(roots.T @ roots / np.where(size > 0, size, 1.0))


def tiny(scene: Scene) -> Iterator[Finding]:
    """Components with hardly a row for each of their parameters."""
    sizes, k, every = scene.weight @ scene.resp, scene.k - int(scene.noisy), scene.k + scene.beside
    each = max((scene.result.n_free - (every - 1)) / max(every - int(scene.noisy), 1), 1.0)
    least = max(FEWEST, PER_PARAMETER * each)
    few = [j for j in range(k) if sizes[j] < least]
    if few:
        told = ", ".join(f"{scene.component(j)} ({sizes[j]:.1f} rows)" for j in few[:4])
        yield Finding(
            "tiny", Severity.WARNING, "Components rest on few rows",
            f"{told}; each has about {each:.0f} parameters of its own, so fewer than {least:.0f} rows are few",
            "take fewer components, share parameters between them, or add prior='default'; look at these rows",
            {"sizes": tuple(float(sizes[j]) for j in few), "least": least},
        )  # fmt: skip


def told_apart(scene: Scene) -> Iterator[Finding]:
    """How surely rows belong to one component."""
    entropy = entropy_r2(scene.resp, scene.weight)
    sure = np.diagonal(posterior_by_class(scene.resp, scene.weight))
    poor = [j for j in range(scene.k) if not sure[j] >= SURE]
    if poor:
        told = ", ".join(
            f"{scene.component(j)} (no row)" if np.isnan(sure[j]) else f"{scene.component(j)} ({sure[j]:.2f})" for j in poor[:6]
        )
        yield Finding(
            "poorly_separated", Severity.NOTE, "Components overlap, so single rows can hardly be assigned",
            f"mean probability of the rows assigned to component {told}, where {SURE} is wanted; relative entropy "
            f"{entropy:.2f}",
            "use the probabilities (predict_proba) and not the labels; fewer components, or more columns, tell them apart",
            {"entropy": entropy, "posterior": tuple(float(v) for v in sure)},
        )  # fmt: skip
