"""Standard errors and intervals of a fitted table of cells, for ``SaturatedMultinomial``.

Cells that may not occur are fixed; cells that ended at zero are at the boundary, and the others hold them there.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from estep.core.record import Array
from estep.estimators.warnings import ConvergenceWarning
from estep.inference import errors as asymptotic
from estep.inference.errors import FIXED, Errors
from estep.inference.information import METHODS
from estep.inference.intervals import INTERVALS
from estep.inference.words import keywords_of, known_options, known_word

LIKE = {"cells": "probs", "cell_probs": "probs"}


def standard_errors(self: Any, X: Any, sample_weight: Any = None, method: str = "oakes", *, clusters: Any = None) -> Errors:
    """Standard errors of every cell's probability: a mapping with ``cells`` in the table's shape.

    Parameters
    ----------
    X, sample_weight
        The rows of the fit, and how often each was seen.
    method : str
        "oakes", "sem", "hessian", "opg" or "sandwich". Odds ratios and margins: ``errors.of(function)``.
    clusters : array (n,) or None
        For "sandwich" and "opg": rows of one cluster may depend on one another.

    Raises
    ------
    ValueError, TypeError
        Unknown method; a method that needs what the model does not have, naming one that does not.
    """
    check_is_fitted(self, "result_")
    known_word(method, METHODS)
    rows = self._rows(X, sample_weight)
    codes = clusters if clusters is None or rows.kept is None else np.asarray(clusters)[rows.kept]
    data = (rows.distinct() if codes is None else rows).data(self.n_jobs)
    model, params = self.result_.model, self.result_.params
    found = asymptotic.standard_errors(
        model, data, params, method, clusters=codes, natural=lambda p: {"cell_probs": p.probs}, like=LIKE, quiet=True
    )
    found = _in_the_table(self, found)
    asymptotic.tell(found, 3, ConvergenceWarning)
    return found


def _shown(self: Any, params: Any) -> dict[str, Array]:
    """The table as users see it."""
    table: dict[str, Array] = self.published_as(dataclasses.replace(self.result_, params=params))["params_"]
    return table


def _in_the_table(self: Any, found: Errors) -> Errors:
    """Errors of the cells that may occur, in the table's shape; the other cells are fixed at zero."""
    if "cells" not in _shown(self, self.result_.params):
        return found
    model = self.result_.model

    def spread(values: Any, blank: Any) -> Any:
        flat = np.asarray(values["cell_probs"])
        table = np.full((*model.levels, *flat.shape[1:]), blank, dtype=flat.dtype)
        table[tuple(model.cells.T)] = flat
        return {"cells": table}

    return dataclasses.replace(
        found,
        estimates=spread(found.estimates, 0.0),
        se=spread(found.se, np.nan),
        reasons=spread(found.reasons, FIXED),
        links=spread(found.links, "identity"),
        jacobian=spread(found.jacobian, 0.0),
        natural=lambda params: _shown(self, params),
    )


def confint(
    self: Any,
    X: Any,
    level: float = 0.95,
    method: str = "wald",
    which: Any = None,
    *,
    sample_weight: Any = None,
    **settings: Any,
) -> dict[str, Array]:
    """Intervals of the cells' probabilities, "wald" (on the scale of log-odds) or "profile"; see ``GaussianMixture``."""
    known_word(method, INTERVALS)
    known_options(method, settings, [*keywords_of(INTERVALS[method]), "clusters"])
    errors, clusters = settings.pop("errors", "oakes"), settings.pop("clusters", None)
    given = isinstance(errors, Errors)
    found = errors if given else standard_errors(self, X, sample_weight, errors, clusters=clusters)
    return INTERVALS[method](found, level, which, **settings)
