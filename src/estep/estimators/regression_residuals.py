"""Pseudo-residuals of mixtures of regressions and of experts: standard normal where the model holds.

    u_i = sum_k p(k | x_i) F_k(y_i | x_i),   z_i = Phi^{-1}(u_i)          of counts u_i is the mean of F(y_i - 1) and F(y_i)

Residuals about one component's line are none: a row of another component would be far from it. These are about the law of the
response as a whole, weights included, so that they need no classification of the rows.

Source: Zucchini, MacDonald & Langrock (2016), Hidden Markov Models for Time Series, section 6.2 (pseudo-residuals).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from estep.core.record import Array
from estep.estimators.rows import Arguments, Rows, Target
from estep.estimators.seam import read
from estep.families.poisson_regression import PoissonRegression
from estep.inference.free_point import families_of
from estep.inference.scene import prior_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def pseudo_residuals(self: Any, X: Any, y: Any = None, *, offset: Any = None, by: Any = None) -> Array:
    """Normal pseudo-residuals of each response, (n,): standard normal where the model is right; NaN where it is missing.

    Parameters
    ----------
    X, y, offset, by
        As in ``fit``.

    Raises
    ------
    ValueError
        Of responses that are classes, which have no order.
    """
    return residuals_of(self, _rows(self, X, y, offset, by))


def plot_residuals(self: Any, X: Any, y: Any = None, along: Any = None, *, offset: Any = None, by: Any = None) -> Figure:
    """Pseudo-residuals of the responses and their normal Q-Q plot.

    Parameters
    ----------
    X, y, offset, by
        As in ``fit``.
    along : "fitted", name or position, optional
        Along what they are drawn: the expected response, or a column of ``X``; None is the order of the rows.

    Returns
    -------
    matplotlib Figure
    """
    from estep.views.residuals import draw_residuals
    from estep.views.responsibilities import position_of
    from estep.views.words import column_names

    found, names = pseudo_residuals(self, X, y, offset=offset, by=by), column_names(self)
    if along is None:
        return draw_residuals(found, "pseudo-residual of the response")
    if isinstance(along, str) and along == "fitted":
        rows = _rows(self, X, y, offset, by)
        model, params = self.result_.model, self.result_.params
        across, name = (_prior(self, rows) * model.family.means(params.family, rows.x)).sum(axis=1), "expected response"
    else:
        at = position_of(along, names, "along")
        across, name = np.asarray(X.iloc[:, at] if hasattr(X, "iloc") else np.asarray(X)[:, at], dtype=float), names[at]
    return draw_residuals(found, "pseudo-residual of the response", across=across, name=name)


def _rows(self: Any, X: Any, y: Any, offset: Any, by: Any) -> Rows:
    check_is_fitted(self, "result_")
    model = self.result_.model
    return read(self, Arguments(X, y, None, None, by, offset), Target(model.family, model.k, model.k), reset=False)


def _prior(self: Any, rows: Rows) -> Array:
    return prior_of(self.result_.model, self.result_.params, rows.n, rows.given)


def residuals_of(self: Any, rows: Rows) -> Array:
    """Pseudo-residuals (n,) of rows that were read."""
    from scipy.special import ndtri

    model, params = self.result_.model, self.result_.params.family
    y = np.asarray(rows.x[1], dtype=float)
    inner = [f for f in families_of(model) if not hasattr(f, "family_of")]
    if y.ndim > 1 or any(not hasattr(f, "cdf") or getattr(f, "classes", "none") != "none" for f in inner):
        raise ValueError(
            f"pseudo-residuals are of responses on a line of numbers, and {type(model.family).__name__} has none here "
            "(classes, or successes of trials)"
        )
    prior = _prior(self, rows)
    share = (prior * model.family.cdf(params, rows.x)).sum(axis=1)
    if any(isinstance(f, PoissonRegression) for f in inner):
        before = (rows.x[0], np.maximum(y - 1.0, 0.0), *rows.x[2:])
        share = 0.5 * (share + np.where(y >= 1, (prior * model.family.cdf(params, before)).sum(axis=1), 0.0))
    return np.where(np.isnan(y), np.nan, ndtri(share))
