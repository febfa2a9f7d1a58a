"""How a fit ends and who watches it: caps, collapse, interruption, callbacks, the progress line, scikit-learn's own loops."""

import io
import re
import sys
import warnings

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import estep
from estep.engine.state import StopMemory
from estep.estimators.watching import ProgressLine

SINGULAR = np.array([[0.0], [1.0], [2.0], [3.0], [4.0], [10.0]])


def two_clusters():
    rng = np.random.default_rng(0)
    return np.vstack([rng.normal(size=(70, 2)), rng.normal(size=(50, 2)) * [1.0, 0.5] + [3.0, 1.5]])


X = two_clusters()


def slow(k=2, **settings):
    """A fit of many plain passes."""
    return estep.GaussianMixture(k, **{"random_state": 0, "n_init": 3, "accelerate": "none", "tol": 1e-12, **settings})


# ---- caps and collapse ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_iter", [0, 1, 2, 5])
def test_a_cap_is_not_convergence(max_iter):
    with pytest.warns(estep.ConvergenceWarning, match=f"stopped at max_iter={max_iter} before convergence.*raise max_iter"):
        fit = slow(max_iter=max_iter).fit(X)
    assert fit.converged_ is False
    assert fit.status_ is estep.Status.HIT_CAP
    assert len(fit.trace_) == max_iter
    assert fit.log_likelihood_ == pytest.approx(fit.score_samples(X).sum(), rel=1e-12)


def test_a_cap_says_how_much_is_left():
    with pytest.warns(estep.ConvergenceWarning) as caught:
        fit = slow(max_iter=12).fit(X)
    found = re.search(r"about (\S+) nats are probably left to gain \(tol asks for (\S+)\)", str(caught[0].message))
    assert found
    gained = slow(max_iter=5000, n_init=3).fit(X).log_likelihood_ - fit.log_likelihood_
    assert 0.1 * gained < float(found[1]) < 10 * gained  # a projection along a straight line, not a promise
    assert float(found[2]) == pytest.approx(1e-12 * len(X))


def test_scikit_learns_warning_is_ours():
    from sklearn.exceptions import ConvergenceWarning

    with pytest.warns(ConvergenceWarning):
        slow(max_iter=1).fit(X)


def test_six_points_by_default():
    """Every start collapses onto the far point; the default prior answers, and says so."""
    with pytest.warns(estep.ConvergenceWarning, match="every start collapsed.*default prior.*prior='default'.*prior=None"):
        fit = estep.GaussianMixture(2, random_state=0).fit(SINGULAR)
    assert fit.status_ is estep.Status.DEFAULT_PRIOR
    assert fit.converged_
    assert np.isfinite(fit.covariances_).all()
    assert fit.means_[:, 0] == pytest.approx([2.0, 9.93], abs=0.05)
    # The same estimates as when the prior is asked for, then without a warning.
    asked = estep.GaussianMixture(2, random_state=0, prior="default").fit(SINGULAR)
    np.testing.assert_allclose(fit.means_, asked.means_, atol=1e-4)
    assert len(fit.starts_) == 20
    assert len(fit.starts_.collapsed) == 10
    text = str(fit.starts_)
    assert text.startswith("20 starts\n")
    assert "10 ended at" in text
    assert text.count("collapsed: ") == 10


def test_six_points_under_strict_maximum_likelihood():
    with pytest.warns(estep.ConvergenceWarning, match=r"component \d collapsed.*no maximum.*remedies.*prior='default'"):
        fit = estep.GaussianMixture(2, random_state=0, prior=None).fit(SINGULAR)
    assert fit.status_ is estep.Status.DEGENERATE
    assert fit.converged_ is False
    assert np.isfinite(fit.covariances_).all()


def test_the_replication_table():
    fit = estep.GaussianMixture(2, random_state=0, n_init=10).fit(X)
    lines = str(fit.starts_).split("\n")
    assert lines[0] == "10 starts"
    count, value = re.fullmatch(r"  (\d+) ended at (\S+) \(best\)", lines[1]).groups()
    assert int(count) >= 3
    assert float(value) == pytest.approx(fit.objective_, abs=1e-5)
    assert fit.starts_[fit.starts_.best].objective == pytest.approx(fit.objective_, rel=1e-12)
    assert sum(row.polished for row in fit.starts_.rows) >= 4
    assert len(estep.KMeans(2, init="kmeans++", n_init=4, random_state=0).fit(X).starts_) == 4


# ---- callbacks -----------------------------------------------------------------------------------------------------


