"""Pictures, compared by what is in them: lines, points, ellipses, labels, limits."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, StepPatch

import estep
from estep.core.record import Array
from estep.data.sets import load_faithful
from estep.inference.select import STRUCTURES, Cell, Selection
from estep.views import plot, values
from estep.views.palette import NOISE, colours, mixed
from estep.views.plot import plot_clusters, plot_selection


@pytest.fixture(scope="module")
def faithful() -> pd.DataFrame:
    X, columns = load_faithful()
    return pd.DataFrame(X, columns=list(columns))


@pytest.fixture(scope="module")
def fitted(faithful: pd.DataFrame) -> Any:
    return estep.GaussianMixture(2, init=(faithful["eruptions"] < 3).astype(int).to_numpy()).fit(faithful)


def cell(value: float, usable: bool = True, **settings: Any) -> Cell:
    return Cell(settings, value if usable else np.nan, 0.0, 1, "converged", "", 0.0, usable)


def made_up(cells: Sequence[Cell], criterion: str = "bic") -> Selection:
    return Selection(tuple(cells), None, criterion)


@pytest.fixture
def fourteen() -> Selection:
    """Criterion by structure s and number k: 1000 + 10 (k - 3)^2 + s; the best is the first structure with 3 components."""
    grid = [(k, s) for k in range(1, 6) for s in STRUCTURES]
    kept = [(k, s) for k, s in grid if k > 1 or s in ("EII", "EEI", "EEE")]
    values = [1000 + 10.0 * (k - 3) ** 2 + STRUCTURES.index(s) for k, s in kept]
    return made_up([cell(v, n_components=k, covariance_type=s) for v, (k, s) in zip(values, kept, strict=True)])


def drawn(figure: Figure) -> bytes:
    """The figure as PNG: drawing it must neither fail nor warn."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=50)
    return buffer.getvalue()


def curves(figure: Figure) -> dict[str, Any]:
    return {str(line.get_label()): line for line in figure.axes[0].get_lines() if not str(line.get_label()).startswith("_")}


def legend_of(figure: Figure) -> list[str]:
    legend = figure.axes[0].get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


def patches(figure: Figure, kind: type) -> list[Any]:
    return [patch for patch in figure.axes[0].patches if isinstance(patch, kind)]


def points(figure: Figure) -> PathCollection:
    (found,) = [c for c in figure.axes[0].collections if isinstance(c, PathCollection)]
    return found


# --- a selection ---


def test_a_curve_for_every_structure(fourteen: Selection) -> None:
    figure = plot_selection(fourteen)
    lines = curves(figure)
    assert list(lines) == legend_of(figure) == list(STRUCTURES)
    for s, name in enumerate(STRUCTURES):
        np.testing.assert_array_equal(lines[name].get_xdata(), [1, 2, 3, 4, 5])
        np.testing.assert_allclose(lines[name].get_ydata()[1:], [1010 + s, 1000 + s, 1010 + s, 1040 + s])
    assert drawn(figure).startswith(b"\x89PNG")


def test_structures_that_coincide_for_one_component_share_its_value(fourteen: Selection) -> None:
    lines = curves(plot_selection(fourteen))
    first = {name: float(line.get_ydata()[0]) for name, line in lines.items()}
    assert first["VII"] == first["EII"]
    assert first["VVI"] == first["VEI"] == first["EVI"] == first["EEI"]
    assert {first[name] for name in STRUCTURES[7:]} == {first["EEE"]}
    assert len(set(first.values())) == 3


def test_no_two_curves_look_alike(fourteen: Selection) -> None:
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in curves(plot_selection(fourteen)).values()}
    assert len(looks) == 14


def test_the_best_is_ringed_and_named(fourteen: Selection) -> None:
    ax = plot_selection(fourteen).axes[0]
    (ring,) = [line for line in ax.get_lines() if line.get_label() == "_best"]
    assert ring.get_xydata().tolist() == [[3.0, 1000.0]]  # type: ignore[union-attr]
    assert [text.get_text() for text in ax.texts] == ["best: EII, 3 components\nBIC 1000.0"]
    assert ax.get_ylabel() == "BIC (lower is better)"
    assert ax.get_xlabel() == "number of components"
    low, high = ax.get_ylim()
    assert low < 1000
    assert high > 1053


