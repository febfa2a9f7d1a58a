"""Whether a motif is more than chance: how many alignments as good are expected among letters drawn from the background.

    statistic   G = sum_w sum_a n_wa log(n_wa / (n_w b_a)),   n_wa the letters a in column w of the sites that were found
    law         under the null every letter is drawn from b by itself, so G is a sum of W independent likelihood ratios of
                multinomials with n_w draws;   M_n(t) = E exp(t G_column) is exact, by a product of polynomials, one a letter
    p-value     P(G >= g) <= min_t prod_w M_{n_w}(t) e^{-t g}                                              (Chernoff's bound)
    E-value     p  x  alignments  x  numbers of sites  x  widths:   how many alignments that the search might have reported are
                expected to have so small a p

An alignment is a choice of places. Under the null each has the law of G, however much they overlap, so the E-value is above
the expected count, and a search of background letters reports an E-value of at most e with probability at most e, however it
searched and wherever it ended. It is far less in truth: alignments that share sites are counted as if they were all different.

alignments  one site           prod_j (places of sequence j, both strands)
            at most one        e_n(places) <= C(s, n) mean(places)^n                          (Maclaurin's inequality)
            any number         C(places, n) strands^n, whether or not sites overlap
            A known site is one choice, and no more.

The null has no words that come often and no neighbours that like each other; where sequences have (repeats, CpG), shuffle them
instead (``shuffle_test``) or mask repeats. b are the frequencies of all letters, sites included, or what the user gave. A motif
that is looked for after others were erased has as many alignments as if they were not there.

symbol   variable   shape
n        counts     (W, m)

Sources: Hertz & Stormo (1999), Bioinformatics 15:563; Bailey & Elkan (1995), Machine Learning 21:51; Chernoff (1952), Annals of
Mathematical Statistics 23:493.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from estep.core.record import Array

STEEPEST = 64.0
"""The largest t that is tried: beyond, the bound is that of the largest G alone."""
LONG = 2048
"""Draws from which polynomials are multiplied by Fourier transform."""


@dataclasses.dataclass(frozen=True)
class Significance:
    """What a motif's E-value is made of, natural logarithms.

    Attributes
    ----------
    llr : float
        Log-likelihood ratio of the sites' columns against the background, in nats.
    n_sites : int
    log_pvalue : float
        Of that ratio in one given alignment, at most.
    log_alignments : float
        Alignments of so many sites, at most.
    site_counts, widths : int
        Numbers of sites and widths that the search could have ended with.
    """

    llr: float
    n_sites: int
    log_pvalue: float
    log_alignments: float
    site_counts: int = 1
    widths: int = 1

    @property
    def log_evalue(self) -> float:
        """Natural logarithm of the E-value."""
        return self.log_pvalue + self.log_alignments + math.log(self.site_counts) + math.log(self.widths)

    @property
    def evalue(self) -> float:
        """Alignments as good that background letters are expected to hold, at most; 0 and inf beyond the range of floats."""
        return math.exp(self.log_evalue) if self.log_evalue < 709.0 else math.inf

    def __str__(self) -> str:
        power = self.log_evalue / math.log(10.0)
        whole = math.floor(power)
        digits = f"{10.0 ** (power - whole):.1f}"
        return f"1.0e{whole + 1:+03d}" if digits == "10.0" else f"{digits}e{whole:+03d}"


def significance(
    counts: Array,
    background: Array,
    ways: Array,
    n_sites: int,
    known: Array | None = None,
    site_counts: int = 1,
    widths: int = 1,
) -> Significance:
    """The E-value of an alignment of ``n_sites`` sites.

    Parameters
    ----------
    counts : array (W, m)
        Letters of each column, whole numbers; where letters are unknown they add up to less than the sites.
    background : array (m,)
    ways : array (u,)
        For every sequence (or every place, where there may be any number of sites) the places and strands to choose from.
    n_sites : int
    known : array or None
        Of sites whose places were known, and which are not in ``ways``, the strands to choose from.
    site_counts, widths : int
        How many numbers of sites, and widths, were possible.

    Examples
    --------
    >>> counts = np.array([[6, 0, 0, 0], [0, 0, 6, 0], [0, 6, 0, 0], [0, 0, 0, 6.0]])
    >>> found = significance(counts, np.full(4, 0.25), np.full(6, 10.0), 6)
    >>> print(round(found.llr, 3), found)  # 4 columns of 6 equal letters: (4 / 4^6)^4 10^6
    33.271 9.1e-07
    """
    llr = likelihood_ratio(counts, background)
    log_p = log_tail_bound(llr, counts.sum(axis=1), background)
    held = np.zeros(0) if known is None else known
    choices = log_choices(ways, n_sites - len(held)) + float(np.log(held).sum())
    return Significance(llr, n_sites, log_p, choices, site_counts, widths)


def likelihood_ratio(counts: Array, background: Array) -> float:
    """``sum n log(n / (n_w b))`` over columns and letters, in nats (0 log 0 = 0)."""
    total = counts.sum(axis=1, keepdims=True)
    held = counts > 0
    expected = np.where(held, total * background, 1.0)
    return float((counts * np.log(np.where(held, counts, 1.0) / expected)).sum())


def log_choices(ways: Array, n: int) -> float:
    """Log of how many ways there are to choose ``n`` of the units and a place in each; exact where all units are chosen."""
    held = np.asarray(ways, dtype=float)[np.asarray(ways) > 0]
    if n == len(held):
        return float(np.log(held).sum())
    if not 0 <= n < len(held):
        return -math.inf
    units = math.lgamma(len(held) + 1) - math.lgamma(n + 1) - math.lgamma(len(held) - n + 1)
    return units + n * math.log(float(held.mean()))


def log_tail_bound(llr: float, draws: Array, background: Array) -> float:
    """Log of Chernoff's bound on P(G >= llr) for columns of ``draws`` (W,) letters each; at most 0."""
    from scipy.optimize import minimize_scalar

    sizes, columns = np.unique(np.asarray(draws, dtype=int), return_counts=True)

    def exponent(t: float) -> float:
        return float(sum(c * log_moment(n, background, t) for n, c in zip(sizes.tolist(), columns, strict=True))) - t * llr

    steep = 1.0
    while steep < STEEPEST and exponent(2.0 * steep) < exponent(steep):
        steep *= 2.0
    found = minimize_scalar(exponent, bounds=(0.0, 2.0 * steep), method="bounded", options={"xatol": 1e-6 * steep})
    return min(float(found.fun), exponent(steep), 0.0)