class Watching:
    """A callback that remembers what it saw, and at pass ``at`` does what it is told."""

    def __init__(self, at=None, then=None):
        self.at, self.then, self.seen = at, then, []

    def setup(self, estimator, context):
        self.seen.append("setup")

    def teardown(self, estimator, context):
        self.seen.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        """Nothing to prepare."""

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None, **more):
        if context.task_name == "pass":
            name = "cluster_centers_" if isinstance(estimator, estep.KMeans) else "means_"
            self.seen.append(getattr(fitted_estimator, name))
            if len(self.seen) - 1 == self.at:
                return self.then()
        return None


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize(("then", "status"), [(lambda: True, "STOPPED"), (interrupt, "INTERRUPTED")], ids=["asks", "ctrl-c"])
@pytest.mark.parametrize("at", [1, 4, 11, 30])
def test_a_stop_gives_the_best_so_far(at, then, status):
    watching = Watching(at, then)
    with pytest.warns(estep.ConvergenceWarning, match="best parameters so far"):
        fit = slow().set_callbacks(watching).fit(X)
    assert fit.status_ is estep.Status[status]
    assert not fit.converged_
    assert len(watching.seen) == at + 2, "it looked on after the stop"
    assert watching.seen[-1] == "teardown"
    assert fit.log_likelihood_ == pytest.approx(fit.score_samples(X).sum(), rel=1e-12)
    assert fit.log_likelihood_ >= fit.trace_[0]
    # Nothing is left of the stop: the next fit runs through.
    watching.at = None
    assert fit.fit(X).converged_


@pytest.mark.parametrize("then", [lambda: True, interrupt], ids=["asks", "ctrl-c"])
def test_a_stop_of_kmeans(then):
    many = np.random.default_rng(1).normal(size=(2000, 2))
    with pytest.warns(estep.ConvergenceWarning, match="best parameters so far"):
        fit = estep.KMeans(8, init="kmeans++", random_state=0).set_callbacks(Watching(3, then)).fit(many)
    assert fit.status_ in (estep.Status.STOPPED, estep.Status.INTERRUPTED)
    assert fit.labels_.shape == (2000,)


def test_a_failing_callback_is_heard():
    def fail():
        raise RuntimeError("the callback's own trouble")

    watching = Watching(3, fail)
    with pytest.raises(RuntimeError, match="own trouble"):
        slow().set_callbacks(watching).fit(X)
    assert watching.seen[-1] == "teardown"


def test_callbacks_see_the_fit_grow():
    watching = Watching()
    fit = slow(init={"means": [[0, 0], [3, 1.5]]}).set_callbacks(watching).fit(X)
    passes = watching.seen[1:-1]
    assert len(passes) == len(fit.trace_)
    np.testing.assert_allclose(passes[-1], fit.means_, atol=1e-4)
    assert np.abs(passes[0] - fit.means_).max() > 1e-3


def test_scikit_learns_monitor():
    """It scores with ``y``: known classes here, some of them."""
    monitor = ScoringMonitor(scoring={"density": lambda fitted, rows, classes: fitted.score(rows, classes)})
    y = np.where(np.arange(120) % 9 == 0, np.arange(120) >= 70, -1).astype(int)
    fit = slow(init={"means": [[0, 0], [3, 1.5]]}).set_callbacks(monitor).fit(X, y)
    scores = monitor.get_logs().data_as_pandas["density"].dropna().to_numpy()
    assert len(scores) == len(fit.trace_)
    assert (np.diff(scores) >= -1e-12).all()
    assert scores[-1] == pytest.approx(fit.score(X, y), abs=1e-9)


@pytest.mark.parametrize("estimator", [slow(), estep.KMeans(2)], ids=["mixture", "kmeans"])
def test_scikit_learns_progress_bar(estimator, capsys):
    assert clone(estimator).set_callbacks(ProgressBar()).fit(X).converged_
    assert type(estimator).__name__ in capsys.readouterr().out


# ---- the progress line ---------------------------------------------------------------------------------------------


def screen(written):
    """What a terminal shows after ``written``: a carriage return goes to the start of the line."""
    shown = ""
    for part in written.split("\r"):
        shown = part + shown[len(part) :]
    return shown


