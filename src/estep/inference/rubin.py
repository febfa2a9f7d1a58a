"""Estimates from several imputed tables, pooled: Rubin's rules.

m completed tables give estimates Q_1..Q_m with squared standard errors U_1..U_m:

    Q = mean Q_i      W = mean U_i      B = sum (Q_i - Q)^2 / (m - 1)      T = W + (1 + 1/m) B
    r = (1 + 1/m) B / W                 share = (1 + 1/m) B / T
    dof  = (m - 1) (1 + 1/r)^2 = (m - 1) / share^2
    dof' = 1 / (1/dof + 1/observed),    observed = (c + 1) / (c + 3) c (1 - share)      with c complete-data degrees of freedom
    missing = (r + 2 / (dof + 3)) / (r + 1)                                              (with dof' where it is used)

(Q - true) / sqrt(T) is Student's t with dof (dof') degrees of freedom.

symbol   variable
Q, W, B, T     estimate, within, between, total
share          between_share    the part of the variance that imputation adds
missing        missing          the fraction of missing information

Sources: Rubin (1987), Multiple Imputation for Nonresponse in Surveys, section 3.3; Barnard & Rubin (1999), Biometrika 86:948.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from estep.core.record import Array


@dataclasses.dataclass(frozen=True)
class Pooled:
    """Pooled estimates; every field has the shape of one estimate.

    ``estimate``, ``within``, ``between``, ``total`` (variances), ``dof``, ``missing`` (fraction of missing information),
    ``between_share``; ``m`` is the number of tables.
    """

    estimate: Array
    within: Array
    between: Array
    total: Array
    dof: Array
    missing: Array
    between_share: Array
    m: int

    @property
    def standard_error(self) -> Array:
        """Square root of ``total``."""
        return np.sqrt(self.total)

    def interval(self, level: float = 0.95) -> tuple[Array, Array]:
        """Lower and upper end of the interval at ``level``, from Student's t with ``dof`` degrees of freedom."""
        if not 0.0 < level < 1.0:
            raise ValueError(f"level must be between 0 and 1, got {level!r}")
        from scipy.stats import t

        half = t.ppf(0.5 + level / 2, self.dof) * self.standard_error
        return self.estimate - half, self.estimate + half


def pool_estimates(estimates: Any, variances: Any, *, dof_complete: float | None = None) -> Pooled:
    """Pool estimates from m imputed tables by Rubin's rules (formulas at the top of the module).

    Parameters
    ----------
    estimates : array (m, ...)
        One estimate, or array of estimates, for each imputed table; m >= 2.
    variances : array (m, ...)
        Their squared standard errors, same shape.
    dof_complete : float or None
        Degrees of freedom the estimate would have without missing values, such as n - p of a regression; with it the degrees
        of freedom are Barnard & Rubin's, never more than these. None is a large sample.

    Returns
    -------
    Pooled
        ``estimate, within, between, total, dof, missing, standard_error, interval(level)``.

    Raises
    ------
    ValueError
        Fewer than two tables, shapes that differ, values not finite, negative variances.

    Examples
    --------
    >>> pooled = pool_estimates([10.0, 12.0, 11.0], [4.0, 4.0, 4.0])
    >>> float(pooled.estimate), round(float(pooled.total), 6), round(float(pooled.dof), 6)
    (11.0, 5.333333, 32.0)
    """
    q, u = _checked(estimates, variances)
    if dof_complete is not None and not dof_complete > 0:
        raise ValueError(f"dof_complete must be above zero, or None for a large sample; got {dof_complete!r}")
    m = len(q)
    within, between = u.mean(axis=0), q.var(axis=0, ddof=1)
    added = (1.0 + 1.0 / m) * between
    total = within + added
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(total > 0, added / total, 0.0)
        dof = np.where(share > 0, (m - 1) / share**2, np.inf)
        if dof_complete is not None:
            seen = (dof_complete + 1.0) / (dof_complete + 3.0) * dof_complete * (1.0 - share)
            dof = np.where(seen > 0, 1.0 / (1.0 / dof + 1.0 / np.where(seen > 0, seen, 1.0)), 0.0)
        # (r + 2/(dof+3)) / (r + 1) with r = share / (1 - share), which may be infinite
        missing = share + (1.0 - share) * 2.0 / (dof + 3.0)
    return Pooled(q.mean(axis=0), within, between, total, np.asarray(dof), missing, share, m)


def _checked(estimates: Any, variances: Any) -> tuple[Array, Array]:
    q, u = np.asarray(estimates, dtype=float), np.asarray(variances, dtype=float)
    if q.ndim == 0 or len(q) < 2:
        raise ValueError(f"estimates: pooling needs at least 2 imputed tables on the first axis, got shape {q.shape}")
    if q.shape != u.shape:
        raise ValueError(f"variances has shape {u.shape}, expected that of estimates, {q.shape}")
    for name, value in (("estimates", q), ("variances", u)):
        if not np.isfinite(value).all():
            raise ValueError(f"{name} holds a value that is not finite; leave failed tables out of both arrays")
    if (u < 0).any():
        raise ValueError(f"variances holds {float(u.min()):g}; give squared standard errors, which are >= 0")
    return q, u
