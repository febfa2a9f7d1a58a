"""A profile hidden Markov model: a sequence goes through L nodes: in each a letter matches or none, and more may follow.

    begin = M_0 -> ... -> M_L -> end;   from M_j, I_j, D_j to M_{j+1} (emits e), to I_j (emits i_j), to D_{j+1} (emits nothing)

E-step   expected moves and letters by forward and backward through silent states (``kernels/profile.py``), or of the best path
M-step   e_j, i_j, a_j^{s.} in proportion to expected and imagined counts; a state that is never left keeps its moves
         a mixture prior imagines letters by the kind of each node (``dirichlet_mixture.py``): one more hidden layer
known    where the state of every letter is given, the counts are those of that path: the fit counts, and is over at once

Emitting states have numbers: I_j is 2 j, M_j is 2 j - 1. Unknown letters (code -1) say nothing.

symbol   variable   shape
e        match      (L, m)
i        insert     (L + 1, m)
a        moves      (L + 1, 3, 3)   from and to match, insert, delete; after node L "match" is the end, and there is no delete

Sources: Krogh et al. (1994), J. Molecular Biology 235:1501; Durbin et al. (1998), Biological Sequence Analysis, chapters 5, 6.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.assign import ImpossibleRow
from estep.core.memo import remembered
from estep.core.protocols import Assign, Chunk, Expected, Explained
from estep.core.record import Array, record
from estep.core.support import Constraints, Simplex, Support
from estep.kernels import profile as kernels
from estep.models.dirichlet_mixture import DirichletMixture

TINY = np.finfo(float).tiny
SEMIRINGS = {"sum": False, "max": True}
FIRST_MOVES = np.array([[0.9, 0.05, 0.05], [0.6, 0.3, 0.1], [0.6, 0.1, 0.3]])
"""Moves where a run begins: matches go on, inserts and deletes tend to last."""
Codes = NDArray[np.int64]


@record
class ProfileParams:
    """``match`` (L, m), ``insert`` (L + 1, m), ``moves`` (L + 1, 3, 3)."""

    match: Array
    insert: Array
    moves: Array


@record
class ProfileStats:
    """Expected letters of match and insert states, and expected moves, in the shapes of the parameters.

    ``draws`` counts how often the nodes' letters are drawn from a mixture prior: 0 of data, 1 of the prior.
    """

    match: Array
    insert: Array
    moves: Array
    draws: float = 0.0


@dataclasses.dataclass(frozen=True)
class Profile:
    """``length`` nodes over an alphabet of ``size`` letters.

    Parameters
    ----------
    length, size : int
    background : array (m,) or None
        Insert states are held at these probabilities; None fits them.
    imagined : (match, insert, moves)
        Letters, and moves, imagined of every kind in every state (Dirichlet parameters minus one); (1, 1, 1) is Laplace's rule.
        Instead of the first number, letters (m,).
    held : dict
        Entries that are fixed, by parameter name; NaN is free.
    mixture : DirichletMixture or None
        Prior of the match states' letters, beside what is imagined.

    Chunks hold codes (n,) with -1 for unknown, ``ends``, and ``given`` None or the emitting state of every letter (n,).
    """

    length: int
    size: int
    background: Array | None = None
    imagined: tuple[float | Array, float, float] = (0.0, 0.0, 0.0)
    held: dict[str, Array] = dataclasses.field(default_factory=dict)
    mixture: DirichletMixture | None = None
    names: ClassVar[tuple[str, ...]] = ("match", "insert", "moves")

    @property
    def k(self) -> int:
        """Number of emitting states."""
        return 2 * self.length + 1

    @property
    def prior(self) -> ProfileStats | None:
        """The imagined counts as statistics, or None."""
        nothing = self.mixture is None and not any(np.any(part) for part in self.imagined)
        return None if nothing else remembered(self, "prior", self._imagined)

    def bind(self, data: Any) -> Profile:
        """Nothing more depends on the data as a whole."""
        return self

    def start(self, letters: Array | None = None) -> ProfileParams:
        """Moves that favour matches; ``letters`` (L, m) for the match states, else equal probabilities."""
        equal = np.full(self.size, 1.0 / self.size)
        insert = np.tile(equal if self.background is None else self.background, (self.length + 1, 1))
        match = np.tile(insert[0], (self.length, 1)) if letters is None else letters
        begun = ProfileParams(match, insert, np.tile(FIRST_MOVES, (self.length + 1, 1, 1)) * self._allowed())
        moves = begun.moves / begun.moves.sum(axis=2, keepdims=True)
        params = ProfileParams(begun.match, begun.insert, moves)
        if not self.held:
            return params
        support = self.support(params)
        obedient: ProfileParams = support.unpack(support.pack(params), params)
        return obedient

    def estep(self, params: ProfileParams, chunk: Chunk, assign: Assign) -> Expected:
        """Expected letters and moves of a chunk; raises ImpossibleRow."""
        semiring = getattr(assign, "semiring", None)
        if semiring not in SEMIRINGS:
            raise ValueError(f"assign={assign.name!r}: a profile has recursions for soft and hard assignment")
        logs, pairs, emits = self.logs(params), np.zeros((self.length + 1, 3, 3)), np.zeros((2, self.length + 1, self.size + 1))
        loglik = objective = n = 0.0
        for rows, codes, weight in self.sequences(chunk):
            if chunk.given is not None:
                value = likely = self._count(params, self.steps_of(chunk.given[rows]), codes, weight, pairs, emits)
            else:
                ahead = np.empty((codes.size + 1, self.length + 1, 3))
                likely = value = kernels.profile_forward(codes, *logs, ahead)
                self._possible(value, rows, chunk)
                if SEMIRINGS[semiring]:
                    path, value = self.best(logs, codes)
                    self._count(params, path, codes, weight, pairs, emits)
                else:
                    resp = np.empty((codes.size, self.length + 1, 2))
                    kernels.profile_backward(codes, *logs, ahead, value, weight, pairs, emits, resp)
            loglik, objective, n = loglik + weight * likely, objective + weight * value, n + weight * codes.size
        letters = emits[:, :, : self.size]
        return Expected(ProfileStats(letters[0, 1:], letters[1], pairs), loglik, objective, n)

    def mstep(self, stats: ProfileStats, params: ProfileParams) -> ProfileParams:
        """Probabilities in proportion to expected and imagined counts."""
        support, prior = self.support(params), self.prior
        found: dict[str, Array] = {}
        for name in self.names:
            entry = support.entries[name]
            assert isinstance(entry, Simplex)
            counts = getattr(stats, name) + (0.0 if prior is None else getattr(prior, name))
            if name == "match" and self.mixture is not None:
                counts = counts + self.mixture.imagined(params.match, self._free())
            left = counts.sum(axis=-1, keepdims=True) > 0
            found[name] = entry.share(np.where(left, counts, getattr(params, name)))
        return ProfileParams(**found)

    def q(self, params: ProfileParams, stats: ProfileStats) -> float:
        """``sum counts log p`` over letters and moves, in nats (0 log 0 = 0), and draws from a mixture prior."""
        total = 0.0
        if self.mixture is not None and stats.draws:
            total = stats.draws * self.mixture.log_density(params.match, self._free())
        for name in self.names:
            counts, probs = getattr(stats, name), getattr(params, name)
            held = counts > 0
            with np.errstate(divide="ignore"):
                total += float(counts[held] @ np.log(probs[held]))
        return total

    def score(self, params: ProfileParams, stats: ProfileStats) -> Array:
        """Gradient of ``q`` in free coordinates."""
        counts = {n: getattr(stats, n) for n in self.names}
        if self.mixture is not None and stats.draws:
            counts["match"] = counts["match"] + stats.draws * self.mixture.imagined(params.match, self._free())
        slopes = {n: counts[n] / np.maximum(getattr(params, n), TINY) for n in self.names}
        return self.support(params).pull(params, slopes)

    def support(self, params: ProfileParams) -> Support:
        """Rows of probabilities; there is no delete state in node 0, nor a way to one from the last node."""
        return remembered(self, "support", self._support)  # type: ignore[no-any-return]

    def explain(self, params: ProfileParams, chunk: Chunk) -> Explained:
        """Log-likelihood of a sequence at its last row; p(emitting state | x) (n, 2 L + 1); the best path's emitting states."""
        logs, n = self.logs(params), len(chunk)
        density, resp, path = np.zeros(n), np.zeros((n, self.k)), np.zeros(n, dtype=np.intp)
        for rows, codes, _ in self.sequences(chunk):
            ahead = np.empty((codes.size + 1, self.length + 1, 3))
            value = kernels.profile_forward(codes, *logs, ahead)
            self._possible(value, rows, chunk)
            each = np.empty((codes.size, self.length + 1, 2))
            aside = np.zeros((self.length + 1, 3, 3)), np.zeros((2, self.length + 1, self.size + 1))
            kernels.profile_backward(codes, *logs, ahead, value, 1.0, *aside, each)
            density[rows.stop - 1] = value
            resp[rows, 0::2], resp[rows, 1::2] = each[:, :, 1], each[:, 1:, 0]
            steps = self.best(logs, codes)[0]
            path[rows] = [emitting(node, kind) for node, kind in steps.tolist() if kind < 2]
        return Explained(density, resp, path)

    def best(self, logs: tuple[Array, Array, Array], codes: Codes) -> tuple[NDArray[np.int64], float]:
        """The best path as (node, kind) rows, kinds 0 match, 1 insert, 2 delete, and its log p."""
        shape = (codes.size + 1, self.length + 1, 3)
        came, path = np.zeros(shape, dtype=np.int8), np.zeros((codes.size + self.length, 2), dtype=np.int64)
        value = kernels.profile_best(codes, *logs, np.empty(shape), came)
        return path[: kernels.profile_trace(came, path)][::-1].copy(), float(value)

    def sequences(self, chunk: Chunk) -> Iterator[tuple[slice, Codes, float]]:
        """Rows, codes (``size`` for unknown) and weight of every sequence of a chunk."""
        if chunk.ends is None:
            raise ValueError("a profile needs to know where sequences end: give ends to the data (Memory(x, ends=...))")
        codes, begin = np.where(chunk.x < 0, self.size, chunk.x).astype(np.int64), 0
        for end in np.asarray(chunk.ends).tolist():
            yield slice(begin, end), codes[begin:end], 1.0 if chunk.weight is None else float(chunk.weight[end - 1])
            begin = end

    def logs(self, params: ProfileParams) -> tuple[Array, Array, Array]:
        """Logs of the parameters, letters with a 0 for the unknown one."""
        with np.errstate(divide="ignore"):
            letters = [np.pad(np.log(p), ((0, 0), (0, 1))) for p in (params.match, params.insert)]
            return letters[0], letters[1], np.log(params.moves)

    def steps_of(self, states: NDArray[Any]) -> NDArray[np.int64]:
        """The path (node, kind), deletes included, that emits from ``states`` (n,); raises ValueError where there is none."""
        steps: list[tuple[int, int]] = []
        node = 0
        for state in np.asarray(states).astype(int).tolist():
            to, kind = (state + 1) // 2, 1 - state % 2
            if not (node < to if kind == 0 else node <= to):
                raise ValueError(f"the states of a sequence go back, from node {node} to node {to}; nodes never decrease")
            steps += [(j, 2) for j in range(node + 1, to + kind)]
            steps.append((to, kind))
            node = to
        steps += [(j, 2) for j in range(node + 1, self.length + 1)]
        return np.array(steps, dtype=np.int64).reshape(-1, 2)

    def sample(
        self, params: ProfileParams, n: int, rng: np.random.Generator, **where: Any
    ) -> tuple[list[Codes], list[NDArray[np.int64]]]:
        """``n`` sequences, whose lengths the model draws itself, and their paths (node, kind)."""
        texts, paths = [], []
        for _ in range(n):
            letters, path = [], []
            node, kind = 0, 0
            while True:
                kind = int(rng.choice(3, p=params.moves[node, kind]))
                if kind != 1 and node == self.length:
                    break
                node += kind != 1
                path.append((node, kind))
                if kind < 2:
                    probs = params.match[node - 1] if kind == 0 else params.insert[node]
                    letters.append(int(rng.choice(self.size, p=probs)))
            texts.append(np.array(letters, dtype=np.int64))
            paths.append(np.array(path, dtype=np.int64).reshape(-1, 2))
        return texts, paths

    # --- the parts ---

    def _possible(self, value: float, rows: slice, chunk: Chunk) -> None:
        if not np.isfinite(value):
            row = int(chunk.key[1] + rows.start)
            raise ImpossibleRow(
                row, "begins a sequence that no path through the profile explains; imagine counts (pseudocounts)"
            )

    def _count(
        self, params: ProfileParams, path: NDArray[np.int64], codes: Codes, weight: float, pairs: Array, emits: Array
    ) -> float:
        """Add the moves and letters of a path, and give its log p."""
        before = np.vstack([[[0, 0]], path])
        after = np.append(path[:, 1], 0)
        np.add.at(pairs, (before[:, 0], before[:, 1], after), weight)
        spoken = path[path[:, 1] < 2]
        np.add.at(emits, (spoken[:, 1], spoken[:, 0], codes), weight)
        match, insert, moves = self.logs(params)
        value = float(moves[before[:, 0], before[:, 1], after].sum())
        nodes, kinds = spoken[:, 0], spoken[:, 1]
        value += float(match[nodes[kinds == 0] - 1, codes[kinds == 0]].sum())
        return value + float(insert[nodes[kinds == 1], codes[kinds == 1]].sum())

    def _allowed(self) -> NDArray[np.bool_]:
        """Moves that there are; the row of the delete state that node 0 has not is one number, never used."""
        allowed = np.ones((self.length + 1, 3, 3), dtype=bool)
        allowed[-1, :, 2] = False
        allowed[0, 2] = [True, False, False]
        return allowed

    def _free(self) -> NDArray[np.bool_] | None:
        """Which letters of match states a prior speaks of, or None for all."""
        return np.isnan(self.held["match"]) if "match" in self.held else None

    def _imagined(self) -> ProfileStats:
        match, insert, moves = self.imagined
        allowed = self._allowed().astype(float)
        allowed[0, 2] = 0.0
        told = insert if self.background is None else 0.0
        counts = {
            "match": np.tile(np.broadcast_to(np.asarray(match, dtype=float), (self.size,)), (self.length, 1)),
            "insert": np.full((self.length + 1, self.size), told),
            "moves": moves * allowed,
        }
        for name, held in self.held.items():  # what is fixed has nothing to imagine, and may be zero
            counts[name] = np.where(np.isnan(held), counts[name], 0.0)
        return ProfileStats(**counts, draws=float(self.mixture is not None))

    def _support(self) -> Support:
        fixed = {name: np.array(value, dtype=float) for name, value in self.held.items()}
        if self.background is not None:
            fixed["insert"] = np.tile(self.background, (self.length + 1, 1))
        moves = fixed.get("moves", np.full((self.length + 1, 3, 3), np.nan))
        moves[~self._allowed()] = 0.0
        fixed["moves"] = moves
        shapes = {"match": (self.length, self.size), "insert": (self.length + 1, self.size), "moves": moves.shape}
        held = Constraints(fixed)
        return Support({name: Simplex.of(name, held.pattern(name, shape)) for name, shape in shapes.items()})


def emitting(node: int, kind: int) -> int:
    """Number of the emitting state: 2 j for I_j, 2 j - 1 for M_j.

    >>> emitting(0, 1), emitting(1, 0), emitting(1, 1)
    (0, 1, 2)
    """
    return 2 * node - (1 if kind == 0 else 0)
