"""Every finding on a planted case, silence on clean ones, and the numbers behind them against closed forms and other software.

False alarms: of 280 fits of the true model (40 each of mixtures of normals in one and two columns, of Poisson and gamma laws, a
trivariate normal, regressions and latent classes) six had a finding heavier than a note, five of misfit and one of outliers,
where tests at one in a hundred and one in five hundred let through 3.4 on average.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy import stats

import estep
from estep.core.result import StartRow, StartTable, Status
from estep.data.memory import Memory
from estep.engine.fit import fit
from estep.families.normal import NormalParams
from estep.inference import check_law, check_run
from estep.inference.check_classes import affinities
from estep.inference.check_law import columns_measure, largest_gap, mahalanobis, patterns
from estep.inference.diagnose import diagnose
from estep.inference.distribution import cdf
from estep.inference.findings import Diagnosis, Finding, Severity
from estep.inference.scene import see
from estep.models.latent import LatentParams
from estep.structures.iid import IidParams

DEATHS = np.repeat(np.arange(10.0), [162, 267, 271, 185, 111, 61, 27, 8, 3, 1])[:, None]


def two_clouds(seed: int, n: int = 150) -> Any:
    rng = np.random.default_rng(seed)
    return np.vstack([rng.normal(size=(n, 2)), [6.0, 0.0] + rng.normal(size=(n, 2))])


@pytest.fixture(scope="module")
def clouds() -> tuple[Any, Any]:
    X = two_clouds(0)
    return X, estep.GaussianMixture(2, n_init=3, random_state=0).fit(X)


@pytest.fixture(scope="module")
def deaths() -> Any:
    return estep.Mixture(estep.Poisson(), 2, random_state=0).fit(DEATHS)


def test_a_clean_fit_says_that_nothing_was_found_and_what_was_checked(clouds: Any) -> None:
    X, fitted = clouds
    found = fitted.diagnose(X, n_sim=99)
    assert len(found) == 0
    assert found.clean
    text = str(found)
    assert text.startswith("Nothing was found. Checked: convergence, ")
    assert len(found.checked) == 11
    assert found.skipped == ()


@pytest.mark.parametrize("name", ["gamma", "counts", "regressions", "classes"])
def test_other_clean_fits_are_left_in_peace(name: str) -> None:
    """A test at one in a hundred raises no alarm at these seeds, the first that were tried."""
    rng = np.random.default_rng(1000)
    z, x = rng.random(400) < 0.4, rng.normal(size=400)
    rows: tuple[Any, ...]
    if name == "gamma":
        fitted, rows = (
            estep.Mixture(estep.Gamma(), 2, n_init=3, random_state=0),
            (np.where(z, rng.gamma(3, size=400), rng.gamma(40, size=400))[:, None],),
        )
    elif name == "counts":
        fitted, rows = (
            estep.Mixture(estep.Poisson(), 2, n_init=3, random_state=0),
            (rng.poisson(np.where(z, 1, 12))[:, None] * 1.0,),
        )
    elif name == "regressions":
        fitted = estep.MixtureOfRegressions(n_components=2, n_init=3, random_state=0)
        rows = (x[:, None], np.where(z, 2 + 3 * x, -6 - x) + rng.normal(size=400))
    else:
        fitted = estep.LatentClass(2, n_init=5, random_state=0)
        rows = ((rng.random((400, 5)) < np.where(z[:, None], 0.9, 0.15)).astype(float),)
    assert fitted.fit(*rows).diagnose(*rows, n_sim=99).clean


# --- how it ended ---


def test_a_run_cut_short_says_how_much_is_left() -> None:
    with pytest.warns(estep.ConvergenceWarning):
        cut = estep.Mixture(estep.Poisson(), 2, max_iter=12, n_init=1, accelerate="none", random_state=0).fit(DEATHS)
    finding = cut.diagnose(DEATHS, n_sim=0).of("not_converged")
    assert finding.severity is Severity.SERIOUS
    assert finding.numbers["passes_left"] > 20
    assert "raise max_iter" in finding.remedy


@pytest.mark.parametrize("status", list(check_run.ENDINGS))
def test_every_bad_ending_is_a_finding(clouds: Any, status: Status) -> None:
    X, fitted = clouds
    result = dataclasses.replace(fitted.result_, status=status, message=status.value)
    scene = see(result.model, Memory(X), result)
    (finding,) = check_run.ending(scene)
    assert finding.kind == check_run.ENDINGS[status][0]
    assert [*check_run.ending(dataclasses.replace(scene, result=fitted.result_))] == []


def row(objective: float, status: Status = Status.CONVERGED) -> StartRow:
    return StartRow("random", objective, 9, status, status.value, True)


@pytest.mark.parametrize(
    ("ends", "kinds"),
    [
        ((-10.0, -10.0, -12.0), []),
        ((-10.0, -11.0, -11.0), ["not_replicated"]),
        ((-10.0,), ["one_start"]),
        ((-10.0, -10.0, None), ["starts_collapsed"]),
    ],
)
def test_replication(clouds: Any, ends: Any, kinds: list[str]) -> None:
    X, fitted = clouds
    rows = tuple(row(-99.0, Status.DEGENERATE) if e is None else row(e) for e in ends)
    result = dataclasses.replace(fitted.result_, starts=StartTable(rows, 0, 1e-3))
    assert [f.kind for f in check_run.replication(see(result.model, Memory(X), result))] == kinds


def test_other_rows_are_told_from_those_of_the_fit(clouds: Any) -> None:
    X, fitted = clouds
    found = fitted.diagnose(X[:100], n_sim=0)
    assert found[0].kind == "other_rows"
    assert ("influence of single rows", "it needs the rows of the fit") in found.skipped


# --- what it rests on ---


def test_equal_components_are_a_saddle_and_alike(clouds: Any) -> None:
    X, fitted = clouds
    model = fitted.result_.model
    same = LatentParams(IidParams(np.array([0.5, 0.5])), NormalParams(np.array([X.mean(0)] * 2), np.array([np.cov(X.T)] * 2)))
    result = fit(model, Memory(X), same)
    found = diagnose(model, Memory(X), result, n_sim=0)
    assert found[0].kind == "saddle"
    assert found.of("alike").numbers["affinity"] == pytest.approx(1.0, abs=1e-6)


def test_what_is_not_identified_is_counted() -> None:
    """Two binary items have 3 free cells, two classes 5 parameters: at most rank 3."""
    rng = np.random.default_rng(1)
    z = rng.random(400) < 0.4
    X = (rng.random((400, 2)) < np.where(z[:, None], 0.8, 0.3)).astype(float)
    fitted = estep.LatentClass(2, n_init=2, random_state=0).fit(X)
    finding = fitted.diagnose(X, n_sim=0).of("not_identified")
    assert finding.numbers["parameters"] == 5
    assert finding.numbers["rank"] <= 3
    assert "probs" in finding.evidence


def test_an_estimate_at_the_end_of_its_range() -> None:
    rng = np.random.default_rng(2)
    z = rng.random(300) < 0.5
    X = (rng.random((300, 5)) < np.where(z[:, None], 0.9, 0.2)).astype(float)
    X[z, 0] = 1.0
    X[~z, 0] = 0.0
    fitted = estep.LatentClass(2, n_init=2, random_state=0).fit(X)
    assert "probs[" in fitted.diagnose(X, n_sim=0).of("boundary").evidence


def test_slow_and_overlapping(deaths: Any) -> None:
    found = deaths.diagnose(DEATHS, n_sim=0)
    assert found.kinds == ("slow", "poorly_separated")
    assert found.of("slow").numbers["rate"] == pytest.approx(0.995666, abs=2e-5)
    assert "weights and rates of components 0 and 1" in found.of("slow").evidence
    assert found.clean


# --- components ---


def test_the_affinity_is_that_of_the_densities() -> None:
    """Two normals of one variance, means 1 apart: exp(-1/8). 20,000 rows: 5 standard errors of the mean."""
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.normal(size=10_000), 1 + rng.normal(size=10_000)])
    density = np.stack([stats.norm.pdf(x, m) for m in (0.0, 1.0)], axis=1)
    resp = density / density.sum(axis=1, keepdims=True)
    terms = np.sqrt(resp.prod(axis=1)) / 0.5
    assert affinities(resp, np.ones(len(x)))[0, 1] == pytest.approx(np.exp(-1 / 8), abs=5 * terms.std() / np.sqrt(len(x)))


def test_a_component_of_few_rows() -> None:
    X = np.vstack([two_clouds(4), [[20.0, 20.0], [20.5, 20.1], [20.2, 20.9], [19.6, 20.4]]])
    labels = np.repeat([0, 1, 2], [150, 150, 4])
    fitted = estep.GaussianMixture(3, init=labels, prior="default").fit(X)
    finding = fitted.diagnose(X, n_sim=0).of("tiny")
    assert finding.numbers["sizes"] == pytest.approx([4.0], abs=0.1)


# --- rows ---


def test_influence_of_a_normal_has_a_closed_form() -> None:
    """d_i = z^2 / n + (z^2 - 1)^2 / 2n of a mean and a variance; the mean falls by z / sqrt n standard errors."""
    x = np.random.default_rng(5).normal(size=(50, 1))
    found = estep.MultivariateNormal().fit(x).influence(x)
    z = (x[:, 0] - x.mean()) / x.std()
    assert found.distance == pytest.approx(z**2 / 50 + (z**2 - 1) ** 2 / 100, rel=1e-6)
    mean, spread = -z / np.sqrt(50), -(z**2 - 1) / np.sqrt(100)
    assert found.shift == pytest.approx(np.where(np.abs(mean) > np.abs(spread), mean, spread), rel=1e-6)
    assert found.top(1)[0][0] == int(np.argmax(found.distance))


def test_one_step_points_where_the_fit_without_the_row_goes(clouds: Any) -> None:
    X, fitted = clouds
    errors = fitted.standard_errors(X)
    found = fitted.influence(X, errors=errors)
    row, _, name, shift = found.top(1)[0]
    without = estep.GaussianMixture(2, init=dict(fitted.params_), tol=1e-12).fit(np.delete(X, row, axis=0))
    entry, index = name.split("[")
    at = tuple(int(i) for i in index.rstrip("]").split(","))
    moved = (without.params_[entry][at] - fitted.params_[entry][at]) / errors.se[entry][at]
    assert moved == pytest.approx(shift, rel=0.25)  # one Newton step of a curved likelihood


def test_planted_rows_are_named() -> None:
    X = two_clouds(6)
    X[17] = [3.0, 40.0]
    fitted = estep.GaussianMixture(2, covariance_type="tied", n_init=3, random_state=0).fit(X)
    found = fitted.diagnose(X, n_sim=0)
    assert found.of("outliers").numbers["rows"][0] == 17
    assert 17 in found.of("influential").numbers["rows"]


def test_rows_are_named_as_the_user_counts_them() -> None:
    X = two_clouds(6)
    X[17] = [3.0, 40.0]
    weight = np.ones(len(X))
    weight[:10] = 0.0
    fitted = estep.GaussianMixture(2, covariance_type="tied", n_init=3, random_state=0).fit(X, sample_weight=weight)
    assert fitted.diagnose(X, weight, n_sim=0).of("outliers").numbers["rows"][0] == 17


# --- the law ---


def test_the_gap_is_kolmogorovs() -> None:
    u = np.random.default_rng(7).random(40) ** 1.3
    assert largest_gap(u)[0] == pytest.approx(stats.kstest(u, "uniform").statistic, abs=1e-14)
    assert largest_gap(np.repeat(u, 2))[0] == pytest.approx(largest_gap(u, np.full(40, 2.0))[0])


def test_the_p_value_is_lilliefors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one normal, where tables exist: within 4 binomial standard errors of 999 data sets and the table's own 0.01."""
    from statsmodels.stats.diagnostic import lilliefors

    x = np.random.default_rng(8).gamma(12.0, size=(80, 1))
    statistic, p = lilliefors(x[:, 0], pvalmethod="table")
    fitted = estep.MultivariateNormal().fit(x)
    model = fitted.result_.model
    seen = columns_measure(model, fitted.result_.params, Memory(x))
    # lilliefors takes the sample's own standard deviation, with n - 1
    assert seen.numbers["gap"] == pytest.approx(statistic, abs=0.01)
    monkeypatch.setattr(check_law, "ALARM", 1.0)
    scene = see(model, Memory(x), fitted.result_, errors=fitted.standard_errors(x), n_sim=999)
    (found,) = check_law.goodness_of_fit(scene)
    assert found.numbers["p_value"] == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 999) + 0.02)


