"""The pictures of a report: what to draw, which fits have it, and what it shows to those who cannot see it.

Each entry of ``GALLERY`` and ``RUN`` is one picture; a new one is one more entry.
"""

from __future__ import annotations

import base64
import dataclasses
import inspect
import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from estep.families.normal import Normal
from estep.inference.distribution import has_cdf, is_counted
from estep.inference.free_point import families_of
from estep.views.profiles import candidates
from estep.views.values import numeric_columns
from estep.views.words import column_names, component_names, inner_family, named_components, overall_weights

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VECTORS = 1_000


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure of the page: a data address, what it shows for those who cannot see it, and a caption."""

    source: str
    alt: str
    caption: str


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A picture the page may hold: whether the fit has it, how it is drawn, and what it shows."""

    suits: Callable[[Any], bool]
    draw: Callable[[Any, Any], Figure]
    alt: Callable[[Any], str]
    caption: str


def pictures(drawings: tuple[Drawing, ...], estimator: Any, X: Any) -> Iterator[Picture]:
    """Those of the drawings that suit the estimator, drawn."""
    for drawing in drawings:
        if drawing.suits(estimator):
            yield picture_of(lambda d=drawing: d.draw(estimator, X), drawing.alt(estimator), drawing.caption, len(X))  # type: ignore[misc]


def picture_of(draw: Callable[[], Figure], alt: str, caption: str, n: int) -> Picture:
    """A figure as a data address: vectors for few rows, pixels for many, so that the page stays small."""
    import matplotlib as mpl

    vectors, buffer = n <= VECTORS, io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "estep"}):
        if vectors:
            draw().savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        else:
            draw().savefig(buffer, format="png", dpi=110, transparent=True, metadata={"Software": None})
    kind = "svg+xml" if vectors else "png"
    return Picture(f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}", alt, caption)


def _clusters(estimator: Any, X: Any) -> Figure:
    from estep.views.plot import plot_clusters

    return plot_clusters(estimator, X)


def _density(estimator: Any, X: Any) -> Figure:
    from estep.views.density import plot_density

    return plot_density(estimator, X)


def _pairs(estimator: Any, X: Any) -> Figure:
    from estep.views.pairs import plot_pairs

    return plot_pairs(estimator, X)


def _projection(estimator: Any, X: Any) -> Figure:
    from estep.views.pairs import plot_projection

    return plot_projection(estimator, X)


def _voronoi(estimator: Any, X: Any) -> Figure:
    from estep.views.voronoi import plot_voronoi

    return plot_voronoi(estimator, X)


def _profiles(estimator: Any, X: Any) -> Figure:
    from estep.views.profiles import plot_profiles

    return plot_profiles(estimator, X)


def _responsibilities(estimator: Any, X: Any) -> Figure:
    from estep.views.responsibilities import plot_responsibilities

    return plot_responsibilities(estimator, X)


def _uncertainty(estimator: Any, X: Any) -> Figure:
    from estep.views.responsibilities import plot_uncertainty

    return plot_uncertainty(estimator, X)


def _rootogram(estimator: Any, X: Any) -> Figure:
    from estep.views.rootogram import plot_rootogram

    return plot_rootogram(estimator, X)


def _probability(estimator: Any, X: Any) -> Figure:
    from estep.views.probability import plot_probability

    return plot_probability(estimator, X)


def _over_time(estimator: Any, X: Any) -> Figure:
    figure: Figure = estimator.plot(X)
    return figure


def _moves(estimator: Any, X: Any) -> Figure:
    figure: Figure = estimator.plot()
    return figure


def _residuals(estimator: Any, X: Any) -> Figure:
    figure: Figure = estimator.plot_residuals(X, kind="forecast")
    return figure


def _of_responses(estimator: Any, X: Any) -> Figure:
    figure: Figure = estimator.plot_residuals(X, along="fitted")
    return figure


def _trace(estimator: Any, X: Any) -> Figure:
    from estep.views.run import plot_trace

    return plot_trace(estimator)


def _starts(estimator: Any, X: Any) -> Figure:
    from estep.views.run import plot_starts

    return plot_starts(estimator)


def _classed(estimator: Any) -> bool:
    """Whether ``predict_proba`` is of the components, row by row."""
    return hasattr(estimator, "predict_proba") and hasattr(estimator, "icl") and not hasattr(estimator, "gate_proba")


def _mixture(estimator: Any) -> bool:
    """Whether moreover the columns are what the components have a law of."""
    return _classed(estimator) and not _regresses(estimator)


def _regresses(estimator: Any) -> bool:
    return "coefs" in getattr(getattr(estimator.result_.model, "family", None), "names", ())


def _sequential(estimator: Any) -> bool:
    """Whether rows come in sequences, so that what is drawn of single rows alone does not suit."""
    return hasattr(estimator, "decode")


def _over_rows(estimator: Any) -> bool:
    """Whether the picture of sequences is of their rows, and not of the moves alone."""
    return _sequential(estimator) and "X" in inspect.signature(estimator.plot).parameters


def _has_residuals(estimator: Any) -> bool:
    if not _sequential(estimator) or not hasattr(estimator, "plot_residuals"):
        return False
    return has_cdf(estimator.result_.model.family, 0, int(estimator.n_features_in_))


def _has_residuals_of_responses(estimator: Any) -> bool:
    """Whether responses are numbers, whose law has a distribution function."""
    if not hasattr(estimator, "predict_component"):
        return False
    inner = [family for family in families_of(estimator.result_.model) if not hasattr(family, "family_of")]
    return all(hasattr(family, "cdf") and getattr(family, "classes", "none") == "none" for family in inner)


def _columns(estimator: Any) -> int:
    """Columns of numbers; categories are drawn by their profiles."""
    return len(numeric_columns(estimator))


