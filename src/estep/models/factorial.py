"""Factorial hidden Markov models with more combinations of states than can be gone through: structured variational inference.

    z_m1 ~ pi_m,  z_mt | z_m,t-1 = a ~ A_m(a, .),  m = 1 .. M;    x_t ~ N(sum_m W_m[z_mt], C)

E-step   q(z) = prod_m q_m(z_m), each q_m a chain with pi_m, A_m and fields in place of log densities,

             phi_mt(a) = W_m[a] P (x_t - sum_{l != m} W_l' g_lt) - 1/2 W_m[a] P W_m[a]',     P = C^{-1},  g = E_q[z]

         forward-backward for one chain at a time, round and round until the bound rises no more: the exact maximum over q_m
         given the others, so the bound never falls within a pass
bound    sum_t E_q[log N(x_t)] + sum_m (log Z_m - sum_t phi_mt . g_mt)   <=  log p(x)
M-step   pi, A from E_q as in ``structures/factorial.py``; W and C by least squares (``families/additive_normal.py``) with
         E[z_m z_l'] = g_m g_l' for l != m

The shares of the rows are parameters of the bound and travel with the others, so that a pass goes on where the last one ended
and the bound never falls. Where there are none yet (the first pass, new rows) the rounds begin twice, from shares that know no
row and with the emission let in little by little (powers BETAS), and each sequence keeps the higher end. What is watched and
reported as log-likelihood is the bound.

symbol   variable   shape
phi      fields     M of (n, K_m)
g        shares     M of (n, K_m)

Source: Ghahramani & Jordan (1997), Machine Learning 29:245, sections 3.4 and appendix C.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.protocols import Chunk, Expected, Explained
from estep.core.record import Array, record
from estep.core.support import Constraints, Support
from estep.families.additive_normal import AdditiveMoments, AdditiveNormal, AdditiveParams
from estep.models.plsa import DocumentRows
from estep.structures.chain import _ends_and_weights
from estep.structures.chain_pass import Group, Law, Sums, plan, smooth
from estep.structures.chain_paths import best
from estep.structures.factorial import FactorialChain, FactorialCounts

BETAS = (0.1, 0.3, 0.6, 1.0)
"""Powers of the emission through which the rounds of a pass go."""
ROUNDS, RESTED = 200, 1e-10
"""Rounds at the last power, at most; gain of the bound, relative to its size, at which they end."""


@record
class BoundParams:
    """Parameters of the chains and of the family, and the ``shares`` (n, S) of the rows fitted last, or (0, S)."""

    structure: Any
    family: Any
    shares: Array


@record
class FactorialStats:
    """Expected starts and moves of the chains, moments of states and rows, and the shares of the rows."""

    structure: FactorialCounts
    family: AdditiveMoments
    shares: Any = None


@dataclasses.dataclass
class FactorialPosterior:
    """What the rounds end with: ``shares`` and ``fields`` of each chain (n, K_m), and each row's part of the bound (n,)."""

    shares: list[Array]
    fields: list[Array]
    bound: Array


