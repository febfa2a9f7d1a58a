"""Pictures, tables and reports: they read results and data, and never fit. Names load on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Animation": "estep.views.animate",
    "EstimateTable": "estep.views.estimates",
    "plot_block": "estep.views.block",
    "plot_bound": "estep.views.bound",
    "plot_censored": "estep.views.censored",
    "plot_clusters": "estep.views.plot",
    "plot_density": "estep.views.density",
    "plot_graph": "estep.views.graphical_model",
    "plot_halves": "estep.views.bound",
    "plot_imputed": "estep.views.gaps",
    "plot_influence": "estep.views.influence",
    "plot_loadings": "estep.views.heat",
    "plot_logo": "estep.views.logo",
    "plot_pairs": "estep.views.pairs",
    "plot_patterns": "estep.views.gaps",
    "plot_probability": "estep.views.probability",
    "plot_profiles": "estep.views.profiles",
    "plot_projection": "estep.views.pairs",
    "plot_regressions": "estep.views.regressions",
    "plot_residuals": "estep.views.probability",
    "plot_responsibilities": "estep.views.responsibilities",
    "plot_rootogram": "estep.views.rootogram",
    "plot_selection": "estep.views.plot",
    "plot_sites": "estep.views.logo",
    "plot_starts": "estep.views.run",
    "plot_table": "estep.views.heat",
    "plot_topics": "estep.views.topic_bars",
    "plot_trace": "estep.views.run",
    "plot_uncertainty": "estep.views.responsibilities",
    "plot_voronoi": "estep.views.voronoi",
    "summary_text": "estep.views.table",
    "table_of": "estep.views.estimates",
    "write_report": "estep.views.report",
}

__all__ = [
    "Animation",
    "EstimateTable",
    "plot_block",
    "plot_bound",
    "plot_censored",
    "plot_clusters",
    "plot_density",
    "plot_graph",
    "plot_halves",
    "plot_imputed",
    "plot_influence",
    "plot_loadings",
    "plot_logo",
    "plot_pairs",
    "plot_patterns",
    "plot_probability",
    "plot_profiles",
    "plot_projection",
    "plot_regressions",
    "plot_residuals",
    "plot_responsibilities",
    "plot_rootogram",
    "plot_selection",
    "plot_sites",
    "plot_starts",
    "plot_table",
    "plot_topics",
    "plot_trace",
    "plot_uncertainty",
    "plot_voronoi",
    "summary_text",
    "table_of",
    "write_report",
]

if TYPE_CHECKING:
    from estep.views.animate import Animation
    from estep.views.block import plot_block
    from estep.views.bound import plot_bound, plot_halves
    from estep.views.censored import plot_censored
    from estep.views.density import plot_density
    from estep.views.estimates import EstimateTable, table_of
    from estep.views.gaps import plot_imputed, plot_patterns
    from estep.views.graphical_model import plot_graph
    from estep.views.heat import plot_loadings, plot_table
    from estep.views.influence import plot_influence
    from estep.views.logo import plot_logo, plot_sites
    from estep.views.pairs import plot_pairs, plot_projection
    from estep.views.plot import plot_clusters, plot_selection
    from estep.views.probability import plot_probability, plot_residuals
    from estep.views.profiles import plot_profiles
    from estep.views.regressions import plot_regressions
    from estep.views.report import write_report
    from estep.views.responsibilities import plot_responsibilities, plot_uncertainty
    from estep.views.rootogram import plot_rootogram
    from estep.views.run import plot_starts, plot_trace
    from estep.views.table import summary_text
    from estep.views.topic_bars import plot_topics
    from estep.views.voronoi import plot_voronoi


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'estep.views' has no attribute {name!r}")
