"""Criteria that choose among fits, all lower-is-better, from five numbers of a fit.

    L  log-likelihood (nats)    p  free parameters    n  total weight    k  components
    EN = - sum_i w_i sum_k r_ik log r_ik                        entropy of the memberships (nats)

criterion     formula                                 after
aic           -2 L + 2 p                              Akaike (1974)
aicc          aic + 2 p (p + 1) / (n - p - 1)         Hurvich & Tsai (1989); infinite where n <= p + 1
bic           -2 L + p log n                          Schwarz (1978)
sabic         -2 L + p log((n + 2) / 24)              Sclove (1987): the sample-size adjusted BIC
caic          -2 L + p (log n + 1)                    Bozdogan (1987)
icl           bic - 2 sum_i w_i log max_k r_ik        Biernacki, Celeux & Govaert (2000), the most probable class
icl_entropy   bic + 2 EN                              the same with the whole entropy (McLachlan & Peel: ICL-BIC)
clc           -2 L + 2 EN                             Biernacki & Govaert (1997)
awe           -2 L + 2 EN + 2 p (3/2 + log n)         Banfield & Raftery (1993)
nec           EN / (L - L_1),  1 for one component    Celeux & Soromenho (1996); Biernacki, Celeux & Govaert (1999)
cv            - held-out log-likelihood per unit      Smyth (2000); see ``select``

L_1 is the log-likelihood of the same model with one component; nec is infinite where more components do not raise it.
Source of the whole table: McLachlan & Peel (2000), Finite Mixture Models, chapter 6.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

OWN = ("bic", "aic", "icl", "icl_entropy")
"""Criteria that estimators have as methods."""


@dataclasses.dataclass(frozen=True)
class Fitted:
    """The numbers of a fit: log-likelihood, free parameters, total weight and entropy of the memberships."""

    loglik: float
    p: float
    n: float
    entropy: float = math.nan

    @property
    def aic(self) -> float:
        """Akaike's criterion."""
        return -2.0 * self.loglik + 2.0 * self.p

    @property
    def bic(self) -> float:
        """Bayesian information criterion."""
        return -2.0 * self.loglik + self.p * math.log(self.n)


def aicc(fit: Fitted) -> float:
    """AIC corrected for small samples.

    >>> aicc(Fitted(-100.0, 5, 50)), aicc(Fitted(-100.0, 5, 46))  # 60 / 44 and 60 / 40 more than AIC
    (211.36363636363637, 211.5)
    """
    room = fit.n - fit.p - 1.0
    return fit.aic + 2.0 * fit.p * (fit.p + 1.0) / room if room > 0 else math.inf


def sabic(fit: Fitted) -> float:
    """BIC with log((n + 2) / 24) for log n."""
    return -2.0 * fit.loglik + fit.p * math.log((fit.n + 2.0) / 24.0)


def caic(fit: Fitted) -> float:
    """Consistent AIC: BIC and one more for each parameter."""
    return fit.bic + fit.p


def clc(fit: Fitted) -> float:
    """Classification likelihood criterion."""
    return -2.0 * fit.loglik + 2.0 * fit.entropy


def awe(fit: Fitted) -> float:
    """Approximate weight of evidence."""
    return clc(fit) + 2.0 * fit.p * (1.5 + math.log(fit.n))


def nec(fit: Fitted, loglik_1: float, k: int) -> float:
    """Normalised entropy criterion; ``loglik_1`` is of the same model with one component.

    >>> nec(Fitted(-80.0, 5, 50, 4.0), -100.0, 2), nec(Fitted(-100.0, 2, 50, 0.0), -100.0, 1)
    (0.2, 1.0)
    """
    if k == 1:
        return 1.0
    return fit.entropy / (fit.loglik - loglik_1) if fit.loglik > loglik_1 else math.inf


PLAIN: Mapping[str, Callable[[Fitted], float]] = {"aicc": aicc, "sabic": sabic, "caic": caic}
"""Criteria of likelihood, parameters and weight."""
MEMBERSHIPS: Mapping[str, Callable[[Fitted], float]] = {"clc": clc, "awe": awe}
"""Criteria that also read the entropy of the memberships."""
CRITERIA = (*OWN, *PLAIN, *MEMBERSHIPS, "nec", "cv")


def fitted_numbers(fit: Any, X: Any, y: Any, rows: Mapping[str, Any], entropy: bool) -> Fitted:
    """The numbers of a fitted estimator on rows, from its own ``aic``, ``bic`` and ``icl_entropy``."""
    p = float(fit.result_.n_free)
    loglik = p - 0.5 * float(fit.aic(X, y, **rows))
    bic = float(fit.bic(X, y, **rows))
    n = math.exp((bic + 2.0 * loglik) / p) if p > 0 else float(fit.result_.n)
    spread = max(0.5 * (float(fit.icl_entropy(X, y, **rows)) - bic), 0.0) if entropy else math.nan
    return Fitted(loglik, p, _whole(n), spread)


def _whole(n: float) -> float:
    """A total weight without the rounding of its logarithm."""
    return round(n) if abs(n - round(n)) < 1e-9 * n else n


def needs(criterion: str) -> tuple[str, ...]:
    """The methods that an estimator must have for a criterion."""
    if criterion in OWN:
        return (criterion,)
    if criterion == "cv":
        return ("score", "score_samples")
    return ("aic", "bic") if criterion in PLAIN else ("aic", "bic", "icl_entropy")


def criteria(fit: Any, X: Any, y: Any = None, sample_weight: Any = None, **rows: Any) -> dict[str, float]:
    """All criteria of one fitted estimator that need no other fit, by name; lower is better.

    Parameters
    ----------
    fit : estimator
        Fitted; with ``aic`` and ``bic``, and ``icl`` and ``icl_entropy`` for criteria that read memberships.
    X, y, sample_weight, **rows
        The rows of the fit, and what it was given with them.

    Raises
    ------
    TypeError
        Where the estimator has no likelihood (k-means).

    Examples
    --------
    >>> import estep
    >>> X = np.array([[0.0], [0.2], [0.1], [5.0], [5.2], [5.1]])
    >>> found = criteria(estep.GaussianMixture(2, covariance_type="E", random_state=0).fit(X), X)
    >>> found["aic"] < found["aicc"], found["caic"] - found["bic"]  # four free parameters
    (True, 4.0)
    """
    if not (hasattr(fit, "aic") and hasattr(fit, "bic")):
        raise TypeError(f"{type(fit).__name__} has no aic and bic, so there are no criteria to compute")
    given = rows if sample_weight is None else {**rows, "sample_weight": sample_weight}
    memberships = hasattr(fit, "icl_entropy")
    numbers = fitted_numbers(fit, X, y, given, memberships)
    own = {name: float(getattr(fit, name)(X, y, **given)) for name in OWN if hasattr(fit, name)}
    more = {**PLAIN, **(MEMBERSHIPS if memberships else {})}
    return own | {name: float(np.float64(function(numbers))) for name, function in more.items()}
