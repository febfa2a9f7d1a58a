"""Motifs in sequences as a scikit-learn style estimator."""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils.validation import check_is_fitted

from estep.core.protocols import Chunk
from estep.core.record import Array
from estep.core.result import Result
from estep.data.meme import information
from estep.engine.passing import passing_result
from estep.engine.presets import variant_of
from estep.engine.run import Control
from estep.estimators import methods
from estep.estimators.fitting import seed_of
from estep.estimators.letter_prior import letter_prior
from estep.estimators.letters import Texts, open_letters, open_places, read_again, read_sequence_weight, read_texts
from estep.estimators.motif_evalue import shuffle_test
from estep.estimators.motif_labels import Flags, read_sites
from estep.estimators.motif_methods import check_loaded, sample
from estep.estimators.motif_search import FoundMotif, Search, criteria_of, motifs_of, sites_of
from estep.estimators.motif_settings import begin_of, check_motif, held_of, law_of, told_background, widths_of
from estep.estimators.settings import check_settings
from estep.estimators.warnings import warn_of
from estep.estimators.watching import watcher
from estep.models.motif import Motif
from estep.views.sites import Sites

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class MotifFinder(CallbackSupportMixin, BaseEstimator):
    """A short pattern, or several, that sequences share at places that are not known.

    ``letter w of a site ~ pwm[w],  letters elsewhere ~ background``; EM over the places of sites.

    Parameters
    ----------
    width : int, range, list of int, or text such as "8:24"
        Letters of the motif; of several the best by ``criterion``.
    sites : "one", "at most one", "any" or "any (windows)"
        How many a sequence has (also "oops", "zoops", "anr", "tcm"). "any" is a chain of background and motif, exact; "any
        (windows)" is MEME's mixture of windows with scaled posteriors, a heuristic whose objective may fall.
    n_motifs : int
        Motifs, one after another; letters in sites of the earlier are closed in proportion to their probability. Fewer are
        found, with a warning, where these leave no room.
    strands : "forward" or "both"
        Whether sites may lie on the other strand, with the reversed complement of the same motif.
    palindrome : bool
        The motif equals its reversed complement: columns are tied in pairs.
    background : "fit", "frequencies" or array (m,)
        Letter probabilities outside sites: fitted to what lies outside, held at the frequencies of all letters, or at these.
    beta : number
        Letters imagined in every column, in the proportions of all letters (Dirichlet smoothing).
    prior : None or dict
        Prior of the columns, beside ``beta``: ``dict(strength=s)`` and ``dict(alpha=a)`` as those of ``Categorical``, or a
        mixture of Dirichlet laws, ``dict(weights=(J,), alphas=(J, m))``, where columns come in kinds.
    alphabet : "auto", "dna", "rna", "protein", a text of letters, or Alphabet
        Ambiguity codes such as N stand for unknown letters, which say nothing.
    mask : None, "lower" or list of boolean arrays
        Letters on which no site may lie: those in lower case, or the ones that are True.
    unknown : "missing" or "forbid"
        Whether a site may cover unknown letters.
    criterion : "bic" or "aic"
        Chooses the width.
    shifts : int
        How many letters either way a fitted motif is shifted and fitted again; 0 leaves that out.
    n_init : int
        Words from which runs begin: the best, after one EM step, of all that occur, half of them from softer seeds.
    init : "words" or dict
        ``dict(pwm=(W, m))``, and if need be ``background`` and ``site_probability``, is used once, as given.
    fixed : dict or None
        ``dict(pwm=(W, m))`` with NaN at the free entries.
    algorithm, accelerate, tol, max_iter, random_state, n_jobs, progress
        As in ``Mixture``; "cem" puts every site at its best place. ``tol`` is nats a letter.

    Attributes
    ----------
    pwm_ : array (W, m)
        Letter probabilities of the first motif; ``consensus_``, ``width_``, ``information_`` (bits) and
        ``column_information_`` (W,) say more of it.
    background_ : array (m,)
    site_probability_ : number
        That a sequence has a site ("at most one"), or that one begins at a place ("any"); else 1.
    sites_ : Sites
        Where the sites lie; print it, or ``sites_.to_frame()``.
    motifs_ : tuple
        All motifs, each with ``pwm`` (for ``estep.data.write_meme``), ``sites``, ``n_sites``, ``bic``, ``aic``,
        ``significance`` and ``result``.
    evalue_ : number
        Motifs as good that letters of the background are expected to hold, at most (of the first; ``motifs_`` have their
        ``significance``); NaN where weights are no whole numbers. ``shuffle_test`` is sharper, and takes time.
    widths_ : list of dict
        What each width of the first motif gave.
    letters_ : tuple of str
    converged_, status_, n_iter_, log_likelihood_, objective_, trace_, starts_, result_
        How the run of the first motif ended; ``log_likelihood_`` is that of all letters, in nats.

    Examples
    --------
    >>> import estep
    >>> texts = ["AATTGCACTA", "CTTGCAAGTC", "GATACTTGCA", "TTGCATCCGA"]
    >>> fit = estep.MotifFinder(5, random_state=0).fit(texts)
    >>> fit.consensus_, fit.sites_.start.tolist()
    ('TTGCA', [2, 1, 5, 0])
    """

    def __init__(
        self,
        width: Any = 8,
        *,
        sites: str = "one",
        n_motifs: int = 1,
        strands: str = "forward",
        palindrome: bool = False,
        background: Any = "fit",
        beta: float = 0.01,
        prior: Any = None,
        alphabet: Any = "auto",
        mask: Any = None,
        unknown: str = "missing",
        criterion: str = "bic",
        shifts: int = 3,
        n_init: int = 20,
        init: Any = "words",
        fixed: Any = None,
        algorithm: Any = "em",
        accelerate: Any = "auto",
        tol: float = 1e-8,
        max_iter: int = 1000,
        random_state: Any = None,
        n_jobs: int | None = None,
        progress: bool = False,
    ) -> None:
        self.width = width
        self.sites = sites
        self.n_motifs = n_motifs
        self.strands = strands
        self.palindrome = palindrome
        self.background = background
        self.beta = beta
        self.prior = prior
        self.alphabet = alphabet
        self.mask = mask
        self.unknown = unknown
        self.criterion = criterion
        self.shifts = shifts
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
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None) -> MotifFinder:
        """Fit to the sequences ``X``.

        Parameters
        ----------
        X : list of str, list of integer arrays, dict, str or Path
            Sequences; codes are 0, 1, ... with -1 for unknown; a path names a FASTA file. Sequences that are shorter than the
            motif have no site, and are refused, by name, where each must have one.
        y : list or array (s,), or None
            Known sites of the first motif: of each sequence the place of its first letter, from 0, ``(place, "-")`` on the
            other strand, a list of them where there may be any number, or None (-1, NaN) where nothing is known.
        sample_weight : array (s,) or None
            Frequency of each sequence; 0 is absent.
        labels : list (s,) or None
            Instead of ``y`` the places where sites may begin at most: a collection for each sequence, or None for all.
            The log-likelihood is then that of letters and labels together.
        """
        check_settings(self)
        check_motif(self)
        texts = read_texts(X, self.alphabet)
        letters, weight = open_letters(texts, self.mask, self.unknown), read_sequence_weight(sample_weight, texts.count)
        told = read_sites(y, labels, texts, law_of(self.sites), 1 + (self.strands == "both"))
        if weight is not None and not (weight > 0).all():
            rows = np.repeat(weight > 0, texts.lengths)
            letters, told = letters[rows], None if told is None else told[rows]
            texts, weight = texts.kept(weight > 0), weight[weight > 0]
        now: list[Motif] = []
        with watcher(self, X, y, lambda state: self.published_as(passing_result(now[-1], state))) as watch:
            control = Control(tol=self.tol, max_iter=self.max_iter, watch=watch, catch=not getattr(self, "_enclosed", False))
            found, widths = self._search(texts, weight, letters, told, control, now)
        self.alphabet_ = texts.alphabet
        self.motif_results_ = tuple(dataclasses.replace(each.result, state=None) for each in found)
        for name, value in self.published_as(self.motif_results_[0]).items():
            setattr(self, name, value)
        self.motifs_, self.sites_ = tuple(found), found[0].sites
        self.evalue_ = float("nan") if found[0].pwm.evalue is None else found[0].pwm.evalue
        self.widths_ = [
            {"width": w.pwm.width, "log_likelihood": w.result.loglik, "n_sites": w.n_sites, "bic": w.bic, "aic": w.aic}
            for w in widths
        ]
        for each in found:
            warn_of(each.result, type(self).__name__)
        return self

    def find_sites(self, X: Any) -> Sites:
        """The sites of the first motif in sequences ``X``."""
        texts, chunk = self._chunk(X)
        return sites_of(self.result_.model, self.result_.params, chunk, texts)

    def predict(self, X: Any) -> NDArray[np.intp]:
        """Of every letter, all sequences end to end, the most probable column of the motif, or -1 for background, (n,)."""
        path = self._explained(X)[1].path
        return np.where(path == self.width_, -1, path)

    def predict_proba(self, X: Any) -> Array:
        """Of every letter the probability of each column of the motif, and last that of background, (n, W + 1)."""
        return np.asarray(self._explained(X)[1].resp)

    def score_samples(self, X: Any) -> Array:
        """Log-likelihood of each sequence, (s,), in nats."""
        texts, out = self._explained(X)
        return np.asarray(out.log_density[texts.ends - 1])

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Mean log-likelihood of a letter, in nats."""
        texts, each = read_again(X, self._alphabet()), self.score_samples(X)
        weight = read_sequence_weight(sample_weight, texts.count)
        weight = np.ones(texts.count) if weight is None else weight
        return float(weight @ each / (weight @ texts.lengths))

    def bic(self, X: Any) -> float:
        """``-2 L + p_motif log(expected sites) + p_rest log(letters)``; lower is better."""
        return self._criteria(X)[0]

    def aic(self, X: Any) -> float:
        """``-2 L + 2 p``; lower is better."""
        return self._criteria(X)[1]

    def summary(self) -> str:
        """The motifs in words: how the search ended, letters of the columns, information, the first sites. Print it."""
        check_is_fitted(self, "result_")
        from estep.views.motifs import motifs_text

        return motifs_text(self)

    def plot(self, X: Any = None) -> Figure:
        """The logo of the motif; with sequences ``X``, also where their sites lie."""
        check_is_fitted(self, "result_")
        from estep.views.logo import plot_motif

        if X is None:
            return plot_motif(self)
        texts = read_again(X, self._alphabet())
        return plot_motif(self, self.find_sites(texts), texts.names, texts.lengths)

    save = methods.save
    sample = sample
    shuffle_test = shuffle_test
    _check_loaded = check_loaded

    def published_as(self, result: Result) -> dict[str, Any]:
        """The fitted attributes that follow from a result."""
        model, params = result.model, result.params
        pwm = model.columns(params)
        bits = information(pwm, params.background)
        known = self.__dict__.get("alphabet_")
        return {
            "result_": result,
            "params_": {"pwm": pwm, "background": params.background, "site_probability": float(params.shares[0])},
            "pwm_": pwm,
            "background_": params.background,
            "site_probability_": float(params.shares[0]),
            "width_": model.width,
            "column_information_": bits,
            "information_": float(bits.sum()),
            **({} if known is None else {"letters_": known.letters, "consensus_": known.decode(pwm.argmax(axis=1))}),
            "converged_": result.converged,
            "status_": result.status,
            "n_iter_": result.passes,
            "log_likelihood_": result.loglik,
            "objective_": result.objective,
            "trace_": result.trace.objective,
            "starts_": result.starts,
        }

    # --- the fit ---

    def _search(
        self, texts: Texts, weight: Array | None, letters: Array, told: Flags | None, control: Control, now: list[Motif]
    ) -> tuple[list[FoundMotif], list[FoundMotif]]:
        """The motifs, and what each width of the first gave; ``now`` is told which model is being fitted."""
        law, frequencies = law_of(self.sites), texts.frequencies(weight)
        background = told_background(self.background, frequencies)
        extra, mixture = letter_prior(self.prior, frequencies if background is None else background)
        imagined = float(self.beta) * (frequencies if background is None else background) + extra

        def make(width: int) -> Motif:
            model = Motif(
                width,
                texts.alphabet.size,
                law,
                texts.alphabet.complement,
                both_strands=self.strands == "both",
                palindrome=bool(self.palindrome),
                background=background,
                imagined=imagined,
                held=held_of(self.fixed, width, texts.alphabet.size),
                mixture=mixture,
            )
            now.append(model)
            return model

        widths = widths_of(self.width)
        heuristic = make(widths[0]).sites.certificate
        variant = variant_of(self.algorithm, "none" if heuristic == "heuristic" else self.accelerate)
        init = begin_of(self.init, make(widths[0]), frequencies if background is None else background, len(widths))
        search = Search(
            texts, weight, letters, make, init, self.n_init, int(self.shifts),
            dataclasses.replace(variant, certificate=heuristic), control, seed_of(self.random_state), self.n_jobs, told,
        )  # fmt: skip
        found, first, full = motifs_of(search, widths, self.criterion, self.n_motifs)
        if full:
            words = f"{len(found)} of n_motifs={self.n_motifs} motifs were found, since their sites leave no room for more"
            warnings.warn(f"{type(self).__name__}: {words} ({full})", UserWarning, stacklevel=5)
        return found, first

    # --- sequences to and fro ---

    def _alphabet(self) -> Any:
        check_is_fitted(self, "result_")
        return self.alphabet_

    def _chunk(self, X: Any) -> tuple[Texts, Chunk]:
        texts = read_again(X, self._alphabet())
        masks = self.mask if isinstance(self.mask, str) else None
        letters = open_letters(texts, masks, self.unknown)
        open = open_places(letters, texts.ends, self.width_)
        chunk = Chunk(("memory", 0, len(texts.codes)), texts.codes, open, ends=texts.ends)
        model = self.result_.model
        closed = np.isneginf(np.maximum.reduceat(open, texts.begins))
        if model.sites.needs_room and closed.any():
            raise ValueError(
                f"{texts.named(closed)} cannot hold a site of {self.width_} letters, and every sequence has one; leave it out"
            )
        return texts, chunk

    def _explained(self, X: Any) -> tuple[Texts, Any]:
        texts, chunk = self._chunk(X)
        return texts, self.result_.model.explain(self.result_.params, chunk)

    def _criteria(self, X: Any) -> tuple[float, float]:
        texts, chunk = self._chunk(X)
        model, params = self.result_.model, self.result_.params
        n_sites = float(model.posteriors(params, chunk).resp.sum())
        loglik = float(model.explain(params, chunk).log_density.sum())
        return criteria_of(self.result_, n_sites, loglik, float(len(texts.codes)))

    def __sklearn_clone__(self) -> Any:
        return methods.enclosed(super().__sklearn_clone__())