def test_curves_far_above_are_cut_and_said_to_be() -> None:
    near = [cell(100.0 + k, n_components=k, covariance_type=s) for k in range(1, 6) for s in ("EEE", "VVV", "EEV")]
    far = [cell(9000.0 + k, n_components=k, covariance_type="EII") for k in range(1, 6)]
    figure = plot_selection(made_up([*near, *far]))
    ax = figure.axes[0]
    assert ax.get_ylim()[1] < 200
    assert legend_of(figure) == ["EII (above)", "EEE", "EEV", "VVV"]
    assert ax.get_title(loc="right").startswith("cut off above 1")
    assert plot_selection(made_up(near)).axes[0].get_title(loc="right") == ""


def test_failures_are_gaps_and_counted() -> None:
    cells = [cell(10.0 * k, usable=k != 2, n_components=k) for k in (1, 2, 3)]
    figure = plot_selection(made_up(cells, "icl_entropy"))
    (line,) = curves(figure).values()
    np.testing.assert_array_equal(np.isnan(line.get_ydata()), [False, True, False])
    assert figure.axes[0].get_title(loc="right") == "1 of 3 fits could not be used"
    assert figure.axes[0].get_ylabel() == "ICL (entropy) (lower is better)"
    assert figure.axes[0].get_legend() is None
    drawn(figure)


def test_other_settings_name_the_curves() -> None:
    pairs = [(k, noise) for k in (1, 2) for noise in (True, False)]
    cells = [cell(10.0 * k + noise, n_components=k, noise=noise, covariance_type="EEE") for k, noise in pairs]
    figure = plot_selection(made_up(cells))
    assert set(curves(figure)) == {"noise=True, covariance_type=EEE", "noise=False, covariance_type=EEE"}
    assert figure.axes[0].texts[0].get_text().startswith("best: 1 component\n")
    drawn(figure)


def test_a_grid_without_components_has_its_first_setting_below() -> None:
    figure = plot_selection(made_up([cell(3.0, covariance_type="full"), cell(2.0, covariance_type="tied")]))
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["full", "tied"]
    assert ax.get_xlabel() == "covariance_type"
    drawn(figure)


def test_a_real_selection(faithful: pd.DataFrame) -> None:
    grid = {"n_components": [1, 2], "covariance_type": ["EEE", "VVV"]}
    selection = estep.select(estep.GaussianMixture(random_state=0, n_init=3), faithful, grid)
    lines = curves(plot_selection(selection))
    for name, line in lines.items():
        own = next(c for c in selection.table if c.settings == {"n_components": 2, "covariance_type": name})
        assert line.get_ydata()[1] == own.criterion


# --- two columns ---


def test_points_lie_where_the_rows_are(fitted: Any, faithful: pd.DataFrame) -> None:
    figure = plot_clusters(fitted, faithful)
    ax = figure.axes[0]
    np.testing.assert_array_equal(points(figure).get_offsets(), faithful.to_numpy())
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("eruptions", "waiting")
    assert ax.get_xlim()[0] < faithful["eruptions"].min()
    assert ax.get_ylim()[1] > faithful["waiting"].max()
    assert legend_of(figure) == ["component 0 (0.64)", "component 1 (0.36)", "1 sd", "2 sd"]


def test_colours_are_mixed_by_responsibility(fitted: Any, faithful: pd.DataFrame) -> None:
    figure = plot_clusters(fitted, faithful)
    drawn(figure)
    resp = fitted.predict_proba(faithful)
    expected = resp @ np.array([to_rgb(name) for name in colours(2)])
    np.testing.assert_allclose(np.asarray(points(figure).get_facecolor())[:, :3], expected, atol=1e-12)
    assert ((resp > 0.1) & (resp < 0.9)).any(), "some rows lie between, or the test cannot see a mixture"


def test_noise_is_grey() -> None:
    assert mixed(np.array([[0.0, 0.0, 1.0]]), noisy=True)[0].tolist() == list(to_rgb(NOISE))
    assert mixed(np.array([[0.0, 0.0, 1.0]]))[0].tolist() == list(to_rgb(colours(3)[2]))


