"""Properties of normal mixtures on drawn data: any offset, unit, distance, gap, weight and label.

Tolerances say what they are relative to. A value x at offset m is stored to eps |m|, which against a standard deviation s
moves its log density by about |z| eps |m| / s, z = (x - mu) / s. That is a limit of the data, not of the method; a method
that keeps digits stays within a few of these.
"""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estep.core.assign import SOFT
from estep.core.support import Constraints
from estep.data.memory import Memory
from estep.engine.fit import fit
from estep.families import normal_density
from estep.families.covariance import CODES, is_diagonal
from estep.families.normal import Normal
from estep.families.normal_density import NormalParams
from estep.models.latent import Latent, LatentParams
from estep.start.plan import Proposal, begin
from estep.structures.iid import Iid, IidParams
from estep.testing import agreement, strategies

EPS = float(np.finfo(float).eps)
QUICK = settings(max_examples=25, deadline=None, derandomize=True)
SLOW = settings(max_examples=8, deadline=None, derandomize=True)
codes = st.sampled_from(list(CODES))


def bound(code, x, k=2, **carried):
    data = Memory(x, **carried)
    return Latent(Iid(), Normal(code), k).bind(data), data


def expected(model, params, data):
    return data.sum(lambda chunk: model.estep(params, chunk, SOFT))


def some_params(model, data, seed=0, passes=2):
    """Parameters after a few passes from random responsibilities."""
    rng = np.random.default_rng(seed)
    params = model.start()
    stats = dataclasses.replace(data, n_jobs=1).sum(
        lambda chunk: model.tally(params, chunk, rng.dirichlet(np.full(model.k, 0.5), size=len(chunk)))
    )
    params = model.mstep(stats, params)
    for _ in range(passes):
        params = model.mstep(expected(model, params, data).stats, params)
    return params


def moved(params, shift, scale=1.0):
    """Parameters of ``scale * x + shift`` (columns), by structure's shape."""
    scale = np.broadcast_to(scale, params.family.means.shape[1:])
    covariances = params.family.covariances
    square = scale**2 if covariances.ndim == 2 else np.outer(scale, scale)
    return LatentParams(params.structure, NormalParams(params.family.means * scale + shift, covariances * square))


def close(found, reference, nats, relative=1e-10):
    assert found == pytest.approx(reference, rel=relative, abs=nats)


# --- offsets and units ---


@QUICK
@given(
    x=strategies.matrices(offset=(0.0,), scale=(1.0,), apart=(3.0, 0.0), missing=0.3),
    code=codes,
    m=st.sampled_from([1e3, 1e6, 1e8]),
)
def test_an_offset_changes_nothing(x, code, m):
    """At 1e8 and standard deviation 1 a value is kept to 2^-27: the log density of a row moves by |z| 2^-27, below 1e-7."""
    m = np.float64(2.0 ** np.round(np.log2(m)))
    there = x + m
    here = there - m  # exact: what is left of x at the offset
    model, data = bound(code, here)
    params = some_params(model, data)
    other, far = bound(code, there)
    result, shifted = expected(model, params, data), expected(other, moved(params, m), far)
    close(shifted.loglik, result.loglik, nats=1e-7 * len(x))
    close(shifted.objective, result.objective, nats=1e-7 * len(x))
    again = moved(some_params(model, data, passes=5), m)
    found = some_params(other, far, passes=5)
    close(expected(other, found, far).loglik, expected(other, again, far).loglik, nats=1e-6 * len(x))


@QUICK
@given(x=strategies.matrices(offset=(0.0,), scale=(1.0,), missing=0.3), code=codes, unit=st.sampled_from([2.0**-20, 2.0**20]))
def test_units_change_the_density_by_their_jacobian(x, code, unit):
    """Powers of two scale without rounding, so that only sums in another order differ: 1e-10 relative."""
    model, data = bound(code, x)
    params = some_params(model, data)
    other, scaled = bound(code, x * unit)
    jacobian = np.log(unit) * np.sum(~np.isnan(x))
    loglik = expected(model, params, data).loglik
    close(expected(other, moved(params, 0.0, unit), scaled).loglik, loglik - jacobian, nats=1e-9 * len(x))
    close(expected(other, some_params(other, scaled), scaled).loglik, loglik - jacobian, nats=1e-7 * len(x), relative=1e-8)


