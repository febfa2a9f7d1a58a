"""Laws of the covariance M-steps: each answer maximises q over its structure, never falls, and nests."""

import numpy as np
import pytest

from estep.core.collapse import Collapsed
from estep.families.covariance import CODES, NAMES, check, count_free, is_diagonal, resolve
from estep.families.covariance_axes import common_axes, shared_axes
from estep.families.covariance_chart import gradient, pack, unpack
from estep.families.covariance_fit import fit, objective

ITERATIVE = ("VEI", "VEE", "EVE", "VVE", "VEV")
MATRICES = tuple(code for code in CODES if not is_diagonal(code))
SIZES = ((3, 4), (2, 2), (4, 1), (1, 3))

# free covariance parameters as counted by mclust's nVarParams(code, d, k) at (k, d) = (3, 2), (3, 4), (1, 3), (4, 5)
MCLUST_COUNTS = {
    "EII": (1, 1, 1, 1),
    "VII": (3, 3, 1, 4),
    "EEI": (2, 4, 3, 5),
    "VEI": (4, 6, 3, 8),
    "EVI": (4, 10, 3, 17),
    "VVI": (6, 12, 3, 20),
    "EEE": (3, 10, 6, 15),
    "VEE": (5, 12, 6, 18),
    "EVE": (5, 16, 6, 27),
    "VVE": (7, 18, 6, 30),
    "EEV": (5, 22, 6, 45),
    "VEV": (7, 24, 6, 48),
    "EVV": (7, 28, 6, 57),
    "VVV": (9, 30, 6, 60),
}

# every set of covariances of the structure on the left is one of those on the right
NESTED = {
    "EII": ("VII", "EEI"),
    "VII": ("VEI",),
    "EEI": ("VEI", "EVI", "EEE"),
    "VEI": ("VVI", "VEE"),
    "EVI": ("VVI", "EVE"),
    "VVI": ("VVE",),
    "EEE": ("VEE", "EVE", "EEV"),
    "VEE": ("VVE", "VEV"),
    "EVE": ("VVE", "EVV"),
    "EEV": ("VEV", "EVV"),
    "VVE": ("VVV",),
    "VEV": ("VVV",),
    "EVV": ("VVV",),
}


