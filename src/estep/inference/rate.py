"""How fast EM converges near a fit, along which direction it is slow, and how much information is missing.

Near its fixed point EM multiplies a gap by the derivative of its map M, in free coordinates phi:

    phi_{t+1} - phi_hat = DM (phi_t - phi_hat)          DM = I - I_complete^-1 I_observed = I_complete^-1 I_missing
    rate = largest eigenvalue of DM                     gap in phi shrinks by rate a pass, gap in nats by rate^2
    passes for a decimal of phi = log 10 / -log rate

In the metric of complete information, B' I_complete B = 1, the matrix B^-1 DM B is symmetric. Its leading eigenvalues are found
by Arnoldi's iteration on central differences of the map, (M(phi + h B w) - M(phi - h B w)) / 2h, two passes a step. Standard
errors hold all of them: the shares lambda of ``Errors`` are 1 minus the eigenvalues.

The fraction of information that is missing of one parameter theta_j, all others being unknown too, is

    1 - V_complete,jj / V_observed,jj                   V = G I^-1 G', G = dtheta / dphi'

symbol   variable     shape
DM       apply        p -> p
B        basis        (p, m)
v        direction    (p,)

Sources: Dempster, Laird & Rubin (1977), J. R. Statist. Soc. B 39:1, section 3; Meng & Rubin (1991), J. Amer. Statist. Assoc.
86:899; Saad (2011), Numerical Methods for Large Eigenvalue Problems, chapter 6.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from estep.core.record import Array
from estep.inference.boundary import at_ends, holding_ends
from estep.inference.errors import Errors, Natural, natural_of, slopes_of
from estep.inference.free_point import ROUGH, Point, families_of, look
from estep.inference.information import _image as em_map

STEPS = 24
EMPTY = 1e-12
TAKES_PART = 0.5
"""A parameter takes part in a direction to which at least this share of its variance belongs, as far as one direction tells."""
SLOWEST = 1e-3
"""One minus the rate is taken as no less than this where shares of variance are told."""


@dataclasses.dataclass(frozen=True)
class Rate:
    """How EM converges near a fit.

    Attributes
    ----------
    value : float
        The rate: the share of the gap that a pass leaves. 1 is no progress, 0 is Newton's.
    eigenvalues : array (m,)
        Of the rate matrix, decreasing; the leading ones, or all of them where ``whole``.
    direction : array (p,)
        In free coordinates, the way along which EM is slowest, one standard error of complete data long.
    moves : mapping from name to array of the parameter's shape
        How much of each parameter's variance belongs to it, 0 to 1: ``a / (a + 1 - s^2)`` with ``a = s^2 / (1 - rate)``
        where it moves the parameter by ``s`` of its complete-data standard errors.
    k : int
        Number of components, 0 where there are none.
    passes : int
        Passes over the data that finding it took.

    Examples
    --------
    >>> Rate(0.9, np.array([0.9]), np.ones(1), {"p": np.ones(1)}, True, 0, 0).passes_left(1e-2, 1e-6)
    44
    """

    value: float
    eigenvalues: Array
    direction: Array
    moves: Mapping[str, Array]
    whole: bool
    k: int
    passes: int

    @property
    def passes_a_digit(self) -> float:
        """Passes of plain EM for one more decimal of the parameters; infinite where the rate is 1."""
        if self.value <= 0:
            return 1.0
        return math.log(10.0) / -math.log(self.value) if self.value < 1 else math.inf

    def passes_left(self, left: float, tol: float) -> float:
        """Passes of plain EM from ``left`` nats below the top to ``tol`` nats below: log(left / tol) / (-2 log rate)."""
        if left <= tol:
            return 0
        if self.value >= 1:
            return math.inf
        return 1 if self.value <= 0 else math.ceil(math.log(left / tol) / (-2.0 * math.log(self.value)))

    @property
    def words(self) -> str:
        """What moves along the slow direction, such as "weights and means of components 0 and 1"."""
        return in_words(self.moves, self.k)


def find_rate(model: Any, data: Any, params: Any, *, natural: Natural | None = None, accuracy: float = 1e-3) -> Rate:
    """The rate of EM at ``params``, where a run ended, by Arnoldi's iteration on differences of the EM map.

    Parameters
    ----------
    model, data, params
        As in ``estep.fit``; parameters at a fixed point of EM.
    natural : function or None
        From parameters to the arrays that words are about; None: as the family shows them.
    accuracy : float
        Stop when the rate is known to this share of ``1 - rate``. At most 24 steps of two passes each.

    Raises
    ------
    TypeError
        From a family whose log-likelihood has corners, where there is no derivative.
    ValueError
        Where no parameter is free.

    Examples
    --------
    >>> from estep.data import Memory
    >>> from estep.families.poisson import Poisson
    >>> from estep.models.latent import Latent
    >>> from estep.structures.iid import Iid
    >>> data = Memory(np.array([[1.0], [3.0], [4.0], [0.0]]))
    >>> model = Latent(Iid(), Poisson(), 1).bind(data)
    >>> abs(find_rate(model, data, model.start()).value) < 1e-6  # nothing is hidden: one step is all
    True
    """
    for family in families_of(model):
        if not getattr(family, "smooth", True):
            raise TypeError(f"the log-likelihood of {type(family).__name__} has corners or jumps, where EM has no linear rate")
    support = model.support(params)
    point = look(holding_ends(model, params, at_ends(model, params, support)), data, params)
    basis, inverse = _whitened(point)
    if not basis.shape[1]:
        raise ValueError("no parameter is free, so there is no rate")
    step = ROUGH * math.sqrt(max(point.n, 1.0))

    def apply(w: Array) -> Array:
        away = step * (basis @ w)
        ends = [em_map(point, point.at + s * away) for s in (1.0, -1.0)]
        return np.asarray(inverse @ (ends[0] - ends[1]) / (2.0 * step))

    values, vector, steps = _arnoldi(apply, basis.shape[1], accuracy)
    direction = basis @ vector
    moves = _moves(point, natural or natural_of(model), direction, float(values[0]))
    whole, k = len(values) == basis.shape[1], int(getattr(model, "k", 0))
    return Rate(float(values[0]), values, direction, moves, whole, k, 2 * steps + 1)


def rate_of(errors: Errors) -> Rate:
    """The same from standard errors (any method but "opg", whose information is another), which costs nothing."""
    ways = errors.ways
    every = np.hstack([ways.rising, ways.flat, ways.known])
    if not every.shape[1]:
        raise ValueError("no parameter is free, so there is no rate")
    scaled = errors.complete
    lengths = np.einsum("pm,pq,qm->m", every, scaled, every)
    direction = every[:, 0] / math.sqrt(max(float(lengths[0]), np.finfo(float).tiny))
    values = np.sort(1.0 - ways.shares)[::-1]
    moves = _moves(errors.point, errors.natural, direction, float(values[0]))
    return Rate(float(values[0]), values, direction, moves, True, int(getattr(errors.point.model, "k", 0)), 0)


def missing_information(errors: Errors) -> dict[str, Array]:
    """Fraction of information that is missing of each parameter; NaN where it has no standard error.

    Of parameters that lie at no end; with a sandwich it is still that of the model's own information.

    >>> from estep.data import Memory
    >>> from estep.families.poisson import Poisson
    >>> from estep.inference.errors import standard_errors
    >>> from estep.models.latent import Latent
    >>> from estep.structures.iid import Iid
    >>> data = Memory(np.array([[1.0], [3.0], [4.0], [0.0]]))
    >>> model = Latent(Iid(), Poisson(), 1).bind(data)
    >>> bool(abs(missing_information(standard_errors(model, data, model.start()))["rates"][0, 0]) < 1e-9)
    True
    """
    basis, _ = _whitened(errors.point)
    out = {}
    for name, slope in errors.jacobian.items():
        flat = slope.reshape(-1, errors.point.p)
        known = ((flat @ basis) ** 2).sum(axis=1)
        whole = np.einsum("mp,pq,mq->m", flat, errors.ways.inverse, flat)
        told = (errors.reasons[name].ravel() == "") & (whole > 0)
        share = 1.0 - known / np.where(told, whole, 1.0)
        out[name] = np.where(told, share, np.nan).reshape(slope.shape[:-1])
    return out


def _whitened(point: Point) -> tuple[Array, Array]:
    """B (p, m) with B' I_complete B = 1 over the directions that have information, and its left inverse (m, p)."""
    diagonal = np.diagonal(point.complete)
    told = diagonal > 0
    spread = np.where(told, 1.0 / np.sqrt(np.where(told, diagonal, 1.0)), 0.0)
    size, axes = np.linalg.eigh(point.complete * np.outer(spread, spread))
    kept = size > EMPTY * max(1.0, float(size.max(initial=0.0)))
    basis = spread[:, None] * axes[:, kept] / np.sqrt(size[kept])
    return basis, np.asarray(basis.T @ point.complete)


