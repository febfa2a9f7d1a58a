"""The multivariate t: laws, densities beside scipy's, exact limits, fits, and what goes wrong."""

import dataclasses
import functools

import numpy as np
import pytest
from scipy.stats import multivariate_t, t

import estep
from estep.core.collapse import Collapsed
from estep.core.record import identical
from estep.core.support import Constraints
from estep.data import Memory
from estep.families import student_weights
from estep.families.log_gamma import entropy, rise
from estep.families.normal import Normal
from estep.families.student import HIGHEST, LOWEST, Student
from estep.families.student_weights import StudentParams, Weights
from estep.testing import FAMILY_LAWS, check_family, family_case

LABELS = np.repeat([0, 1, 2], 25)


def rows(share=0.0, d=3, seed=0):
    rng = np.random.default_rng(seed)
    parts = [
        multivariate_t(np.full(d, shift), np.eye(d) + 0.3, df=dof, seed=rng).rvs(25).reshape(25, d)
        for shift, dof in ((0.0, 1.5), (2.0, 2.0), (-2.0, 4.0))
    ]
    x = np.concatenate(parts)
    x[rng.random(x.shape) < share] = np.nan
    return x


@functools.cache
def case(code, dof, share):
    return family_case(Student(code, dof), rows(share, 2), k=3, labels=LABELS, has_hidden_part=True)


@pytest.mark.parametrize("share", [0.0, 0.2], ids=["complete", "missing"])
@pytest.mark.parametrize(("code", "dof"), [("full", "estimate"), ("diag", "tied"), ("VEV", 4.0)])
@pytest.mark.parametrize("law", FAMILY_LAWS, ids=lambda law: law.__name__)
def test_law(law, code, dof, share):
    law(case(code, dof, share))


@pytest.mark.parametrize(("dof", "d", "k"), [(4.0, 1, 2), ("estimate", 2, 1)])
def test_one_column_and_one_component(dof, d, k):
    check_family(Student("full", dof), rows(0.1, d), k=k, has_hidden_part=True)


def test_fixed_and_tied_entries():
    family = case("full", "estimate", 0.2).family
    held = Constraints(
        fixed={
            "means": np.array([[0.0, np.nan], [np.nan] * 2, [np.nan] * 2]),
            "scales": np.array([np.full((2, 2), np.nan), np.eye(2), np.full((2, 2), np.nan)]),
            "dofs": np.array([4.0, np.nan, np.nan]),
        },
        tied={"means": np.array([[0, 1], [2, 1], [4, 5]]), "dofs": np.array([0, 1, 1])},
    )
    at = dataclasses.replace(family.start(3), dofs=np.array([4.0, 9.0, 9.0]))
    at = dataclasses.replace(at, means=np.where([[True, False], [False] * 2, [False] * 2], 0.0, at.means))
    at = dataclasses.replace(at, scales=np.where(np.arange(3)[:, None, None] == 1, np.eye(2), at.scales))
    check_family(Student("full"), rows(0.2, 2), k=3, params=at, labels=LABELS, constraints=held, has_hidden_part=True)


@pytest.mark.parametrize("dof", [0.3, 1.0, 4.5, 1e3, 1e9])
def test_density_is_scipys(dof):
    x, mean, scale = rows(), np.array([0.5, -1.0, 2.0]), np.eye(3) + 0.4
    family = Student("full").bind(Memory(x))
    found = family.log_density(StudentParams(mean[None], scale[None], np.array([dof])), family.encode(x))[:, 0]
    # scipy subtracts log gammas of size dof log dof, so its own error grows with that
    np.testing.assert_allclose(
        found, multivariate_t.logpdf(x, mean, scale, dof), rtol=1e-11, atol=1e-15 * dof * np.log(dof + 2)
    )


def test_missing_entries_leave_the_marginal():
    x, mean, scale, seen = rows(), np.array([0.5, -1.0, 2.0]), np.eye(3) + 0.4, [0, 2]
    family = Student("full").bind(Memory(x))
    x[:, 1] = np.nan
    found = family.log_density(StudentParams(mean[None], scale[None], np.array([3.0])), family.encode(x))[:, 0]
    expected = multivariate_t.logpdf(x[:, seen], mean[seen], scale[np.ix_(seen, seen)], 3.0)
    np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_large_dofs_are_the_normal():
    """The difference is (delta^2 - 2 d delta + d^2 - 2 d) / 4 nu to first order: at 1e15 rounding alone is left."""
    x = rows()
    student, normal = Student("full").bind(Memory(x)), Normal("full").bind(Memory(x))
    at = normal.start(1)
    expected = normal.log_density(at, normal.encode(x))
    delta = 2.0 * (normal.log_density(at, normal.encode(at.means)) - expected)
    for dof, allowed in ((HIGHEST, 1e-12 * delta.max() ** 3), (1e15, 1e-12)):
        nearly = expected + (delta**2 - 6.0 * delta + 3.0) / (4.0 * dof)
        found = student.log_density(StudentParams(at.means, at.covariances, np.array([dof])), student.encode(x))
        np.testing.assert_allclose(found, nearly, rtol=0, atol=allowed)
    assert (
        np.abs(
            student.log_density(StudentParams(at.means, at.covariances, np.array([10.0])), student.encode(x)) - expected
        ).max()
        > 0.1
    )


