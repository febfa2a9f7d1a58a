"""The summary: exact text where the answer is known, and the parts that come and go."""

from __future__ import annotations

import copy
import dataclasses
import re
import warnings
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

import estep
from estep.core.record import Array, record
from estep.core.support import Positive, Support
from estep.data.sets import load_faithful
from estep.families.noise import WithNoise
from estep.views.layout import Row, facts, numbers, table
from estep.views.table import summary_text
from estep.views.words import CONSEQUENCES, structure_words, warnings_of

PAIRS = np.array([[0.0], [0.2], [0.1], [5.0], [5.2], [5.1]])


@pytest.fixture(scope="module")
def faithful() -> pd.DataFrame:
    X, columns = load_faithful()
    return pd.DataFrame(X, columns=list(columns))


@pytest.fixture(scope="module")
def fitted(faithful: pd.DataFrame) -> Any:
    labels = (faithful["eruptions"] < 3).astype(int).to_numpy()
    return estep.GaussianMixture(2, init=labels).fit(faithful)


def steady(text: str) -> str:
    """The text without what the way to the optimum decides: the number of passes and what is left to gain."""
    text = re.sub(r"(left to gain +)(about \S+ nats|nothing)", r"\1#", text)
    return re.sub(r"(passes +)\d+", r"\1#", text)


def fact(text: str, label: str) -> str | None:
    found = re.search(rf"^  {re.escape(label)}  +(.*)$", text, re.MULTILINE)
    return found[1] if found else None


def section(text: str, title: str) -> list[list[str]]:
    """The indented rows below a heading of the component table, in words."""
    lines = text.split("\n")
    rows = []
    for line in lines[lines.index(title) + 1 :]:
        if not line.startswith("  "):
            break
        rows.append(line.split())
    return rows


def ended(estimator: Any, status: estep.Status, **changes: Any) -> Any:
    """The estimator as if its run had ended with ``status``."""
    other = copy.copy(estimator)
    other.result_ = dataclasses.replace(estimator.result_, status=status, message=status.value, **changes)
    return other


# --- exact text ---


def test_two_components_in_full(fitted: Any, faithful: pd.DataFrame) -> None:
    """The numbers are those of mclust 6.0.0, me("VVV", ...) from the same partition, to every digit shown."""
    assert steady(fitted.summary(faithful)) == "\n".join(
        [
            "Gaussian mixture, 2 components, full (VVV: ellipsoidal, varying volume, shape and orientation)",
            "",
            "  n                272",
            "  columns          eruptions, waiting",
            "  log-likelihood   -1130.2640",
            "  free parameters  11",
            "  BIC              2322.1917 (lower is better)",
            "  AIC              2282.5279",
            "  ICL              2322.7047",
            "  status           converged: what is left to gain is below the tolerance",
            "  left to gain     #",
            "  passes           #",
            "  algorithm        em: visit whole, assign soft, blend replace, update maximise, leap auto",
            "                   (anderson); stop aitken; exact",
            "  starts           1 (given labels)",
            "",
            "component                  0       1",
            "weight                0.6441  0.3559",
            "rows (most probable)     175      97",
            "mean",
            "  eruptions           4.2897  2.0364",
            "  waiting             79.968  54.479",
            "standard deviation",
            "  eruptions           0.4123  0.2630",
            "  waiting              6.004   5.805",
            "correlation",
            "  eruptions, waiting   0.380   0.285",
        ]
    )


def test_one_component_in_one_column() -> None:
    """The maximum is known: mean 2.6, variance 6.2567, L = -n/2 (log 2 pi v + 1)."""
    fit = estep.GaussianMixture(1, covariance_type="EII", random_state=0).fit(PAIRS)
    loglik = -3 * (np.log(2 * np.pi * PAIRS.var()) + 1)
    text = fit.summary()
    assert text.startswith("Gaussian mixture, 1 component, EII (one variance)\n")
    assert fact(text, "log-likelihood") == f"{loglik:.4f}"
    assert fact(text, "BIC") == f"{-2 * loglik + 2 * np.log(6):.4f} (lower is better)"
    assert fact(text, "AIC") == f"{-2 * loglik + 4:.4f}"
    assert fact(text, "ICL") is None
    assert text.split("\n\n")[-1] == "\n".join(
        [
            "component                0",
            "weight               1.000",
            "mean",
            "  x0                2.6000",
            "standard deviation",
            "  x0                 2.501",
        ]
    )