def _arnoldi(apply: Callable[[Array], Array], p: int, accuracy: float) -> tuple[Array, Array, int]:
    """Leading eigenvalues of a nearly symmetric map, decreasing, the first one's vector (p,), and the steps it took."""
    m = min(p, STEPS)
    basis, table = np.zeros((m + 1, p)), np.zeros((m + 1, m))
    basis[0] = np.random.default_rng(0).standard_normal(p)
    basis[0] /= np.linalg.norm(basis[0])
    for j in range(m):
        ahead = apply(basis[j])
        for _ in range(2):
            share = basis[: j + 1] @ ahead
            table[: j + 1, j] += share
            ahead = ahead - share @ basis[: j + 1]
        table[j + 1, j] = np.linalg.norm(ahead)
        square = table[: j + 1, : j + 1]
        values, vectors = np.linalg.eigh((square + square.T) / 2)
        doubt = table[j + 1, j] * abs(vectors[-1, -1])
        if j + 1 == p or table[j + 1, j] < 1e-7 or (j > 1 and doubt < accuracy * abs(1.0 - values[-1])):
            break
        if j + 1 < m:
            basis[j + 1] = ahead / table[j + 1, j]
    vector = vectors[:, -1] @ basis[: j + 1]
    return np.asarray(values[::-1]), np.asarray(vector / np.linalg.norm(vector)), j + 1


