"""What is wrong with the data of a regression, or with one of its components, is named with its remedy."""

import dataclasses

import numpy as np
import pytest

import estep
from estep.core.support import Constraints
from estep.data import Memory
from estep.families.gamma_regression import GammaRegression
from estep.families.linear_regression import LinearRegression
from estep.families.logistic_regression import LogisticRegression
from estep.families.multinomial_regression import MultinomialRegression
from estep.families.poisson_regression import PoissonRegression
from estep.models import Latent
from estep.start.plan import Proposal, begin
from estep.structures.iid import Iid

N = 70
FAMILIES = {
    "linear": LinearRegression,
    "poisson": PoissonRegression,
    "logistic": LogisticRegression,
    "gamma": GammaRegression,
    "multinomial": MultinomialRegression,
}


def made(name):
    """A family, and a design (n, 2), response and, but for classes, offset."""
    rng = np.random.default_rng(0)
    x, offset = rng.normal(size=(N, 2)) * [1.0, 3.0] + [5.0, -2.0], 0.3 * rng.normal(size=N)
    response = {
        "linear": rng.normal(size=N),
        "poisson": rng.poisson(2.0, size=N).astype(float),
        "logistic": rng.integers(0, 2, N).astype(float),
        "gamma": rng.gamma(3.0, size=N),
        "multinomial": rng.integers(0, 3, N).astype(float),
    }[name]
    return FAMILIES[name](), (x, response) if name == "multinomial" else (x, response, offset)


def bound(name):
    family, x = made(name)
    return family.bind(Memory(x)), x


@pytest.mark.parametrize("name", FAMILIES)
def test_collinear_columns_are_named(name):
    family, (x, y, *rest) = made(name)
    columns = ("dose", "age", "double", "sum")
    wide = np.column_stack([x, 2.0 * x[:, 0] + 7.0, x[:, 1] ** 2])
    with pytest.raises(ValueError, match=r"columns 'dose', 'double' are collinear.*drop one of them, or set ridge > 0"):
        dataclasses.replace(family, columns=columns).bind(Memory((wide, y, *rest)))
    with pytest.raises(ValueError, match=r"column 'x1' is constant, as the intercept is"):
        family.bind(Memory((np.column_stack([x[:, 0], np.full(N, 3.0)]), y, *rest)))
    few = slice(0, 3)
    with pytest.raises(ValueError, match=r"design has 4 columns and an intercept but only 3 rows"):
        family.bind(Memory((np.random.default_rng(0).normal(size=(3, 4)), y[few], *(r[few] for r in rest))))
    assert dataclasses.replace(family, ridge=0.1).bind(Memory((wide, y, *rest))).design is not None


def test_near_collinear_columns_are_fitted():
    """Powers of a year, correlations 1 - 1e-9: least squares keeps its digits (numpy's on centred columns agrees)."""
    year = np.arange(1990.0, 2020.0)
    x = np.column_stack([year, year**2])
    y = 3.0 + 0.1 * (year - 2005) - 0.02 * (year - 2005) ** 2 + 0.1 * np.cos(year**2)
    family = LinearRegression().bind(Memory((x, y)))
    centred = np.column_stack([np.ones(30), year - 2005, (year - 2005) ** 2])
    found = family.means(family.start(1), (x,))[:, 0]
    np.testing.assert_allclose(found, centred @ np.linalg.lstsq(centred, y, rcond=None)[0], atol=1e-7)


def test_improper_responses_are_named():
    _, (x, y, _) = made("poisson")
    cases = (
        (
            PoissonRegression(),
            np.where(np.arange(N) == 4, 2.5, y),
            r"response: row 4 is 2.5, but a Poisson response is a count",
        ),
        (PoissonRegression(), 0.0 * y, "every count is zero"),
        (GammaRegression(), np.where(np.arange(N) == 2, 0.0, y + 1), r"row 2 is 0.0, but a gamma response is a finite number"),
        (GammaRegression(), np.ones(N), "response is constant"),
        (LogisticRegression(), np.where(np.arange(N) == 1, 2.0, y > 1), "row 1 is 2.0, but a binary response is 0 or 1"),
        (LogisticRegression(), np.ones(N), "every trial is a success"),
        (LogisticRegression(), np.column_stack([y, y - 1]), "successes and failures are counts"),
        (LinearRegression(), np.full(N, 1e8 / 3), "response is constant"),
        (LinearRegression(), np.where(np.arange(N) == 3, np.inf, y), "row 3 is inf"),
        (MultinomialRegression(4), np.minimum(y, 2.0), "class 3 of 0..3 never occurs"),
        (MultinomialRegression(), np.zeros(N), "every response is class 0"),
        (LinearRegression(), np.full(N, np.nan), "no row has one"),
    )
    for family, response, words in cases:
        with pytest.raises(ValueError, match=words):
            family.bind(Memory((x, np.asarray(response, dtype=float))))