@QUICK
@given(x=strategies.matrices(offset=(0.0,), scale=(1.0,), d=(2, 3), apart=(3.0,)), rng=strategies.generators())
def test_vvv_does_not_care_for_axes(x, rng):
    """Any invertible map of the rows maps the fit; the log-likelihood changes by n log |det A|. A has condition below 20."""
    d = x.shape[1]
    matrix = np.linalg.qr(rng.normal(size=(d, d)))[0] * rng.uniform(0.3, 3.0, size=d)
    shift = rng.normal(size=d) * 10
    (model, data), (other, mapped) = bound("VVV", x), bound("VVV", x @ matrix.T + shift)
    here, there = some_params(model, data), some_params(other, mapped)
    jacobian = len(x) * np.linalg.slogdet(matrix)[1]
    close(expected(other, there, mapped).loglik, expected(model, here, data).loglik - jacobian, nats=1e-7 * len(x))
    np.testing.assert_allclose(there.family.means, here.family.means @ matrix.T + shift, rtol=1e-7, atol=1e-7)


@QUICK
@given(x=strategies.matrices(offset=(0.0,), scale=(1.0,), d=(2, 4), missing=0.3), code=codes, rng=strategies.generators())
def test_columns_may_change_places(x, code, rng):
    order = rng.permutation(x.shape[1])
    model, data = bound(code, x)
    params = some_params(model, data, passes=0)
    other, swapped = bound(code, x[:, order])
    covariances = params.family.covariances[:, order]
    covariances = covariances if covariances.ndim == 2 else covariances[:, :, order]
    there = LatentParams(params.structure, NormalParams(params.family.means[:, order], covariances))
    close(expected(other, there, swapped).loglik, expected(model, params, data).loglik, nats=1e-10 * len(x))


# --- far apart ---


@pytest.mark.parametrize("apart", [1e4, 1e6, 1e8])
@pytest.mark.parametrize("code", CODES)
def test_clusters_far_apart(code, apart):
    """Each cluster's covariance is that of its rows alone: what is far away costs no digits. Raw sums would lose apart^2 eps.

    At a distance of 1e8 the rows themselves are stored to 1e-8.
    """
    rng = np.random.default_rng(3)
    n, d = 40, 2
    x = np.concatenate([rng.normal(size=(n, d)) * [1.0, 0.5], rng.normal(size=(n, d)) * [0.7, 1.2] + apart])
    centre = np.array([[0.0] * d, [apart] * d])
    own = x.reshape(2, n, d) - centre[:, None]
    truth = np.array([np.cov(rows.T, bias=True) for rows in own])
    model, data = bound(code, x)
    start = begin(model, data, Proposal("labels", np.arange(2 * n), np.repeat(np.eye(2), n, axis=0), strict=True))
    found = fit(model, data, start, max_iter=20).params.family
    np.testing.assert_allclose(found.means - centre, own.mean(axis=1), atol=1e-7)
    full = found.covariances if found.covariances.ndim == 3 else found.covariances[:, :, None] * np.eye(d)
    pooled, axes = truth.mean(axis=0), np.eye(d)
    targets = {"VVV": truth, "VVI": truth * axes, "EEE": [pooled] * 2, "EEI": [pooled * axes] * 2}
    targets |= {"EII": [np.trace(pooled) / d * axes] * 2, "VII": np.trace(truth, axis1=1, axis2=2)[:, None, None] / d * axes}
    if code in targets:
        np.testing.assert_allclose(full, targets[code], rtol=1e-6, atol=1e-7)
    else:
        volumes = np.linalg.det(full), np.linalg.det(truth)
        assert np.all(np.abs(np.log(volumes[0] / volumes[1].mean())) < 1.5), "volumes of the order of the clusters' own"