def test_the_text_is_plain_and_the_same_each_time(fitted: Any, faithful: pd.DataFrame) -> None:
    text = fitted.summary(faithful)
    assert text == summary_text(copy.deepcopy(fitted), faithful)
    assert text.isascii()
    assert text.isprintable() or set(text) - {c for c in text if c.isprintable()} == {"\n"}
    assert max(map(len, text.split("\n"))) <= 100
    assert [line for line in text.split("\n") if line != line.rstrip()] == []


# --- words ---


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("EII", "spherical, equal volume"),
        ("VII", "spherical, varying volume"),
        ("EEI", "diagonal, equal volume and shape"),
        ("VEI", "diagonal, equal shape, varying volume"),
        ("VVI", "diagonal, varying volume and shape"),
        ("EEE", "ellipsoidal, equal volume, shape and orientation"),
        ("VEE", "ellipsoidal, equal shape and orientation, varying volume"),
        ("EVV", "ellipsoidal, equal volume, varying shape and orientation"),
    ],
)
def test_structures_in_words(code: str, words: str) -> None:
    assert structure_words(code, 3, 2) == words


def test_names_and_codes_are_both_said() -> None:
    fit = estep.GaussianMixture(2, covariance_type="tied", random_state=0).fit(PAIRS)
    assert fit.summary().startswith("Gaussian mixture, 2 components, tied (EEE: equal variance)\n")


# --- what comes and goes ---


def test_columns_without_names_are_counted(fitted: Any, faithful: pd.DataFrame) -> None:
    plain = estep.GaussianMixture(2, init=fitted.init).fit(faithful.to_numpy())
    assert fact(plain.summary(), "columns") == "2"
    assert [row[0] for row in section(plain.summary(), "mean")] == ["x0", "x1"]


def test_the_rows_add_what_they_know(fitted: Any, faithful: pd.DataFrame) -> None:
    bare, whole = fitted.summary(), fitted.summary(faithful)
    assert "rows (most probable)" in whole
    assert "rows (most probable)" not in bare
    assert fact(bare, "ICL") is None
    assert fact(whole, "ICL") == f"{fitted.icl(faithful):.4f}"
    assert fact(whole, "BIC") == f"{fitted.bic(faithful):.4f} (lower is better)"


def test_other_rows_have_criteria_of_their_own(fitted: Any, faithful: pd.DataFrame) -> None:
    half = faithful[::2]
    text = fitted.summary(half)
    own = text[text.index("The rows given") :]
    assert fact(own, "n") == "136"
    assert fact(own, "BIC") == f"{fitted.bic(half):.4f}"
    assert fact(text, "BIC") == f"{fitted.bic(faithful):.4f} (lower is better)"
    assert "The rows given" not in fitted.summary(faithful)


def test_weights_count_and_the_bare_rows_are_told_apart(faithful: pd.DataFrame) -> None:
    labels = (faithful["eruptions"] < 3).astype(int).to_numpy()
    fit = estep.GaussianMixture(2, init=labels).fit(faithful, sample_weight=np.full(272, 1.5))
    assert fact(fit.summary(), "n") == "408"
    assert "The rows given" in fit.summary(faithful)
    fraction = estep.GaussianMixture(2, init=labels).fit(faithful, sample_weight=np.full(272, 1.1))
    assert fact(fraction.summary(), "n") == "299.2 (total weight)"


def test_missing_entries_are_counted(faithful: pd.DataFrame) -> None:
    holed = faithful.copy()
    holed.iloc[:34, 1] = np.nan
    fit = estep.GaussianMixture(1, random_state=0).fit(holed)
    assert fact(fit.summary(holed), "missing") == "34 of 544 entries (6.2 %)"
    assert fact(fit.summary(), "missing") is None


def test_noise_is_a_column_and_a_line() -> None:
    rng = np.random.default_rng(1)
    X = np.vstack([rng.normal(size=(80, 2)), rng.uniform(-12, 12, size=(40, 2))])
    for fit in (
        estep.GaussianMixture(1, noise=True, random_state=0).fit(X),
        estep.Mixture(WithNoise(estep.Normal()), 2, init=np.repeat([0, 1], [80, 40])).fit(X),
    ):
        text = fit.summary(X)
        assert "Gaussian mixture, 1 component and noise, full (VVV: ellipsoidal)" in text
        header, weights, sizes = (line.split() for line in text.split("\n\n")[-1].split("\n")[:3])
        assert header == ["component", "0", "noise"]
        assert weights[1:] == [f"{w:.4f}" for w in fit.weights_]
        assert sum(map(int, sizes[-2:])) == 120
        density = float(np.exp(-fit.result_.model.family.log_whole))
        assert fact(text, "noise") == f"uniform with density {density:.4g} (volume of the data)"


