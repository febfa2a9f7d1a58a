"""The E-value of a motif that a search has found, and how often shuffled letters hold one as good.

    E-value     ``inference/motif_significance.py``, of the letters of the listed sites and the places there were to choose from
    shuffled    p = (1 + shuffles whose E-value is as small) / (1 + shuffles);  every shuffle is searched as X is

Letters are shuffled within each sequence, among the places where they are known and not masked. Where they are exchangeable
there, all orders are equally probable, that of the data among them, so that P(p <= u) <= u, whatever the search does.

Sources: Hertz & Stormo (1999), Bioinformatics 15:563; Dwass (1957), Annals of Mathematical Statistics 28:181 (permutations).
"""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.protocols import Chunk
from estep.core.record import Array
from estep.estimators.letters import Texts, words_at
from estep.estimators.warnings import ConvergenceWarning
from estep.inference.motif_significance import Significance, significance
from estep.models.motif import Motif
from estep.views.sites import Sites


@dataclasses.dataclass(frozen=True)
class ShuffleTest:
    """What ``MotifFinder.shuffle_test`` found.

    Attributes
    ----------
    pvalue : float
        At least ``1 / (1 + shuffles)``.
    log_evalue : float
        Natural logarithm of the E-value of the sequences as they are: the statistic, small for good motifs.
    shuffled : array (n_shuffles,)
        The same of each shuffle.
    """

    pvalue: float
    log_evalue: float
    shuffled: Array

    def __str__(self) -> str:
        as_good = int((self.shuffled <= self.log_evalue).sum())
        return f"p = {self.pvalue:.3g}: {as_good} of {len(self.shuffled)} shuffles hold a motif as good"


def evalue_of(model: Motif, chunk: Chunk, texts: Texts, weight: Array | None, sites: Sites, widths: int) -> Significance | None:
    """The E-value of the listed ``sites``; None where a weight is no whole number, for there is no such number of sites."""
    times = np.ones(texts.count, dtype=int) if weight is None else np.round(weight).astype(int)
    if weight is not None and not np.array_equal(times, weight):
        return None
    background = texts.frequencies(weight) if model.background is None else model.background
    row, strand = texts.begins[sites.sequence] + sites.start, np.where(sites.strand > 0, 0, 1)
    codes, each = words_at(texts, row, strand, model.width), times[sites.sequence]
    counts = ((codes[:, :, None] == np.arange(model.size)) * each[:, None, None]).sum(axis=0).astype(float)
    text, _ = model.text(model.start(), chunk)
    open = np.isfinite(text.ratios).sum(axis=0).astype(float)
    known = np.repeat(open[text.must], times[np.searchsorted(texts.ends, np.flatnonzero(text.must), side="right")])
    if model.law in ("one", "at most one"):
        told = np.add.reduceat(text.must, texts.begins) > 0
        ways = np.repeat(np.where(told, 0.0, text.summed(open)), times)
        most = 1 if model.law == "one" else 1 + int((ways > 0).sum())
    else:
        ways = np.repeat(np.where(text.must, 0.0, open), np.repeat(times, texts.lengths))
        most = 1 + int((texts.lengths // model.width) @ times)
    return significance(counts, background, ways, int(each.sum()), known, most, widths)


def shuffle_test(self: Any, X: Any, y: Any = None, *, labels: Any = None, n_shuffles: int = 99) -> ShuffleTest:
    """How often shuffled letters hold a motif as good: the search of the first motif, repeated on ``n_shuffles`` shuffles of X.

    It costs ``n_shuffles + 1`` fits. ``p = (1 + shuffles whose E-value is as small) / (1 + n_shuffles)`` is exact where letters
    of a sequence are exchangeable, and unlike the E-value no bound. Known sites stay at their places, and masks where they are.

    Parameters
    ----------
    X, y, labels
        As in ``fit``.
    n_shuffles : int
        19 can reach p = 0.05, 99 p = 0.01.

    Examples
    --------
    >>> import estep
    >>> texts = ["AATTGCACTA", "CTTGCAAGTC", "GATACTTGCA", "TTGCATCCGA"]
    >>> print(estep.MotifFinder(5, n_init=2, random_state=0).shuffle_test(texts, n_shuffles=9))
    p = 0.1: 0 of 9 shuffles hold a motif as good
    """
    from sklearn.base import clone

    from estep.estimators.fitting import seed_of
    from estep.estimators.letters import open_letters, read_texts
    from estep.estimators.settings import require_integer

    require_integer(n_shuffles, "n_shuffles")
    texts = read_texts(X, self.alphabet)
    movable = (open_letters(texts, self.mask, self.unknown) > 0) & (texts.codes >= 0)
    rng = np.random.default_rng([seed_of(self.random_state), n_shuffles])
    found = []
    for codes in (texts.codes, *(shuffled(texts, movable, rng) for _ in range(n_shuffles))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fit = clone(self).set_params(n_motifs=1, progress=False)
            fit.fit(dataclasses.replace(texts, codes=codes), y, labels=labels)
        found.append(fit.motifs_[0].significance.log_evalue)
    null = np.array(found[1:])
    return ShuffleTest((1.0 + float((null <= found[0]).sum())) / (1.0 + n_shuffles), found[0], null)


def shuffled(texts: Texts, movable: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """Codes in which those of ``movable`` letters have changed places within their sequences, all orders equally probable."""
    rows = np.flatnonzero(movable)
    which = np.searchsorted(texts.ends, rows, side="right")
    order = np.lexsort((rng.random(rows.size), which))
    codes = texts.codes.copy()
    codes[rows] = texts.codes[rows[order]]
    return codes
