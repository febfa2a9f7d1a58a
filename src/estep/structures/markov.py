"""What follows from the transition matrix of a finite Markov chain: classes, periods, the long run, absorption.

    classes       i and j communicate where each can be reached from the other; a class is closed where nothing leads out of it
    period        d = gcd of the lengths of all ways from a state back to itself
    stationary    q = q P, one for each closed class
    long run      L_ij = lim 1/n sum_m (P^m)_ij = sum_c P(i ends in c) q_c(j)
    absorption    B = (I - Q)^{-1} R,   t = (I - Q)^{-1} 1        Q among states that are left for good, R from these to classes
    hitting       h_i = P(i ever reaches the target) and the expected number of steps until then

Stationary distributions are found by elimination without any subtraction, so that small probabilities keep their digits.

symbol   variable   shape
P        transmat   (k, k)   rows sum to one
q                   (k,)
B                   (k, c)   over the c closed classes
t        times      (k,)     steps; 0 in a closed class

Sources: Kemeny & Snell (1976), Finite Markov Chains, chapters 3 and 5; Grassmann, Taksar & Heyman (1985), Operations Research
33:1107 (elimination); Norris (1997), Markov Chains, section 1.3 (hitting).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array

States = NDArray[np.intp]


@dataclasses.dataclass(frozen=True)
class StateClass:
    """States that can be reached from one another.

    Attributes
    ----------
    states : array
        Their indices, ascending.
    closed : bool
        Whether the chain stays here for good; otherwise it leaves sooner or later.
    period : int
        Returns take multiples of this many steps; 0 for a state that never comes back.
    """

    states: States
    closed: bool
    period: int


@dataclasses.dataclass(frozen=True)
class Absorption:
    """Where a chain ends up: ``probabilities`` (k, c) over closed ``classes``, expected steps ``times`` (k,) until then."""

    classes: tuple[StateClass, ...]
    probabilities: Array
    times: Array


@dataclasses.dataclass(frozen=True)
class Hitting:
    """Whether and when a target is reached: ``probabilities`` (k,), expected steps ``times`` (k,), infinite unless certain."""

    probabilities: Array
    times: Array


def square(transmat: Array) -> Array:
    """A transition matrix (k, k), or (k + 1, k + 1) of one whose last column (k, k + 1) is the ending, never left.

    >>> square(np.array([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5]])).tolist()
    [[0.5, 0.25, 0.25], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]]
    """
    moves = np.asarray(transmat)
    k, width = moves.shape
    return moves if k == width else np.vstack([moves, np.eye(1, width, k)])


def reachable(transmat: Array) -> NDArray[np.bool_]:
    """Whether j can be reached from i in any number of steps, none included, (k, k)."""
    found = (np.asarray(transmat) > 0) | np.eye(len(transmat), dtype=bool)
    for _ in range(max(math.ceil(math.log2(max(len(found), 2))), 1)):
        found = (found.astype(float) @ found.astype(float)) > 0
    return found


def communicating_classes(transmat: Array) -> list[StateClass]:
    """All classes, by their lowest state.

    >>> moves = np.array([[0.5, 0.5, 0], [0, 0, 1], [0, 1, 0]])
    >>> [(c.states.tolist(), c.closed, c.period) for c in communicating_classes(moves)]
    [([0], False, 1), ([1, 2], True, 2)]
    """
    reach, left, found = reachable(transmat), np.ones(len(transmat), dtype=bool), []
    for i in range(len(transmat)):
        if left[i]:
            states = np.flatnonzero(reach[i] & reach[:, i])
            left[states] = False
            found.append(StateClass(states, bool(reach[i].sum() == states.size), period(transmat, states)))
    return found


def period(transmat: Array, states: States) -> int:
    """Greatest common divisor of the lengths of ways back, of a communicating class; 0 where there is no way back."""
    inside = np.asarray(transmat)[np.ix_(states, states)] > 0
    level, front, d = np.full(states.size, -1), [0], 0
    level[0] = 0
    while front:
        i = front.pop()
        for j in np.flatnonzero(inside[i]).tolist():
            if level[j] < 0:
                level[j] = level[i] + 1
                front.append(j)
            else:
                d = math.gcd(d, abs(int(level[i] + 1 - level[j])))
    return d


def stationary_of(transmat: Array, states: States) -> Array:
    """The stationary distribution of a closed class, (k,), zero outside it.

    >>> oz = np.array([[0.5, 0.25, 0.25], [0.5, 0.0, 0.5], [0.25, 0.25, 0.5]])
    >>> stationary_of(oz, np.arange(3)).round(12).tolist()
    [0.4, 0.2, 0.4]
    """
    moves, m = np.array(transmat, dtype=float)[np.ix_(states, states)], len(states)
    for n in range(m - 1, 0, -1):  # the chain watched in states 0..n - 1 only
        moves[:n, n] /= moves[n, :n].sum()
        moves[:n, :n] += np.outer(moves[:n, n], moves[n, :n])
    share = np.ones(m)
    for n in range(1, m):
        share[n] = share[:n] @ moves[:n, n]
    out = np.zeros(len(transmat))
    out[states] = share / share.sum()
    return out


def absorption(transmat: Array) -> Absorption:
    """Probabilities of ending in each closed class, and the expected number of steps until then.

    >>> gambler = np.array([[1.0, 0, 0, 0], [0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5], [0, 0, 0, 1.0]])
    >>> found = absorption(gambler)
    >>> found.probabilities[:, 0].round(6).tolist(), found.times.round(6).tolist()
    ([1.0, 0.666667, 0.333333, 0.0], [0.0, 2.0, 2.0, 0.0])
    """
    moves = np.asarray(transmat, dtype=float)
    closed = tuple(found for found in communicating_classes(moves) if found.closed)
    probabilities, times = np.zeros((len(moves), len(closed))), np.zeros(len(moves))
    for c, found in enumerate(closed):
        probabilities[found.states, c] = 1.0
    passing = np.setdiff1d(np.arange(len(moves)), np.concatenate([found.states for found in closed]))
    if passing.size:
        into = np.column_stack([moves[np.ix_(passing, found.states)].sum(axis=1) for found in closed])
        among = np.eye(passing.size) - moves[np.ix_(passing, passing)]
        solved = np.linalg.solve(among, np.column_stack([into, np.ones(passing.size)]))
        probabilities[passing], times[passing] = solved[:, :-1], solved[:, -1]
    return Absorption(closed, probabilities, times)


def long_run(transmat: Array) -> Array:
    """Share of time in each state in the long run, by the state the chain starts from, (k, k)."""
    found = absorption(transmat)
    return np.asarray(found.probabilities @ np.array([stationary_of(transmat, each.states) for each in found.classes]))


def hitting(transmat: Array, target: Sequence[int] | States) -> Hitting:
    """Probability of ever reaching ``target`` from each state, and the expected number of steps until then.

    >>> found = hitting(np.array([[0.5, 0.5], [0.25, 0.75]]), [1])
    >>> found.probabilities.tolist(), found.times.tolist()
    ([1.0, 1.0], [2.0, 0.0])
    """
    stopped = np.array(transmat, dtype=float)
    goal = np.asarray(target, dtype=np.intp)
    stopped[goal] = 0.0
    stopped[goal, goal] = 1.0
    found = absorption(stopped)
    there = [c for c, each in enumerate(found.classes) if np.isin(each.states, goal).all()]
    probabilities = found.probabilities[:, there].sum(axis=1)
    elsewhere = [each.states for c, each in enumerate(found.classes) if c not in there]
    doomed = reachable(stopped)[:, np.concatenate(elsewhere)].any(axis=1) if elsewhere else np.zeros(len(stopped), dtype=bool)
    probabilities[~doomed] = 1.0
    return Hitting(probabilities, np.where(doomed, np.inf, found.times))
