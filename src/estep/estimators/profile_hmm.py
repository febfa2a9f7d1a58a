"""Profile hidden Markov models as an estimator: trained from sequences that are not aligned, or counted from an alignment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils.validation import check_is_fitted

from estep.core.protocols import Chunk, Explained
from estep.core.record import Array
from estep.core.result import Result
from estep.data.memory import Memory
from estep.engine.passing import passing_result
from estep.engine.presets import variant_of
from estep.engine.restart import Start, fit_starts
from estep.engine.run import Control
from estep.engine.stop import Settled
from estep.estimators import methods
from estep.estimators.aligned import Aligned, block_of, read_aligned
from estep.estimators.fitting import seed_of
from estep.estimators.letter_prior import letter_prior
from estep.estimators.letters import Texts, read_again, read_sequence_weight, read_texts
from estep.estimators.settings import check_settings, require_integer
from estep.estimators.surgery import operated
from estep.estimators.warnings import warn_of
from estep.estimators.watching import watcher
from estep.families.normal_shapes import numbers
from estep.models.profile import Profile, ProfileParams
from estep.views.block import AlignedBlock

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARTS = ("match", "insert", "moves")
SEED = 0.5
"""Probability of the seed sequence's letters in the match states where a run begins."""
ROUNDS = 10
"""How often surgery may change the number of nodes."""


