"""A Markov chain whose moves depend on covariates: with any family, an input-output hidden Markov model.

    z_1 ~ pi (or softmax(U (1, g_1))),    z_t | z_{t-1} = i, g_t ~ softmax(V_i (1, g_t)),    x_t | z_t = k ~ p(. | theta_k)

Row t's covariates act on the move into row t. Each origin i has a multinomial logit of its own, with staying as the reference
(v_ii = 0): a coefficient is a log-odds of moving from i to j against staying in i. With covariates that say nothing this is
``Chain``.

E-step   resp and pairs by forward-backward with a matrix for each row             (gated_moves.py)
M-step   Q(V) = sum_t sum_ij xi_t,ij log A_t,ij has no sufficient statistics: value, gradient and curvature at the current V,
         and for each origin one step that cannot lower it, Newton's where that is safe             (kernels/local.py)
prior    ridge: -1/2 ridge |v_ij|^2 on the coefficients of covariates, nothing on intercepts; Dirichlet on pi

symbol   variable       shape
V        move_coefs     (k, k, 1 + q)   intercept first; zeros on the diagonal and where there is no move
pi       startprob      (k,)            or, with ``start_gate``, U: start_coefs (k, 1 + q), zeros for the first state
g        chunk.given    (n, q)

Memory: k^2 values for each row of covariates that differs from the others.

Sources: Bengio & Frasconi (1996), IEEE Transactions on Neural Networks 7:1231; Hughes, Guttorp & Charles (1999), Applied
Statistics 48:15; Boehning (1992), Annals of the Institute of Statistical Mathematics 44:197 (the guard of the step).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.assign import SOFT
from estep.core.collapse import Collapsed
from estep.core.protocols import Assign, Chunk, Explained
from estep.core.record import Array, record
from estep.core.support import Constraints, Pattern, Real, Simplex, Support
from estep.kernels import local
from estep.kernels.design import Design, features, inner
from estep.kernels.local import LocalStats
from estep.kernels.logit import log_probs
from estep.structures.chain import STAY, Chain
from estep.structures.chain_pass import Law, plan, shifted, smooth
from estep.structures.chain_paths import best
from estep.structures.gated import Gated, blank, covariates, known, reference_at_zero
from estep.structures.gated_moves import (
    Collect,
    GatedRows,
    Logb,
    expansion,
    gated_rows,
    joined_with_start,
    log_moves,
    moves_of_resp,
    passed,
    refuses,
    ridge_alone,
    states_ahead,
)
from estep.structures.gated_moves import sample as gated_sample
from estep.structures.topology import TOPOLOGIES, moves_allowed, starts_allowed


@record
class GatedChainParams:
    """``move_coefs`` (k, k, 1 + q), and ``startprob`` (k,) or ``start_coefs`` (k, 1 + q); the other is None."""

    startprob: Array | None
    start_coefs: Array | None
    move_coefs: Array


@record
class GatedChainCounts:
    """Expected starts (k,) and moves (k, k), and the log-likelihoods of both to second order."""

    first: Array
    pairs: Array
    start: LocalStats | None
    moves: LocalStats


@dataclasses.dataclass(frozen=True)
class GatedChain:
    """Labels follow a Markov chain whose moves depend on ``given`` (n, q), by a multinomial logit for each state left.

    Parameters
    ----------
    start_gate : bool
        Whether the first state depends on its row's covariates too, which takes many sequences; else ``startprob``.
    ridge : float
        Precision of a normal prior on the coefficients of covariates; above 0 admits collinear columns and separable moves.
    topology, bandwidth, absorbing
        As in ``Chain``.
    columns : tuple of str
        Names of the covariates, for messages.
    design, picture, length
        Set by ``bind``: the map of covariates, at most 2000 of their rows, evenly spaced, and the rows of a typical sequence.

    Raises
    ------
    ValueError
        Where covariates are missing, constant or collinear, rows come without ends, or weights differ within a sequence.

    Examples
    --------
    >>> from estep.data import Memory
    >>> given = np.array([[0.0], [1.0], [0.0], [1.0]])
    >>> chain = GatedChain().bind(Memory(np.zeros((4, 1)), given=given, ends=np.array([4])))
    >>> coefs = np.zeros((2, 2, 2))
    >>> coefs[0, 1] = np.log([1.0, 3.0])  # from state 0 to 1: even odds at 0, three times as likely at 1
    >>> params = GatedChainParams(np.array([0.5, 0.5]), None, coefs)
    >>> chain.transmat(params, np.array([[0.0], [1.0]]))[:, 0].round(2).tolist()
    [[0.5, 0.5], [0.25, 0.75]]
    """

    start_gate: bool = False
    ridge: float = 0.0
    topology: str = "full"
    bandwidth: int | None = None
    absorbing: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()
    design: Design | None = None
    picture: Array | None = None
    length: float = 100.0

    def __post_init__(self) -> None:
        if self.topology not in TOPOLOGIES:
            raise ValueError(f"topology={self.topology!r} is unknown; choose one of {sorted(TOPOLOGIES)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters."""
        return ("start_coefs", "move_coefs") if self.start_gate else ("startprob", "move_coefs")

    @property
    def settings(self) -> tuple[str, ...]:
        """Entries of ``prior`` that are the structure's."""
        return () if self.start_gate else ("startprob",)

    @property
    def end(self) -> bool:
        """Sequences just stop."""
        return False

    @property
    def exchangeable(self) -> bool:
        """Whether states may be renamed."""
        return self.topology == "full" and not self.absorbing

    def bind(self, data: Any) -> GatedChain:
        """Fix the map of covariates; check ends and weights."""
        gate = Gated(self.ridge, self.columns).bind(data)
        length = Chain().bind(data).length
        return dataclasses.replace(self, columns=gate.columns, design=gate.design, picture=gate.picture, length=length)

    def start(self, k: int) -> GatedChainParams:
        """As ``Chain`` starts, whatever the covariates."""
        moves, q = moves_allowed(self, k), known(self).centre.size
        coefs = np.zeros((k, k, 1 + q))
        others = np.maximum(moves.sum(axis=1) - 1, 1)
        coefs[..., 0] = np.where(moves & ~np.eye(k, dtype=bool), np.log((1.0 - STAY) / others / STAY)[:, None], 0.0)
        if self.start_gate:
            return GatedChainParams(None, np.zeros((k, 1 + q)), coefs)
        starts = starts_allowed(self, k)
        return GatedChainParams(starts / starts.sum(), None, coefs)

    def transmat(self, params: GatedChainParams, given: Any) -> Array:
        """Probabilities of moves into rows with these covariates, (n, k, k)."""
        z = features(known(self), covariates(given, self.columns))
        return np.exp(self._log_moves(params, z))

    def startprobs(self, params: GatedChainParams, given: Any) -> Array:
        """Probabilities of states in first rows with these covariates, (n, k)."""
        z = features(known(self), covariates(given, self.columns))
        return np.exp(self._log_start(params, z))

    def rows_of(self, chunk: Chunk) -> GatedRows:
        """The covariates of a chunk's sequences."""
        return gated_rows(chunk, known(self), self.columns)

    def law(self, params: GatedChainParams, rows: GatedRows, logb: Logb) -> tuple[Law, Logb]:
        """The parameters as the recursions read them, and the log densities that go with it."""
        moves, k = np.exp(self._log_moves(params, rows.z)), params.move_coefs.shape[0]
        if params.startprob is not None:
            return Law.of(params.startprob, moves, which=rows.which), logb
        log_start = self._log_start(params, rows.z[rows.which[rows.begins]])
        return Law.of(np.ones(k), moves, which=rows.which), joined_with_start(logb, log_start, rows.begins)

    def infer(
        self, params: GatedChainParams, logb: Logb, chunk: Chunk, assign: Assign, collect: Collect
    ) -> tuple[GatedChainCounts, float, float]:
        """Statistics, objective and log-likelihood of a chunk; weighted responsibilities go to ``collect``."""
        rows = self.rows_of(chunk)
        seen = passed(*self.law(params, rows, logb), rows, assign, collect)
        return self._counts(params, rows, seen.first, seen.pairs), seen.objective, seen.loglik

    def refuses(self, assign: Any) -> str:
        """Why there is no recursion for ``assign``, or an empty text."""
        return refuses(assign)

    def ahead(self, params: GatedChainParams, logb: Logb, chunk: Chunk) -> Array:
        """Per row p(z_t | x_<t, g), (n, k)."""
        rows = self.rows_of(chunk)
        found = states_ahead(*self.law(params, rows, logb), rows)
        found[rows.begins] = np.exp(self._log_start(params, rows.z[rows.which[rows.begins]]))
        return found

    def tally(self, params: GatedChainParams, resp: Array, chunk: Chunk) -> GatedChainCounts:
        """Statistics from given (weighted) responsibilities, as if neighbouring rows were independent given these."""
        rows = self.rows_of(chunk)
        return self._counts(params, rows, *moves_of_resp(resp, rows, len(rows.z)))

    def explain(self, params: GatedChainParams, logb: Logb, chunk: Chunk) -> Explained:
        """Per row: log p(x_t | x_<t, g), p(z_t | x, g), and the best path."""
        rows = dataclasses.replace(self.rows_of(chunk), weight=np.ones(len(self.rows_of(chunk).ends)))
        (law, both), k = self.law(params, rows, logb), params.move_coefs.shape[0]
        groups, steps, resp = plan(k, rows.ends, rows.weight), np.empty(rows.n), np.empty((rows.n, k))
        smooth(law, both, groups, rows.origin, resp.__setitem__, steps.__setitem__)
        return Explained(steps, resp, best(law, both, groups, rows.origin, rows.n))

    def fit(self, counts: GatedChainCounts, params: GatedChainParams, support: Support) -> GatedChainParams:
        """One guarded Newton step for each origin from the point of the statistics, over the free entries."""
        moves = local.step(counts.moves, known(self), params.move_coefs, _pattern(support, "move_coefs"))
        if counts.start is not None and params.start_coefs is not None:
            pattern = _pattern(support, "start_coefs", 1)
            return GatedChainParams(None, local.step(counts.start, known(self), params.start_coefs[None], pattern)[0], moves)
        entry = support.entries["startprob"]
        assert isinstance(entry, Simplex)
        first = counts.first if counts.first.sum() > 0 else np.asarray(params.startprob)
        return GatedChainParams(entry.share(first), None, moves)

    def q(self, params: GatedChainParams, counts: GatedChainCounts) -> float:
        """Expected log p(z | g) in nats, that of moves to second order about the point of the statistics."""
        found = float(local.expansion(counts.moves, known(self), params.move_coefs).sum())
        if counts.start is not None and params.start_coefs is not None:
            return found + float(local.expansion(counts.start, known(self), params.start_coefs[None])[0])
        held, startprob = counts.first > 0, np.asarray(params.startprob)
        with np.errstate(divide="ignore"):
            return found + float(counts.first[held] @ np.log(startprob[held]))

    def score(self, params: GatedChainParams, counts: GatedChainCounts, support: Support) -> Array:
        """Gradient of ``q`` in free coordinates."""
        slopes = {"move_coefs": local.slope(counts.moves, known(self), params.move_coefs)}
        if counts.start is not None and params.start_coefs is not None:
            slopes["start_coefs"] = local.slope(counts.start, known(self), params.start_coefs[None])[0]
        else:
            slopes["startprob"] = counts.first / np.maximum(np.asarray(params.startprob), np.finfo(float).tiny)
        return support.pull(params, slopes)

    def sequence_scores(
        self, params: GatedChainParams, logb: Logb, chunk: Chunk, support: Support, collect: Collect
    ) -> tuple[Array, NDArray[np.int64]]:
        """Per sequence, the gradient of its expected log p(z | g) (s, p), and the ends; responsibilities go to ``collect``."""
        rows, found = self.rows_of(chunk), []
        given = np.asarray(chunk.given, dtype=float)
        for a, z in zip(rows.begins.tolist(), rows.ends.tolist(), strict=True):
            one = Chunk((chunk.key[0], rows.origin + a, rows.origin + z), None, given[a:z], ends=np.array([z - a]))
            counts = self.infer(params, shifted(logb, a), one, SOFT, shifted(collect, a))[0]
            found.append(self.score(params, counts, support))
        return np.array(found).reshape(len(rows.ends), support.count), rows.ends

    def support(self, params: GatedChainParams, constraints: Constraints) -> Support:
        """Real coefficients, zero for staying and where there is no move; the simplex of starts."""
        k = params.move_coefs.shape[0]
        held = np.broadcast_to((~self._mask(k))[..., None], params.move_coefs.shape)
        moves = Real(reference_at_zero(constraints, held, "move_coefs"))
        if params.start_coefs is not None:
            first = np.zeros(params.start_coefs.shape, dtype=bool)
            first[~(starts_allowed(self, k) & (np.arange(k) > 0))] = True
            return Support({"start_coefs": Real(reference_at_zero(constraints, first, "start_coefs")), "move_coefs": moves})
        own = Constraints(*({n: v for n, v in part.items() if n == "startprob"} for part in _both(constraints)))
        chain = Chain(self.topology, self.bandwidth, self.absorbing)
        return Support({"startprob": chain.support(chain.start(k), own).entries["startprob"], "move_coefs": moves})

    def prior(self, k: int, strength: Any) -> GatedChainCounts:
        """The ridge as statistics, and Dirichlet counts alpha - 1 on ``startprob``; moves have no Dirichlet prior."""
        given = strength if isinstance(strength, dict) else {"startprob": strength}
        m = 1 + known(self).centre.size
        first = Chain(self.topology, self.bandwidth, self.absorbing).prior(k, {"startprob": given.get("startprob")}).first
        start = ridge_alone((1, k, m), self.ridge) if self.start_gate else None
        return GatedChainCounts(first, np.zeros((k, k)), start, ridge_alone((k, k, m), self.ridge))

    def carried(self, k: int) -> GatedChainCounts | None:
        """The prior that the structure's own settings ask for, or None."""
        return self.prior(k, None) if self.ridge > 0 else None

    def align(self, prior: GatedChainCounts, counts: GatedChainCounts) -> GatedChainCounts:
        """``prior`` at the point of ``counts``: a penalty does not depend on it."""
        moves = dataclasses.replace(prior.moves, at=counts.moves.at)
        if prior.start is None or counts.start is None:
            return dataclasses.replace(prior, moves=moves)
        return dataclasses.replace(prior, moves=moves, start=dataclasses.replace(prior.start, at=counts.start.at))

    def frail(self, params: GatedChainParams, counts: GatedChainCounts, support: Support) -> Collapsed | None:
        """A state whose moves depend on covariates without end, because these separate them; None if there is none."""
        found = local.runaway(counts.moves, known(self), params.move_coefs, _pattern(support, "move_coefs"))
        if found is not None:
            return _separated(self, found[0], f"of moves from state {found[0]}", found[1])
        if counts.start is None or params.start_coefs is None:
            return None
        found = local.runaway(counts.start, known(self), params.start_coefs[None], _pattern(support, "start_coefs", 1))
        return None if found is None else _separated(self, 0, "of the first state", found[1])

    def occupancy(self, counts: GatedChainCounts) -> Array:
        """Expected rows in each state, (k,)."""
        return np.asarray(counts.first + counts.pairs.sum(axis=0))

    def overall(self, params: GatedChainParams) -> Array:
        """Share of the rows of a typical sequence in each state, by mean starts and moves, (k,)."""
        startprob, transmat = self.typical(params)
        share, total, moves = startprob.copy(), 1, transmat
        while total < self.length:
            share, total = share + share @ moves, 2 * total
            moves = moves @ moves
        return np.asarray(share / share.sum())

    def typical(self, params: GatedChainParams) -> tuple[Array, Array]:
        """Mean probabilities of starts (k,) and moves (k, k) over the rows it was bound to (at most 2000, evenly spaced)."""
        moves = self.transmat(params, self.picture).mean(axis=0)
        return self.startprobs(params, self.picture).mean(axis=0), moves / moves.sum(axis=1, keepdims=True)

    def permute(self, params: GatedChainParams, order: NDArray[np.intp]) -> GatedChainParams:
        """States in another order; raises ValueError where a topology gives them one."""
        if not self.exchangeable and (order != np.arange(len(order))).any():
            raise ValueError(f"states of a {self.topology} chain have an order, so they cannot be renamed; keep it")
        moves = params.move_coefs[order][:, order]
        if params.start_coefs is not None:
            start = params.start_coefs[order]
            return GatedChainParams(None, start - start[0], moves)
        return GatedChainParams(np.asarray(params.startprob)[order], None, moves)

    def adopt(self, name: str, value: Array, k: int, argument: str) -> Array:
        """A user's array for one parameter; coefficients for staying are zero or free. Raises ValueError."""
        expected = np.shape(getattr(self.start(k), name))
        if value.shape != expected:
            raise ValueError(f"{argument} has shape {value.shape}, expected {expected}: intercept first")
        zeros = {"startprob": np.zeros(k, dtype=bool), "start_coefs": np.arange(k) == 0, "move_coefs": ~self._mask(k)}[name]
        if np.any(np.nan_to_num(value[zeros]) != 0):
            where = "for staying, and for moves that the topology lacks," if name == "move_coefs" else "of the first state"
            raise ValueError(f"{argument}: coefficients {where} are zero; give zeros (or NaN) there")
        return value

    sample = gated_sample
    blank = blank

    def _mask(self, k: int) -> NDArray[np.bool_]:
        """Moves with coefficients: those there are, but staying."""
        return moves_allowed(self, k) & ~np.eye(k, dtype=bool)

    def _log_moves(self, params: GatedChainParams, z: Array) -> Array:
        allowed = moves_allowed(self, params.move_coefs.shape[0])
        return log_moves(z, inner(known(self), params.move_coefs), allowed)

    def _log_start(self, params: GatedChainParams, z: Array) -> Array:
        if params.start_coefs is None:
            with np.errstate(divide="ignore"):
                return np.asarray(np.log(np.tile(np.asarray(params.startprob), (len(z), 1))))
        starts = starts_allowed(self, len(params.start_coefs))
        return log_probs(np.where(starts, z @ inner(known(self), params.start_coefs).T, -np.inf))

    def _counts(self, params: GatedChainParams, rows: GatedRows, first: Array, pairs: Array) -> GatedChainCounts:
        k = params.move_coefs.shape[0]
        moves = expansion(rows.z, pairs, self._log_moves(params, rows.z), moves_allowed(self, k), params.move_coefs)
        start = None
        if params.start_coefs is not None:
            z, allowed = rows.z[rows.which[rows.begins]], starts_allowed(self, k)[None]
            start = expansion(z, first[:, None], self._log_start(params, z)[:, None], allowed, params.start_coefs[None])
        return GatedChainCounts(first.sum(axis=0), pairs.sum(axis=0), start, moves)


def _both(constraints: Constraints) -> tuple[Any, Any]:
    return constraints.fixed, constraints.tied


def _pattern(support: Support, name: str, *lead: int) -> Pattern:
    """Fixed and tied entries of coefficients, (c, k, 1 + q)."""
    entry = support.entries[name]
    assert isinstance(entry, Real)
    shape = (*lead, *entry.pattern.groups.shape)
    return Pattern(entry.pattern.groups.reshape(shape), entry.pattern.values.reshape(shape))


def _separated(self: GatedChain, state: int, whose: str, column: int) -> Collapsed:
    lead = f", led by those of column {self.columns[column]!r}" if self.columns and column >= 0 else ""
    return Collapsed(
        state,
        f"coefficients {whose} run to infinity{lead}: the covariates separate the moves, so the likelihood has no finite "
        "maximum; set ridge > 0",
    )