# --- the two paths of density and statistics ---


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    x=strategies.matrices(offset=(0.0, 1e8), scale=(1.0, 1e-3), apart=(3.0, 0.0, 10.0), missing=0.3),
    code=codes,
    carried=st.booleans(),
)
def test_the_shared_anchor_and_the_components_own_agree(x, code, carried):
    """Where the common anchor keeps digits both paths are right: they agree to 1e-10 of the size of the terms."""
    weight = np.linspace(0.5, 2.0, len(x)) if carried else None
    model, data = bound(code, x, weight=weight)
    params = some_params(model, data)
    found = {}
    keep = normal_density.LOST
    for name, lost in (("shared", np.inf), ("own", -1.0)):
        normal_density.LOST = lost
        try:
            fresh = LatentParams(params.structure, NormalParams(params.family.means, params.family.covariances))
            seen = expected(model, fresh, data)
            found[name] = (seen, model.mstep(seen.stats, fresh), model.score(fresh, seen.stats))
        finally:
            normal_density.LOST = keep
    (a, fit_a, score_a), (b, fit_b, score_b) = found["shared"], found["own"]
    assert np.ptp(a.stats.family.anchor, axis=0).max() == 0
    assert np.array_equal(b.stats.family.anchor, params.family.means)
    close(a.loglik, b.loglik, nats=1e-10 * len(x))
    deviation = np.nanstd(x, axis=0)
    np.testing.assert_allclose(fit_a.family.means / deviation, fit_b.family.means / deviation, rtol=1e-13, atol=1e-9)
    close(model.q(params, a.stats), model.q(params, b.stats), nats=1e-9 * len(x))
    np.testing.assert_allclose(score_a, score_b, rtol=1e-8, atol=1e-8 * len(x) * max(1.0, 1.0 / deviation.min()))


def test_the_path_is_chosen_by_the_distance_in_deviations():
    x = np.array([[-1.0], [1.0], [-2.0], [2.0]])
    near = NormalParams(np.array([[0.0], [1.0]]), np.ones((2, 1, 1)))
    far = NormalParams(np.array([[-1e6], [1e6]]), np.ones((2, 1, 1)))
    anchor = x.mean(axis=0)
    assert not normal_density.cancels(near, anchor)
    assert normal_density.cancels(far, anchor)


# --- gaps ---


@QUICK
@given(x=strategies.matrices(offset=(0.0, 1e6), scale=(1.0,), missing=0.3), code=codes, rng=strategies.generators())
def test_rows_without_any_value_change_nothing(x, code, rng):
    model, data = bound(code, x)
    params = some_params(model, data)
    more = np.insert(x, rng.integers(0, len(x) + 1, size=3), np.nan, axis=0)
    there = expected(model, params, Memory(more))
    here = expected(model, params, data)
    close(there.loglik, here.loglik, nats=1e-9 * len(x))
    agreement.agree(
        "missing",
        "score",
        model.score(params, there.stats),
        model.score(params, here.stats) + blank_pull(model, params, 3),
        rtol=1e-6,
        atol=1e-6 * len(x),
    )
    told = model.explain(params, next(iter(Memory(np.full((1, x.shape[1]), np.nan)).chunks())))
    np.testing.assert_allclose(told.resp[0], params.structure.weights, rtol=1e-12)


def blank_pull(model, params, n):
    """What ``n`` blank rows add to the score: their classes follow the weights, which pull at nothing."""
    empty = expected(model, params, Memory(np.full((n, params.family.means.shape[1]), np.nan)))
    pull = model.score(params, empty.stats)
    np.testing.assert_allclose(pull, 0.0, atol=1e-7 * n)
    return pull