@pytest.mark.parametrize("name", ["exponential rows under normals", "heavy tails in two columns", "spread counts", "responses"])
def test_a_wrong_law_is_seen(name: str) -> None:
    rng = np.random.default_rng(9)
    rows: tuple[Any, ...]
    if name == "exponential rows under normals":
        fitted, rows = estep.MultivariateNormal(), (rng.exponential(size=(200, 1)),)
    elif name == "heavy tails in two columns":
        fitted, rows = estep.MultivariateNormal(), (rng.standard_t(3, size=(300, 2)),)
    elif name == "spread counts":
        fitted, rows = estep.Mixture(estep.Poisson(), 1), (rng.negative_binomial(2, 0.4, size=(300, 1)).astype(float),)
    else:
        x = rng.normal(size=(300, 1))
        fitted, rows = estep.MixtureOfRegressions(n_components=1), (x, x[:, 0] + rng.exponential(size=300))
    found = fitted.fit(*rows).diagnose(*rows, n_sim=99)
    assert found.of("misfit").numbers["p_value"] == pytest.approx(0.01)


def test_g2_is_that_of_the_table() -> None:
    rng = np.random.default_rng(10)
    z = rng.random(500) < 0.4
    X = (rng.random((500, 4)) < np.where(z[:, None], 0.8, 0.2)).astype(float)
    fitted = estep.LatentClass(2, n_init=3, random_state=0).fit(X)
    seen = patterns(fitted.result_.model, fitted.result_.params, Memory(X))
    assert seen.numbers["g2"] == pytest.approx(fitted.g2_, rel=1e-8)
    assert seen.numbers["x2"] == pytest.approx(fitted.x2_, rel=1e-6)