def test_missing_covariates_are_named():
    family, (x, y, offset) = made("linear")
    holes = x.copy()
    holes[6, 1] = np.nan
    with pytest.raises(ValueError, match=r"row 6 has no value in column 'x1' \(NaN\).*MultivariateNormal"):
        family.bind(Memory((holes, y, offset), rows=4))
    y = np.where(np.arange(N) == 6, np.nan, y)
    assert family.bind(Memory((holes, y, offset))).weight == N - 1  # where the response is missing it does not matter
    with pytest.raises(ValueError, match="offset: row 2 is nan"):
        family.bind(Memory((x, y, np.where(np.arange(N) == 2, np.nan, offset))))


# --- degenerate components ---


def fitted(family, x, resp, k=2, **how):
    data = Memory(x)
    model = Latent(Iid(), family, k).bind(data)
    params = begin(model, data, Proposal("given", np.arange(len(resp)), resp, True))
    return estep.fit(model, data, params, **how)


def test_separation_is_named():
    x = np.linspace(-2, 2, 40)[:, None]
    y = (x[:, 0] > 0.1).astype(float)
    family = LogisticRegression(columns=("dose",))
    result = fitted(family, (x, y), np.ones((40, 1)), 1)
    assert result.status is estep.Status.FRAIL
    assert "coefficients run to infinity, led by that of column 'dose'" in result.message
    assert "set ridge > 0" in result.message
    calm = fitted(dataclasses.replace(family, ridge=0.1), (x, y), np.ones((40, 1)), 1)
    assert calm.status is estep.Status.CONVERGED
    y[[5, 30]] = 1.0, 0.0  # overlap: a finite maximum, however steep
    assert fitted(family, (x, y), np.ones((40, 1)), 1).status is estep.Status.CONVERGED


def test_separation_of_counts_and_classes_is_named():
    group = np.repeat([0.0, 1.0], 30)
    counts = np.where(group == 1, 0.0, np.tile([1.0, 2.0, 0.0], 20))
    result = fitted(PoissonRegression(), (group[:, None], counts), np.ones((60, 1)), 1)
    assert result.status is estep.Status.FRAIL
    assert "run to infinity" in result.message
    x = np.linspace(-2, 2, 60)
    classes = np.digitize(x, [-0.5, 0.7]).astype(float)
    result = fitted(MultinomialRegression(), (x[:, None], classes), np.ones((60, 1)), 1)
    assert "run to infinity" in result.message


def test_a_perfect_component_collapses():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 1))
    y = np.where(np.arange(40) < 20, 2 * x[:, 0] + 1, rng.normal(size=40))
    resp = np.eye(2)[(np.arange(40) >= 20).astype(int)]
    result = fitted(LinearRegression(), (x, y), resp)
    assert result.status is estep.Status.DEGENERATE
    assert "component 0" in result.message
    result = fitted(GammaRegression(), (x, np.where(np.arange(40) < 20, np.exp(x[:, 0]), rng.gamma(2.0, size=40))), resp)
    assert result.status in (estep.Status.DEGENERATE, estep.Status.FRAIL)


def test_a_dead_component_is_named_and_breaks_nothing():
    family, x = bound("poisson")
    params = family.start(2)
    resp = np.column_stack([np.ones(N), np.zeros(N)])
    stats_ = family.stats(params, family.encode(x), resp)
    support = family.support(params, Constraints())
    after = family.fit(stats_, params, support)
    assert (after.coefs[1] == params.coefs[1]).all()
    assert np.isfinite(after.coefs).all()
    gone = family.frail(after, stats_, support)
    assert gone.component == 1
    assert "holds only 0 rows" in gone.reason
