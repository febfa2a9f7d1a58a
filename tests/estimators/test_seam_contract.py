"""scikit-learn's contract with families of few values, estimators of one's own on the seam, and the register of model files."""

import dataclasses
import importlib
import pkgutil

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

import estep
from estep.estimators import files, methods
from estep.estimators.columns import read_matrix
from estep.estimators.rows import read_rows, rows_of
from estep.estimators.seam import Arguments, Spec, fit_latent

OURS = "ignore::estep.ConvergenceWarning"


class Rounded(estep.Mixture):
    """A mixture that rounds what scikit-learn's checks bring, so that families of whole numbers can be put through them."""

    def _read(self, arguments, target, *, reset):
        rows = read_rows(self, dataclasses.replace(arguments, y=None), target, reset=reset)
        return dataclasses.replace(rows, x=np.round(rows.x))


class Halved(estep.Mixture):
    """The same for families of zero and one."""

    def _read(self, arguments, target, *, reset):
        rows = read_rows(self, dataclasses.replace(arguments, y=None), target, reset=reset)
        if np.fmin.reduce(rows.x, axis=None) < 0:
            return rows  # to be refused
        return dataclasses.replace(rows, x=np.where(np.isnan(rows.x), np.nan, (rows.x > 0.5) * 1.0))


# With a prior, rates stay above zero, so that rows the fit has not seen are possible; two classes need rows that differ.
CHECKED = [
    Rounded(estep.Poisson()),
    Rounded(estep.Poisson(), 2, n_init=2, prior="default"),
    Halved(estep.Bernoulli(), prior="default"),
]


@pytest.mark.filterwarnings(OURS)
@parametrize_with_checks(CHECKED)
def test_scikit_learn(estimator, check):
    check(estimator)


def test_tags_say_what_the_family_reads():
    plain = get_tags(estep.Mixture()).input_tags
    assert plain.allow_nan and not (plain.positive_only or plain.sparse or plain.categorical or plain.string)
    assert get_tags(estep.Mixture(estep.Poisson())).input_tags.positive_only
    assert get_tags(estep.Mixture(estep.Multinomial())).input_tags.sparse
    assert get_tags(estep.Mixture(estep.Categorical())).input_tags.categorical


# ---- an estimator of one's own -------------------------------------------------------------------------------------


@estep.record
class LineParams:
    """Slopes and scales, (k,) each."""

    slopes: np.ndarray
    scales: np.ndarray


@estep.record
class LineStats:
    """Weighted count and sums of x x, x y, y y, (k, 4)."""

    sums: np.ndarray


@dataclasses.dataclass(frozen=True)
class Line:
    """y = slope x + noise, rows (x (n, 1), y (n,))."""

    names = ("slopes", "scales")

    def start(self, k):
        return LineParams(np.zeros(k), np.ones(k))

    def log_density(self, params, encoded):
        x, y = encoded
        z = (y[:, None] - x * params.slopes) / params.scales
        return np.where(np.isnan(z), 0.0, -0.5 * (np.log(2 * np.pi) + z**2) - np.log(params.scales))

    def stats(self, params, encoded, resp):
        x, y = encoded
        seen = resp * ~np.isnan(y)[:, None]
        y = np.nan_to_num(y)
        return LineStats(seen.T @ np.column_stack([np.ones(len(y)), x[:, 0] ** 2, x[:, 0] * y, y * y]))

    def fit(self, stats, params, support):
        n, xx, xy, yy = stats.sums.T
        return LineParams(xy / xx, np.sqrt((yy - xy * xy / xx) / n))

    def q(self, params, stats):
        n, xx, xy, yy = stats.sums.T
        rss = yy - 2 * params.slopes * xy + params.slopes**2 * xx
        return float((-n * (0.5 * np.log(2 * np.pi) + np.log(params.scales)) - 0.5 * rss / params.scales**2).sum())

    def support(self, params, constraints):
        from estep.core.support import Positive, Real, Support

        shape = params.slopes.shape
        return Support(
            {"slopes": Real(constraints.pattern("slopes", shape)), "scales": Positive(constraints.pattern("scales", shape))}
        )

    def sample(self, params, labels, rng):
        x = rng.normal(size=(len(labels), 1))
        return x, params.slopes[labels] * x[:, 0] + params.scales[labels] * rng.normal(size=len(labels))


class Lines(estep.Mixture):
    """Mixture of lines: y is the response; labels name classes."""

    def _read(self, arguments, target, *, reset):
        x = read_matrix(self, arguments.X, reset)
        y = np.full(len(x), np.nan) if arguments.y is None else np.asarray(arguments.y, dtype=float)
        return rows_of(self, dataclasses.replace(arguments, y=None), target, x=(x, y), reset=reset)

    def fit(self, X, y=None, sample_weight=None, *, labels=None, by=None):
        return fit_latent(self, Arguments(X, y, sample_weight, labels, by), Spec(Line(), self.n_components))

    def _blank_row(self):
        return np.zeros((1, 1)), np.full(1, np.nan)

    score = methods.score
    score_samples = methods.score_samples


