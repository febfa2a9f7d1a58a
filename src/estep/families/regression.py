"""Regressions of a response on covariates, one for each component: what all of them share.

    eta_ik = b_k + beta_k' x_i + o_i,     y_i | x_i, z_i = k ~ p(. | eta_ik)

E-step   log p(y_i | eta_ik); a row without response has log density 0, as a missing value has
M-step   local statistics, one guarded Newton step (kernels/local.py)
prior    ridge: log density -1/2 sum pen_j beta_kj^2 on coefficients, nothing on intercepts

Rows are a tuple ``(design (n, p), response)`` or ``(design, response, offset)``, the offset ``o`` (n,) with coefficient 1.
Covariates must be known wherever the response is: the law says nothing of them.

symbol   variable     shape
beta     coefs        (k, p)
b        intercepts   (k,)      zeros without an intercept
o        offset       (n,)
z        z            (n, 1 + p)   whitened features (kernels/design.py), rows without response zero

A family is a frozen dataclass with ``intercept, ridge, columns, design, sizes, level``; it assigns these functions and adds
what its response is like: ``improper(y)``, ``find_level(data)``, ``carrier(y)``, ``linked``, ``mean_at``, ``values``,
``pieces``, ``draw``.

Sources: McCullagh & Nelder (1989), Generalized Linear Models, chapter 2; Wedel & DeSarbo (1995), J. Classification 12:21.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.record import Array, leaves, record
from estep.core.support import Constraints, Pattern, Real, Support
from estep.families.normal_shapes import adopted_ties, numbers
from estep.families.regression_rows import known, names_of, split_rows
from estep.kernels import local
from estep.kernels.design import features, inner, pulled
from estep.kernels.local import LocalStats

WEAK = 0.01


@record
class RegressionParams:
    """Coefficients (k, p) and intercepts (k,); with classes (k, m, p) and (k, m)."""

    coefs: Array
    intercepts: Array


@record
class RegressionStats:
    """Weight of rows with a response, (k,), and the log-likelihood to second order."""

    count: Array
    local: LocalStats


@dataclasses.dataclass(frozen=True)
class RegressionBlock:
    """Whitened features, response, offset, whether a response is there, and the log density's terms without parameters."""

    z: Array
    y: Array
    offset: Array
    seen: NDArray[np.bool_]
    constant: Array


def start(self: Any, k: int) -> RegressionParams:
    """Every component at the level of the whole of the data, without slopes."""
    p = known(self).centre.size
    return RegressionParams(np.zeros((k, p)), np.full(k, self.level if self.intercept else 0.0))


def encode(self: Any, x: Any) -> RegressionBlock:
    """Whitened features with the response; raises ValueError as ``bind`` does."""
    design, y, offset, seen = split_rows(self, x)
    z = features(known(self), design)
    z[~seen] = 0.0
    return RegressionBlock(z, y, offset, seen, np.where(seen, self.carrier(y), 0.0))


def phi_of(params: Any) -> Array:
    """Coefficients with the intercept in front, (k, 1, 1 + p)."""
    return np.concatenate([params.intercepts[:, None], params.coefs], axis=1)[:, None]


def predictors(self: Any, params: Any, block: RegressionBlock) -> Array:
    """eta (n, k)."""
    theta = inner(known(self), phi_of(params)[:, 0])
    return np.asarray(block.z @ theta.T + block.offset[:, None])


def log_density(self: Any, params: Any, encoded: RegressionBlock) -> Array:
    """Log densities (n, k) of the responses given covariates, in nats; 0 where the response is missing."""
    with np.errstate(over="ignore"):
        found = self.values(encoded, predictors(self, params, encoded)) + encoded.constant[:, None]
    return np.where(encoded.seen[:, None], found, 0.0)


def stats(self: Any, params: Any, encoded: RegressionBlock, resp: Array) -> RegressionStats:
    """Value, gradient and curvature of the weighted log-likelihood at ``params``."""
    resp = resp * encoded.seen[:, None]
    value, slope, bend, roof = self.pieces(encoded, predictors(self, params, encoded))
    value = np.where(resp > 0, resp * (value + encoded.constant[:, None]), 0.0).sum(axis=0)
    gradient = np.where(resp > 0, resp * slope, 0.0).T @ encoded.z
    bent = np.where(resp > 0, resp * bend, 0.0)
    gram = None if roof is None else grams(encoded.z, resp * roof[:, None])
    phi = phi_of(params)
    found = LocalStats(value, gradient[:, None], grams(encoded.z, bent), gram, np.zeros(phi.shape), phi)
    return RegressionStats(resp.sum(axis=0), found)


def grams(z: Array, weight: Array) -> Array:
    """``sum_i weight_ik z_i z_i'``, (k, m, m)."""
    return np.stack([(z * w[:, None]).T @ z for w in weight.T])