def test_mixture_distribution_functions_are_scipys(clouds: Any) -> None:
    X, fitted = clouds
    params = fitted.result_.params.family
    mine = cdf(fitted.result_.model.family, params, X[:, 1], 1, 2)
    for k in range(2):
        sd = np.sqrt(params.covariances[k, 1, 1])
        assert mine[:, k] == pytest.approx(stats.norm.cdf(X[:, 1], params.means[k, 1], sd), abs=1e-12)
    product = estep.Product([(estep.Gamma(), [0, 2]), (estep.Poisson(), [1])])
    rows = np.abs(np.random.default_rng(0).normal(size=(40, 3))) + 0.1
    rows[:, 1] = np.rint(rows[:, 1])
    mixed = estep.Mixture(product, 1).fit(rows)
    at = cdf(mixed.result_.model.family, mixed.result_.params.family, rows[:, 2], 2, 3)
    shape, rate = (float(v[0, 1]) for n, v in mixed.params_.items() if n.endswith(("shapes", ".rates")) and v.shape[1] == 2)
    assert at[:, 0] == pytest.approx(stats.gamma.cdf(rows[:, 2], shape, scale=1 / rate), abs=1e-10)
    squared = mahalanobis(params, X[:5])
    inverse = np.linalg.inv(params.covariances[0])
    assert squared[:, 0] == pytest.approx([(x - params.means[0]) @ inverse @ (x - params.means[0]) for x in X[:5]])


