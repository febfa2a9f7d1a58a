"""Independent inverse Gaussian columns: times at which a drifting Brownian motion first reaches a level.

    x_ij | z_i = k ~ InverseGaussian(mean mu_kj, shape lambda_kj),    variance mu^3 / lambda

E-step   log p = 1/2 log(lambda / (2 pi x^3)) - lambda (x - mu)^2 / (2 mu^2 x)
M-step   mu = mean x,   1 / lambda = mean(1 / x) - 1 / mu
prior    imagined rows with the mean and the mean reciprocal of the data (columns.py)

symbol   variable   shape
mu       means      (k, d)
lambda   shapes     (k, d)    in units of x
c        anchor     (d,)      the column's mean

Counts, anchor and digits: dispersion.py (place mu / c, precision lambda / c).  Source: Tweedie (1957), Ann. Math. Statist.
28:362; Folks & Chhikara (1978), J. R. Statist. Soc. B 40:263.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array, record
from estep.core.support import Positive
from estep.families import columns, dispersion


@record
class InverseGaussianParams:
    """``means`` and ``shapes``, (k, d) each."""

    means: Array
    shapes: Array


@dataclasses.dataclass(frozen=True)
class InverseGaussian:
    """Positive values, independent given the component: ``p(x) = prod_j sqrt(l / (2 pi x^3)) exp(-l (x - m)^2 / (2 m^2 x))``.

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
    >>> family = dataclasses.replace(InverseGaussian(), anchor=np.array([1.0]))
    >>> params = InverseGaussianParams(np.array([[1.0]]), np.array([[1.0]]))
    >>> family.log_density(params, family.encode(np.array([[1.0]]))).round(12).tolist()  # -log sqrt(2 pi)
    [[-0.918938533205]]
    """

    overall: Array | None = None
    anchor: Array | None = None
    names: ClassVar[tuple[str, ...]] = ("means", "shapes")
    entries: ClassVar[Mapping[str, Any]] = {"means": Positive, "shapes": Positive}
    nonnegative: ClassVar[bool] = True
    law: ClassVar[dispersion.DispersionLaw] = dispersion.INVERSE_GAUSSIAN
    law_place: ClassVar[float] = 1.0
    precision_name: ClassVar[str] = "shapes"
    width_words: ClassVar[str] = "its squared coefficient of variation (mean / shape) fell to"

    def centre(self, mean: Array, log_mean: Array) -> Array:
        """The anchor of each column: its mean."""
        return mean

    def units(self, x: Array) -> Array:
        """``x`` in units of the anchor."""
        return x / dispersion.anchor_of(self)

    def carrier(self, x: Array) -> Array:
        """``1/2 log(c / (2 pi x^3))``."""
        return 0.5 * np.log(dispersion.anchor_of(self) / (2.0 * np.pi)) - 1.5 * np.log(x)

    def place(self, params: InverseGaussianParams) -> tuple[Array, Array]:
        """Mean and shape in units of the anchor."""
        return params.means / dispersion.anchor_of(self), params.shapes / dispersion.anchor_of(self)

    def params_of(self, place: Array, precision: Array) -> InverseGaussianParams:
        """Parameters with that mean and shape, both in units of the anchor."""
        return InverseGaussianParams(place * dispersion.anchor_of(self), precision * dispersion.anchor_of(self))

    def chain(self, params: InverseGaussianParams, by_place: Array, by_precision: Array) -> dict[str, Array]:
        """Gradient in means and shapes."""
        return {"means": by_place / dispersion.anchor_of(self), "shapes": by_precision / dispersion.anchor_of(self)}

    def features(self, x: Array) -> Array:
        """Rows as start rules see them: logarithms."""
        return np.log(dispersion.positive(np.asarray(x, dtype=float), "InverseGaussian"))

    def sample(self, params: InverseGaussianParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """One row for each label."""
        return rng.wald(params.means[labels], params.shapes[labels])

    def cdf(self, params: InverseGaussianParams, x: Array) -> Array:
        """``P(X <= x)`` of a single column, (n, k); NaN where missing."""
        from scipy.special import log_ndtr, ndtr

        x = np.maximum(np.asarray(x, dtype=float), np.finfo(float).tiny)
        mu, shape = params.means[:, 0], params.shapes[:, 0]
        root = np.sqrt(shape / x)
        tail = np.exp(np.minimum(2.0 * shape / mu + log_ndtr(-root * (x / mu + 1.0)), 0.0))
        return np.asarray(ndtr(root * (x / mu - 1.0)) + tail)

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