@pytest.mark.parametrize("k", [1, 3])
def test_two_ellipses_and_a_mean_for_each_component(faithful: pd.DataFrame, k: int) -> None:
    fit = estep.GaussianMixture(k, random_state=0, n_init=2).fit(faithful)
    figure = plot_clusters(fit, faithful)
    ellipses = patches(figure, Ellipse)
    assert len(ellipses) == 2 * k
    means = np.array([line.get_xydata()[0] for line in figure.axes[0].get_lines()])  # type: ignore[index]
    np.testing.assert_allclose(means, fit.means_)
    for i, patch in enumerate(ellipses):
        component, sds = i // 2, 1 + i % 2
        edge = patch.get_patch_transform().transform(patch.get_path().vertices[::3])  # between them lie control points
        root = np.linalg.cholesky(fit.covariances_[component])
        distances = np.linalg.norm(np.linalg.solve(root, (edge - fit.means_[component]).T), axis=0)
        np.testing.assert_allclose(distances, sds, rtol=1e-9)


def test_ellipses_stay_in_view(fitted: Any, faithful: pd.DataFrame) -> None:
    ax = plot_clusters(fitted, faithful[:20]).axes[0]
    for patch in (p for p in ax.patches if isinstance(p, Ellipse)):
        corners = patch.get_patch_transform().transform([[-1, -1], [1, 1]])
        middle = corners.mean(axis=0)
        assert ax.get_xlim()[0] < middle[0] < ax.get_xlim()[1]
        assert ax.get_ylim()[0] < middle[1] < ax.get_ylim()[1]


def test_columns_are_chosen_by_name_and_place(faithful: pd.DataFrame) -> None:
    X = faithful.assign(third=np.sqrt(faithful["waiting"]) + np.arange(272) % 7)
    fit = estep.GaussianMixture(2, covariance_type="diag", random_state=0, n_init=2).fit(X)
    default = plot_clusters(fit, X).axes[0]
    assert (default.get_xlabel(), default.get_ylabel()) == ("eruptions", "waiting")
    for columns in (["third", "eruptions"], [2, 0]):
        figure = plot_clusters(fit, X, columns)
        assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("third", "eruptions")
        np.testing.assert_array_equal(points(figure).get_offsets(), X[["third", "eruptions"]].to_numpy())
        centre = patches(figure, Ellipse)[0].get_center()
        np.testing.assert_allclose(centre, fit.means_[0, [2, 0]])


@pytest.mark.parametrize("columns", [["nowhere", "waiting"], [0, 2], [-1, 0], [0.5, 1]])
def test_unknown_columns_are_refused(fitted: Any, faithful: pd.DataFrame, columns: list[Any]) -> None:
    with pytest.raises(ValueError, match="the columns are"):
        plot_clusters(fitted, faithful, columns)


@pytest.mark.parametrize("columns", [[], [0, 1, 0]])
def test_one_or_two_columns(fitted: Any, faithful: pd.DataFrame, columns: list[Any]) -> None:
    with pytest.raises(ValueError, match="give one .* or two"):
        plot_clusters(fitted, faithful, columns)


def test_rows_with_a_missing_entry_are_ticks(fitted: Any, faithful: pd.DataFrame) -> None:
    holed = faithful.copy()
    holed.iloc[:5, 1] = np.nan
    holed.iloc[5:8, 0] = np.nan
    holed.iloc[8, :] = np.nan
    figure = plot_clusters(fitted, holed)
    ticks = {str(c.get_label()): len(c.get_segments()) for c in figure.axes[0].collections if isinstance(c, LineCollection)}
    assert ticks == {"y missing": 5, "x missing": 3}
    assert len(np.asarray(points(figure).get_offsets())) == 272 - 9
    drawn(figure)


def test_many_rows_are_thinned_and_it_says_so(monkeypatch: pytest.MonkeyPatch, fitted: Any, faithful: pd.DataFrame) -> None:
    monkeypatch.setattr(plot, "MOST_POINTS", 100)
    monkeypatch.setattr(values, "MOST_POINTS", 100)
    figure = plot_clusters(fitted, faithful)
    assert len(np.asarray(points(figure).get_offsets())) == 100
    assert figure.axes[0].get_title(loc="right") == "100 of 272 rows, drawn at random"
    array = estep.GaussianMixture(1, random_state=0).fit(faithful.to_numpy())
    assert len(np.asarray(points(plot_clusters(array, faithful.to_numpy())).get_offsets())) == 100


