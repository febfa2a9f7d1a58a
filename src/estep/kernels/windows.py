"""Recursions over the windows of sequences of letters: log ratios, one site a sequence or none, any number, expected counts.

    ratio      r_st = sum_{w < W} lr_{s, w, x_{t+w}}                    window at t, read on strand s; -inf where closed
    at most one    Z_st = exp(site + open_t + r_st - log S - top),   top = log(exp(none) + sum exp(site + ...))
    any number     F_0 = 1,   F_t = F_{t-1} stay_{t-1} + F_{t-W} go_{t-W},   B likewise from the end    (relative to background)
                   go_t = lambda V_t sum_s exp(r_st) / S,   stay_t = 1 - lambda V_t,   both 1 and 0 where no window fits
                   Z_st = F_t go_st B_{t+W} / F_L,   stays_t = F_t stay_t B_{t+1} / F_L
    best           the same with the largest term in place of the sum (ties: forward strand, then the first place)
    must           where a site is known to begin, to go on without one has probability 0; the caller closes the windows over it
    counts     N_wa = sum_st Z_st [x_{t+w} = a] on strand 0; on strand 1 column and letter as the caller maps them

Letters are codes 0..m-1; m stands for one that is not known and adds nothing. Sequences lie end to end, ``ends`` (s,).

symbol     variable    shape
lr         logs        (S, W, m + 1)   log f - log f0, zero for the unknown letter
r          ratios      (S, n)
log V      open        (n,)            -inf where no site may begin, the last W - 1 places of a sequence among them
           must        (n,)            booleans
Z          resp        (S, n)

Sources: Lawrence & Reilly (1990), Proteins 7:41; Bailey & Elkan (1994), ISMB 2:28; Durbin et al. (1998), chapter 3.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.kernels.lazy import compiled

Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]


@compiled
def window_ratios(codes: Codes, open: Array, logs: Array, ratios: Array) -> None:
    """Fill ``ratios`` with the log ratio of every window where a site may begin, -inf elsewhere."""
    strands, width, _ = logs.shape
    for t in range(codes.size):
        for s in range(strands):
            total = -math.inf
            if open[t] > -math.inf:
                total = 0.0
                for w in range(width):
                    total += logs[s, w, codes[t + w]]
            ratios[s, t] = total


@compiled
def one_or_none(
    ratios: Array, open: Array, ends: Codes, site: float, none: float, required: Flags, best: bool, resp: Array, sums: Array
) -> int:
    """At most one site a sequence: ``resp`` and per sequence log of the sum (or the largest term), (s, 2): objective, loglik.

    ``site`` and ``none`` are logs of the probabilities of a site and of none; a sequence where none may begin has none for
    sure, unless one is ``required`` (s,). Returns -1, or a sequence that is impossible.
    """
    strands = ratios.shape[0]
    begin = 0
    for j in range(ends.size):
        end = ends[j]
        room = 0.0
        for t in range(begin, end):
            room += math.exp(open[t])
        if room == 0.0:
            if required[j]:
                return j
            resp[:, begin:end] = 0.0
            sums[j, 0] = sums[j, 1] = 0.0
            begin = end
            continue
        shift = site - math.log(room) - math.log(strands)
        left = -math.inf if required[j] else none
        top, at, strand = left, -1, 0
        for s in range(strands):
            for t in range(begin, end):
                value = shift + open[t] + ratios[s, t]
                resp[s, t] = value
                if value > top:
                    top, at, strand = value, t, s
        if top == -math.inf:
            return j
        total = math.exp(left - top)
        for s in range(strands):
            for t in range(begin, end):
                resp[s, t] = math.exp(resp[s, t] - top)
                total += resp[s, t]
        sums[j, 1] = top + math.log(total)
        sums[j, 0] = top if best else sums[j, 1]
        for s in range(strands):
            for t in range(begin, end):
                if best:
                    resp[s, t] = 1.0 if t == at and s == strand else 0.0
                else:
                    resp[s, t] /= total
        begin = end
    return -1


@compiled
def log_add(a: float, b: float) -> float:
    """``log(exp(a) + exp(b))``."""
    if a < b:
        a, b = b, a
    if b == -math.inf:
        return a
    return a + math.log1p(math.exp(b - a))


@compiled
def step_logs(ratios: Array, open: Array, must: Flags, rate: float, t: int) -> tuple[float, float]:
    """Logs of beginning a site at t (over both strands) and of going on without one."""
    if open[t] == -math.inf:
        return -math.inf, -math.inf if must[t] else 0.0
    strands = ratios.shape[0]
    go = ratios[0, t]
    for s in range(1, strands):
        go = log_add(go, ratios[s, t])
    begun = rate * math.exp(open[t])
    stay = math.log1p(-begun) if begun < 1.0 and not must[t] else -math.inf
    return (math.log(begun) if begun > 0.0 else -math.inf) - math.log(strands) + go, stay


@compiled
def any_number(
    ratios: Array, open: Array, must: Flags, ends: Codes, width: int, rate: float, resp: Array, stays: Array, sums: Array
) -> int:
    """Any number of sites that do not overlap: ``resp``, ``stays`` (n,) and per sequence the log-likelihood ratio, (s, 2).

    Returns -1, or a sequence that is impossible.
    """
    strands, begin = ratios.shape[0], 0
    for j in range(ends.size):
        end = ends[j]
        n = end - begin
        ahead, back = np.full(n + 1, -math.inf), np.full(n + 1, -math.inf)
        ahead[0] = 0.0
        for i in range(n):
            if ahead[i] == -math.inf:
                continue
            go, stay = step_logs(ratios, open, must, rate, begin + i)
            ahead[i + 1] = log_add(ahead[i + 1], ahead[i] + stay)
            if go > -math.inf:
                ahead[i + width] = log_add(ahead[i + width], ahead[i] + go)
        if ahead[n] == -math.inf:
            return j
        back[n] = 0.0
        for i in range(n - 1, -1, -1):
            t = begin + i
            go, stay = step_logs(ratios, open, must, rate, t)
            back[i] = stay + back[i + 1]
            stays[t] = math.exp(ahead[i] + stay + back[i + 1] - ahead[n])
            for s in range(strands):
                resp[s, t] = 0.0
            if go > -math.inf:
                base = ahead[i] + math.log(rate) + open[t] - math.log(strands) + back[i + width] - ahead[n]
                for s in range(strands):
                    resp[s, t] = math.exp(base + ratios[s, t])
                back[i] = log_add(back[i], go + back[i + width])
            if open[t] == -math.inf:
                stays[t] = 0.0
        sums[j, 0] = sums[j, 1] = ahead[n]
        begin = end
    return -1


@compiled
def best_number(
    ratios: Array, open: Array, must: Flags, ends: Codes, width: int, rate: float, resp: Array, stays: Array, sums: Array
) -> None:
    """``any_number`` for the best places: ``resp`` and ``stays`` of 0 and 1, ``sums[:, 0]`` the best log ratio."""
    strands, begin = ratios.shape[0], 0
    for j in range(ends.size):
        end = ends[j]
        n = end - begin
        value = np.full(n + 1, -math.inf)
        came = np.full(n + 1, -1)
        value[0] = 0.0
        for i in range(n):
            t = begin + i
            go, stay = -math.inf, 0.0
            strand = 0
            for s in range(strands):
                resp[s, t] = 0.0
                if ratios[s, t] > ratios[strand, t]:
                    strand = s
            if open[t] > -math.inf:
                begun = rate * math.exp(open[t])
                stay = math.log1p(-begun) if begun < 1.0 and not must[t] else -math.inf
                if begun > 0.0:
                    go = math.log(begun) - math.log(strands) + ratios[strand, t]
            stays[t] = 0.0
            if value[i] + stay > value[i + 1]:
                value[i + 1], came[i + 1] = value[i] + stay, -1
            if go > -math.inf and value[i] + go > value[i + width]:
                value[i + width], came[i + width] = value[i] + go, strand
        sums[j, 0] = value[n]
        i = n
        while i > 0:
            if came[i] >= 0:
                i -= width
                resp[came[i + width], begin + i] = 1.0
            else:
                i -= 1
                t = begin + i
                if open[t] > -math.inf:
                    stays[t] = 1.0
        begin = end


@compiled
def thinned(resp: Array, ends: Codes, width: int) -> None:
    """Scale ``resp`` (S, n) so that no window of ``width`` places holds more than one site: MEME's heuristic for any number.

    A place is divided by the largest sum (where above one) of the windows that it lies in.
    """
    strands, begin = resp.shape[0], 0
    for end in ends:
        n = end - begin
        total, sums = np.zeros(n), np.zeros(n)
        for i in range(n):
            for s in range(strands):
                total[i] += resp[s, begin + i]
        for i in range(n):
            for w in range(min(width, n - i)):
                sums[i] += total[i + w]
        for i in range(n):
            most = 1.0
            for w in range(min(width, i + 1)):
                most = max(most, sums[i - w])
            for s in range(strands):
                resp[s, begin + i] /= most
        begin = end


@compiled
def letter_counts(codes: Codes, resp: Array, weight: Array, size: int, width: int) -> Array:
    """Expected letters of each column as read on each strand's own forward text, (S, W, size + 1)."""
    strands, n = resp.shape
    out = np.zeros((strands, width, size + 1))
    for s in range(strands):
        for t in range(n):
            z = resp[s, t] * weight[t]
            if z > 0.0:
                for w in range(width):
                    out[s, w, codes[t + w]] += z
    return out