def pattern_of(support: Support) -> Pattern:
    """Fixed and tied entries of phi, (k, 1, 1 + p)."""
    intercepts, coefs = support.entries["intercepts"], support.entries["coefs"]
    assert isinstance(intercepts, Real)
    assert isinstance(coefs, Real)
    both = local.joined(intercepts.pattern, coefs.pattern)
    shape = (len(both.groups), -1, both.groups.shape[-1])
    return Pattern(both.groups.reshape(shape), both.values.reshape(shape))


def fit(self: Any, stats: RegressionStats, params: RegressionParams, support: Support) -> RegressionParams:
    """One guarded Newton step from the point of the statistics over the free entries; never lowers the likelihood."""
    phi = local.step(stats.local, known(self), phi_of(params), pattern_of(support))
    return RegressionParams(phi[:, 0, 1:], phi[:, 0, 0])


def q(self: Any, params: Any, stats: RegressionStats) -> float:
    """Complete-data log-likelihood in nats, to second order about the point of the statistics."""
    return float(local.expansion(stats.local, known(self), phi_of(params)).sum())


def slopes_of(slope: Array) -> dict[str, Array]:
    """Gradients in ``coefs`` and ``intercepts`` from that in phi (k, 1, 1 + p)."""
    return {"coefs": slope[:, 0, 1:], "intercepts": slope[:, 0, 0]}


def score(self: Any, params: Any, stats: RegressionStats, support: Support) -> Array:
    """Gradient of ``q`` in free coordinates."""
    return support.pull(params, slopes_of(local.slope(stats.local, known(self), phi_of(params))))


def unit_scores(self: Any, params: Any, encoded: RegressionBlock, resp: Array, support: Support) -> Array:
    """Per row, the gradient of its weighted log density, (n, free coordinates)."""
    resp = resp * encoded.seen[:, None]
    slope = resp * self.pieces(encoded, predictors(self, params, encoded))[1]
    covariates = pulled(known(self), encoded.z)
    raw = slope[:, :, None] * covariates[:, None, :]
    return rows_pulled(params, support, {"coefs": raw[:, :, 1:], "intercepts": raw[:, :, 0]})


def rows_pulled(params: Any, support: Support, raw: Mapping[str, Array]) -> Array:
    """Gradients of rows, (n, ...) for each parameter, in free coordinates (n, f): ``pull`` is linear."""
    zeros = {name: np.zeros_like(np.asarray(value)) for name, value in leaves(params)}
    total = np.zeros((len(next(iter(raw.values()))), support.count))
    for name in support.entries:
        flat = raw[name].reshape(len(total), -1)
        for j, at in enumerate(np.ndindex(zeros[name].shape)):
            unit = zeros[name].copy()
            unit[at] = 1.0
            total += flat[:, j : j + 1] * support.pull(params, {**zeros, name: unit})
    return total


def support(self: Any, params: Any, constraints: Constraints) -> Support:
    """Real coefficients and intercepts; without an intercept the latter are held at zero."""
    return Support(coefficient_entries(self, params, constraints))


def coefficient_entries(self: Any, params: Any, constraints: Constraints) -> dict[str, Real]:
    """Entries of ``coefs`` and ``intercepts``."""
    shape = params.intercepts.shape
    intercepts = constraints.pattern("intercepts", shape)
    if not self.intercept:
        if np.any(np.nan_to_num(intercepts.values) != 0):
            raise ValueError("fixed['intercepts'] is not zero, but intercept=False; set intercept=True to fix intercepts")
        intercepts = Pattern(np.full(shape, -1, dtype=np.intp), np.zeros(shape))
    return {"coefs": Real(constraints.pattern("coefs", params.coefs.shape)), "intercepts": Real(intercepts)}


def penalties(self: Any, k: int, settings: Mapping[str, Any]) -> Array:
    """Ridge (k, 1 + p) on (b, beta): ``settings["ridge"]``, else the family's own, else a hundredth of each column's variance.

    The last is a hundredth of an imagined row a column, one standard deviation out, with nothing to say: a weak prior.
    """
    p = known(self).centre.size
    ridge = settings.get("ridge", self.ridge if self.ridge > 0 else None)
    found = WEAK * self.sizes**2 if ridge is None else np.asarray(ridge, dtype=float)
    if found.shape not in ((), (p,)) or not np.isfinite(found).all() or (found < 0).any():
        raise ValueError(f"prior['ridge'] must be a number >= 0 or one for each of {p} columns, got {ridge!r}")
    return np.tile(np.concatenate([[0.0], np.broadcast_to(found, (p,))]), (k, 1))


def refuse_settings(self: Any, settings: Mapping[str, Any], offered: tuple[str, ...]) -> None:
    """Raise ValueError on a prior's setting that the family does not have."""
    if unknown := sorted(set(settings) - set(offered)):
        has = ", ".join(repr(name) for name in (*offered, "weights"))
        raise ValueError(f"prior: {type(self).__name__} has no setting {unknown[0]!r}; it has {has}")


