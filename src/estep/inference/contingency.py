"""How well a latent class model fits the table of its items.

    G2 = 2 sum_p n_p log(n_p / m_p)        X2 = sum_p (n_p - m_p)^2 / m_p        over all patterns p of answers
    df = (cells - 1) groups - free parameters
    entropy R2 = 1 - sum_i w_i H_i / (n log k),   H_i = -sum_k r_ik log r_ik
    BVR_jl = X2 of the table of items j and l / ((m_j - 1) (m_l - 1))

symbol   variable                 shape
n_p      weight                   (p,)    how often a pattern was seen
m_p      total exp(log density)   (p,)    how often the model expects it
r        resp                     (p, k)

Patterns that were not seen add nothing to G2 and their m_p to X2. G2 and X2 compare with the saturated table, which needs
complete answers: with missing ones it has no table to fit.

Sources: Goodman (1974), Biometrika 61:215; Linzer & Lewis (2011), Journal of Statistical Software 42(10); Ramaswamy et al.
(1993), Marketing Science 12:103, for the entropy; Vermunt & Magidson (2004), on bivariate residuals.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from estep.core.record import Array


@dataclasses.dataclass(frozen=True)
class TableFit:
    """Fit of the table of answers; a statistic that does not exist is None, and ``why`` says why.

    Attributes
    ----------
    g2, x2 : float or None
        Likelihood-ratio and Pearson statistic against the saturated table.
    df : int or None
        Cells - 1 (in each group) less the free parameters; below zero the model has more parameters than the table has cells.
    g2_p_value, x2_p_value : float or None
        From the chi-squared law with ``df`` degrees of freedom; rough where many expected counts are small.
    patterns, cells : int
        Different patterns seen, and possible.
    sparse : float or None
        Share of the expected counts of the patterns seen that are below 5.
    why : str
        Why a statistic is None; "" where none is.
    """

    g2: float | None
    x2: float | None
    df: int | None
    g2_p_value: float | None
    x2_p_value: float | None
    patterns: int
    cells: int
    sparse: float | None
    why: str = ""

    def __str__(self) -> str:
        if self.df is None or self.g2 is None or self.x2 is None:
            return f"no test against the saturated table: {self.why}"
        lines = [f"{self.patterns} patterns of {self.cells}, {self.df} degrees of freedom"]
        for name, value, p in (("G2", self.g2, self.g2_p_value), ("X2", self.x2, self.x2_p_value)):
            lines.append(f"{name} = {value:.4f}" + ("" if p is None else f", p = {p:.4f}"))
        return "\n".join([*lines, *([self.why] if self.why else [])])


def table_fit(expected: Array, weight: Array, cells: int, groups: int, n_free: int) -> TableFit:
    """The fit of complete patterns: ``expected`` and observed ``weight`` (p,) of each, in ``groups`` tables of ``cells``."""
    total, df = float(weight.sum()), (cells - 1) * groups - n_free
    with np.errstate(divide="ignore"):
        g2 = max(2.0 * float((weight * (np.log(weight) - np.log(expected))).sum()), 0.0)
    unseen = max(total - float(expected.sum()), 0.0)
    x2 = float(((weight - expected) ** 2 / expected).sum()) + unseen
    sparse = float((expected < 5.0).mean())
    p, q = (_upper_tail(g2, df), _upper_tail(x2, df)) if df > 0 else (None, None)
    return TableFit(g2, x2, df, p, q, len(weight), cells, sparse, _degrees(df))


def _degrees(df: int) -> str:
    if df > 0:
        return ""
    if df == 0:
        return "no p value: there are as many free parameters as the table has, so every table is fitted"
    return (
        f"no p value: {-df} more free parameters than the table can tell apart, so they are not identified; "
        "take fewer classes, more items, or fix or tie parameters"
    )


def no_table(patterns: int, cells: int, why: str) -> TableFit:
    """What is said where there is no saturated table."""
    return TableFit(None, None, None, None, None, patterns, cells, None, why)


def _upper_tail(value: float, df: int) -> float:
    from scipy.special import chdtrc

    return float(chdtrc(df, value))


def entropy_r2(resp: Array, weight: Array) -> float:
    """How surely rows belong to one class: 1 where all do, 0 where nothing is known; 1 with a single class.

    >>> entropy_r2(np.array([[1.0, 0.0], [0.5, 0.5]]), np.ones(2))
    0.5
    """
    k = resp.shape[1]
    if k == 1:
        return 1.0
    safe = np.where(resp > 0, resp, 1.0)
    return 1.0 + float(weight @ (safe * np.log(safe)).sum(axis=1)) / (float(weight.sum()) * math.log(k))


def posterior_by_class(resp: Array, weight: Array) -> Array:
    """Mean responsibilities (k, k) of the rows whose most probable class is that of the line; NaN for a class without rows.

    >>> posterior_by_class(np.array([[0.9, 0.1], [0.7, 0.3], [0.0, 1.0]]), np.ones(3)).round(2).tolist()
    [[0.8, 0.2], [0.0, 1.0]]
    """
    k = resp.shape[1]
    own = (np.argmax(resp, axis=1)[:, None] == np.arange(k)) * weight[:, None]
    mass = own.sum(axis=0)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(mass > 0, (own.T @ resp) / mass, np.nan))


def bivariate_residuals(codes: Array, weight: Array, shares: Array, tables: Sequence[Array]) -> Array:
    """Residuals (d, d) of each pair of items, NaN on the diagonal: X2 of their table over its degrees of freedom.

    Well above 1 (3.84 for two answers each): the two items hang together more than the classes explain. Rows where either
    answer is missing are left out of the pair's table. ``shares`` (k,) of the classes; ``tables`` the probabilities (k, m)
    of each item.
    """
    n, d = codes.shape
    out = np.full((d, d), np.nan)
    picture = [_indicator(codes[:, j], table.shape[1]) for j, table in enumerate(tables)]
    for j in range(d):
        for other in range(j):
            seen = (picture[j] * weight[:, None]).T @ picture[other]
            model = np.einsum("k,ka,kb->ab", shares, tables[j], tables[other])
            out[j, other] = out[other, j] = _pearson(seen, seen.sum() * model)
    return out


def _indicator(codes: Array, size: int) -> Array:
    return np.asarray(codes[:, None] == np.arange(size), dtype=float)


def _pearson(seen: Array, expected: Array) -> float:
    df = (seen.shape[0] - 1) * (seen.shape[1] - 1)
    if df == 0 or not seen.sum() > 0:
        return np.nan
    cells = expected > 0
    return float(((seen - expected)[cells] ** 2 / expected[cells]).sum() / df)
