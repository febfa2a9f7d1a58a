"""Independent gamma columns: positive values whose spread grows with their mean.

    x_ij | z_i = k ~ Gamma(shape a_kj, rate b_kj),    mean a / b, squared coefficient of variation 1 / a

E-step   log p = -log x - A(a) - a D(x / c; m),   m = a / (b c),   D(t; m) = t/m - 1 - log(t/m)
M-step   a / b = mean x;   log a - psi(a) = log mean - mean log, by Newton from Minka's start
prior    imagined rows with the mean and the mean logarithm of the data (columns.py)

symbol   variable   shape
a        shapes     (k, d)
b        rates      (k, d)    per unit of x
c        anchor     (d,)      the column's mean

Counts, anchor and digits: dispersion.py.  Sources: Minka (2002), Estimating a Gamma distribution; Wiper, Rios Insua & Ruggeri
(2001), J. Comput. Graph. Statist. 10:440, for mixtures.
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
class GammaParams:
    """``shapes`` and ``rates``, (k, d) each."""

    shapes: Array
    rates: Array


@dataclasses.dataclass(frozen=True)
class Gamma:
    """Positive values, independent given the component: ``p(x) = prod_j b^a x^(a-1) exp(-b x) / Gamma(a)``.

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
    >>> family = dataclasses.replace(Gamma(), anchor=np.array([1.0]))
    >>> params = GammaParams(np.array([[1.0]]), np.array([[2.0]]))  # exponential with rate 2
    >>> family.log_density(params, family.encode(np.array([[0.5]]))).round(12).tolist()  # log 2 - 1
    [[-0.30685281944]]
    """

    overall: Array | None = None
    anchor: Array | None = None
    names: ClassVar[tuple[str, ...]] = ("shapes", "rates")
    entries: ClassVar[Mapping[str, Any]] = {"shapes": Positive, "rates": Positive}
    nonnegative: ClassVar[bool] = True
    law: ClassVar[dispersion.DispersionLaw] = dispersion.GAMMA
    law_place: ClassVar[float] = 1.0
    precision_name: ClassVar[str] = "shapes"
    width_words: ClassVar[str] = "its squared coefficient of variation (1 / shape) fell to"

    def centre(self, mean: Array, log_mean: Array) -> Array:
        """The anchor of each column: its mean."""
        return mean

    def units(self, x: Array) -> Array:
        """``x`` in units of the anchor."""
        return x / dispersion.anchor_of(self)

    def carrier(self, x: Array) -> Array:
        """``-log x``."""
        return -np.log(x)

    def place(self, params: GammaParams) -> tuple[Array, Array]:
        """Mean in units of the anchor, and shape."""
        return params.shapes / (params.rates * dispersion.anchor_of(self)), params.shapes

    def params_of(self, place: Array, precision: Array) -> GammaParams:
        """Parameters with that mean (in units of the anchor) and shape."""
        return GammaParams(precision, precision / (place * dispersion.anchor_of(self)))

    def chain(self, params: GammaParams, by_place: Array, by_precision: Array) -> dict[str, Array]:
        """Gradient in shapes and rates."""
        m, _ = self.place(params)
        return {"shapes": by_precision + by_place * m / params.shapes, "rates": -by_place * m / params.rates}

    def features(self, x: Array) -> Array:
        """Rows as start rules see them: logarithms."""
        return np.log(dispersion.positive(np.asarray(x, dtype=float), "Gamma"))

    def sample(self, params: GammaParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """One row for each label."""
        return rng.standard_gamma(params.shapes[labels]) / params.rates[labels]

    def cdf(self, params: GammaParams, x: Array) -> Array:
        """``P(X <= x)`` of a single column, (n, k); NaN where missing."""
        from scipy.special import gammainc

        x = np.asarray(x, dtype=float)
        return np.asarray(gammainc(params.shapes[:, 0], params.rates[:, 0] * np.maximum(x, 0.0)))

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