def test_the_progress_line(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    ticks = iter(np.arange(0.0, 1e6, 0.15))
    monkeypatch.setattr("estep.estimators.watching.time.monotonic", lambda: next(ticks))
    fit = slow(progress=True).fit(X)
    written = stream.getvalue()
    assert fit.converged_
    assert "\n" not in written
    assert "GaussianMixture: start 1, pass 1, objective" in written
    assert re.search(r"start 3, pass \d+, objective -\d+\.\d{6}, about \S+ nats and \d+ s left", written)
    assert screen(written).strip() == "", "the line is not cleared"


def test_no_progress_no_output(capsys):
    slow().fit(X)
    assert capsys.readouterr() == ("", "")


def test_the_progress_line_goes_away_when_a_fit_fails(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    ticks = iter(np.arange(0.0, 1e6, 0.15))
    monkeypatch.setattr("estep.estimators.watching.time.monotonic", lambda: next(ticks))

    def fail():
        raise RuntimeError("stop here")

    with pytest.raises(RuntimeError):
        slow(progress=True).set_callbacks(Watching(4, fail)).fit(X)
    assert stream.getvalue()
    assert screen(stream.getvalue()).strip() == ""


def test_time_left_counts_the_passes_of_every_start():
    """Ten seconds for twenty passes, and some ten more passes to go: five seconds, whichever start they belong to."""
    state = type("State", (), {})()
    state.trace, state.value = np.zeros(5), -1.0
    state.stop = StopMemory(np.float64(0.1), np.array([0.5]), np.float64(2.0**10 * 1e-6), np.int64(0), np.int64(0))
    line = ProgressLine("fit", io.StringIO())
    line.starts, line.passes = 4, 20
    assert line.text(state, 10.0) == "fit: start 4, pass 5, objective -1.000000, about 0.001 nats and 5 s left"


# ---- scikit-learn's loops ------------------------------------------------------------------------------------------


def test_pipelines():
    pipe = make_pipeline(StandardScaler(), estep.GaussianMixture(2, random_state=0)).fit(X)
    # Full covariances do not care about the units.
    np.testing.assert_array_equal(pipe.predict(X), estep.GaussianMixture(2, random_state=0).fit(X).predict(X))
    distances = make_pipeline(estep.KMeans(3, random_state=0), StandardScaler()).fit_transform(X)
    assert distances.shape == (120, 3)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_grid_search(n_jobs):
    rng = np.random.default_rng(2)
    three = np.vstack([rng.normal(size=(60, 2)) + c for c in ([0, 0], [7, 0], [0, 7])])
    order = rng.permutation(180)
    base = estep.GaussianMixture(random_state=0, n_init=2, covariance_type="EII", n_jobs=1)
    search = GridSearchCV(base, {"n_components": [1, 2, 3, 4]}, cv=3, n_jobs=n_jobs).fit(three[order])
    assert search.best_params_["n_components"] >= 3
    scores = dict(zip([1, 2, 3, 4], search.cv_results_["mean_test_score"], strict=True))
    assert scores[1] < scores[2] < scores[3]


def test_grid_search_and_ctrl_c():
    """An interruption ends the search, and not only the fit it happened to hit."""
    watching = Watching(5, interrupt)
    with pytest.raises(KeyboardInterrupt):
        GridSearchCV(slow().set_callbacks(watching), {"n_components": [2, 3]}, cv=2).fit(X)
    assert len([seen for seen in watching.seen if not isinstance(seen, str)]) == 5


def test_weights_through_routing():
    weight = np.where(np.arange(120) < 70, 1.0, 3.0)
    with sklearn.config_context(enable_metadata_routing=True):
        mixture = estep.GaussianMixture(2, random_state=0).set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipe = make_pipeline(scaler, mixture).fit(X, sample_weight=weight)
        direct = estep.GaussianMixture(2, random_state=0).fit(StandardScaler().fit_transform(X), sample_weight=weight)
        np.testing.assert_array_equal(pipe[-1].means_, direct.means_)
        scored = clone(mixture).set_score_request(sample_weight=True)
        first, second = np.arange(0, 120, 2), np.arange(1, 120, 2)
        search = GridSearchCV(scored, {"n_components": [2]}, cv=[(first, second)]).fit(X, sample_weight=weight)
        half = estep.GaussianMixture(2, random_state=0).fit(X[first], sample_weight=weight[first])
        expected = half.score(X[second], sample_weight=weight[second])
        assert search.cv_results_["mean_test_score"] == pytest.approx([expected], rel=1e-14)
        assert abs(expected - half.score(X[second])) > 1e-3
        asked = estep.GaussianMixture().set_fit_request(labels=True, sample_weight=False).get_metadata_routing()
        assert asked.fit.requests == {"by": None, "labels": True, "sample_weight": False}
    plain = make_pipeline(StandardScaler(), estep.GaussianMixture(2, random_state=0)).fit(X)
    assert np.abs(plain[-1].means_ - pipe[-1].means_).max() > 1e-3


def test_settings_can_be_changed_and_copied():
    model = estep.GaussianMixture(3, fixed={"means": [[0.0, np.nan]] * 3}, prior={"dof": 5})
    assert model.get_params()["fixed"] is model.fixed
    again = clone(model).set_params(n_components=2, fixed=None)
    assert (again.n_components, again.fixed, again.prior) == (2, None, {"dof": 5})
    with pytest.raises(ValueError, match="Invalid parameter 'components'"):
        model.set_params(components=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = again.fit(X)
    assert not hasattr(clone(fit), "means_")