def problem(k, d, seed=0):
    """Scatter matrices of unlike size and shape, with counts that no rows would give."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(k, 3 * d + 2, d)) @ rng.normal(size=(k, d, d))
    scatter = np.einsum("gni,gnj->gij", rows, rows) * rng.uniform(0.2, 5, size=k)[:, None, None]
    return scatter, rng.uniform(5, 50, size=k)


def as_code(code, scatter):
    return np.einsum("gii->gi", scatter).copy() if is_diagonal(code) else scatter


def slope(code, covs, scatter, counts):
    """dq/dSigma: -1/2 [n Sigma^-1 - Sigma^-1 W Sigma^-1]."""
    if is_diagonal(code):
        return -0.5 * (counts[:, None] / covs - scatter / covs**2)
    inverse = np.linalg.inv(covs)
    return -0.5 * (counts[:, None, None] * inverse - inverse @ scatter @ inverse)


def left_to_gain(code, covs, scatter, counts, step=1e-4):
    """What slope and curvature promise along the coordinates, in nats: sum of slope^2 / (2 curvature)."""
    here, q = pack(code, covs), objective(code, covs, scatter, counts)
    slopes = gradient(code, covs, slope(code, covs, scatter, counts))
    ways = step * np.eye(len(here))
    sides = [[objective(code, unpack(code, here + s * way, covs), scatter, counts) for s in (1, -1)] for way in ways]
    curvature = (2 * q - np.sum(sides, axis=1)) / step**2
    # rounding of q leaves the curvature uncertain by some 1e-4 of the counts
    return float(np.sum(slopes**2 / (2 * np.maximum(curvature, 1e-3 * counts.sum()))))


def is_maximum(code, covs, scatter, counts, seed=1):
    """No step in the chart, large or small, leads higher (up to rounding), and the slope promises nothing.

    Rounding: q is a sum of k d terms of order its counts, each known to some 1e-15.
    """
    rng = np.random.default_rng(seed)
    best, here = objective(code, covs, scatter, counts), pack(code, covs)
    rounding = 1e-13 * (abs(best) + counts.sum() * scatter.shape[1])
    for size in (1e-4, 1e-2, 0.3):
        for _ in range(20):
            there = unpack(code, here + size * rng.normal(size=here.shape), covs)
            if objective(code, there, scatter, counts) > best + rounding:
                return False
    return left_to_gain(code, covs, scatter, counts) < 1e-11 * counts.sum() * scatter.shape[1]


@pytest.mark.parametrize(("k", "d"), SIZES)
@pytest.mark.parametrize("code", CODES)
def test_fit_maximises_q_within_its_structure(code, k, d):
    scatter, counts = problem(k, d)
    scatter = as_code(code, scatter)
    covs = fit(code, scatter, counts)
    check(code, covs)
    assert is_maximum(code, covs, scatter, counts)


@pytest.mark.parametrize("code", CODES)
def test_the_law_catches_a_divisor_one_too_small(code):
    scatter, counts = problem(3, 4)
    scatter = as_code(code, scatter)
    assert not is_maximum(code, fit(code, scatter, counts - 1), scatter, counts)


@pytest.mark.parametrize("code", ["EVE", "VVE"])
def test_the_law_catches_axes_of_the_pooled_scatter(code):
    scatter, counts = problem(3, 4)
    axes = np.linalg.eigh(scatter.sum(axis=0))[1]
    lengths = np.einsum("jp,gjk,kp->gp", axes, scatter, axes)
    along = fit(code[:2] + "I", lengths, counts)
    covs = np.einsum("ip,gp,jp->gij", axes, along, axes)
    check(code, covs)
    assert not is_maximum(code, covs, scatter, counts)


@pytest.mark.parametrize("code", ITERATIVE)
def test_q_never_ends_below_its_value_at_current(code):
    for seed in range(20):
        scatter, counts = problem(3, 4, seed)
        scatter = as_code(code, scatter)
        rng = np.random.default_rng(seed)
        other = fit(code, as_code(code, problem(3, 4, seed + 100)[0]), counts)
        optimum = fit(code, scatter, counts)
        near = unpack(code, pack(code, optimum) + 1e-9 * rng.normal(size=count_free(code, 3, 4)), optimum)
        for current in (other, optimum, near):
            found = fit(code, scatter, counts, current)
            check(code, found)
            assert objective(code, found, scatter, counts) >= objective(code, current, scatter, counts)
            if current is other:  # the others are optima to rounding already
                assert left_to_gain(code, found, scatter, counts) < 1e-11 * counts.sum() * 4


@pytest.mark.parametrize("code", ("VEI", "VEE", "VEV"))
def test_one_optimum_from_every_start(code):
    """q is convex in the logarithms: any start leads to the same covariances."""
    scatter, counts = problem(4, 3)
    scatter = as_code(code, scatter)
    cold = fit(code, scatter, counts)
    for seed in range(5):
        start = fit(code, as_code(code, problem(4, 3, seed + 7)[0] * 10.0 ** (seed - 2)), counts)
        np.testing.assert_allclose(fit(code, scatter, counts, start), cold, rtol=1e-9, atol=1e-9 * np.abs(cold).max())


def test_proportional_covariances_solve_the_textbook_equations():
    """Celeux and Govaert (1995), section 3: volumes given the matrix, matrix given the volumes, to a fixed point."""
    scatter, counts = problem(3, 4)
    covs = fit("VEE", scatter, counts)
    unit = covs[0] / np.linalg.det(covs[0]) ** 0.25
    volumes = np.einsum("gij,ji->g", scatter, np.linalg.inv(unit)) / (counts * 4)
    np.testing.assert_allclose(np.linalg.det(covs) ** 0.25, volumes, rtol=1e-9)
    pooled = (scatter / volumes[:, None, None]).sum(axis=0)
    np.testing.assert_allclose(pooled / np.linalg.det(pooled) ** 0.25, unit, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("small", "large"), [(small, large) for small, more in NESTED.items() for large in more])
def test_a_richer_structure_fits_at_least_as_well(small, large):
    for seed in range(5):
        scatter, counts = problem(3, 3, seed)
        q = [objective(code, fit(code, w := as_code(code, scatter), counts), w, counts) for code in (small, large)]
        assert q[1] >= q[0] - 1e-9 * counts.sum()
    assert q[1] > q[0] + 1e-6  # the larger one does something


@pytest.mark.parametrize("code", CODES)
def test_one_component_has_only_shape_and_orientation(code):
    scatter, counts = problem(1, 3)
    whole = scatter[0] / counts[0]
    expected = {"I": np.eye(3) * np.trace(whole) / 3}.get(CODES[code].shape, whole)
    covs = fit(code, as_code(code, scatter), counts)
    np.testing.assert_allclose(covs, as_code(code, expected[None]), rtol=1e-10, atol=1e-12 * np.trace(whole))


@pytest.mark.parametrize("code", CODES)
def test_one_column_has_only_volume(code):
    scatter, counts = problem(4, 1)
    own, pooled = scatter[:, 0, 0] / counts, scatter.sum() / counts.sum()
    covs = fit(code, as_code(code, scatter), counts)
    np.testing.assert_allclose(covs.ravel(), own if CODES[code].volume == "V" else np.full(4, pooled), rtol=1e-12)


@pytest.mark.parametrize("code", MATRICES)
def test_turning_the_data_turns_the_covariances(code):
    scatter, counts = problem(3, 4)
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(4, 4)))[0]
    covs, turned = fit(code, scatter, counts), fit(code, turn @ scatter @ turn.T, counts)
    np.testing.assert_allclose(turn.T @ turned @ turn, covs, rtol=1e-5, atol=1e-5 * np.abs(covs).max())
    assert objective(code, covs, scatter, counts) == pytest.approx(
        objective(code, turned, turn @ scatter @ turn.T, counts), rel=1e-10
    )


@pytest.mark.parametrize("code", CODES)
def test_scale_order_and_repetition_of_the_sums(code):
    scatter, counts = problem(3, 4)
    scatter = as_code(code, scatter)
    covs = fit(code, scatter, counts)
    tolerance = {"rtol": 1e-6, "atol": 1e-7 * np.abs(covs).max()}
    np.testing.assert_allclose(fit(code, 2 * scatter, 2 * counts), covs, **tolerance)
    np.testing.assert_allclose(fit(code, 1e-8 * scatter, counts), 1e-8 * covs, rtol=1e-6, atol=1e-15 * covs.max())
    np.testing.assert_allclose(fit(code, scatter[::-1], counts[::-1]), covs[::-1], **tolerance)


@pytest.mark.parametrize("code", CODES)
def test_a_component_without_weight_changes_nothing(code):
    scatter, counts = problem(4, 3)
    scatter = as_code(code, scatter)
    without = fit(code, scatter[[0, 1, 3]], counts[[0, 1, 3]])
    scatter[2], counts[2] = 0.0, 0.0
    current = fit(code, as_code(code, problem(4, 3, seed=9)[0]), problem(4, 3, seed=9)[1])
    cold, warm = fit(code, scatter, counts), fit(code, scatter, counts, current)
    for covs in (cold, warm):
        check(code, covs)
    np.testing.assert_allclose(cold[[0, 1, 3]], without, rtol=1e-9, atol=1e-12)
    parts = CODES[code]
    if {parts.volume, parts.shape, parts.orientation} <= {"V", "I"}:
        np.testing.assert_allclose(warm[2], current[2], rtol=1e-12, atol=1e-12 * np.abs(current[2]).max())
    if "V" not in (parts.volume, parts.shape, parts.orientation):
        np.testing.assert_allclose(warm[2], without[0], rtol=1e-12)
    with pytest.raises(Collapsed, match="no component"):
        fit(code, 0 * scatter, 0 * counts)


@pytest.mark.parametrize(
    ("code", "component"), [("EVI", 1), ("EVV", 1), ("EVE", 1), ("VVE", 1), ("VEI", 1), ("VEE", 1), ("VEV", 1)]
)
def test_a_component_without_scatter_collapses(code, component):
    scatter, counts = problem(3, 3)
    scatter[1] = 0.0
    with pytest.raises(Collapsed) as gone:
        fit(code, as_code(code, scatter), counts)
    assert gone.value.component == component


@pytest.mark.parametrize("code", ["EVV", "EVE", "VVE"])
def test_a_component_on_a_plane_collapses_whatever_the_units(code):
    rng = np.random.default_rng(3)
    scatter, counts = problem(3, 3)
    for units in (np.ones(3), np.array([1e-6, 1.0, 1e6])):
        flat = rng.normal(size=(9, 2)) @ rng.normal(size=(2, 3))
        scatter[2] = flat.T @ flat
        with pytest.raises(Collapsed) as gone:
            fit(code, units[:, None] * scatter * units, counts)
        assert gone.value.component == 2


def test_units_alone_do_not_collapse_a_component():
    scatter, counts = problem(3, 3)
    units = np.array([1e-6, 1.0, 1e6])
    covs = fit("EVV", units[:, None] * scatter * units, counts)
    np.testing.assert_allclose(covs / units[:, None] / units, fit("EVV", scatter, counts), rtol=1e-9)


def test_a_volume_that_can_shrink_for_ever_collapses():
    """One heavy component on a line: N rank < d n_g, so that q has no maximum."""
    for seed in range(10):
        scatter, _ = problem(3, 4, seed)
        scatter[1] = np.outer(line := np.random.default_rng(seed).normal(size=4), line)
        with pytest.raises(Collapsed) as gone:
            fit("VEE", scatter, np.array([50.0, 100.0, 50.0]))
        assert gone.value.component == 1
    light = fit("VEE", scatter, np.array([90.0, 20.0, 90.0]))  # N rank > d n_g: there is one
    check("VEE", light)


def test_singular_closed_forms_are_returned():
    flat = np.zeros((2, 2, 2)) + np.array([[1.0, 1.0], [1.0, 1.0]])
    for code in ("VVV", "EEE", "EEV"):
        np.testing.assert_allclose(fit(code, flat, np.array([2.0, 2.0])), flat / 2, atol=1e-15)


@pytest.mark.parametrize("code", CODES)
def test_what_is_not_a_number_is_never_passed_on(code):
    scatter, counts = problem(3, 3)
    scatter[1, 0, 0] = np.nan
    with pytest.raises(Collapsed, match="not finite") as gone:
        fit(code, as_code(code, scatter), counts)
    assert gone.value.component == 1
    with pytest.raises(ValueError, match=r"counts\[2\]"):
        fit(code, as_code(code, problem(3, 3)[0]), np.array([1.0, 2.0, -1.0]))


def test_objective_is_the_log_density_without_its_constant():
    scatter, counts = problem(2, 3)
    covs = fit("VVV", scatter + np.eye(3), counts)
    logdet = [np.log(np.linalg.det(s)) for s in covs]
    traces = [np.trace(np.linalg.inv(s) @ w) for s, w in zip(covs, scatter, strict=True)]
    assert objective("VVV", covs, scatter, counts) == pytest.approx(-0.5 * (counts @ logdet + sum(traces)), rel=1e-12)
    with pytest.raises(ValueError, match=r"covariances\[1\]"):
        objective("VVV", covs * np.array([1.0, -1.0])[:, None, None], scatter, counts)
    with pytest.raises(ValueError, match=r"covariances\[0\]"):
        objective("VVI", np.zeros((1, 2)), np.ones((1, 2)), np.ones(1))


def test_common_axes_reach_the_best_of_many_starts():
    rng = np.random.default_rng(11)
    for equal_volume in (False, True):
        scatter, counts = problem(3, 3, seed=4)
        code = "EVE" if equal_volume else "VVE"
        best = objective(code, fit(code, scatter, counts), scatter, counts)
        for _ in range(30):
            start = np.linalg.qr(rng.normal(size=(3, 3)))[0]
            axes = common_axes(equal_volume, scatter, counts, start)
            np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-13)
            lengths = np.einsum("jp,gjk,kp->gp", axes, scatter, axes)
            covs = np.einsum("ip,gp,jp->gij", axes, fit(code[:2] + "I", lengths, counts), axes)
            assert objective(code, covs, scatter, counts) <= best + 1e-9 * counts.sum()


def test_shared_axes_of_ties():
    """Axes that only some components tell apart are found, and a tie of all is left alone."""
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(4, 4)))[0]
    variances = np.array([[1.0, 1.0, 2.0, 2.0], [1.0, 3.0, 5.0, 5.0], [4.0, 2.5, 1.0, 1.0]])
    covs = np.einsum("ip,gp,jp->gij", turn, variances, turn)
    axes = shared_axes(covs)
    inside = axes.T @ covs @ axes
    np.testing.assert_allclose(inside, np.einsum("gii->gi", inside)[:, :, None] * np.eye(4), atol=1e-13)
    for g in range(3):
        np.testing.assert_allclose(np.sort(np.diag(inside[g])), np.sort(variances[g]), rtol=1e-12)


@pytest.mark.parametrize("code", CODES)
def test_free_parameters_are_counted_as_mclust_does(code):
    assert tuple(count_free(code, k, d) for k, d in ((3, 2), (3, 4), (1, 3), (4, 5))) == MCLUST_COUNTS[code]


def test_names_resolve():
    assert [resolve(name) for name in NAMES] == ["VVV", "EEE", "VVI", "VII", "EII", "VII"]
    assert all(resolve(code) == code for code in CODES)
    for unknown in ("eee", "EIE", 3, None):
        with pytest.raises(ValueError, match="'full'.*EVV"):
            resolve(unknown)


@pytest.mark.parametrize("code", [code for code in CODES if code not in ("VVV", "VVI")])
def test_check_rejects_covariances_of_a_richer_structure(code):
    scatter, counts = problem(3, 3)
    richest = "VVI" if is_diagonal(code) else "VVV"
    covs = fit(richest, as_code(code, scatter), counts)
    check(richest, covs)
    with pytest.raises(ValueError, match=rf"start\[\d\].*{code}"):
        check(code, covs, "start")


def test_check_names_the_entry():
    good = np.stack([np.eye(2), np.array([[2.0, 0.5], [0.5, 1.0]])])
    skew, flat = good.copy(), good.copy()
    skew[1, 0, 1] = 0.51
    flat[1] = [[1.0, 1.0], [1.0, 1.0]]
    for bad, words in (
        (skew, "not symmetric"),
        (flat, "not positive definite"),
        (good * np.nan, "finite"),
        (good[0], "shape"),
    ):
        with pytest.raises(ValueError, match=words):
            check("VVV", bad)
    with pytest.raises(ValueError, match=r"covariances\[1, 0\] is -1"):
        check("VVI", np.array([[1.0, 2.0], [-1.0, 2.0]]))
    check("VVV", good + 1e-9 * np.array([[0.0, 1.0], [0.0, 0.0]]))


@pytest.mark.parametrize("code", ["VEV", "VEE", "VVE", "EVE"])
def test_a_singular_answer_is_a_collapse_not_a_wrong_value(code):
    """Fewer rows than columns: whatever the start, no M-step may end in another error than Collapsed, or in NaN."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(2, 3, 8))
    scatter = np.einsum("gni,gnj->gij", rows, rows)
    current = np.tile(np.eye(8), (2, 1, 1))
    try:
        covs = fit(code, scatter, np.array([3.0, 3.0]), current)
    except Collapsed as gone:
        assert "singular" in gone.reason or "scatter" in gone.reason or "volume" in gone.reason
    else:
        assert np.isfinite(covs).all()