def _normal(estimator: Any) -> bool:
    return _mixture(estimator) and isinstance(inner_family(estimator.result_), Normal)


def _has_profile(estimator: Any) -> bool:
    if not _mixture(estimator) or int(estimator.n_features_in_) < 2:
        return False
    return bool(candidates(estimator)) or _columns(estimator) > 1


def _one_law(estimator: Any, counted: bool) -> bool:
    """Whether one column of numbers, counts or not, has weights over all rows and a distribution function."""
    one = _mixture(estimator) and int(estimator.n_features_in_) == 1 == _columns(estimator)
    if not one or _sequential(estimator):
        return False
    family = getattr(estimator.result_.model, "family", None)
    suits = is_counted(family, 0) is counted and has_cdf(family, 0, 1)
    return suits and overall_weights(estimator.result_) is not None


def _drawn(estimator: Any) -> str:
    names = column_names(estimator)
    return " and ".join(names[j] for j in numeric_columns(estimator)[:2])


def _many(estimator: Any) -> bool:
    return _classed(estimator) and int(estimator.result_.model.k) > 1


def _of_components(estimator: Any) -> str:
    weights = overall_weights(estimator.result_)
    if weights is None:
        return f"{named_components(estimator.result_)} components"
    shares = ", ".join(f"{name} {weight:.0%}" for name, weight in zip(component_names(estimator), weights, strict=True))
    return f"{len(weights)} components ({shares})"


GALLERY: tuple[Drawing, ...] = (
    Drawing(
        _over_rows,
        _over_time,
        lambda e: f"Columns over time in the colours of the most probable path, probabilities and moves of {_of_components(e)}",
        "Rows over time in the colours of the most probable path, probabilities of states, and moves between them.",
    ),
    Drawing(
        lambda e: _sequential(e) and not _over_rows(e),
        _moves,
        lambda e: f"States and the moves between them, {_of_components(e)}",
        "States, the moves between them, and where sequences begin.",
    ),
    Drawing(
        _has_residuals,
        _residuals,
        lambda e: f"Pseudo-residuals of {column_names(e)[0]} given the rows before, their normal Q-Q plot and autocorrelations",
        "Forecast pseudo-residuals: independent and standard normal where the model holds.",
    ),
    Drawing(
        _has_residuals_of_responses,
        _of_responses,
        lambda e: f"Pseudo-residuals of the responses along the expected ones, with a normal Q-Q plot, of {_of_components(e)}",
        "Pseudo-residuals of the responses: standard normal, whatever is expected, where the model holds.",
    ),
    Drawing(
        lambda e: _mixture(e) and 1 <= _columns(e) <= 2,
        _clusters,
        lambda e: f"Rows of {_drawn(e)} coloured by component, with {_of_components(e)}",
        "Rows coloured by their responsibilities; ellipses hold one and two standard deviations of a component.",
    ),
    Drawing(
        lambda e: _normal(e) and _columns(e) == 2 and not _sequential(e),
        _density,
        lambda e: f"Contours of the fitted density over {_drawn(e)}",
        "The fitted density: each contour holds the share of the distribution that is written on it.",
    ),
    Drawing(
        lambda e: _mixture(e) and _columns(e) > 2,
        _pairs,
        lambda e: f"A matrix of scatter plots of {', '.join(column_names(e)[:6])}, coloured by component",
        "Every pair of columns, and each column's histogram with the components.",
    ),
    Drawing(
        lambda e: _mixture(e) and _many(e) and _columns(e) > 2,
        _projection,
        lambda e: f"Rows in the plane that tells the components apart best, with {_of_components(e)}",
        "The plane in which the components lie farthest apart, in units of the spread within them.",
    ),
    Drawing(
        lambda e: hasattr(e, "cluster_centers_") and _columns(e) == 2,
        _voronoi,
        lambda e: f"Rows of {' and '.join(column_names(e))} in the cells of {len(e.cluster_centers_)} cluster centres",
        "Rows, centres and the boundaries between their cells.",
    ),
    Drawing(
        _has_profile,
        _profiles,
        lambda e: f"What each of {_of_components(e)} looks like, column by column",
        "Profiles of the components.",
    ),
    Drawing(
        lambda e: _mixture(e) and _many(e) and int(e.n_features_in_) == 1 == _columns(e) and not _sequential(e),
        _responsibilities,
        lambda e: f"Share of each component along {column_names(e)[0]}",
        "Responsibilities: to which component a row belongs, along the column.",
    ),
    Drawing(
        lambda e: _one_law(e, counted=True),
        _rootogram,
        lambda e: f"Hanging rootogram of {column_names(e)[0]}: counts seen hang from the counts expected",
        "Counts seen hang from those expected; bars that end within one of zero agree.",
    ),
    Drawing(
        lambda e: _one_law(e, counted=False),
        _probability,
        lambda e: f"Share of rows of {column_names(e)[0]} below each value against that of the fitted mixture",
        "Rows against the fitted mixture: on the diagonal where it holds.",
    ),
    Drawing(
        _many,
        _uncertainty,
        lambda e: f"How uncertain the most probable component is, row by row, for {_of_components(e)}",
        "Uncertainty of each row, the surest first.",
    ),
)
RUN: tuple[Drawing, ...] = (
    Drawing(
        lambda e: len(e.result_.trace) > 1,
        _trace,
        lambda e: f"The objective over {len(e.result_.trace)} passes, ending at {e.result_.objective:.4f} nats",
        "The objective pass by pass, and its gap to the projected limit.",
    ),
    Drawing(
        lambda e: e.result_.starts is not None and len(e.result_.starts) > 1,
        _starts,
        lambda e: f"Where each of {len(e.result_.starts)} starts ended",
        "Replication: where every start ended.",
    ),
)
