"""EM for Gaussian mixtures written as slowly as it reads, to compare with. It shares no line with the library.

Rows one by one, each with its own observed block; permitted classes and weights a row; an M-step that moves one free value of
the means at a time, and alternates with the covariances until neither moves.

    table (n, d), NaN missing; weight (n,); allowed (n, k) booleans; weights (k,), means (k, d), covs (k, d, d)
    held: by name, NaN where free; tied: by name, equal integers share a value (means by entry, covariances by component)
"""

import numpy as np


def log_normal(x, mean, cov):
    """log N(x; mean, cov); of nothing observed it is 0."""
    if not len(x):
        return 0.0
    gap = x - mean
    return -0.5 * (len(x) * np.log(2 * np.pi) + np.linalg.slogdet(cov)[1] + gap @ np.linalg.solve(cov, gap))


def log_joint(x, allowed, weights, means, covs):
    """log w_k + log p(observed part of the row | k), -inf where k is forbidden."""
    seen = ~np.isnan(x)
    out = np.full(len(weights), -np.inf)
    for k in np.flatnonzero(allowed):
        out[k] = np.log(weights[k]) + log_normal(x[seen], means[k][seen], covs[k][np.ix_(seen, seen)])
    return out


def loglik(table, weight, allowed, weights, means, covs):
    """Weighted log-likelihood of what was observed."""
    rows = [np.logaddexp.reduce(log_joint(x, a, weights, means, covs)) for x, a in zip(table, allowed, strict=True)]
    return float(np.dot(weight, rows))


def estep(table, weight, allowed, weights, means, covs):
    """Likelihood, and per component the expected count, sum and cross-products of whole rows."""
    k, d = means.shape
    total, count, sums, cross = 0.0, np.zeros(k), np.zeros((k, d)), np.zeros((k, d, d))
    for x, w, a in zip(table, weight, allowed, strict=True):
        logs = log_joint(x, a, weights, means, covs)
        row = np.logaddexp.reduce(logs)
        total += w * row
        o, m = np.flatnonzero(~np.isnan(x)), np.flatnonzero(np.isnan(x))
        for g in np.flatnonzero(a):
            r = w * np.exp(logs[g] - row)
            slope = np.linalg.solve(covs[g][np.ix_(o, o)], covs[g][np.ix_(o, m)]).T
            filled, left = x.copy(), np.zeros((d, d))
            filled[m] = means[g][m] + slope @ (x[o] - means[g][o])
            left[np.ix_(m, m)] = covs[g][np.ix_(m, m)] - slope @ covs[g][np.ix_(o, m)]
            count[g] += r
            sums[g] += r * filled
            cross[g] += r * (np.outer(filled, filled) + left)
    return total, count, sums, cross


def bound_means(means, held, tied):
    """Means with fixed values in place and tied entries at the first of them; the ties, and the values of the fixed ones."""
    ties = tied.get("means", np.arange(means.size).reshape(means.shape))
    values = held.get("means", np.full(means.shape, np.nan))
    fixed = {int(t): float(v) for t, v in zip(ties.ravel(), values.ravel(), strict=True) if not np.isnan(v)}
    means = means.copy()
    for tie in set(ties.ravel().tolist()):
        means[ties == tie] = fixed.get(tie, means[ties == tie][0])
    return means, ties, fixed


def best_means(means, covs, count, average, held, tied):
    """One free value after another at its best, round and round until nothing moves."""
    means, ties, fixed = bound_means(means, held, tied)
    precision = np.linalg.inv(covs)
    for _ in range(10_000):
        before = means.copy()
        for tie in set(ties.ravel().tolist()) - set(fixed):
            slope, curve = 0.0, 0.0
            for k, j in np.argwhere(ties == tie):
                slope += count[k] * precision[k][j] @ (average[k] - means[k])
                curve += sum(count[k] * precision[k][j, i] for h, i in np.argwhere(ties == tie) if h == k)
            means[ties == tie] = means[ties == tie][0] + slope / curve
        if np.abs(means - before).max() < 1e-14:
            return means
    raise AssertionError("the oracle's means did not settle")


def best_weights(count, held):
    """Free weights in proportion to their counts, of what the fixed ones leave."""
    given = held.get("weights", np.full(len(count), np.nan))
    free = np.isnan(given)
    return np.where(free, count / count[free].sum() * (1 - np.nansum(given)), given)


SHAPED = {
    "II": lambda s, n: np.eye(len(s)) * np.trace(s) / (len(s) * n),
    "EI": lambda s, n: np.diag(np.diag(s)) / n,
    "VI": lambda s, n: np.diag(np.diag(s)) / n,
    "EE": lambda s, n: s / n,
    "VV": lambda s, n: s / n,
}


def best_covariances(code, scatter, count, held, tied):
    """For the codes EII VII EEI VVI EEE VVV: scatter over count, pooled over what is tied or equal."""
    given = held.get("covariances", np.full(scatter.shape, np.nan))
    ties = tied.get("covariances", np.arange(len(count)))
    free = np.isnan(given[:, 0, 0])
    out = given.copy()
    for tie in set(ties[free].tolist()):
        members = free & ((ties == tie) if code[0] == "V" else True)
        out[free & (ties == tie)] = SHAPED[code[1:]](scatter[members].sum(axis=0), count[members].sum())
    return out


def mstep(code, means, covs, moments, held, tied):
    """Means given covariances, covariances given means, until neither moves."""
    count, sums, cross = moments
    average = sums / count[:, None]
    for _ in range(1000):
        before = means, covs
        means = best_means(means, covs, count, average, held, tied)
        gap = means - average
        about = cross - count[:, None, None] * average[:, :, None] * average[:, None, :]
        scatter = about + count[:, None, None] * gap[:, :, None] * gap[:, None, :]
        covs = best_covariances(code, scatter, count, held, tied)
        if max(np.abs(means - before[0]).max(), np.abs(covs - before[1]).max()) < 1e-12:
            break
    return best_weights(count, held), means, covs


def em(code, table, weight, allowed, start, held, tied, passes):
    """The likelihood before each pass, and weights, means and covariances after the last."""
    weights, means, covs = start["weights"], bound_means(start["means"], held, tied)[0], start["covariances"]
    trace = []
    for _ in range(passes):
        value, *moments = estep(table, weight, allowed, weights, means, covs)
        trace.append(value)
        weights, means, covs = mstep(code, means, covs, moments, held, tied)
    return np.array(trace), weights, means, covs
