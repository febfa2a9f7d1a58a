"""The multiple partial alignment: sequences that share a block of known length between flanks, as an estimator."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils.validation import check_is_fitted

from estep.core.record import Array
from estep.core.result import Result
from estep.core.support import Constraints
from estep.data.meme import information
from estep.data.memory import Memory
from estep.engine.passing import passing_result
from estep.engine.presets import variant_of
from estep.engine.restart import Start, fit_starts
from estep.engine.run import Control
from estep.estimators import methods, sequence_methods
from estep.estimators.fitting import seed_of
from estep.estimators.letters import Texts, read_again, read_sequence_weight, read_texts
from estep.estimators.motif_settings import widths_of
from estep.estimators.rows import Arguments, Rows, Target, rows_of
from estep.estimators.seam import published
from estep.estimators.settings import check_settings, require_integer
from estep.estimators.warnings import warn_of
from estep.estimators.watching import watcher
from estep.families.categorical import Categorical, CategoricalParams
from estep.models.latent import Latent, LatentParams, LatentStats
from estep.models.motif import Motif
from estep.start.words import best_words
from estep.structures.chain import Chain, ChainParams
from estep.views.block import AlignedBlock, in_columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class AlignmentHMM(CallbackSupportMixin, BaseEstimator):
    """Sequences with one block in common, of known length, between flanks of any length: insert, match, insert.

    ``I1 -> I1 with p1, else M1;  M1 -> ... -> MW;  MW -> I2;  I2 -> I2 with p2, else the end``; each state has its letters.

    Parameters
    ----------
    width : int, several, or text such as "4:8"
        Letters of the block; of several the best by BIC.
    beta : number
        Letters imagined in every state, in the proportions of all letters.
    alphabet : as in ``MotifFinder``
    n_init : int
        Words from which runs begin.
    algorithm, accelerate, tol, max_iter, random_state, n_jobs, progress
        As in ``HMM``; ``algorithm="cem"`` is Viterbi training.

    Attributes
    ----------
    pwm_ (W, m), flanks_ (2, m)
        Letter probabilities of the match states, and of the first and the second insert state; ``consensus_``.
    stay_ : array (2,)
        p1 and p2; a flank has ``1 / (1 - p)`` letters on average.
    places_ : array (s,)
        Where the block begins in each sequence, from 0, on the best path.
    transmat_, startprob_, converged_, status_, n_iter_, log_likelihood_, objective_, trace_, starts_, result_
        As in ``HMM``, with states I1, M1 ... MW, I2.

    Examples
    --------
    >>> import estep
    >>> texts = ["AATGCACT", "CTTGCAAGTC", "GATACTGCAT", "CTGCATCCGA"]
    >>> fit = estep.AlignmentHMM(4, random_state=0).fit(texts)
    >>> fit.consensus_, fit.places_.tolist()
    ('TGCA', [2, 2, 5, 1])
    """

    def __init__(
        self,
        width: Any = 4,
        *,
        beta: float = 0.01,
        alphabet: Any = "auto",
        n_init: int = 20,
        algorithm: Any = "em",
        accelerate: Any = "auto",
        tol: float = 1e-8,
        max_iter: int = 1000,
        random_state: Any = None,
        n_jobs: int | None = None,
        progress: bool = False,
    ) -> None:
        self.width = width
        self.beta = beta
        self.alphabet = alphabet
        self.n_init = n_init
        self.algorithm = algorithm
        self.accelerate = accelerate
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.progress = progress

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> AlignmentHMM:
        """Fit to the sequences ``X``.

        Parameters
        ----------
        X : list of str, list of integer arrays, dict, str or Path
            As in ``MotifFinder.fit``; every sequence has at least two letters more than the block.
        y : ignored
        sample_weight : array (s,) or None
            Frequency of each sequence.
        """
        check_settings(self)
        if isinstance(self.beta, bool) or not isinstance(self.beta, int | float | np.number) or not 0 <= self.beta < np.inf:
            raise ValueError(f"beta must be a number >= 0 (letters imagined in every state), got {self.beta!r}")
        texts, widths = read_texts(X, self.alphabet), widths_of(self.width)
        weight = read_sequence_weight(sample_weight, texts.count)
        if weight is not None and not (weight > 0).all():
            texts, weight = texts.kept(weight > 0), weight[weight > 0]
        now: list[Latent] = []
        with watcher(self, X, y, lambda state: self.published_as(passing_result(now[-1], state))) as watch:
            control = Control(tol=self.tol, max_iter=self.max_iter, watch=watch, catch=not getattr(self, "_enclosed", False))
            results = [self._run(texts, weight, width, control, now) for width in widths]
        self.alphabet_ = texts.alphabet
        result = min(results, key=lambda each: _bic(each, each.loglik, each.n))
        for name, value in self.published_as(dataclasses.replace(result, state=None)).items():
            setattr(self, name, value)
        self.places_ = self._places(texts)
        warn_of(result, type(self).__name__)
        return self

    def predict(self, X: Any, *, method: str = "viterbi") -> NDArray[np.intp]:
        """State of every letter, sequences end to end, (n,): 0 is I1, 1 to W the match states, W + 1 is I2."""
        return sequence_methods.predict(self, self._arrays(X), method=method)

    def predict_proba(self, X: Any) -> Array:
        """Probabilities of the states of every letter given its sequence, (n, W + 2)."""
        return sequence_methods.predict_proba(self, self._arrays(X))

    def score_samples(self, X: Any) -> Array:
        """``log p(x_t | x_<t)`` of every letter, (n,), in nats; the last one's with the end. Sums to the log-likelihood."""
        return sequence_methods.score_samples(self, self._arrays(X))

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Mean log-likelihood of a letter, in nats."""
        return sequence_methods.score(self, self._arrays(X), sample_weight=sample_weight)

    def bic(self, X: Any) -> float:
        """Bayesian information criterion, ``-2 L + p log n`` with n letters; lower is better."""
        each = self.score_samples(X)
        return _bic(self.result_, float(each.sum()), float(len(each)))

    def align(self, X: Any) -> AlignedBlock:
        """The sequences set under one another, so that their blocks (on the best paths) stand in the same columns."""
        check_is_fitted(self, "result_")
        texts = read_again(X, self.alphabet_)
        places, width = self._places(texts), len(self.pwm_)
        parts = []
        for j, place in enumerate(places.tolist()):
            text = [texts.alphabet.decode(texts.part(j)[i : i + 1]) for i in range(int(texts.lengths[j]))]
            pieces = text[:place], text[place : place + width], text[place + width :]
            parts.append(["".join(pieces[0]).lower(), "".join(pieces[1]).upper(), "".join(pieces[2]).lower()])
        widths = [max(len(row[i]) for row in parts) for i in range(3)]
        match = np.repeat([False, True, False], widths)
        return AlignedBlock(texts.names, tuple(in_columns(parts, left=0)), match)

    def sample(self, n_samples: int = 1) -> list[str]:
        """``n_samples`` sequences drawn from the fitted model, whose lengths the model draws as well."""
        check_is_fitted(self, "result_")
        require_integer(n_samples, "n_samples")
        rng = np.random.default_rng(seed_of(self.random_state))
        out = []
        for _ in range(int(n_samples)):
            before, after = (int(n) for n in rng.geometric(1.0 - self.stay_))
            states = [0] * before + list(range(1, len(self.pwm_) + 1)) + [len(self.pwm_) + 1] * after
            out.append(self.alphabet_.decode([int(rng.choice(self.alphabet_.size, p=self.probs_[s, 0])) for s in states]))
        return out

    def plot(self, X: Any = None) -> Figure:
        """The logo of the block; with sequences ``X`` the aligned block."""
        check_is_fitted(self, "result_")
        from estep.views.logo import plot_logo

        return plot_logo(self.pwm_, self.alphabet_.letters, self.flanks_.mean(axis=0)) if X is None else self.align(X).plot()

    def summary(self) -> str:
        """The fit in words: how it ended, letters of the block, flanks. Print it."""
        check_is_fitted(self, "result_")
        from estep.views.layout import facts, number
        from estep.views.motifs import columns_text

        told = [
            ("letters", f"{self.result_.n:g} of {self.alphabet_.name}"),
            ("block", f"{self.consensus_} ({len(self.pwm_)} letters)"),
            ("flanks", ", ".join(f"{1.0 / (1.0 - p):.2f}" for p in self.stay_) + " letters on average"),
            ("log-likelihood", number(self.log_likelihood_)), ("free parameters", str(self.result_.n_free)),
            ("status", self.result_.message), ("algorithm", self.result_.variant),
        ]  # fmt: skip
        bits = information(self.pwm_, self.flanks_.mean(axis=0))
        lines = columns_text(self.pwm_, self.letters_, bits)
        return "\n".join(["Multiple partial alignment: insert, match, insert", "", *facts(told), "", *lines])

    save = methods.save

    def published_as(self, result: Result) -> dict[str, Any]:
        """The fitted attributes that follow from a result."""
        found = published(self, result)
        probs, transmat = result.params.family.probs, result.params.structure.transmat
        pwm, known = probs[1:-1, 0], self.__dict__.get("alphabet_")
        extra = {"pwm_": pwm, "flanks_": probs[[0, -1], 0], "stay_": np.array([transmat[0, 0], transmat[-1, -2]])}
        if known is not None:
            extra |= {"letters_": known.letters, "consensus_": known.decode(pwm.argmax(axis=1))}
        return {**found, **extra}

    # --- the fit ---

    def _run(self, texts: Texts, weight: Array | None, width: int, control: Control, now: list[Latent]) -> Result:
        _refuse_short(texts, width, f"width={width}: ", "lower width or ")
        x = np.where(texts.codes < 0, np.nan, texts.codes)[:, None]
        data = Memory(x, weight=texts.row_weight(weight), n_jobs=self.n_jobs, ends=texts.ends.astype(np.intp))
        model = Latent(Chain(end=True), Categorical((texts.alphabet.size,)), width + 2).bind(data)
        prior = LatentStats(
            model.structure.prior(model.k, None), model.family.prior(model.k, {"strength": float(self.beta) * model.k})
        )
        model = dataclasses.replace(model, constraints=_topology(width), prior=prior if self.beta else None)
        now.append(model)
        starts = self._starts(texts, weight, width)
        return fit_starts(model, data, starts, variant_of(self.algorithm, self.accelerate), control)

    def _starts(self, texts: Texts, weight: Array | None, width: int) -> list[Start]:
        frequencies = texts.frequencies(weight)
        motif = Motif(width, texts.alphabet.size, imagined=max(float(self.beta), 0.01) * frequencies)
        inner = np.zeros(len(texts.codes))
        inner[texts.begins] = inner[texts.ends - width] = -np.inf  # a flank has a letter at least
        rng = np.random.default_rng([seed_of(self.random_state), width])
        found = best_words(motif, texts.codes, texts.ends, frequencies, self.n_init, rng, inner, weight)
        if not found:
            raise ValueError(f"width={width}: every window holds an unknown letter, so there is no word to begin with")
        stay = 1.0 - 1.0 / max(0.5 * float(texts.lengths.mean() - width), 1.0 + 1e-3)
        return [
            Start(f"word {texts.alphabet.decode(w.codes)}", lambda p=w.params.probs: _begun(p, frequencies, stay))  # type: ignore[misc]
            for w in found
        ]

    # --- sequences to and fro ---

    def _arrays(self, X: Any) -> list[Array]:
        check_is_fitted(self, "result_")
        texts = read_again(X, self.alphabet_)
        _refuse_short(texts, len(self.pwm_), "", "")
        return [np.where(part < 0, np.nan, part)[:, None] for part in np.split(texts.codes, texts.ends[:-1])]

    def _places(self, texts: Texts) -> NDArray[np.intp]:
        path = self.predict(texts)
        if not (found := np.flatnonzero(path == 1)).size == texts.count:
            raise ValueError("a sequence has no path through the block; every one needs a letter on either side of it")
        return np.asarray(found - texts.begins, dtype=np.intp)

    def _read(self, arguments: Arguments, target: Target, *, reset: bool) -> Rows:
        parts = list(arguments.X)
        lengths = np.array([len(part) for part in parts])
        weight = read_sequence_weight(arguments.sample_weight, len(parts))
        told = dataclasses.replace(arguments, X=None, sample_weight=None if weight is None else np.repeat(weight, lengths))
        rows = rows_of(self, told, target, x=np.concatenate(parts), reset=reset)
        ends = np.cumsum(lengths).astype(np.intp)
        if rows.kept is not None:
            ends = np.cumsum(lengths[np.asarray(weight) > 0]).astype(np.intp)
        return dataclasses.replace(rows, ends=ends)

    def _check_loaded(self, result: Result, columns: dict[str, Any]) -> None:
        """Raise ValueError unless the parameters of a file belong together."""
        alphabet, model, params = columns.get("alphabet_"), result.model, result.params
        if alphabet is None or not isinstance(model, Latent) or not isinstance(params.family, CategoricalParams):
            raise ValueError("it holds no alignment, or not its letters")
        if params.family.probs.shape != (model.k, 1, alphabet.size) or params.structure.transmat.shape != (
            model.k,
            model.k + 1,
        ):
            raise ValueError("its states have not the letters that it names")
        model.support(params).check(params)

    def __sklearn_clone__(self) -> Any:
        return methods.enclosed(super().__sklearn_clone__())


def _refuse_short(texts: Texts, width: int, where: str, remedy: str) -> None:
    """Raise ValueError naming the sequences that have no room for the block and a letter on either side of it."""
    short = texts.lengths < width + 2
    if short.any():
        few = "is" if short.sum() == 1 else "are"
        raise ValueError(
            f"{where}{texts.named(short)} {few} shorter than {width + 2} letters, the block of {width} and one on either "
            f"side; {remedy}leave {'it' if few == 'is' else 'them'} out"
        )


def _topology(width: int) -> Constraints:
    """Insert, match, insert: only the two insert states may stay; fixed zeros and ones are no parameters."""
    k = width + 2
    moves = np.zeros((k, k + 1))
    moves[0, :2] = moves[-1, -2:] = np.nan
    moves[np.arange(1, k - 1), np.arange(2, k)] = 1.0
    return Constraints({"startprob": np.eye(k)[0], "transmat": moves})


def _begun(columns: Array, flank: Array, stay: float) -> LatentParams:
    k = len(columns) + 2
    moves = np.nan_to_num(_topology(k - 2).fixed["transmat"])
    moves[0, :2] = moves[-1, -2:] = [stay, 1.0 - stay]
    return LatentParams(ChainParams(np.eye(k)[0], moves), CategoricalParams(np.vstack([flank, columns, flank])[:, None]))


def _bic(result: Result, loglik: float, letters: float) -> float:
    return -2.0 * loglik + result.n_free * math.log(letters)