@dataclasses.dataclass(frozen=True)
class Factorial:
    """Chains behind a sum of effects, by a bound: for products of states that are too many to go through.

    Parameters
    ----------
    structure : FactorialChain
        The chains.
    family : AdditiveNormal
        Effects and covariance, of the same sizes.
    prior, constraints
        As in ``Latent``.

    Raises
    ------
    ValueError
        Where a row misses some columns but not all, or has a label; where assignments are not soft.

    Examples
    --------
    >>> model = Factorial(FactorialChain((2, 2)), AdditiveNormal((2, 2)))
    >>> model.certificate
    'bound'
    """

    structure: FactorialChain
    family: AdditiveNormal
    prior: Any | None = None
    constraints: Constraints = dataclasses.field(default_factory=Constraints)

    def __post_init__(self) -> None:
        if self.structure.sizes != self.family.sizes:
            raise ValueError(f"structure has chains of {self.structure.sizes} states, family of {self.family.sizes}")

    @property
    def k(self) -> int:
        """Number of combinations."""
        return self.structure.k

    @property
    def certificate(self) -> str:
        """What is promised of the objective: it is a lower bound of the log-likelihood."""
        return "bound"

    @property
    def constants(self) -> int:
        """Less the coordinates that nothing identifies."""
        return self.family.constants(self.k, self._part(self.family.names))

    def refuses(self, assign: Any) -> str:
        """Why states cannot be filled in by ``assign``, or an empty text."""
        if assign.name == "soft":
            return ""
        return f"assign={assign.name!r}: the bound is of probabilities ('soft'); use algorithm='em', or exact inference"

    def bind(self, data: Any) -> Factorial:
        """Bind the family; check ends, and that rows are whole."""
        data.sum(_whole_rows)
        length = data.sum(lambda chunk: np.array([len(_ends_and_weights(chunk)[0]), len(chunk)], dtype=float))
        structure = dataclasses.replace(self.structure, length=float(length[1] / length[0]))
        return dataclasses.replace(self, structure=structure, family=self.family.bind(data))

    def start(self) -> BoundParams:
        """A neutral point, at which chains are alike: begin elsewhere."""
        return self.fresh(self.structure.start(self.k), self.family.start(self.k))

    def fresh(self, structure: Any, family: Any) -> BoundParams:
        """Parameters that know the shares of no row."""
        return BoundParams(structure, family, np.zeros((0, sum(self.structure.sizes))))

    def with_prior(self, settings: dict[str, Any]) -> Factorial:
        """This model with imagined moves (``startprob``, ``transmat``, ``sticky``); effects and covariance have none here."""
        unknown = sorted(set(settings) - set(self.structure.settings))
        if unknown:
            raise ValueError(f"prior: variational inference has no setting {unknown[0]!r}; it has {self.structure.settings}")
        size, d = sum(self.structure.sizes), self.family.d
        second = np.zeros(d) if self.family.covariance_type != "full" else np.zeros((d, d))
        nothing = AdditiveMoments(np.zeros((size, size)), np.zeros((size, d)), second, 0.0, 0.0)
        return dataclasses.replace(self, prior=FactorialStats(self.structure.prior(self.k, settings), nothing))

    def posterior(self, params: BoundParams, chunk: Chunk) -> FactorialPosterior:
        """The chains that maximise the bound, from the shares of ``params`` where it has those of these rows."""
        if chunk.allowed is not None:
            raise ValueError("labels need exact inference: with variational inference no combination can be excluded")
        _whole_rows(chunk)
        rows = _Rows(self, params, chunk)
        if len(params.shares):
            known = params.shares[chunk.rows]
            return rows.settled([known[:, own] for own in self.family.chains])
        plain = rows.settled(rows.prior())
        shares = rows.prior()
        for beta in BETAS:
            shares = rows.round(shares, beta).shares
        return rows.higher(plain, rows.settled(shares))

    def estep(self, params: BoundParams, chunk: Chunk, assign: Any) -> Expected:
        """Expected statistics of one chunk under the best q, and the bound."""
        if why := self.refuses(assign):
            raise ValueError(why)
        rows, found = _Rows(self, params, chunk), self.posterior(params, chunk)
        sums = [rows.chain(m, field)[1] for m, field in enumerate(found.fields)]
        counts = FactorialCounts(tuple(s.first for s in sums), tuple(s.pairs[0] for s in sums))
        bound = float(rows.weighted(found.bound))
        weight = float(chunk.weight.sum()) if chunk.weight is not None else float(len(chunk))
        shares = DocumentRows({int(chunk.key[1]): np.hstack(found.shares)})
        return Expected(FactorialStats(counts, rows.moments(found.shares), shares), bound, bound, weight)

    def mstep(self, stats: FactorialStats, params: BoundParams) -> BoundParams:
        """Parameters that maximise q(., stats + prior), from ``params`` on; the shares are those of the pass."""
        counts: Any = stats.structure if self.prior is None else stats.structure + self.prior.structure
        s, f = self._supports(params)
        structure, family = self.structure.fit(counts, params.structure, s), self.family.settled(stats.family, params.family, f)
        if stats.shares is None:
            return BoundParams(structure, family, params.shares)
        last = max(first + len(block) for first, block in stats.shares.blocks.items())
        return BoundParams(structure, family, stats.shares.whole((last, sum(self.structure.sizes))))

    def q(self, params: BoundParams, stats: FactorialStats) -> float:
        """Complete-data log-likelihood in nats, from statistics alone."""
        chains = self.structure.q(params.structure, stats.structure)
        return chains + (self.family.height(stats.family, params.family) if stats.family.weight > 0 else 0.0)

    def support(self, params: BoundParams) -> Support:
        """Where each parameter may live."""
        s, f = self._supports(params)
        return Support.join(structure=s, family=f)

    def explain(self, params: BoundParams, chunk: Chunk) -> Explained:
        """Per row: its part of the bound, shares of every chain's states side by side, and the best combination under q."""
        found, ends = self.posterior(params, chunk), _ends_and_weights(chunk)[0]
        states = [
            best(law, _field(field), plan(field.shape[1], ends, np.ones(len(ends))), int(chunk.key[1]), len(chunk))
            for law, field in zip(self._laws(params), found.fields, strict=True)
        ]
        path = np.ravel_multi_index(states, self.structure.sizes)
        return Explained(found.bound, np.hstack(found.shares), np.asarray(path, dtype=np.intp))

    def sample(self, params: BoundParams, n: int, rng: np.random.Generator, **where: Any) -> tuple[Any, NDArray[np.intp]]:
        """``n`` rows and their combinations; ``ends`` as in the structure."""
        labels, inner = self.structure.sample(params.structure, n, rng, **where), self.family.inner
        states = self.structure.states_of(labels)
        means = sum(params.family.effects[own][states[:, m]] for m, own in enumerate(self.family.chains))
        assert inner is not None
        one = type(self.family)((1,), self.family.covariance_type, inner)
        noise = one.sample(
            AdditiveParams(np.zeros((1, self.family.d)), params.family.covariances), np.zeros(n, dtype=np.intp), rng
        )
        return means + noise, labels

    def _laws(self, params: BoundParams) -> list[Law]:
        pairs = zip(params.structure.startprob, params.structure.transmat, strict=True)
        return [Law.of(start, moves) for start, moves in pairs]

    def _supports(self, params: BoundParams) -> tuple[Support, Support]:
        return (
            self.structure.support(params.structure, self._part(self.structure.names)),
            self.family.support(params.family, self._part(self.family.names)),
        )

    def _part(self, names: Any) -> Constraints:
        fixed, tied = self.constraints.fixed, self.constraints.tied
        return Constraints({n: v for n, v in fixed.items() if n in names}, {n: v for n, v in tied.items() if n in names})