@pytest.mark.parametrize("code", CODES)
def test_a_gap_is_integrated_out(code):
    """The density of what is observed is the integral of the whole row's over the rest (trapezoids, 24 deviations wide)."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(40, 3)) @ np.array([[1.0, 0.6, 0.2], [0.0, 0.8, -0.5], [0.0, 0.0, 0.6]])
    model, data = bound(code, x)
    params, family = some_params(model, data).family, model.family
    row = x[:1].copy()
    variances = params.covariances if params.covariances.ndim == 2 else np.diagonal(params.covariances, axis1=1, axis2=2)
    for j in range(3):
        gap = row.copy()
        gap[0, j] = np.nan
        sides = 12 * np.sqrt(variances[:, j].max())
        grid = np.linspace(params.means[:, j].min() - sides, params.means[:, j].max() + sides, 4001)
        filled = np.repeat(row, grid.size, axis=0)
        filled[:, j] = grid
        density = np.exp(family.log_density(params, family.encode(filled)))
        integral = np.trapezoid(density, grid, axis=0)
        np.testing.assert_allclose(family.log_density(params, family.encode(gap))[0], np.log(integral), rtol=1e-9, atol=1e-9)


@QUICK
@given(x=strategies.matrices(n=(30, 40), offset=(0.0,), scale=(1.0,), d=(2, 3), apart=(3.0,)), rng=strategies.generators())
def test_a_column_without_gaps_in_rows_with_gaps_is_fitted_from_all_of_them(x, rng):
    """Anderson's monotone pattern, one component: the complete column's mean and variance are those of all its rows."""
    x[rng.random(len(x)) < 0.4, -1] = np.nan
    x[:10, -1] = rng.normal(size=10)
    model, data = bound("VVV", x, k=1)
    params = fit(model, data, model.start(), tol=1e-13, max_iter=3000).params.family
    np.testing.assert_allclose(params.means[0, 0], x[:, 0].mean(), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(params.covariances[0, 0, 0], x[:, 0].var(), rtol=1e-5)


# --- weights and labels ---


@QUICK
@given(data=st.data(), code=codes)
def test_whole_weights_are_copies(data, code):
    x = data.draw(strategies.matrices(offset=(0.0, 1e6), missing=0.3))
    weight = np.round(data.draw(strategies.weights(len(x))) + 0.4)
    weight[:5] = np.maximum(weight[:5], 1.0)
    model, once = bound(code, x)
    params = some_params(model, once)
    weighted = expected(model, params, Memory(x, weight=weight))
    copies = expected(model, params, Memory(np.repeat(x, weight.astype(int), axis=0)))
    close(weighted.loglik, copies.loglik, nats=1e-9 * len(x))
    close(weighted.n, copies.n, nats=0.0, relative=1e-14)
    agreement.agree_records("weights", "stats", weighted.stats, copies.stats, rtol=1e-9)


@QUICK
@given(data=st.data(), code=codes)
def test_binding_takes_weights_as_copies(data, code):
    x = data.draw(strategies.matrices(offset=(0.0, 1e8), missing=0.3))
    weight = np.round(data.draw(strategies.weights(len(x))) + 0.4)
    weight[:5] = np.maximum(weight[:5], 1.0)
    (one, _), (other, _) = bound(code, x, weight=weight), bound(code, np.repeat(x, weight.astype(int), axis=0))
    np.testing.assert_allclose(one.family.anchor, other.family.anchor, rtol=1e-14)
    scale = np.sqrt(np.diagonal(other.family.total))
    np.testing.assert_allclose(
        one.family.total / np.outer(scale, scale), other.family.total / np.outer(scale, scale), atol=1e-9
    )


@QUICK
@given(data=st.data(), code=codes)
def test_labels_never_raise_the_likelihood_and_are_obeyed(data, code):
    x = data.draw(strategies.matrices(offset=(0.0,), apart=(3.0,), missing=0.2))
    allowed = data.draw(strategies.partial_labels(len(x), 2))
    model, free = bound(code, x)
    params = some_params(model, free)
    labelled = Memory(x, allowed=allowed)
    assert expected(model, params, labelled).loglik <= expected(model, params, free).loglik + 1e-9 * len(x)
    (chunk,) = labelled.chunks()
    resp = model.explain(params, chunk).resp
    permitted = allowed if allowed.ndim == 2 else (allowed[:, None] == np.arange(2)) | (allowed[:, None] < 0)
    assert np.all(resp[~permitted] == 0)
    np.testing.assert_allclose(resp.sum(axis=1), 1.0, rtol=1e-12)


# --- whole runs ---


@SLOW
@given(
    x=strategies.matrices(missing=0.2, apart=(3.0, 0.0), clusters=(2, 2), scale=(1.0, 1e-2, 1e2)),
    code=codes,
    how=st.sampled_from(["none", "squarem", "anderson"]),
)
def test_runs_climb_whatever_the_data(x, code, how):
    model, data = bound(code, x)
    climbs(model, data, fit(model, data, some_params(model, data, passes=0), accelerate=how, max_iter=40))


@pytest.mark.parametrize("unit", [1e3, 1e6])
@pytest.mark.parametrize("code", CODES)
def test_columns_in_unlike_units(code, unit):
    """One column in units a million times smaller: its variance is 1e12 times the others', and they must keep their digits."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(40, 3)) + 3.0 * (np.arange(40) % 2)[:, None]) * [1.0, 1.0, unit]
    model, data = bound(code, x)
    climbs(model, data, fit(model, data, some_params(model, data, passes=0), max_iter=60))