# --- words ---


def test_the_text_of_a_diagnosis() -> None:
    finding = Finding("slow", Severity.NOTE, "EM creeps", "the rate is 0.999", "accelerate")
    text = str(Diagnosis((finding,), ("convergence",), (("outlying rows", "rows have labels"),)))
    assert text == (
        "note: EM creeps\n  the rate is 0.999.\n  -> accelerate.\n\nChecked: convergence.\n"
        "Not checked: outlying rows, because rows have labels."
    )
    with pytest.raises(KeyError, match="no finding 'saddle'"):
        Diagnosis((finding,), (), ()).of("saddle")


def test_labels_gaps_and_groups_leave_out_what_they_must(clouds: Any) -> None:
    X, _ = clouds
    y = np.full(len(X), -1)
    y[[0, 1]], y[[298, 299]] = 0, 1
    holes = X.copy()
    holes[::7, 0] = np.nan
    fitted = estep.GaussianMixture(2, n_init=2, random_state=0).fit(holes, y)
    found = fitted.diagnose(holes, y=y, n_sim=99)
    assert ("outlying rows", "rows have labels") in found.skipped
    by = np.arange(len(X)) % 2
    grouped = estep.GaussianMixture(2, n_init=2, random_state=0).fit(holes, by=by)
    assert grouped.diagnose(holes, by=by, n_sim=99).skipped == ()


def test_too_few_data_sets_for_a_p_value_are_said_to_be_so(clouds: Any) -> None:
    X, fitted = clouds
    assert fitted.diagnose(X, n_sim=98).skipped == (
        ("the law of the rows", "n_sim=98 data sets cannot give a p value of 0.01; take 99 or more"),
    )


def test_many_parameters_leave_standard_errors_to_the_user(clouds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    X, fitted = clouds
    monkeypatch.setattr("estep.inference.diagnose.MOST_FREE", 5)
    found = fitted.diagnose(X, n_sim=99)
    assert "give errors=fit.standard_errors(...)" in dict(found.skipped)["influence of single rows"]
    assert "speed of EM" in found.checked
    assert fitted.diagnose(X, n_sim=99, errors=fitted.standard_errors(X)).skipped == ()