def test_a_prior_and_constraints_are_named(faithful: pd.DataFrame, fitted: Any) -> None:
    fit = estep.GaussianMixture(2, init=fitted.init, prior="default", fixed={"weights": [0.5, 0.5]}).fit(faithful)
    text = fit.summary()
    assert fact(text, "prior") == "the family's weak conjugate prior (default)"
    assert fact(text, "constraints") == "fixed: weights"
    assert fact(text, "objective") == f"{fit.objective_:.4f} (log-likelihood plus log prior)"
    given = estep.GaussianMixture(2, init=fitted.init, prior={"weights": 2.0}).fit(faithful).summary()
    assert fact(given, "prior") == "the family's weak conjugate prior with weights given"
    assert [fact(fitted.summary(), label) for label in ("prior", "constraints", "objective", "noise")] == [None] * 4


def test_class_names_head_the_columns(faithful: pd.DataFrame) -> None:
    y = ["short" if minutes < 2 else "long" if minutes > 4.5 else None for minutes in faithful["eruptions"]]
    text = estep.GaussianMixture(2, random_state=0).fit(faithful, y=y).summary()
    assert re.search(r"^component +0 long +1 short$", text, re.MULTILINE)


def test_starts_say_how_many_agree(faithful: pd.DataFrame) -> None:
    fit = estep.GaussianMixture(2, random_state=0, n_init=5).fit(faithful)
    assert fit.starts_.optima[0][1] >= 2
    reached = f"5: {fit.starts_.optima[0][1]} reached the best optimum found (returned: "
    assert str(fact(fit.summary(), "starts")).startswith(reached)


# --- warnings ---


def test_a_healthy_fit_warns_of_nothing(fitted: Any) -> None:
    assert warnings_of(fitted) == []
    assert "\nNote\n" not in fitted.summary()


@pytest.mark.parametrize("status", list(CONSEQUENCES))
def test_every_other_ending_is_explained(fitted: Any, status: estep.Status) -> None:
    text = ended(fitted, status).summary()
    assert status.value in " ".join(text.split())
    note = " ".join(text[text.index("\nNote\n") :].split())
    assert CONSEQUENCES[status] in note


def test_every_status_is_either_quiet_or_explained() -> None:
    quiet = {estep.Status[name] for name in ("CONVERGED", "SETTLED", "ROUNDED", "STEADY", "HELD_OUT")}
    assert set(estep.Status) == quiet | set(CONSEQUENCES)


def test_a_capped_run_says_how_much_is_left(faithful: pd.DataFrame) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", estep.ConvergenceWarning)
        fit = estep.GaussianMixture(3, random_state=0, max_iter=3).fit(faithful)
    text = " ".join(fit.summary().split())
    assert "stopped at max_iter=3 before convergence" in text
    assert "The run was cut short" in text


