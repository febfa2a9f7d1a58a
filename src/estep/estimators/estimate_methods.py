"""The table of estimates of a fitted estimator: as DataFrame, LaTeX, Markdown and HTML, as functions that the classes list.

With the rows of the fit (and its other row keywords), standard errors and intervals stand beside; without, estimates alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from estep.inference.errors import Errors
    from estep.views.estimates import EstimateTable


def estimates_of(
    self: Any, rows: tuple[Any, ...], keywords: dict[str, Any], errors: Errors | None, level: float
) -> EstimateTable:
    """The table, with standard errors where they or the rows are given."""
    check_is_fitted(self, "result_")
    from estep.views.estimates import table_of

    if isinstance(errors, str | bool) and rows:
        keywords, errors = {**keywords, **({"method": errors} if isinstance(errors, str) else {})}, None
    if errors is None and (rows or keywords):
        if not hasattr(self, "standard_errors"):
            raise TypeError(f"{type(self).__name__} has no standard errors; leave the rows out, and estimates stand alone")
        errors = self.standard_errors(*rows, **keywords)
    return table_of(self, errors, level)


def to_frame(self: Any, *rows: Any, errors: Errors | None = None, level: float = 0.95, **keywords: Any) -> Any:
    """Estimates as a pandas DataFrame: parameter, component, column, estimate; with rows also se, lower, upper, z, reason.

    Parameters
    ----------
    *rows, **keywords
        The rows of the fit as ``standard_errors`` takes them (``method`` too); left out, estimates stand alone.
    errors : Errors or None
        What ``standard_errors`` returned, in place of the rows.
    level : float
        Of the intervals.
    """
    return estimates_of(self, rows, keywords, errors, level).to_frame()


def to_latex(self: Any, *rows: Any, errors: Errors | None = None, level: float = 0.95, **keywords: Any) -> str:
    """Estimates as a LaTeX ``tabular`` (package booktabs); arguments as for ``to_frame``."""
    return estimates_of(self, rows, keywords, errors, level).to_latex()


def to_markdown(self: Any, *rows: Any, errors: Errors | None = None, level: float = 0.95, **keywords: Any) -> str:
    """Estimates as a Markdown table; arguments as for ``to_frame``."""
    return estimates_of(self, rows, keywords, errors, level).to_markdown()


def to_html(self: Any, *rows: Any, errors: Errors | None = None, level: float = 0.95, **keywords: Any) -> str:
    """Estimates as an HTML ``table``; arguments as for ``to_frame``."""
    return estimates_of(self, rows, keywords, errors, level).to_html()
