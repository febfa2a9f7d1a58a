"""What the parts promise one another: chunk, expected statistics, and the four protocols.

A model is two pure maps, ``estep(params, chunk) -> Expected`` and ``mstep(stats, params) -> params``; statistics add;
data has one verb, ``sum``. Everything here is an interface or a value: nothing in this file computes a model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array, record
from estep.core.support import Constraints, Support


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A block of rows and everything they carry.

    Attributes
    ----------
    key : tuple
        Stable name of the recipe that rebuilds the chunk: (source, first row, end row).
    x : Any
        What the family reads, rows on the first axis.
    given : Any
        What the structure reads (groups, gate covariates), or None.
    weight : array (n,) or None
        Frequency of each row; None means one each. The rows of one sequence all carry the sequence's weight.
    allowed : array or None
        Permitted classes from partial labels: int codes (n,), -1 for any class, or booleans (n, k).
    ends : array or None
        For sequences, the end row of each within the chunk; None says nothing, so sequence structures must refuse it.
    keep : bool
        Whether the plane keeps this object and has room for its encoding between passes.
    """

    key: tuple[Any, ...]
    x: Any
    given: Any = None
    weight: Array | None = None
    allowed: NDArray[Any] | None = None
    ends: NDArray[np.intp] | None = None
    keep: bool = False

    @property
    def rows(self) -> slice:
        """The chunk's rows within its source."""
        return slice(self.key[1], self.key[2])

    def __len__(self) -> int:
        return int(self.key[2] - self.key[1])


@record
class Expected:
    """What one chunk contributes to a pass; contributions add.

    ``loglik`` is the observed-data log-likelihood (nats), ``objective`` what the variant climbs, ``n`` the weight.
    """

    stats: Any
    loglik: float
    objective: float
    n: float


@dataclasses.dataclass(frozen=True)
class Explained:
    """Per row: log density (n,), responsibilities (n, k) and the most probable class or path (n,).

    Log densities sum to the log-likelihood: in a sequence a row's is given the rows before it, or, where rows have none
    of their own (motifs), the whole sequence's stands at its last row.
    """

    log_density: Array
    resp: Array
    path: NDArray[np.intp]


class Assign(Protocol):
    """How hidden labels are filled in: a tag that turns joint log densities into responsibilities.

    Optional: ``for_pass(seed, passes) -> Assign``, for one that draws or changes from pass to pass; ``for_weight(weight)``, for
    one that draws as often as a row was seen; ``stage(passes)`` and ``stages``, for one whose objective changes on the way;
    ``closes``, the assignment at the end; ``objective``, what it climbs in words; ``no_leap``, why it takes no accelerator.
    """

    @property
    def name(self) -> str: ...

    @property
    def certificate(self) -> str:
        """What the objective is promised to do under this assignment: "exact", "bound" or "heuristic"."""
        ...

    def rows(self, logits: Array, key: tuple[Any, ...]) -> tuple[Array, Array, Array]:
        """``logits (n, k) -> resp (n, k), objective (n,), loglik (n,)``."""
        ...


@runtime_checkable
class Model(Protocol):
    """The two maps of EM, the complete-data log-likelihood and where parameters live.

    ``mstep`` maximises ``q(., stats + prior)``: it adds the prior itself. A run needs ``prior``, ``estep``, ``mstep`` and
    ``support``; ``q`` where there is a prior, and in ``check_model``; ``bind`` in estimators. Optional, asked for by name:
    ``score(params, stats)``, ``dying`` and ``frail`` (collapse), ``constants`` (more degrees of freedom), ``explain``,
    ``start``, ``tally``, ``permute``, ``sample``, ``holding`` (updates ``only`` and ``cycle``), ``blocks`` (parameter names),
    ``ascend(stats, params)`` (an uphill step), ``ecme(data, stats, params)``, ``empty`` and ``seat`` (k-means), ``staying``,
    ``keeping`` and ``cut`` (fewer classes), ``refuses(assign)`` (why an assignment does not fit, or "").
    """

    prior: Any | None

    def bind(self, data: Any) -> Model: ...
    def estep(self, params: Any, chunk: Chunk, assign: Assign) -> Expected: ...
    def mstep(self, stats: Any, params: Any) -> Any: ...
    def q(self, params: Any, stats: Any) -> float: ...
    def support(self, params: Any) -> Support: ...


