"""Whether rows in sequences follow the fitted law: by the probability of each given those before it.

    u_tj = P(X_tj <= x_tj | x_1 .. x_t-1) = sum_k p(z_t = k | x_1..t-1) F_k(x_tj)

Under the model the u of a column are independent and uniform, whatever the order of the chain. Of counts, u is drawn uniformly
from [P(X < x), P(X <= x)], with numbers that stay the same from data set to data set. Of responses regressed on what came
before (autoregressive chains) F_k is that of y_t given its history, and data sets are drawn at the histories of the rows.

Sources: Diebold, Gunther & Tay (1998), International Economic Review 39:863; Zucchini, MacDonald & Langrock (2016), Hidden
Markov Models for Time Series, section 6.2.2 (forecast pseudo-residuals); Goncalves & Kilian (2004), Journal of Econometrics
123:89 (draws of autoregressions at the histories seen).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from estep.core.protocols import Chunk
from estep.core.record import Array
from estep.core.rows import count
from estep.data.memory import Memory
from estep.inference.distribution import cdf, has_cdf, is_counted
from estep.inference.gaps import Distance, largest_gap
from estep.models.latent import encoded


def no_forecasts(model: Any, x: Any) -> str:
    """Why there are no forecasts of columns; "" where there are."""
    if not hasattr(model.structure, "ahead"):
        return f"{type(model.structure).__name__} has no states ahead (a method ahead(params, logb, chunk))"
    if isinstance(x, tuple):
        return ""
    if not any(has_cdf(model.family, j, x.shape[1]) for j in range(x.shape[1])):
        return f"{type(model.family).__name__} has no distribution function of its own for these columns"
    return ""


def forecasts(model: Any, params: Any, data: Memory) -> Distance:
    """The largest gap, over columns, between the forecast probabilities of the rows and the uniform law."""
    n = count(data.x)
    chunk = Chunk(("forecasts", 0, n), data.x, given=data.given, ends=data.ends)
    block = encoded(model.family, data.x)
    logb = np.asarray(model.family.log_density(params.family, block))
    ahead = model.structure.ahead(params.structure, lambda rows: logb[rows], chunk)
    best = Distance(-1.0, "", {})
    for j, u in _transforms(model.family, params.family, data.x, ahead):
        seen = np.flatnonzero(~np.isnan(u))
        gap, i = largest_gap(u[seen])
        value = gap * float(np.sqrt(len(seen)))
        if value > best.value:
            place = float(u[seen[i]]) if len(seen) else 0.0
            words = (
                f"in column {j} the probabilities of rows given those before them are not uniform: off by {gap:.3f} at their "
                f"{place:.2f} quantile"
            )
            best = Distance(value, words, {"column": j, "gap": gap, "place": place})
    return best


def _transforms(family: Any, params: Any, x: Any, ahead: Array) -> Iterator[tuple[int, Array]]:
    """The u of each column that has them, (n,), NaN where missing; of responses of theirs alone."""
    if isinstance(x, tuple):
        known = (np.where(np.isnan(x[0]), 0.0, x[0]), *x[1:])  # rows without history have no response
        yield 0, np.where(np.isnan(x[1]), np.nan, (ahead * family.cdf(params, known)).sum(axis=1))
        return
    d = x.shape[1]
    for j in range(d):
        if has_cdf(family, j, d):
            yield j, _probabilities(family, params, x[:, j], ahead, j, d)


def _probabilities(family: Any, params: Any, values: Array, ahead: Array, column: int, d: int) -> Array:
    upper = (ahead * cdf(family, params, values, column, d)).sum(axis=1)
    if not is_counted(family, column):
        return np.asarray(upper)
    before = cdf(family, params, np.maximum(values - 1.0, 0.0), column, d)
    lower = np.where(values >= 1, (ahead * before).sum(axis=1), 0.0)
    return np.asarray(lower + np.random.default_rng(column).random(len(values)) * (upper - lower))
