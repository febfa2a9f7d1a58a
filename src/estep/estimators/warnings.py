"""The warning that every fit that did not plainly converge raises, once, in words."""

from __future__ import annotations

import warnings

from sklearn.exceptions import ConvergenceWarning as SklearnConvergenceWarning

from estep.core.result import ConvergenceWarning as CoreConvergenceWarning
from estep.core.result import Result, Status

QUIET = (Status.CONVERGED, Status.SETTLED, Status.ROUNDED, Status.STEADY, Status.HELD_OUT)


class ConvergenceWarning(CoreConvergenceWarning, SklearnConvergenceWarning):
    """A fit ended elsewhere than at a plain maximum; also caught by scikit-learn's ``ConvergenceWarning``."""


def warn_of(result: Result, who: str) -> None:
    """Warn where the fit ended elsewhere than at a plain maximum."""
    if result.status not in QUIET:
        warnings.warn(f"{who}: {result.message}", ConvergenceWarning, stacklevel=5)