def prior(self: Any, k: int, settings: Mapping[str, Any]) -> RegressionStats:
    """A normal prior on coefficients, mean 0 and precision ``ridge`` (a number, or one a column), as statistics."""
    refuse_settings(self, settings, ("ridge",))
    m, gram = known(self).centre.size + 1, None
    if self.bounded:
        gram = np.zeros((k, m, m))
    zeros = np.zeros((k, 1, m))
    penalty = penalties(self, k, settings)[:, None]
    return RegressionStats(np.zeros(k), LocalStats(np.zeros(k), zeros, np.zeros((k, m, m)), gram, penalty, zeros))


def align(self: Any, prior: RegressionStats, stats: RegressionStats) -> RegressionStats:
    """``prior`` at the point of ``stats``: a penalty does not depend on it."""
    return dataclasses.replace(prior, local=dataclasses.replace(prior.local, at=stats.local.at))


def frail(self: Any, params: Any, stats: RegressionStats, support: Support) -> Collapsed | None:
    """The first component with fewer rows than coefficients, or whose coefficients run to infinity; else None."""
    pattern = pattern_of(support)
    if (thin := too_few(stats.count, stats.local.penalty.any(axis=(1, 2)), pattern)) is not None:
        return thin
    found = local.runaway(stats.local, known(self), phi_of(params), pattern)
    return None if found is None else endless(self, *found)


def too_few(count: Array, imagined: Any, pattern: Pattern, more: int = 0) -> Collapsed | None:
    """The first component with fewer rows than free parameters, its coefficients and ``more``; None where a prior helps."""
    for members in local.blocks_of(pattern):
        groups = pattern.groups[members]
        coefficients = np.unique(groups[groups >= 0]).size
        need = coefficients + more * members.size
        if coefficients and count[members].sum() < need and not imagined[members].any():
            k = int(members[np.argmin(count[members])])
            return Collapsed(k, f"it holds only {count[k]:.3g} rows, fewer than its {need} parameters")
    return None


def endless(self: Any, component: int, column: int) -> Collapsed:
    """Coefficients without a finite maximum, named."""
    p = known(self).centre.size
    lead = f", led by that of column {names_of(self, p)[column]!r}" if p and column >= 0 else ""
    return Collapsed(
        component,
        f"its coefficients run to infinity{lead}: the covariates separate its responses, so the likelihood has no finite "
        "maximum; set ridge > 0",
    )


def expose(self: Any, params: Any) -> dict[str, Array]:
    """Parameters as users see them."""
    return {name: getattr(params, name) for name in self.names}


def adopt(self: Any, name: str, value: Any, k: int, d: int, argument: str) -> Array:
    """A user's array for parameter ``name``: coefs (k, p) or, for one column, (k,); one value a component for the others."""
    array, p = numbers(value, argument), len(self.columns)
    if name == "coefs" and array.ndim == 1 and (p == 1 or not p):
        array = array[:, None]
    expected = (k, p) if name == "coefs" and p else (k, *array.shape[1:2]) if name == "coefs" else (k,)
    if array.shape != expected:
        raise ValueError(f"{argument} has shape {array.shape}, expected {expected}")
    return array


def adopt_ties(self: Any, name: str, value: Any, k: int, d: int, argument: str) -> NDArray[np.intp]:
    """A user's integers that tie entries of parameter ``name``; (k,) ties the whole slopes of components."""
    p = len(self.columns) or (np.shape(value)[1] if np.ndim(value) == 2 else d)
    return adopted_ties(value, (k, p) if name == "coefs" else (k,), argument)


def permute(self: Any, params: Any, order: NDArray[np.intp]) -> Any:
    """Components in another order."""
    return type(params)(**{f.name: getattr(params, f.name)[order] for f in dataclasses.fields(params)})


def means(self: Any, params: Any, x: Any) -> Array:
    """Expected response of each row under each component, (n, k), from ``(design,)`` or ``(design, _, offset)``."""
    design = np.asarray(x[0], dtype=float)
    offset = x[2] if len(x) == 3 and x[2] is not None else 0.0
    theta = inner(known(self), phi_of(params)[:, 0])
    eta = features(known(self), design) @ theta.T + np.reshape(offset, (-1, 1))
    with np.errstate(over="ignore"):
        return np.asarray(self.mean_at(eta))


def sample(
    self: Any,
    params: Any,
    labels: NDArray[np.intp],
    rng: np.random.Generator,
    design: Array | None = None,
    offset: Array | None = None,
) -> tuple[Array, ...]:
    """A row ``(design, response)`` (with ``offset``, if given, third) for each label.

    The law says nothing of covariates: without a ``design`` (n, p) they are drawn from a normal with the mean and covariance
    of those it was bound to.
    """
    chosen = known(self)
    if design is None:
        design = rng.standard_normal((labels.size, chosen.centre.size)) @ chosen.unwhiten + chosen.centre
    theta = inner(chosen, phi_of(params)[:, 0])[labels]
    eta = np.einsum("ij,ij->i", features(chosen, design), theta) + (0.0 if offset is None else offset)
    y = self.draw(params, labels, eta, rng)
    return (design, y) if offset is None else (design, y, np.asarray(offset, dtype=float))


def carried(self: Any, k: int) -> Any:
    """The prior that the family's own ridge asks for, or None."""
    return self.prior(k, {}) if self.ridge > 0 else None