def climbs(model, data, result):
    drops = np.diff(result.trace.objective)
    assert drops.size == 0 or drops.min() >= -1e-9 * (1 + np.abs(result.trace.objective).max())
    assert np.isfinite([result.loglik, result.objective]).all()
    assert result.loglik >= result.trace.objective[0] - 1e-9 * (1 + abs(result.loglik))
    model.support(result.params).check(result.params)


# --- parameters anywhere in their space ---


@QUICK
@given(data=st.data(), diagonal=st.booleans())
def test_densities_at_any_parameters(data, diagonal):
    """Against the textbook formula, solved afresh for every row; conditions up to 1e4 cost four of sixteen digits."""
    k, d = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    params = data.draw(strategies.normal_params(k, d, diagonal=diagonal))
    x = data.draw(strategies.matrices(d=(d, d), offset=(0.0,), scale=(1.0,), missing=0.4))
    family = dataclasses.replace(
        Normal("VVI" if diagonal else "VVV"), anchor=np.zeros(d), total=np.eye(d), weight=float(len(x))
    )
    found = family.log_density(params, family.encode(x))
    for i, row in enumerate(x):
        seen = ~np.isnan(row)
        for c in range(k):
            full = np.diag(params.covariances[c]) if diagonal else params.covariances[c]
            inner, u = full[np.ix_(seen, seen)], (row - params.means[c])[seen]
            square = float(u @ np.linalg.solve(inner, u)) if seen.any() else 0.0
            logdet = float(np.linalg.slogdet(inner)[1]) if seen.any() else 0.0
            assert found[i, c] == pytest.approx(-0.5 * (seen.sum() * np.log(2 * np.pi) + logdet + square), rel=1e-9, abs=1e-8)


@QUICK
@given(data=st.data(), code=st.sampled_from([c for c in CODES if not is_diagonal(c)]))
def test_supports_take_any_covariances_of_their_structure(data, code):
    k, d = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    covariances = data.draw(strategies.spd_matrices(k, d))
    family = Normal(code)
    near = NormalParams(np.zeros((k, d)), np.tile(covariances[:1], (k, 1, 1)))
    support = family.support(near, Constraints())
    vector = support.pack(near)
    there = support.unpack(vector + 0.3 * data.draw(strategies.generators()).normal(size=vector.size), near)
    support.check(there)
    back = support.unpack(support.pack(there, near), near)
    np.testing.assert_allclose(back.covariances, there.covariances, rtol=1e-6, atol=1e-8 * np.abs(there.covariances).max())


def test_weights_of_zero_are_harmless():
    """A class of weight zero takes no row and stays where it is."""
    x = np.random.default_rng(0).normal(size=(30, 2))
    model, data = bound("VVV", x, k=2)
    start = model.start()
    params = LatentParams(IidParams(np.array([1.0, 0.0])), start.family)
    seen = expected(model, params, data)
    assert seen.stats.structure.counts.tolist() == [30.0, 0.0]
    assert np.isfinite(model.q(params, seen.stats))