def lines(n=500):
    rng = np.random.default_rng(0)
    z = rng.integers(2, size=n)
    x = rng.normal(size=(n, 1))
    return x, np.array([-2.0, 3.0])[z] * x[:, 0] + 0.3 * rng.normal(size=n), z


def test_an_estimator_whose_rows_are_a_tuple(tmp_path, monkeypatch):
    x, y, z = lines()
    y[::7] = np.nan
    weight = np.arange(500) % 3
    told = [{v} if i % 9 == 1 else None for i, v in enumerate(z)]
    by = np.where(x[:, 0] > 0, "right", "left")
    fit = Lines(n_components=2, random_state=0).fit(x, y, weight, labels=told, by=by)
    np.testing.assert_allclose(fit.slopes_, [-2, 3], atol=5.5 * 0.3 / np.sqrt(120))
    assert fit.n_features_in_ == 1 and fit.weights_.shape == (2, 2)
    assert weight @ fit.score_samples(x, y=y, labels=told, by=by) == pytest.approx(fit.log_likelihood_, rel=1e-9)
    assert (fit.predict(x, y=y, by=by) == z)[~np.isnan(y) & (np.abs(x[:, 0]) > 1)].mean() > 0.95
    np.testing.assert_allclose(fit.predict_proba(x, by=by), fit.weights_[(by == "right").astype(int)], rtol=1e-12)
    assert fit.bic(x, y, weight, labels=told, by=by) == pytest.approx(
        -2 * fit.log_likelihood_ + fit.result_.n_free * np.log(weight.sum())
    )
    with pytest.raises(TypeError, match="only estep's own estimators"):
        fit.save(tmp_path / "model")
    monkeypatch.setitem(files.ESTIMATORS, "Lines", __name__)
    monkeypatch.setitem(importlib.sys.modules, __name__, type("Module", (), {"Lines": Lines}))
    fit.save(tmp_path / "model", classes=[Line, LineParams])
    again = estep.load(tmp_path / "model", classes=[Line, LineParams])
    np.testing.assert_array_equal(again.predict(x, y=y, by=by), fit.predict(x, y=y, by=by))


def test_starts_and_constraints_of_a_family_of_ones_own():
    x, y, _ = lines()
    fit = Lines(n_components=2, init=dict(slopes=[-1.0, 1.0]), fixed=dict(scales=[0.3, np.nan])).fit(x, y)
    assert fit.scales_[0] == 0.3 and fit.result_.n_free == 4
    assert fit.slopes_[0] < 0 < fit.slopes_[1]


# ---- the register of files -----------------------------------------------------------------------------------------


def test_no_two_public_dataclasses_share_a_name():
    """A file names classes; where two share a name, neither can be read."""
    found = {}
    for package in files.PACKAGES:
        for cls in files._defined_in(package):
            found.setdefault(cls.__name__, []).append(cls.__module__)
    assert {name: homes for name, homes in found.items() if len(homes) > 1} == {}


def test_every_family_and_structure_is_known_to_files():
    known = files.known_classes()
    for package in (estep.families, estep.structures):
        assert [name for name in package.__all__ if known.get(name) is not getattr(package, name)] == []
    assert known["Poisson"] is estep.Poisson


PLACES = ("estep.families.", "estep.structures.", "estep.models.", "estep.core.", "estep.kernels.")


def test_only_dataclasses_of_these_packages_are_known():
    for cls in files.known_classes().values():
        assert cls.__module__.startswith(PLACES)
        assert dataclasses.is_dataclass(cls) or issubclass(cls, estep.Status)
    assert not {"Memory", "Mixture", "GaussianMixture", "Path", "partial"} & set(files.known_classes())


def test_every_estimator_is_known_to_files():
    for name, home in files.ESTIMATORS.items():
        cls = getattr(importlib.import_module(home), name)
        assert issubclass(cls, BaseEstimator) and getattr(estep, name) is cls


def test_lazy_names_lead_to_what_they_say():
    for package in (estep.families, estep.structures):
        assert sorted(package._HOMES) == sorted(package.__all__) == dir(package)
        for name, home in package._HOMES.items():
            assert getattr(package, name).__module__ == home
        with pytest.raises(AttributeError, match="no attribute 'Norman'"):
            package.Norman  # noqa: B018
    modules = {module.name for module in pkgutil.iter_modules(estep.families.__path__)}
    assert {home.rpartition(".")[2] for home in estep.families._HOMES.values()} <= modules
