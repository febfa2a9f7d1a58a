"""How the gallery finds its pictures: every matplotlib figure that a script binds to a name, without pyplot.

Our plot functions return figures and show nothing, so there is no list of open figures to read. A figure is taken after the
block of the script that made it, once.
"""

from __future__ import annotations

import re
import weakref
from typing import Any

from matplotlib.figure import Figure

DPI = 150
TAKEN: weakref.WeakSet[Figure] = weakref.WeakSet()


def figures(block: Any, names: dict[str, Any], settings: dict[str, Any], **options: Any) -> str:
    """sphinx-gallery's hook: save the new figures among the script's names, and give the lines that show them."""
    from sphinx_gallery.scrapers import figure_rst

    bound = names["example_globals"].items()
    new = [(name, value) for name, value in bound if isinstance(value, Figure) and value not in TAKEN]
    saved, described = [], []
    for name, figure in new:
        TAKEN.add(figure)
        path = next(names["image_path_iterator"])
        figure.savefig(path, dpi=DPI)
        saved.append(path)
        described.append(re.sub(r"_+", " ", name).strip())
    return str(figure_rst(saved, settings["src_dir"], ", ".join(described)))


class InOrder:
    """sphinx-gallery's sort key: the order in which the pages of a section are listed."""

    PAGES = (
        "gaussian_mixture", "choosing", "kmeans", "outliers", "watching", "picture",
        "poisson", "gamma", "mixed_columns",
        "exam", "groups", "raters", "abilities", "topics",
        "two_lines", "seizures", "experts",
        "motif", "durations", "turns",
        "imputation", "crimes", "censored",
    )  # fmt: skip

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, file: str) -> int:
        return self.PAGES.index(file.removesuffix(".py"))