# --- one column ---


def area(patch: StepPatch) -> float:
    heights, edges, _ = patch.get_data()
    return float((heights * np.diff(edges)).sum())


@pytest.mark.parametrize("noise", [False, True])
def test_curves_add_up_to_the_density(faithful: pd.DataFrame, noise: bool) -> None:
    X = faithful[["eruptions"]]
    fit = estep.GaussianMixture(2, noise=noise, random_state=0, n_init=2).fit(X)
    figure = plot_clusters(fit, X)
    lines = curves(figure)
    assert list(lines) == legend_of(figure)[1:]
    assert len(lines) == 3 + noise
    grid = np.asarray(lines["sum"].get_xdata())
    total = np.exp(fit.score_samples(pd.DataFrame({"eruptions": grid})))
    np.testing.assert_allclose(lines["sum"].get_ydata(), total, rtol=1e-10)
    parts: Array = sum(np.asarray(line.get_ydata()) for name, line in lines.items() if name != "sum")  # type: ignore[assignment]
    np.testing.assert_allclose(parts, total, rtol=1e-10)
    assert area(patches(figure, StepPatch)[0]) == pytest.approx(1.0)
    assert figure.axes[0].get_xlabel() == "eruptions"
    drawn(figure)


def test_one_column_of_two_has_its_marginal(fitted: Any, faithful: pd.DataFrame) -> None:
    lines = curves(plot_clusters(fitted, faithful, ["waiting"]))
    grid = np.asarray(lines["sum"].get_xdata())
    holed = pd.DataFrame({"eruptions": np.nan, "waiting": grid})
    np.testing.assert_allclose(lines["sum"].get_ydata(), np.exp(fitted.score_samples(holed)), rtol=1e-8)


def test_one_component_needs_no_sum(faithful: pd.DataFrame) -> None:
    X = faithful[["eruptions"]]
    lines = curves(plot_clusters(estep.GaussianMixture(1, random_state=0).fit(X), X))
    assert list(lines) == ["component 0 (1.00)"]


# --- manners ---


def test_only_fitted_mixtures_are_drawn(faithful: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"not fitted yet; call fit\(X\) first"):
        plot_clusters(estep.GaussianMixture(2), faithful)
    with pytest.raises(ValueError, match="KMeans gives no class probabilities"):
        plot_clusters(estep.KMeans(2, random_state=0).fit(faithful), faithful)


@pytest.mark.parametrize("size", [(5.0, 2.4), (8.0, 4.0), (20.0, 14.0)])
def test_every_size_draws_without_a_warning(
    fourteen: Selection, fitted: Any, faithful: pd.DataFrame, size: tuple[float, float]
) -> None:
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, 2)
    assert plot_selection(fourteen, ax=axes[0]) is figure
    assert plot_clusters(fitted, faithful, ax=axes[1]) is figure
    assert drawn(figure)


def test_nothing_global_is_touched(fourteen: Selection, fitted: Any, faithful: pd.DataFrame) -> None:
    before = dict(mpl.rcParams)
    drawn(plot_selection(fourteen))
    drawn(plot_clusters(fitted, faithful))
    assert dict(mpl.rcParams) == before


def test_pyplot_is_never_loaded() -> None:
    program = (
        "import json, sys, numpy as np, estep\n"
        "from estep.views import plot\n"
        "early = 'matplotlib' in sys.modules\n"
        "X = np.array([[0.0], [0.2], [0.1], [5.0], [5.2], [5.1]])\n"
        "plot.plot_clusters(estep.GaussianMixture(2, covariance_type='EII', random_state=0).fit(X), X)\n"
        "print(json.dumps([early, 'matplotlib.figure' in sys.modules, 'matplotlib.pyplot' in sys.modules]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [False, True, False]


def test_without_matplotlib_the_error_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch, fourteen: Selection, fitted: Any, faithful: pd.DataFrame
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"plot_selection draws with matplotlib.*pip install estep\[plot\]"):
        plot_selection(fourteen)
    with pytest.raises(ImportError, match=r"plot_clusters draws with matplotlib.*pip install estep\[plot\]"):
        plot_clusters(fitted, faithful)