def test_log_gamma_differences():
    """Against sums of logarithms, and the recurrence of the gamma function."""
    for h in (0.05, 0.7, 19.9, 20.1, 1e3, 1e10, 1e15):
        for a in (1, 2, 10):
            assert float(rise(h, a)) == pytest.approx(np.log1p(np.arange(a) / h).sum(), rel=1e-12, abs=3e-14)
        halves = float(rise(h, 0.5) + rise(h + 0.5, 0.5) + 0.5 * np.log1p(0.5 / h))
        assert halves == pytest.approx(0.0, abs=3e-14)
        step = float(entropy(h + 1.0) - entropy(h))
        assert step == pytest.approx((h + 1.0) * np.log1p(1.0 / h) - 1.0, abs=1e-14)


def test_one_column_is_scipys_maximum_likelihood():
    x = t.rvs(5.0, loc=2.0, scale=3.0, size=400, random_state=3)
    fit = estep.StudentMixture(tol=1e-13).fit(x[:, None])
    dof, loc, scale = t.fit(x)
    assert fit.log_likelihood_ >= t.logpdf(x, dof, loc, scale).sum() - 1e-9
    # scipy's simplex stops at 1e-4 or so of the maximum
    np.testing.assert_allclose([fit.dofs_[0], fit.means_[0, 0], fit.scales_[0, 0, 0] ** 0.5], [dof, loc, scale], rtol=2e-3)


def test_a_start_weighs_every_row_by_one():
    """The first M-step of a partition is that of normal components, and leaves dofs where they began."""
    from estep.models import Latent
    from estep.start.plan import Proposal, begin, one_hot
    from estep.structures import Iid

    x = rows()
    data, proposal = Memory(x), Proposal("partition", np.arange(75), one_hot(LABELS, 3), True)
    student, normal = (begin(Latent(Iid(), f, 3).bind(data), data, proposal).family for f in (Student(), Normal()))
    np.testing.assert_allclose(student.scales, normal.covariances, rtol=1e-12)
    assert student.dofs.tolist() == [10.0] * 3


def test_a_planted_bug_is_caught(monkeypatch):
    right = student_weights.weights_of

    def forgetful(dofs, o, delta):
        found = right(dofs, o, delta)
        return Weights(dofs[:, None] / (dofs[:, None] + delta), found.log, found.excess)

    check_family(Student(), rows(), k=3, labels=LABELS, has_hidden_part=True)
    monkeypatch.setattr(student_weights, "weights_of", forgetful)
    with pytest.raises(AssertionError, match="q_has_the_slope_of_the_likelihood"):
        check_family(Student(), rows(), k=3, labels=LABELS, has_hidden_part=True)


@pytest.mark.parametrize("dof", ["guess", -1.0, np.nan, [[1.0]], True, None])
def test_a_dof_that_is_none_is_refused(dof):
    with pytest.raises(ValueError, match="dof"):
        Student(dof=dof)


def test_dofs_of_another_number_are_refused():
    with pytest.raises(ValueError, match="there are 3 components"):
        estep.StudentMixture(3, dof=[1.0, 2.0]).fit(rows())


def test_a_point_is_a_collapse():
    """Rows that repeat: the scale shrinks onto them, however the dofs go."""
    x = np.vstack([np.zeros((30, 2)), rows(d=2)[25:50]])
    family = Student().bind(Memory(x))
    resp = np.eye(2)[np.repeat([0, 1], [30, 25])]
    start = family.start(2)
    support = family.support(start, Constraints())
    stats = family.stats(start, family.encode(x), resp)
    try:
        params = family.fit(stats, start, support)
        gone = family.dying(params, family.stats(start, family.encode(x), resp), support)
    except Collapsed as error:
        gone = error
    assert gone is not None and gone.component == 0


def test_dofs_at_their_lowest_are_named():
    family = Student().bind(Memory(rows()))
    params = dataclasses.replace(family.start(2), dofs=np.array([5.0, LOWEST]))
    stats = family.stats(params, family.encode(rows()), np.full((75, 2), 0.5))
    gone = family.frail(params, stats, family.support(params, Constraints()))
    assert gone is not None and gone.component == 1 and "degrees of freedom fell to 0.1" in gone.reason
    assert Student(dof=LOWEST).frail(params, stats, Student(dof=LOWEST).support(params, Constraints())) is None


def test_a_scale_that_is_not_definite_is_refused():
    with pytest.raises(ValueError, match=r"fixed\['scales'\].*not positive definite"):
        estep.StudentMixture(1, fixed={"scales": [[[1.0, 2.0], [2.0, 1.0]]]}).fit(rows(d=2))


def test_constant_columns_are_refused():
    x = rows()
    x[:, 1] = 3.0
    with pytest.raises(ValueError, match="column 1 is constant"):
        estep.StudentMixture(2).fit(x)


def test_prior_is_about_the_same_anchor():
    family = Student().bind(Memory(rows()))
    stats = family.stats(family.start(2), family.encode(rows()), np.full((75, 2), 0.5))
    prior = family.prior(2, {})
    moved = family.align(prior, stats)
    assert identical(moved.moments.anchor, stats.moments.anchor)
    assert family.q(family.start(2), moved) == pytest.approx(family.q(family.start(2), prior), rel=1e-10)