def log_moment(n: int, background: Array, t: float) -> float:
    """``log E exp(t G)`` of one column of ``n`` letters from the background: exact but for rounding.

    ``n! [z^n] prod_a sum_j b_a^j / j! (j / (n b_a))^(t j) z^j``; z is scaled so that what counts stays in range: to the
    peak of the terms where they have one (t <= 1), else to equal ends for the rarest letter, which has the largest term.

    Examples
    --------
    >>> round(log_moment(2, np.array([0.5, 0.5]), 1.0), 6)  # 1/4 (4 + 2 + 4) on two letters: AA, AB or BA, BB
    0.916291
    """
    from scipy.special import gammaln

    if n == 0:
        return 0.0
    b = np.asarray(background, dtype=float)[np.asarray(background) > 0]
    j = np.arange(n + 1.0)
    logs = j * np.log(b)[:, None] - gammaln(j + 1.0)
    logs[:, 1:] += t * j[1:] * np.log(j[1:] / (n * b[:, None]))
    rarest = int(b.argmin())
    slope = t - math.log(n) if t <= 1.0 else float(logs[rarest, -1] - logs[rarest, 0]) / n
    logs -= slope * j
    tops = logs.max(axis=1, keepdims=True)
    terms = np.exp(logs - tops)
    scale, product = float(tops.sum()), terms[0]
    for term in terms[1:-1]:
        product = multiplied(product, term)
        scale += math.log(float(product.max()))
        product = product / product.max()
    value = float(product @ terms[-1][::-1]) if len(terms) > 1 else float(product[-1])
    return math.log(value) + scale + slope * n + math.lgamma(n + 1)


def multiplied(one: Array, other: Array) -> Array:
    """The product of two polynomials of nonnegative coefficients, cut off at their length."""
    if len(one) < LONG:
        return np.asarray(np.convolve(one, other)[: len(one)])
    from scipy.signal import fftconvolve

    return np.asarray(np.maximum(fftconvolve(one, other)[: len(one)], 0.0))