def _moves(point: Point, natural: Natural, direction: Array, rate: float) -> dict[str, Array]:
    """The share of each parameter's variance that belongs to a direction, as far as this one tells."""
    basis, _ = _whitened(point)
    _, slopes = slopes_of(point, natural)
    out = {}
    for name, slope in slopes.items():
        size = ((slope @ basis) ** 2).sum(axis=-1)
        squared = np.where(size > 0, (slope @ direction) ** 2 / np.where(size > 0, size, 1.0), 0.0)
        along = squared / max(1.0 - rate, SLOWEST)
        out[name] = np.where(along > 0, along / np.maximum(along + 1.0 - squared, np.finfo(float).tiny), 0.0)
    return out


def in_words(moves: Mapping[str, Array], k: int) -> str:
    """The parameters that take part, gathered by the components whose they are.

    >>> in_words({"weights": np.array([1.0, 0.9, 0.1]), "means": np.array([[0.8], [0.7], [0.0]])}, 3)
    'weights and means of components 0 and 1'
    """
    by_components: dict[tuple[int, ...], list[str]] = {}
    for name, value in moves.items():
        part = value > TAKES_PART
        if part.any():
            by_components.setdefault(components_of(part, k), []).append(name)
    told = []
    for components, names in by_components.items():
        several = "s" if len(components) > 1 else ""
        whose = f" of component{several} {_listed([str(c) for c in components])}" if components and k > 1 else ""
        told.append(f"{_listed(names)}{whose}")
    return "; ".join(told)


def components_of(part: Any, k: int) -> tuple[int, ...]:
    """The components to which the chosen entries belong: places along the first axis of size ``k``."""
    axes = [axis for axis, size in enumerate(np.shape(part)) if size == k]
    return tuple(sorted({int(i) for i in np.argwhere(part)[:, axes[0]]})) if axes else ()


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