class _Rows:
    """The rows of a chunk at given parameters: rounds of the chains and what they add up to."""

    def __init__(self, model: Factorial, params: BoundParams, chunk: Chunk) -> None:
        family, c = model.family, params.family.covariances[0]
        self.model, self.laws, self.origin = model, model._laws(params), int(chunk.key[1])
        self.ends, self.weight = _ends_and_weights(chunk)
        x = np.asarray(chunk.x, dtype=float)
        self.seen = ~np.isnan(x[:, 0])
        self.x = np.where(self.seen[:, None], x - family.centre, 0.0)
        effects = params.family.effects - family.shift
        self.w = [effects[own] for own in family.chains]
        precision = np.diag(1.0 / c) if c.ndim == 1 else np.linalg.inv(c)
        self.wp = [w @ precision for w in self.w]
        self.own = [(w * wp).sum(axis=1) for w, wp in zip(self.w, self.wp, strict=True)]
        self.precision = precision
        self.constant = -0.5 * (family.d * math.log(2.0 * math.pi) - float(np.linalg.slogdet(precision)[1]))

    def weighted(self, rows: Array) -> Any:
        """Sum over rows with the weights of their sequences."""
        return rows @ np.repeat(self.weight, np.diff(self.ends, prepend=0))

    def prior(self) -> list[Array]:
        """Shares of states before any row is seen."""
        nothing = np.zeros(len(self.x))
        return [self.chain(m, np.tile(nothing[:, None], (1, len(w))), once=True)[0] for m, w in enumerate(self.w)]

    def chain(self, m: int, field: Array, once: bool = False) -> tuple[Array, Sums]:
        """Shares of chain ``m`` under ``field`` (n, K_m), weighted unless ``once``, and its sums."""
        shares = np.empty(field.shape)
        sums = smooth(self.laws[m], _field(field), self.groups(m, once), self.origin, shares.__setitem__)
        return shares, sums

    def groups(self, m: int, once: bool) -> list[Group]:
        """The sequences as chain ``m`` goes through them."""
        return plan(len(self.w[m]), self.ends, np.ones(len(self.ends)) if once else self.weight)

    def round(self, shares: list[Array], beta: float) -> FactorialPosterior:
        """Every chain once, given the others; the bound of the ``beta``-th power of the emission."""
        shares = list(shares)
        fields: list[Array] = [np.empty(0)] * len(shares)
        rest = self.x - sum(g @ w for g, w in zip(shares, self.w, strict=True))
        bound, scale = np.zeros(len(self.x)), beta * self.seen[:, None]
        for m, w in enumerate(self.w):
            rest = rest + shares[m] @ w
            fields[m] = scale * (rest @ self.wp[m].T - 0.5 * self.own[m])
            steps, own = np.empty(len(self.x)), np.empty(fields[m].shape)
            smooth(self.laws[m], _field(fields[m]), self.groups(m, True), self.origin, own.__setitem__, steps.__setitem__)
            shares[m] = own
            rest = rest - own @ w
            bound += steps - (fields[m] * own).sum(axis=1)
        fit = -0.5 * ((rest @ self.precision) * rest).sum(axis=1)
        for g, w, wp, own in zip(shares, self.w, self.wp, self.own, strict=True):
            fit -= 0.5 * (g @ own - ((g @ w) * (g @ wp)).sum(axis=1))
        return FactorialPosterior(shares, fields, bound + scale[:, 0] * (fit + self.constant))

    def settled(self, shares: list[Array]) -> FactorialPosterior:
        """Round and round from ``shares`` until the bound rises no more."""
        found = self.round(shares, 1.0)
        for _ in range(ROUNDS):
            before, found = found, self.round(found.shares, 1.0)
            value = float(self.weighted(found.bound))
            if value - float(self.weighted(before.bound)) <= RESTED * (1.0 + abs(value)):
                break
        return found

    def higher(self, one: FactorialPosterior, two: FactorialPosterior) -> FactorialPosterior:
        """Of every sequence the one with the higher bound."""
        begins = np.concatenate([[0], self.ends[:-1]])
        better = np.add.reduceat(two.bound, begins) > np.add.reduceat(one.bound, begins)
        rows = np.repeat(better, np.diff(self.ends, prepend=0))

        def chosen(a: list[Array], b: list[Array]) -> list[Array]:
            return [np.where(rows[:, None], y, x) for x, y in zip(a, b, strict=True)]

        bound = np.where(rows, two.bound, one.bound)
        return FactorialPosterior(chosen(one.shares, two.shares), chosen(one.fields, two.fields), bound)

    def moments(self, shares: list[Array]) -> AdditiveMoments:
        """Moments of states and rows under q, of the rows that are seen."""
        weight = np.repeat(self.weight, np.diff(self.ends, prepend=0)) * self.seen
        g = np.hstack(shares)
        cross = g.T @ (weight[:, None] * g)
        for m, own in enumerate(self.model.family.chains):
            cross[own, own] = np.diag(weight @ shares[m])
        whole = self.x.T @ (weight[:, None] * self.x)
        second = whole if self.model.family.covariance_type == "full" else np.diagonal(whole).copy()
        total = float(weight.sum())
        return AdditiveMoments(cross, g.T @ (weight[:, None] * self.x), second, total, total)


def _field(field: Array) -> Any:
    """What hands a chain its fields in place of log densities."""
    return lambda rows: field[rows]


def _whole_rows(chunk: Chunk) -> float:
    """The weight of a chunk; raises ValueError on rows that miss some columns."""
    missing = np.isnan(np.asarray(chunk.x, dtype=float))
    odd = np.flatnonzero(missing.any(axis=1) & ~missing.all(axis=1))
    if odd.size:
        raise ValueError(
            f"row {int(chunk.key[1] + odd[0])} misses some columns: variational inference reads rows that are whole, or "
            "missing altogether; use inference='exact', or leave those rows out (all NaN)"
        )
    return float(len(chunk))
