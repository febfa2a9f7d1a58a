"""Probabilistic latent semantic analysis as an estimator: topics of a table of word counts."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils.validation import check_is_fitted

from estep.core.record import Array
from estep.core.result import Result
from estep.data.memory import Memory
from estep.engine.fit import fit
from estep.engine.passing import passing_result
from estep.engine.presets import variant_of
from estep.engine.restart import Start, fit_starts
from estep.engine.run import Control
from estep.engine.stop import AllPasses
from estep.estimators import estimate_methods as estimates
from estep.estimators import methods, own_pictures, streaming
from estep.estimators.counts import COUNTS, document_of, held_out_score, read_counts, thinned
from estep.estimators.fitting import seed_of
from estep.estimators.rows import read_weight
from estep.estimators.settings import check_settings, require_integer
from estep.estimators.warnings import ConvergenceWarning, warn_of
from estep.estimators.watching import watcher
from estep.families.normal_shapes import numbers
from estep.inference.tempering import tempered
from estep.models.plsa import Plsa, PlsaParams, mixed
from estep.views.topics import topics_text

DEFAULT = {"words": 1.01, "topics": 1.1}


class PLSA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, CallbackSupportMixin, BaseEstimator):
    """Topics of documents by probabilistic latent semantic analysis.

    ``P(word | document) = sum_z P(z | document) P(word | z)``; EM over the nonzero counts.

    Parameters
    ----------
    n_topics : int
        Number of topics.
    prior : None, "default" or dict
        Dirichlet smoothing, ``dict(words=a, topics=b)`` with parameters >= 1 of every topic's words and every document's
        topics; "default" is ``dict(words=1.01, topics=1.1)``. None is maximum likelihood.
    tempering : None or number
        Factor (such as 0.9) by which the inverse temperature falls as long as tokens held out of every document are
        predicted better; None is plain EM.
    held_out : number
        Share of the tokens held out for tempering.
    n_init : int
        Random starts; with tempering one.
    init : "random" or dict
        ``dict(topics=(K, words), documents=(documents, K))``, rows summing to one, is used once, as given.
    algorithm, accelerate, tol, max_iter, random_state, n_jobs, progress
        As in ``Mixture``; ``tol`` is nats a token. Without leaps a document of weight 2 is one seen twice to rounding; with
        ``accelerate="auto"`` slow fits take fewer passes, and it is so to ``tol``.
    fold_iter : int
        Passes of a fold-in, all of them made, so that what a document gets does not depend on the others.

    Attributes
    ----------
    topics_ : array (K, words)
        Words of each topic; topics in decreasing weight. Also ``components_``.
    document_topics_ : array (documents, K)
        Topics of each training document; a document without words has equal shares.
    topic_weights_ : array (K,)
        Share of the tokens in each topic.
    beta_, tempering_path_ : number, list of (beta, held-out log-likelihood a token)
        Where tempering ended, and the way there.
    converged_, status_, n_iter_, log_likelihood_, objective_, trace_, starts_, result_
        How it ended.

    Examples
    --------
    >>> import numpy as np, estep
    >>> X = np.array([[4, 3, 0, 0], [2, 5, 0, 0], [0, 0, 3, 3], [0, 0, 1, 6]])
    >>> fit = estep.PLSA(2, random_state=0).fit(X)
    >>> fit.document_topics_.round(2).max(axis=1).tolist(), fit.top_words(2)
    ([1.0, 1.0, 1.0, 1.0], [['x1', 'x0'], ['x3', 'x2']])
    """

    def __init__(
        self,
        n_topics: int = 2,
        *,
        prior: Any = None,
        tempering: float | None = None,
        held_out: float = 0.1,
        n_init: int = 5,
        init: Any = "random",
        algorithm: Any = "em",
        accelerate: Any = "none",
        tol: float = 1e-8,
        max_iter: int = 1000,
        fold_iter: int = 200,
        random_state: Any = None,
        n_jobs: int | None = None,
        progress: bool = False,
    ) -> None:
        self.n_topics = n_topics
        self.prior = prior
        self.tempering = tempering
        self.held_out = held_out
        self.n_init = n_init
        self.init = init
        self.algorithm = algorithm
        self.accelerate = accelerate
        self.tol = tol
        self.max_iter = max_iter
        self.fold_iter = fold_iter
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.progress = progress

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> PLSA:
        """Fit to the counts ``X``.

        Parameters
        ----------
        X : array, DataFrame or sparse matrix (documents, words)
            Counts >= 0, not necessarily whole.
        y : ignored
        sample_weight : array (documents,) or None
            How often each document was seen; 0 is absent, and its topics are those that fold-in gives.
        """
        check_settings(self)
        require_integer(self.n_topics, "n_topics")
        require_integer(self.fold_iter, "fold_iter")
        self._check_tempering()
        counts = read_counts(self, X, reset=True)
        weight = read_weight(sample_weight, counts.shape[0])
        if not counts.sum() > 0:
            raise ValueError("X holds no token at all, so there is nothing to find topics in; bring counts above zero")
        more_words, more_topics = self._smoothing()
        model = Plsa(self.n_topics, counts.shape[1], counts.shape[0], more_words, more_topics, times=weight)
        seed = seed_of(self.random_state)
        with watcher(self, X, y, lambda state: self.published_as(passing_result(model, state))) as watch:
            control = Control(tol=self.tol, max_iter=self.max_iter, watch=watch, catch=not getattr(self, "_enclosed", False))
            result = self._result(model, counts, weight, control, seed)
        result = self._ordered(result, counts, weight)
        for name, value in self.published_as(dataclasses.replace(result, state=None)).items():
            setattr(self, name, value)
        self.topic_weights_ = self._weights(result, counts, weight)
        warn_of(result, type(self).__name__)
        return self

    def transform(self, X: Any) -> Array:
        """Topics of documents by fold-in, (documents, K): the topics' words are held, only the documents' shares are fitted."""
        check_is_fitted(self, "result_")
        return self._folded(read_counts(self, X, reset=False))

    def score_samples(self, X: Any) -> Array:
        """Log-likelihood of each document's tokens at its folded-in topics, (documents,), in nats."""
        check_is_fitted(self, "result_")
        counts = read_counts(self, X, reset=False)
        logs = counts.data * np.log(mixed(self._folded(counts), self.topics_, counts))
        return np.asarray(type(counts)((logs, counts.indices, counts.indptr), shape=counts.shape).sum(axis=1)).ravel()

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Mean log-likelihood a token, in nats, at the documents' folded-in topics: minus the log of ``perplexity``."""
        check_is_fitted(self, "result_")
        counts = read_counts(self, X, reset=False)
        weight = read_weight(sample_weight, counts.shape[0])
        weight = np.ones(counts.shape[0]) if weight is None else weight
        tokens = float(weight @ np.asarray(counts.sum(axis=1)).ravel())
        if not tokens > 0:
            raise ValueError("X holds no token, so there is nothing to score; bring counts above zero")
        return float(weight @ self.score_samples(X)) / tokens

    def perplexity(self, X: Any, sample_weight: Any = None) -> float:
        """``exp(- sum n log P(word | document) / sum n)`` at the documents' folded-in topics; lower is better."""
        return math.exp(-self.score(X, None, sample_weight))

    def top_words(self, n: int = 10, names: Sequence[str] | None = None) -> list[list[str]]:
        """The ``n`` most probable words of each topic; ``names`` are the words, else the columns' names or x0, x1, ..."""
        check_is_fitted(self, "result_")
        words = self._words(names)
        return [[words[j] for j in np.argsort(-topic, kind="stable")[:n] if topic[j] > 0] for topic in self.topics_]

    def summary(self, names: Sequence[str] | None = None) -> str:
        """The fit in words and the first words of each topic. Print it."""
        check_is_fitted(self, "result_")
        return topics_text(self.result_, self.topic_weights_, self.top_words(10, names))

    plot = own_pictures.plot_topics
    save = methods.save
    to_frame = estimates.to_frame
    to_latex = estimates.to_latex
    to_markdown = estimates.to_markdown
    to_html = estimates.to_html
    partial_fit = streaming.partial_fit_topics

    def published_as(self, result: Result) -> dict[str, Any]:
        """The fitted attributes that follow from a result."""
        topics, documents = result.params.topics, result.params.documents
        return {
            "result_": result,
            "params_": {"topics": topics, "documents": documents},
            "topics_": topics,
            "components_": topics,
            "document_topics_": documents,
            "beta_": result.model.beta,
            "_n_features_out": result.model.k,
            "converged_": result.converged,
            "status_": result.status,
            "n_iter_": result.passes,
            "log_likelihood_": result.loglik,
            "objective_": result.objective,
            "trace_": result.trace.objective,
            "starts_": result.starts,
        }

    # --- the fit ---

    def _result(self, model: Plsa, counts: Any, weight: Any, control: Control, seed: int) -> Result:
        variant = variant_of(self.algorithm, self.accelerate)
        if variant.assign.name != "soft":
            raise ValueError(f"algorithm={self.algorithm!r}: topics of tokens are filled in softly; use 'em'")
        self.__dict__.pop("tempering_path_", None)
        if self.tempering is None:
            data = Memory(counts, weight=weight, n_jobs=self.n_jobs)
            starts = self._starts(model, seed)
            if not isinstance(self.init, str):
                self._refuse_impossible(starts[0].make(), counts)
            return fit_starts(model, data, starts, variant, control)
        kept, held = thinned(counts, self.held_out, np.random.default_rng([seed, 0]))
        score = held_out_score(held, weight)
        start = self._starts(model, seed)[0].make()
        data = Memory(kept, weight=weight, n_jobs=self.n_jobs)
        result, _, self.tempering_path_ = tempered(model, data, start, score, float(self.tempering), variant, control)
        return result

    def _starts(self, model: Plsa, seed: int) -> list[Start]:
        if isinstance(self.init, str) and self.init == "random":
            return [
                Start("random", lambda i=i: model.random_start(np.random.default_rng([seed, 1 + i])))  # type: ignore[misc]
                for i in range(self.n_init)
            ]
        if not isinstance(self.init, Mapping) or set(self.init) != {"topics", "documents"}:
            raise ValueError(f"init must be 'random' or dict(topics=..., documents=...), got {self.init!r}")
        given = PlsaParams(*(numbers(self.init[n], f"init[{n!r}]") for n in ("topics", "documents")))
        for name, shape in (("topics", (model.k, model.n_words)), ("documents", (model.n_documents, model.k))):
            value = getattr(given, name)
            if value.shape != shape:
                raise ValueError(f"init[{name!r}] has shape {value.shape}, expected {shape}")
        try:
            model.support(given).check(given)
        except ValueError as error:
            raise ValueError(f"init: {error}") from None
        return [Start("given parameters", lambda: given)]

    def _refuse_impossible(self, params: PlsaParams, counts: Any) -> None:
        lost = np.flatnonzero(mixed(params.documents, params.topics, counts) <= 0)
        if lost.size:
            row = document_of(counts, lost[0])
            word = self._words(None)[counts.indices[lost[0]]]
            raise ValueError(
                f"init gives word {word!r} of document {row} probability zero, which EM never leaves; begin above zero"
            )

    def _ordered(self, result: Result, counts: Any, weight: Any) -> Result:
        """Topics in decreasing weight where the starts were random; documents without tokens with equal shares."""
        params = result.params
        empty = (np.diff(counts.indptr) == 0) | (np.zeros(len(params.documents), dtype=bool) if weight is None else weight == 0)
        documents = params.documents.copy()
        documents[empty] = 1.0 / result.model.k
        params = PlsaParams(params.topics, documents)
        if isinstance(self.init, str):
            order = np.argsort(-self._weights(dataclasses.replace(result, params=params), counts, weight), kind="stable")
            params = result.model.permute(params, order)
        if weight is not None and (absent := np.flatnonzero(empty & (np.diff(counts.indptr) > 0))).size:
            params.documents[absent] = self._folded(counts[absent], dataclasses.replace(result, params=params))
        return dataclasses.replace(result, params=params)

    def _weights(self, result: Result, counts: Any, weight: Any) -> Array:
        tokens = np.asarray(counts.sum(axis=1)).ravel() * (1.0 if weight is None else weight)
        return np.asarray(tokens @ result.params.documents / tokens.sum())

    def _folded(self, counts: Any, result: Result | None = None) -> Array:
        """Shares (documents, K) at which ``counts`` are likeliest under the fitted topics; the likelihood is concave there."""
        fitted = self.result_ if result is None else result
        topics = fitted.params.topics
        if fitted.model.more_words == 0:
            self._refuse_unseen(counts, topics)
        n = counts.shape[0]
        model = dataclasses.replace(fitted.model, n_documents=n, more_words=0.0, times=None, folding=True)
        start = PlsaParams(topics, np.full((n, model.k), 1.0 / model.k))
        if not counts.nnz:
            return start.documents
        data = Memory(counts, n_jobs=self.n_jobs)
        folded = fit(
            model, data, start, dataclasses.replace(variant_of("em", "none"), stop=AllPasses()), max_iter=self.fold_iter
        )
        gain = float(np.diff(folded.trace.objective[-2:]).sum())
        if gain > max(self.tol, 1e-8) * folded.n:
            words = f"PLSA: fold-in still gains {gain:.3g} nats a pass after fold_iter={self.fold_iter} passes; raise it"
            warnings.warn(words, ConvergenceWarning, stacklevel=4)
        return np.asarray(folded.params.documents)

    def _refuse_unseen(self, counts: Any, topics: Array) -> None:
        unseen = np.flatnonzero(topics.sum(axis=0)[counts.indices] <= 0)
        if unseen.size:
            word = self._words(None)[counts.indices[unseen[0]]]
            row = document_of(counts, unseen[0])
            raise ValueError(
                f"X: document {row} holds the word {word!r}, which no training document holds, so no topic can produce it; "
                "leave the column out, or fit with prior='default', which leaves every word a little probability"
            )

    # --- what the user gave ---

    def _smoothing(self) -> tuple[float, float]:
        given = DEFAULT if isinstance(self.prior, str) and self.prior == "default" else self.prior
        if given is None:
            return 0.0, 0.0
        if not isinstance(given, Mapping) or set(given) - set(DEFAULT):
            raise ValueError(f"prior must be None, 'default' or a dict of {sorted(DEFAULT)}, got {self.prior!r}")
        values = {name: float(numbers(given.get(name, 1.0), f"prior[{name!r}]")) for name in DEFAULT}
        for name, value in values.items():
            if not 1.0 <= value < np.inf:
                raise ValueError(f"prior[{name!r}] must be a Dirichlet parameter >= 1 (1 is no prior), got {value:g}")
        return values["words"] - 1.0, values["topics"] - 1.0

    def _check_tempering(self) -> None:
        for name, value in (("tempering", self.tempering), ("held_out", self.held_out)):
            fine = isinstance(value, int | float | np.number) and not isinstance(value, bool) and 0.0 < float(value) < 1.0
            if not fine and not (name == "tempering" and value is None):
                raise ValueError(
                    f"{name} must be a number between 0 and 1{' or None' if name == 'tempering' else ''}, got {value!r}"
                )

    def _words(self, names: Sequence[str] | None) -> list[str]:
        if names is not None:
            if len(names) != self.n_features_in_:
                raise ValueError(f"names has {len(names)} words, expected {self.n_features_in_}, one a column of X")
            return [str(n) for n in names]
        return [str(n) for n in getattr(self, "feature_names_in_", [f"x{j}" for j in range(self.n_features_in_)])]

    def _check_loaded(self, result: Result, columns: dict[str, Any]) -> None:
        """Raise ValueError unless the parameters of a file belong together."""
        model, params = result.model, result.params
        if not isinstance(model, Plsa) or model.k != self.n_topics or params.topics.shape != (model.k, model.n_words):
            raise ValueError("its topics are not those of its settings")
        if params.documents.shape != (model.n_documents, model.k) or columns.get("n_features_in_") != model.n_words:
            raise ValueError("its documents or its words are miscounted")
        if columns.get("topic_weights_", np.empty(0)).shape != (model.k,):
            raise ValueError("its topics are miscounted")
        model.support(params).check(params)

    def __sklearn_clone__(self) -> Any:
        return methods.enclosed(super().__sklearn_clone__())

    def __sklearn_tags__(self) -> Any:
        tags = methods.tags(super().__sklearn_tags__(), COUNTS)
        tags.input_tags.allow_nan = False
        return tags