def test_the_default_prior_is_confessed() -> None:
    X = np.repeat(np.array([[0.0, 0.0], [1.0, 3.0], [5.0, 1.0]]), 3, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", estep.ConvergenceWarning)
        fit = estep.GaussianMixture(3, random_state=0).fit(X)
    text = fit.summary()
    assert fact(text, "prior") == "the family's weak conjugate prior (default)"
    assert "10 collapsed" in " ".join(text.split())
    assert "Every start collapsed under maximum likelihood." in text


def test_collapsed_and_lonely_starts_are_told(fitted: Any) -> None:
    row = fitted.starts_[0]
    dead = dataclasses.replace(row, start="ward", status=estep.Status.DEGENERATE, message="component 1 collapsed")
    below = dataclasses.replace(row, start="random_rows", objective=row.objective - 3)
    starts = dataclasses.replace(fitted.starts_, rows=(row, dead, below))
    said = warnings_of(ended(fitted, estep.Status.CONVERGED, starts=starts))
    assert said == [
        "1 of 3 starts collapsed and were left out; the first is ward: component 1 collapsed.",
        "Only 1 of 2 starts run to the end reached the best optimum found: a better one may exist; raise n_init.",
    ]


# --- any family ---


@record
class Rates:
    """Exponential rates (k, d)."""

    rates: Array


@record
class Totals:
    """Weight (k,) and sums (k, d)."""

    count: Array
    total: Array


@dataclasses.dataclass(frozen=True)
class Exponentials:
    """Independent exponential columns: log p(x | k) = sum_j log rate_kj - rate_kj x_j."""

    names: ClassVar[tuple[str, ...]] = ("rates",)
    columns: int = 2

    def start(self, k: int) -> Rates:
        return Rates(np.ones((k, self.columns)))

    def log_density(self, params: Rates, x: Any) -> Array:
        return np.asarray(np.log(params.rates).sum(axis=1) - np.asarray(x) @ params.rates.T)

    def stats(self, params: Rates, x: Any, resp: Array) -> Totals:
        return Totals(resp.sum(axis=0), resp.T @ np.asarray(x))

    def fit(self, stats: Totals, params: Rates, support: Support) -> Rates:
        return Rates(stats.count[:, None] / stats.total)

    def q(self, params: Rates, stats: Totals) -> float:
        return float((stats.count[:, None] * np.log(params.rates) - params.rates * stats.total).sum())

    def support(self, params: Rates, constraints: Any) -> Support:
        return Support({"rates": Positive(constraints.pattern("rates", params.rates.shape))})


@pytest.fixture(scope="module")
def waits() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    rows = np.vstack([rng.exponential(1.0, size=(60, 2)), rng.exponential(30.0, size=(60, 2))])
    return pd.DataFrame(rows, columns=["first", "second"])


def test_a_family_of_ones_own_has_its_parameters_in_the_table(waits: pd.DataFrame) -> None:
    fit = estep.Mixture(Exponentials(), 2, init=np.repeat([0, 1], 60), prior=None).fit(waits)
    text = fit.summary(waits)
    assert text.startswith("Mixture of Exponentials, 2 components\n")
    assert [row[0] for row in section(text, "rates")] == ["first", "second"]
    shown = np.array([[float(cell) for cell in row[1:]] for row in section(text, "rates")]).T
    np.testing.assert_allclose(shown, fit.rates_, rtol=0.02)
    assert fact(text, "ICL") == f"{fit.icl(waits):.4f}"


def test_a_normal_family_reads_like_a_gaussian_mixture(faithful: pd.DataFrame, fitted: Any) -> None:
    fit = estep.Mixture(estep.Normal("full"), 2, init=fitted.init).fit(faithful)
    assert steady(fit.summary(faithful)) == steady(fitted.summary(faithful))


def test_parameters_of_odd_shapes_are_all_shown(fitted: Any) -> None:
    """Nested, shared, three axes and long ones: through the table for any family."""
    from estep.views.table import _generic

    class Odd:
        n_features_in_ = 2
        params_: ClassVar[dict[str, Any]] = {
            "weights": np.ones(3) / 3,
            "shared": np.array(7.5),
            "part": {"weights": np.arange(3.0)},
            "cube": np.arange(12.0).reshape(3, 2, 2),
            "long": np.zeros((3, 100)),
        }

    rows, below = _generic(Odd(), 3)
    labels = [row.label for row in rows]
    assert labels[:6] == ["part.weights", "cube", "  x0, x0", "  x0, x1", "  x1, x0", "  x1, x1"]
    assert labels[-1] == "  ... 40 more in long_"
    assert below == ["", "Shared by all components", "  shared  7.5000"]


# --- columns of text ---


def test_numbers_keep_what_tells_them_apart() -> None:
    assert numbers(np.array([54.4917, 80.8882])) == ["54.492", "80.888"]
    assert numbers(np.array([1000.0, 0.012])) == ["1000.000", "0.012"]
    assert numbers(np.array([1e8 + 0.25]), resolution=0.5) == ["100000000.250"]
    assert numbers(np.array([1e-9])) == ["1.0000e-09"]
    assert numbers(np.array([0.0, 0.0])) == ["0", "0"]
    assert numbers(np.array([-1e-12, 3.0]), resolution=1.0) == ["0.0000", "3.0000"]
    assert numbers(np.array([np.nan, 2.0])) == ["nan", "2.0000"]


def test_wide_tables_wrap_and_every_cell_stays() -> None:
    cells = [f"0.{i:05d}" for i in range(20)]
    lines = table("component", [str(i) for i in range(20)], [Row("weight", cells), Row("mean")])
    assert max(map(len, lines)) <= 100
    shown = [line.split()[1:] for line in lines if line.startswith("weight")]
    assert len(shown) == 2
    assert shown[0] + shown[1] == cells


def test_facts_leave_out_what_is_empty() -> None:
    assert facts([("n", "3"), ("prior", ""), ("status", "fine")]) == ["  n       3", "  status  fine"]


def test_many_columns_stay_readable() -> None:
    rng = np.random.default_rng(0)
    names = [f"gene{i}" for i in range(70)]
    fit = estep.GaussianMixture(1, random_state=0).fit(pd.DataFrame(rng.normal(size=(200, 70)), columns=names))
    text = fit.summary()
    assert fact(text, "columns") == "70: gene0, gene1, gene2, ..., gene69"
    assert "  ... 10 more in means_" in text
    assert text.endswith("Correlations of 70 columns are many: see covariances_.")