class ProfileHMM(CallbackSupportMixin, BaseEstimator):
    """A family of sequences: nodes that match a letter, with insertions between them and deletions of them.

    ``begin = M_0 -> M_1 -> ... -> M_L -> end``, each by way of inserts ``I_j`` or past deletes ``D_j``.

    Parameters
    ----------
    length : int or "median"
        Nodes: a number, or the median length of the sequences.
    insert : "background", "fit" or array (m,)
        Letters of the insert states: held at the frequencies of all letters, fitted, or held at these.
    pseudocounts : number or dict
        Counts imagined of every letter and every move in every state; 1 is Laplace's rule, 0 maximum likelihood.
        ``dict(match=..., insert=..., moves=...)`` sets them one by one; those it does not name are 0.
    prior : None or dict
        Prior of the match states' letters, as in ``MotifFinder``, beside their pseudocounts: for it alone
        ``pseudocounts=dict(moves=1)``.
    surgery : bool
        Whether nodes that less than half of the sequences use are cut out, and inserts that more than half use become nodes.
    alphabet : as in ``MotifFinder``
    n_init : int
        Sequences from which runs begin: those whose lengths are closest to ``length``.
    init : "sequences" or dict
        ``dict(match=(L, m), insert=(L + 1, m), moves=(L + 1, 3, 3))`` is used once, as given, such as another's ``params_``.
    fixed : dict or None
        The same with NaN at the free entries.
    algorithm, accelerate, tol, max_iter, random_state, n_jobs, progress
        As in ``HMM``: "em" is Baum-Welch, "cem" Viterbi training.

    Attributes
    ----------
    match_ (L, m), insert_ (L + 1, m), moves_ (L + 1, 3, 3)
        Letter probabilities and moves, from and to match, insert, delete; beyond node L "match" is the end.
    length_, letters_, consensus_
    converged_, status_, n_iter_, log_likelihood_, objective_, trace_, starts_, result_
        How it ended.

    Examples
    --------
    >>> import estep
    >>> texts = ["ACGTT", "ACGT", "ACCGTT", "ACGTT", "AGTT", "ACGTT"]
    >>> fit = estep.ProfileHMM(5, pseudocounts=0.1, random_state=0).fit(texts)
    >>> fit.consensus_
    'ACGTT'
    >>> print(fit.align(["ACGTT", "AGTT", "ACCGTT"]).rows[1])
    A-.GTT
    """

    def __init__(
        self,
        length: Any = "median",
        *,
        insert: Any = "background",
        pseudocounts: Any = 1.0,
        prior: Any = None,
        surgery: bool = False,
        alphabet: Any = "auto",
        n_init: int = 5,
        init: Any = "sequences",
        fixed: Any = None,
        algorithm: Any = "em",
        accelerate: Any = "auto",
        tol: float = 1e-8,
        max_iter: int = 1000,
        random_state: Any = None,
        n_jobs: int | None = None,
        progress: bool = False,
    ) -> None:
        self.length = length
        self.insert = insert
        self.pseudocounts = pseudocounts
        self.prior = prior
        self.surgery = surgery
        self.alphabet = alphabet
        self.n_init = n_init
        self.init = init
        self.fixed = fixed
        self.algorithm = algorithm
        self.accelerate = accelerate
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.progress = progress

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> ProfileHMM:
        """Train on sequences ``X`` that are not aligned.

        Parameters
        ----------
        X : list of str, list of integer arrays, dict, str or Path
            As in ``MotifFinder.fit``.
        y : ignored
        sample_weight : array (s,) or None
            Frequency of each sequence.
        """
        check_settings(self)
        texts = read_texts(X, self.alphabet)
        weight = read_sequence_weight(sample_weight, texts.count)
        if weight is not None and not (weight > 0).all():
            texts, weight = texts.kept(weight > 0), weight[weight > 0]
        if not isinstance(self.surgery, bool | np.bool_):
            raise ValueError(f"surgery must be True or False, got {self.surgery!r}")
        if self.surgery and self.fixed is not None:
            raise ValueError(
                "surgery changes the number of nodes, and fixed names entries of a number of nodes; give one of them"
            )
        length = self._length(texts)
        model = self._model(length, texts, weight)
        return self._fitted(X, texts, weight, model, self._starts(model, texts), None)

    def fit_aligned(self, X: Any, sample_weight: Any = None) -> ProfileHMM:
        """Count letters and moves in an alignment; columns in which less than half of the sequences have a gap are nodes.

        ``log_likelihood_`` is then that of letters and alignment together.

        Parameters
        ----------
        X : list of str, dict, AlignedBlock, str or Path
            Rows of equal length, gaps written ``-`` or ``.``; a path names an aligned FASTA file or a Stockholm file.
        sample_weight : array (s,) or None
            Frequency of each sequence.

        Examples
        --------
        >>> import estep
        >>> fit = estep.ProfileHMM(pseudocounts=1).fit_aligned(["AC-GT", "AC-GT", "ATTG-"])
        >>> fit.length_, fit.match_[0].round(3).tolist()
        (4, [0.571, 0.143, 0.143, 0.143])
        """
        check_settings(self)
        aligned: Aligned = read_aligned(X, self.alphabet, sample_weight)
        model = self._model(aligned.length, aligned.texts, aligned.weight)
        start = Start("alignment", model.start)
        return self._fitted(X, aligned.texts, aligned.weight, model, [start], aligned.states)

    def predict(self, X: Any) -> NDArray[np.intp]:
        """Emitting state of every letter on the best paths, sequences end to end, (n,): M_j is 2 j - 1, I_j is 2 j."""
        return np.asarray(self._explained(X)[1].path)

    def predict_proba(self, X: Any) -> Array:
        """Probabilities of the emitting states of every letter, (n, 2 L + 1)."""
        return np.asarray(self._explained(X)[1].resp)

    def align(self, X: Any) -> AlignedBlock:
        """The sequences aligned by their best paths: nodes in capitals, ``-`` where one is deleted, inserts small."""
        check_is_fitted(self, "result_")
        texts = read_again(X, self.alphabet_)
        return block_of(texts, self.paths(texts), self.length_)

    def paths(self, X: Any) -> list[list[tuple[int, str]]]:
        """The best path of each sequence as (node, kind), kinds "M", "I" and "D"."""
        check_is_fitted(self, "result_")
        model, params, texts = self.result_.model, self.result_.params, read_again(X, self.alphabet_)
        logs, found = model.logs(params), []
        self._explained(texts)
        for _, codes, _ in model.sequences(_chunk(texts)):
            found.append([(int(node), "MID"[kind]) for node, kind in model.best(logs, codes)[0].tolist()])
        return found

    def score_samples(self, X: Any) -> Array:
        """Log-likelihood of each sequence, (s,), in nats."""
        texts, out = self._explained(X)
        return np.asarray(out.log_density[texts.ends - 1])

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Mean log-likelihood of a letter, in nats."""
        texts, out = self._explained(X)
        weight = read_sequence_weight(sample_weight, texts.count)
        weight = np.ones(texts.count) if weight is None else weight
        return float(weight @ out.log_density[texts.ends - 1] / (weight @ texts.lengths))

    def bic(self, X: Any) -> float:
        """Bayesian information criterion, ``-2 L + p log n`` with n letters; lower is better."""
        texts, out = self._explained(X)
        return float(-2.0 * out.log_density.sum() + self.result_.n_free * np.log(len(texts.codes)))

    def aic(self, X: Any) -> float:
        """``-2 L + 2 p``; lower is better."""
        return float(-2.0 * self.score_samples(X).sum() + 2.0 * self.result_.n_free)

    def sample(self, n_samples: int = 1) -> list[str]:
        """``n_samples`` sequences drawn from the fitted model, of lengths that it draws; an empty one is possible."""
        check_is_fitted(self, "result_")
        require_integer(n_samples, "n_samples")
        rng = np.random.default_rng(seed_of(self.random_state))
        texts, _ = self.result_.model.sample(self.result_.params, int(n_samples), rng)
        return [self.alphabet_.decode(text.tolist()) for text in texts]

    def summary(self) -> str:
        """The fit in words: how it ended, and a line for each node. Print it."""
        check_is_fitted(self, "result_")
        from estep.views.profiles_text import profile_text

        return profile_text(self)

    def plot(self, X: Any = None) -> Figure:
        """The logo of the nodes; with sequences ``X`` their alignment."""
        check_is_fitted(self, "result_")
        from estep.views.logo import plot_logo

        return plot_logo(self.match_, self.letters_, self.insert_.mean(axis=0)) if X is None else self.align(X).plot()

    save = methods.save

    def published_as(self, result: Result) -> dict[str, Any]:
        """The fitted attributes that follow from a result."""
        params, known = result.params, self.__dict__.get("alphabet_")
        shown = {name: getattr(params, name) for name in PARTS}
        letters = {} if known is None else {"letters_": known.letters, "consensus_": known.decode(params.match.argmax(axis=1))}
        return {
            "result_": result,
            "params_": shown,
            **{f"{name}_": value for name, value in shown.items()},
            "length_": result.model.length,
            **letters,
            "converged_": result.converged,
            "status_": result.status,
            "n_iter_": result.passes,
            "log_likelihood_": result.loglik,
            "objective_": result.objective,
            "trace_": result.trace.objective,
            "starts_": result.starts,
        }

    # --- the fit ---

    def _fitted(
        self, X: Any, texts: Texts, weight: Array | None, model: Profile, starts: list[Start], states: NDArray[np.int64] | None
    ) -> ProfileHMM:
        data = Memory(texts.codes, texts.row_weight(weight), given=states, n_jobs=self.n_jobs, ends=texts.ends)
        variant, now = variant_of(self.algorithm, self.accelerate), [model]
        variant = variant if states is None else dataclasses.replace(variant_of("em", "none"), stop=Settled())
        with watcher(self, X, None, lambda state: self.published_as(passing_result(now[-1], state))) as watch:
            control = Control(tol=self.tol, max_iter=self.max_iter, watch=watch, catch=not getattr(self, "_enclosed", False))
            result = fit_starts(model, data, starts, variant, control)
            for _ in range(ROUNDS if self.surgery and states is None else 0):
                changed = operated(result, data)
                if changed is None:
                    break
                now.append(self._model(len(changed.match), texts, weight))
                again = fit_starts(now[-1], data, [Start("after surgery", lambda p=changed: p)], variant, control)  # type: ignore[misc]
                result = dataclasses.replace(again, starts=result.starts if again.starts is None else again.starts)
        self.alphabet_ = texts.alphabet
        for name, value in self.published_as(dataclasses.replace(result, state=None)).items():
            setattr(self, name, value)
        warn_of(result, type(self).__name__)
        return self

    def _length(self, texts: Texts) -> int:
        if isinstance(self.init, Mapping) and "match" in self.init:
            return len(np.asarray(self.init["match"]))
        if isinstance(self.length, str) and self.length == "median":
            return int(np.median(texts.lengths))
        require_integer(self.length, "length")
        return int(self.length)

    def _model(self, length: int, texts: Texts, weight: Array | None) -> Profile:
        counts = self.pseudocounts if isinstance(self.pseudocounts, Mapping) else dict.fromkeys(PARTS, self.pseudocounts)
        if set(counts) - set(PARTS):
            raise ValueError(f"pseudocounts names {sorted(set(counts) - set(PARTS))}; there are {list(PARTS)}")
        for name, value in counts.items():
            if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value < np.inf:
                raise ValueError(f"pseudocounts: {name} must be a number >= 0, got {value!r}")
        held = {} if self.fixed is None else {n: numbers(v, f"fixed[{n!r}]") for n, v in dict(self.fixed).items()}
        if set(held) - set(PARTS):
            raise ValueError(f"fixed names {sorted(set(held) - set(PARTS))}; this model has {list(PARTS)}")
        size = texts.alphabet.size
        shapes = {"match": (length, size), "insert": (length + 1, size), "moves": (length + 1, 3, 3)}
        for name, value in held.items():
            if value.shape != shapes[name]:
                raise ValueError(f"fixed[{name!r}] has shape {value.shape}, expected {shapes[name]}")
        match, insert, moves = (float(counts.get(name, 0.0)) for name in PARTS)
        extra, mixture = letter_prior(self.prior, texts.frequencies(weight))
        told = (match + extra if extra.any() else match, insert, moves)
        return Profile(length, size, self._background(texts, weight, insert), told, held, mixture)

    def _background(self, texts: Texts, weight: Array | None, imagined: float) -> Array | None:
        """Letters of the insert states where they are held: frequencies, the imagined letters among them."""
        frequencies = texts.frequencies(weight)
        if isinstance(self.insert, str):
            counts = frequencies * float(len(texts.codes)) + imagined
            frequencies = counts / counts.sum()
            if self.insert not in ("background", "fit"):
                raise ValueError(f"insert={self.insert!r} is unknown; choose 'background', 'fit' or give an array")
            return frequencies if self.insert == "background" else None
        value = numbers(self.insert, "insert")
        if value.shape != frequencies.shape or not (value >= 0).all() or abs(float(value.sum()) - 1.0) > 1e-8:
            raise ValueError(f"insert must be {frequencies.size} probabilities that sum to one, got shape {value.shape}")
        return value

    def _starts(self, model: Profile, texts: Texts) -> list[Start]:
        if isinstance(self.init, Mapping):
            return [Start("given parameters", lambda: self._given(model))]
        if not isinstance(self.init, str) or self.init != "sequences":
            raise ValueError(f"init must be 'sequences' or dict(match=..., insert=..., moves=...), got {self.init!r}")
        close = np.argsort(np.abs(texts.lengths - model.length), kind="stable")[: self.n_init]
        background = texts.frequencies()
        return [Start(texts.names[j], lambda j=j: model.start(_seed(texts.part(j), model, background))) for j in close.tolist()]  # type: ignore[misc]

    def _given(self, model: Profile) -> ProfileParams:
        neutral = model.start()
        told = {name: numbers(value, f"init[{name!r}]") for name, value in self.init.items() if name in PARTS}
        if "match" not in told or set(self.init) - set(PARTS):
            raise ValueError(f"init must name match, and may name insert and moves, got {sorted(self.init)}")
        for name, value in told.items():
            if value.shape != getattr(neutral, name).shape:
                raise ValueError(f"init[{name!r}] has shape {value.shape}, expected {getattr(neutral, name).shape}")
        params = dataclasses.replace(neutral, **told)
        try:
            model.support(params).check(params)
        except ValueError as error:
            raise ValueError(f"init: {error}") from None
        return params

    def _explained(self, X: Any) -> tuple[Texts, Explained]:
        check_is_fitted(self, "result_")
        texts = read_again(X, self.alphabet_)
        found: Explained = self.result_.model.explain(self.result_.params, _chunk(texts))
        return texts, found

    def _check_loaded(self, result: Result, columns: dict[str, Any]) -> None:
        """Raise ValueError unless the parameters of a file belong together."""
        alphabet, model, params = columns.get("alphabet_"), result.model, result.params
        if alphabet is None or not isinstance(model, Profile) or model.size != alphabet.size or model.length < 1:
            raise ValueError("it holds no profile, or not its letters")
        neutral = model.start()
        if any(np.shape(getattr(params, name)) != getattr(neutral, name).shape for name in PARTS):
            raise ValueError("its profile has not the nodes that its model names")
        model.support(params).check(params)

    def __sklearn_clone__(self) -> Any:
        return methods.enclosed(super().__sklearn_clone__())


def _chunk(texts: Texts) -> Chunk:
    return Chunk(("memory", 0, len(texts.codes)), texts.codes, ends=texts.ends)


def _seed(codes: NDArray[np.int64], model: Profile, background: Array) -> Array:
    """Letters (L, m) that favour those of one sequence, its letters spread over the nodes."""
    at = np.round(np.linspace(0, len(codes) - 1, model.length)).astype(np.intp)
    letters = codes[at]
    seed = np.where(letters >= 0, SEED, 0.0)[:, None]
    return np.asarray((1.0 - seed) * background + seed * (letters[:, None] == np.arange(model.size)))
