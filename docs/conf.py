"""Sphinx configuration: pydata theme, numpydoc, MyST; `make docs` treats warnings as errors."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "src"))

from plain_docstrings import as_written  # noqa: E402

project = "estep"
author = "The estep developers"
copyright = "2026, The estep developers"
release = tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))["project"]["version"]
version = release

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "gallery"]
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

GALLERY = ("clusters", "laws", "answers", "regressions", "sequences", "gaps")
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "worked",
    "subsection_order": [f"gallery/{part}" for part in GALLERY],
    "within_subsection_order": "gallery_pictures.InOrder",
    "filename_pattern": r"\.py$",
    "image_scrapers": ("gallery_pictures.figures",),
    "capture_repr": ("_repr_html_",),
    "reset_modules": (),
    "abort_on_example_error": True,
    "copyfile_regex": "",
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "notebook_extensions": set(),
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "estep"
html_static_path = ["_static"]
html_theme_options = {"navigation_with_keys": False, "show_prev_next": True, "secondary_sidebar_items": ["page-toc"]}
html_sidebars: dict[str, list[str]] = {"**": []}
html_show_sourcelink = False


def setup(app: object) -> None:
    """Docstrings are made literal before numpydoc (priority 500) reads them."""
    app.connect("autodoc-process-docstring", as_written, priority=100)  # type: ignore[attr-defined]
