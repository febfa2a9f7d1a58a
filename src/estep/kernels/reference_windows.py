"""Sites in sequences from their definitions: every arrangement is written out. What ``windows.py`` is held to.

    p(x, z) = p(z) prod_{t outside} f0(x_t) prod_{sites} prod_w f_w(x_{site + w})

An arrangement is a tuple of (place, strand); ``arrangements`` lists those with at most ``most`` sites that do not overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from estep.core.record import Array

Sites = tuple[tuple[int, int], ...]


def arrangements(length: int, width: int, strands: int, most: int | None = None, begin: int = 0) -> list[Sites]:
    """Every way to place sites of ``width`` letters without overlap, none included.

    >>> arrangements(3, 2, 1)
    [(), ((0, 0),), ((1, 0),)]
    """
    found: list[Sites] = [()]
    if most == 0:
        return found
    for t in range(begin, length - width + 1):
        rest = arrangements(length, width, strands, None if most is None else most - 1, t + width)
        found += [((t, s), *others) for s in range(strands) for others in rest]
    return found


def letters_given(codes: Sequence[int], sites: Sites, columns: Array, background: Array) -> float:
    """p(x | z): product of the probabilities of all letters; ``columns`` (S, W, m), -1 is not known."""
    width, value, t = columns.shape[1], 1.0, 0
    begins = dict(sites)
    while t < len(codes):
        if t in begins:
            for w in range(width):
                value *= columns[begins[t], w, codes[t + w]] if codes[t + w] >= 0 else 1.0
            t += width
        else:
            value *= background[codes[t]] if codes[t] >= 0 else 1.0
            t += 1
    return float(value)


def prior_any(sites: Sites, length: int, width: int, strands: int, rate: float, open: Array) -> float:
    """p(z) where a site begins with probability ``rate * open[t]`` at every free place with room for one."""
    value, t, begins = 1.0, 0, dict(sites)
    while t < length:
        chance = rate * float(open[t]) if t + width <= length else 0.0
        if t in begins:
            value *= chance / strands
            t += width
        else:
            value *= 1.0 - chance
            t += 1
    return value


def prior_one(sites: Sites, length: int, width: int, strands: int, chance: float, open: Array) -> float:
    """p(z) where a sequence has one site with probability ``chance``, at a place drawn in proportion to ``open``."""
    room = float(np.sum(open[: max(length - width + 1, 0)]))
    if not sites:
        return 1.0 - chance if room > 0 else 1.0
    return chance * float(open[sites[0][0]]) / room / strands if len(sites) == 1 else 0.0


def posterior_reference(
    codes: Sequence[int], columns: Array, background: Array, prior: Callable[[Sites], float], most: int | None = None
) -> tuple[list[tuple[Sites, float]], float]:
    """Every arrangement with its posterior probability, and the log-likelihood of the sequence."""
    strands, width, _ = columns.shape
    found = arrangements(len(codes), width, strands, most)
    joint = np.array([prior(z) * letters_given(codes, z, columns, background) for z in found])
    return list(zip(found, (joint / joint.sum()).tolist(), strict=True)), float(np.log(joint.sum()))
