"""The report: whole, self-contained, safe with hostile names, and its numbers are the model's."""

from __future__ import annotations

import html.parser
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

import estep
from estep.data.sets import load_faithful
from estep.estimators.pictures import frames
from estep.views.report import report_html, write_report

HOSTILE = ('<script>alert("x")</script>', "\"><img src=x onerror='alert(1)'>")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.DataFrame(load_faithful()[0], columns=list(HOSTILE))


@pytest.fixture(scope="module")
def chosen(table: pd.DataFrame) -> Any:
    grid = {"n_components": [1, 2, 3], "covariance_type": ["EEE", "VVV"]}
    return estep.select(estep.GaussianMixture(n_init=3, random_state=0), table, grid)


@pytest.fixture(scope="module")
def page(table: pd.DataFrame, chosen: Any) -> str:
    fit = chosen.best_
    return report_html(
        fit, table, command="estep fit 'a & b.csv'", selection=chosen, names="Old <b>", frames=frames(fit, table)
    )


class Outline(html.parser.HTMLParser):
    """Tags with their attributes, and the text outside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "input", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_it_is_well_formed_and_asks_for_nothing(page: str) -> None:
    outline = Outline(page)
    assert outline.open == []
    assert not re.search(r"(?:https?:)?//[a-z]", page.replace("http://www.w3.org/2000/svg", ""))
    assert all(str(picture["src"]).startswith("data:image/") for picture in outline.all("img"))
    (policy,) = [m["content"] for m in outline.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert str(policy).startswith("default-src 'none'")
    assert "unsafe" not in str(policy)
    assert len(page) < 1_000_000


def test_text_from_the_data_is_escaped(page: str) -> None:
    outline = Outline(page)
    assert len(outline.all("script")) == 2  # the player's frames and the player
    assert not any("onerror" in attributes for _, attributes in outline.tags)
    assert HOSTILE[0] in " ".join(outline.text)
    assert "estep fit 'a & b.csv'" in " ".join(outline.text)


def test_it_can_be_read_without_eyes(page: str) -> None:
    outline = Outline(page)
    assert all(len(str(picture.get("alt") or "")) > 20 for picture in outline.all("img"))
    assert outline.all("html")[0]["lang"] == "en"
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {str(a["href"])[1:] for a in outline.all("a")} <= set(ids)
    assert all("scope" in cell for cell in outline.all("th"))
    assert [tag for tag, _ in outline.tags if tag in ("h1", "h2")][0] == "h1"


def test_its_numbers_are_the_models(page: str, chosen: Any, table: pd.DataFrame) -> None:
    words = " ".join(Outline(page).text)
    fit = chosen.best_
    assert f"{fit.log_likelihood_:.4f}" in words
    assert f"{fit.bic(table):.4f}" in words
    assert f"{chosen.best_cell.criterion:.2f}" in words
    assert fit.status_.value.split(":")[0] in words


def test_warnings_come_first(table: pd.DataFrame) -> None:
    with pytest.warns(estep.ConvergenceWarning):
        fit = estep.GaussianMixture(2, max_iter=2, n_init=1, random_state=0).fit(table)
    page = report_html(fit, table)
    assert "Read this first" in page
    assert page.index("cut short") < page.index("log-likelihood</dt>")


def test_other_fits_have_the_pictures_that_suit_them(table: pd.DataFrame) -> None:
    iris = load_iris(as_frame=True).data
    flowers = Outline(report_html(estep.GaussianMixture(3, n_init=3, random_state=0).fit(iris), iris))
    one = Outline(report_html(estep.GaussianMixture(1).fit(iris.iloc[:, :1]), iris.iloc[:, :1]))
    clusters = Outline(report_html(estep.KMeans(3, random_state=0).fit(table), table))
    titles = [" ".join(str(p["alt"]) for p in outline.all("img")) for outline in (flowers, one, clusters)]
    assert "matrix of scatter plots" in titles[0]
    assert "tells the components apart" in titles[0]
    assert "coloured by component" in titles[1]
    assert "cells of 3 cluster centres" in titles[2]


def test_many_rows_are_drawn_as_pixels_and_stay_small() -> None:
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(20_000, 4)), rng.normal(4, 1, size=(20_000, 4))])
    fit = estep.GaussianMixture(2, covariance_type="diag", n_init=1, random_state=0).fit(X)
    page = report_html(fit, X)
    assert "image/svg" not in page
    assert len(page) < 1_000_000


def test_an_old_report_survives_a_failure(tmp_path: Path, table: pd.DataFrame, chosen: Any) -> None:
    path = tmp_path / "report.html"
    write_report(path, chosen.best_, table)
    old = path.read_bytes()
    with pytest.raises(ValueError, match="feature names"):
        write_report(path, chosen.best_, table.assign(more=1.0))
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