@runtime_checkable
class Family(Protocol):
    """How a row looks once its component is known.

    These methods are required. Optional ones, asked for by name where they help:

    ``encode(x)``                           rows as ``log_density`` and ``stats`` read them, once a block; else ``x`` itself
    ``bind(data)``                          the family with what depends on the data as a whole; ``constants`` counts it
    ``score(params, stats, support)``       gradient of q in free coordinates; else finite differences
    ``unit_scores(params, encoded, resp, support)``   the same for each row
    ``sample(params, labels, rng)``         a row for each label
    ``prior(k, settings)``                  the weak conjugate prior as statistics; ``align(prior, stats)`` moves its anchor
    ``dying``, ``frail``                    ``(params, stats, support)`` -> a ``Collapsed`` or None
    ``expose(params)``, ``adopt(name, value, k, d, argument)``, ``adopt_ties``   arrays as users see and give them
    ``permute(params, order)``, ``seat(params, component, row)``   components renamed; one moved to a row
    ``features(x)``                         rows as start rules see them, (n, p); else ``x`` itself
    ``categorical(names)``, ``with_levels(sizes)``, ``by_name(names)``   columns to read as categories, how many levels they
                                            have, and columns given by name

    Flags, false where absent: ``discrete`` (rows take few values: equal ones are counted once), ``sparse`` (reads
    ``csr_array``), ``nonnegative`` (values below zero are refused).
    """

    names: Any

    def start(self, k: int) -> Any: ...
    def log_density(self, params: Any, encoded: Any) -> Array: ...
    def stats(self, params: Any, encoded: Any, resp: Array) -> Any: ...
    def fit(self, stats: Any, params: Any, support: Support) -> Any: ...
    def q(self, params: Any, stats: Any) -> float: ...
    def support(self, params: Any, constraints: Constraints) -> Support: ...


@runtime_checkable
class Structure(Protocol):
    """How the hidden labels hang together.

    Optional: ``occupancy(counts)`` and ``permute(params, order)`` for mixtures, ``prior(k, strength)`` and
    ``align(prior, counts)`` for MAP, ``unit_scores(params, resp, support, given)``; of sequences, as ``Chain`` has them,
    ``sequence_scores`` (OPG, sandwich, influence), ``score_covariance`` (Louis), ``ahead`` (residuals of forecasts) and
    ``sample_sequences`` (lengths are drawn); for estimators ``overall(params)``, the weights (k,) over all rows,
    ``adopt(name, value, k, argument)`` and ``blank()``, a row of ``given``.
    """

    names: tuple[str, ...]

    def bind(self, data: Any) -> Structure: ...
    def start(self, k: int) -> Any: ...
    def infer(
        self,
        params: Any,
        logb: Callable[[slice], Array],
        chunk: Chunk,
        assign: Assign,
        collect: Callable[[slice, Array], None],
    ) -> tuple[Any, float, float]:
        """Counts, objective and log-likelihood of the chunk; ``collect(rows, resp)`` passes weighted responsibilities on."""
        ...

    def tally(self, params: Any, resp: Array, chunk: Chunk) -> Any: ...
    def explain(self, params: Any, logb: Callable[[slice], Array], chunk: Chunk) -> Explained: ...
    def fit(self, counts: Any, params: Any, support: Support) -> Any: ...
    def q(self, params: Any, counts: Any) -> float: ...
    def score(self, params: Any, counts: Any, support: Support) -> Array: ...
    def support(self, params: Any, constraints: Constraints) -> Support: ...
    def sample(self, params: Any, n: int, rng: np.random.Generator, **where: Any) -> NDArray[np.intp]:
        """``n`` labels; ``where`` holds what labels hang on: ``given`` for gates, ``ends`` for sequences."""
        ...


class Data(Protocol):
    """Anything that can apply a function to every chunk and add the results."""

    @property
    def n_rows(self) -> int: ...
    def chunks(self) -> Iterator[Chunk]: ...
    def sum(self, fn: Callable[[Chunk], Any]) -> Any: ...
    def map(self, fn: Callable[[Chunk], Any], sink: Callable[[Chunk, Any], None]) -> None: ...
    def shuffled(self, rng: np.random.Generator) -> Data: ...


Settings = Mapping[str, Any]
