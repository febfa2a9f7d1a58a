"""Independent lognormal columns: positive values whose logarithms are normal.

    log x_ij | z_i = k ~ Normal(mu_kj, v_kj)

E-step   log p = -log x - 1/2 log(2 pi v) - (log x - mu)^2 / (2 v),   moments of log x about the column's mean logarithm
M-step   mu = mean log x,   v = mean (log x - mu)^2
prior    imagined rows like the data (columns.py): a normal-inverse-gamma law for (mu, v)

symbol   variable    shape
mu       means       (k, d)    of log x, so exp(mu) is the median of x
v        variances   (k, d)    of log x
c        anchor      (d,)      the column's mean logarithm

Counts, anchor and digits: dispersion.py.  Source: Johnson, Kotz & Balakrishnan (1994), Continuous Univariate Distributions,
volume 1, chapter 14.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array, record
from estep.core.support import Positive, Real
from estep.families import columns, dispersion

HALF_LOG_2PI = 0.5 * float(np.log(2.0 * np.pi))


@record
class LogNormalParams:
    """``means`` and ``variances`` of log x, (k, d) each."""

    means: Array
    variances: Array


@dataclasses.dataclass(frozen=True)
class LogNormal:
    """Positive values, independent given the component: ``log x_j ~ Normal(mu_j, v_j)``.

    Parameters
    ----------
    overall, anchor
        Set by ``bind``.

    Raises
    ------
    ValueError
        On values that are not above zero, and on a column without values or with one value only.

    Examples
    --------
    >>> family = dataclasses.replace(LogNormal(), anchor=np.array([0.0]))
    >>> params = LogNormalParams(np.array([[0.0]]), np.array([[1.0]]))
    >>> family.log_density(params, family.encode(np.array([[1.0]]))).round(12).tolist()  # -log sqrt(2 pi)
    [[-0.918938533205]]
    """

    overall: Array | None = None
    anchor: Array | None = None
    names: ClassVar[tuple[str, ...]] = ("means", "variances")
    entries: ClassVar[Mapping[str, Any]] = {"means": Real, "variances": Positive}
    nonnegative: ClassVar[bool] = True
    law: ClassVar[dispersion.DispersionLaw] = dispersion.QUADRATIC
    law_place: ClassVar[float] = 0.0
    precision_name: ClassVar[str] = "variances"
    width_words: ClassVar[str] = "its variance of log x fell to"

    def centre(self, mean: Array, log_mean: Array) -> Array:
        """The anchor of each column: its mean logarithm."""
        return log_mean

    def units(self, x: Array) -> Array:
        """``log x`` about the anchor."""
        return np.asarray(np.log(x) - dispersion.anchor_of(self))

    def carrier(self, x: Array) -> Array:
        """``-log x - log sqrt(2 pi)``."""
        return -np.log(x) - HALF_LOG_2PI

    def place(self, params: LogNormalParams) -> tuple[Array, Array]:
        """Mean about the anchor, and precision."""
        return params.means - dispersion.anchor_of(self), 1.0 / params.variances

    def params_of(self, place: Array, precision: Array) -> LogNormalParams:
        """Parameters with that mean (about the anchor) and precision."""
        return LogNormalParams(place + dispersion.anchor_of(self), 1.0 / precision)

    def chain(self, params: LogNormalParams, by_place: Array, by_precision: Array) -> dict[str, Array]:
        """Gradient in means and variances."""
        return {"means": by_place, "variances": -by_precision / params.variances**2}

    def features(self, x: Array) -> Array:
        """Rows as start rules see them: logarithms."""
        return np.log(dispersion.positive(np.asarray(x, dtype=float), "LogNormal"))

    def sample(self, params: LogNormalParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """One row for each label."""
        z = rng.standard_normal((labels.size, params.means.shape[1]))
        return np.asarray(np.exp(params.means[labels] + z * np.sqrt(params.variances)[labels]))

    def cdf(self, params: LogNormalParams, x: Array) -> Array:
        """``P(X <= x)`` of a single column, (n, k); NaN where missing."""
        from scipy.special import ndtr

        with np.errstate(divide="ignore"):
            log_x = np.log(np.maximum(np.asarray(x, dtype=float), 0.0))
        return np.asarray(ndtr((log_x - params.means[:, 0]) / np.sqrt(params.variances[:, 0])))

    bind = dispersion.bind
    terms = dispersion.terms
    coefficients = dispersion.coefficients
    gradient = dispersion.gradient
    guess = dispersion.guess
    maximise = dispersion.maximise
    dying = dispersion.dying
    frail = dispersion.frail
    start = columns.start
    encode = columns.encode
    log_density = columns.log_density
    stats = columns.stats
    fit = columns.fit
    q = columns.q
    score = columns.score
    unit_scores = columns.unit_scores
    support = columns.support
    prior = columns.prior
    rows_in = columns.rows_in
    width = columns.width
    expose = columns.expose
    adopt = columns.adopt
    adopt_ties = columns.adopt_ties
    seat = columns.seat
