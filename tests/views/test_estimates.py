"""The table of estimates in every format: text known by heart, escaping, and numbers that are those of the standard errors."""

from __future__ import annotations

import html.parser
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import estep
from estep.views.estimates import table_of
from estep.views.report import report_html, write_report

DEATHS = np.repeat(np.arange(10.0), [162, 267, 271, 185, 111, 61, 27, 8, 3, 1])[:, None]
HOSTILE = ("a_b & 5 %", '<script>alert("|x|")</script>')
SNAPSHOT = """\
estimates  estimate  s.e.  95 % lower  upper
weights
  0            0.64  0.19        0.25   0.90
  1            0.36  0.19        0.10   0.75
rates
  0, x0        2.66  0.25        2.22   3.20
  1, x0        1.26  0.35        0.73   2.17"""


@pytest.fixture(scope="module")
def deaths() -> Any:
    return estep.Mixture(estep.Poisson(), 2, tol=1e-11, random_state=0).fit(DEATHS)


@pytest.fixture(scope="module")
def errors(deaths: Any) -> Any:
    return deaths.standard_errors(DEATHS)


@pytest.fixture(scope="module")
def hostile() -> tuple[Any, pd.DataFrame]:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(np.vstack([rng.normal(size=(40, 2)), 6 + rng.normal(size=(40, 2))]), columns=list(HOSTILE))
    return estep.GaussianMixture(2, n_init=2, random_state=0).fit(table), table


def test_the_text_is_known_by_heart(deaths: Any, errors: Any) -> None:
    """Hasselblad's data: weight .3599 (.1947), rates 1.2561 (.3500) and 2.6634 (.2505)."""
    assert str(table_of(deaths, errors)) == SNAPSHOT


def test_the_frame_has_the_numbers_of_the_errors(deaths: Any, errors: Any) -> None:
    frame = deaths.to_frame(DEATHS, level=0.9)
    assert [*frame.columns] == ["parameter", "component", "column", "estimate", "se", "lower", "upper", "z", "reason"]
    rates = frame[frame["parameter"] == "rates"]
    assert rates["se"].to_numpy() == pytest.approx([0.25048, 0.35003], abs=1e-5)
    assert rates["se"].to_numpy() == pytest.approx(errors["rates"][:, 0], rel=1e-12)
    ends = deaths.confint(DEATHS, 0.9)["rates"][:, 0]
    assert rates[["lower", "upper"]].to_numpy() == pytest.approx(ends, rel=1e-12)
    assert [*deaths.to_frame().columns] == ["parameter", "component", "column", "estimate"]
    assert deaths.to_frame(errors=errors).equals(deaths.to_frame(DEATHS))


def test_symmetric_matrices_show_their_lower_half(hostile: Any) -> None:
    fitted, _ = hostile
    lines = [line for line in table_of(fitted).lines if line.parameter == "covariances"]
    assert len(lines) == 6
    assert lines[1].column == f"{HOSTILE[1]}, {HOSTILE[0]}"


def test_parts_of_a_product_name_their_own_columns_and_levels() -> None:
    rng = np.random.default_rng(4)
    table = pd.DataFrame({"n": rng.poisson(3, 90), "c": rng.choice(["u", "v", "w"], 90), "b": rng.choice(["x", "y"], 90)})
    family = estep.Product({"n": estep.Poisson(), ("c", "b"): estep.Categorical()})
    lines = table_of(*(lambda f: (f, f.standard_errors(table)))(estep.Mixture(family, 1).fit(table))).lines
    assert [(x.component, x.column) for x in lines] == [
        ("0", "n"), ("0", "c, u"), ("0", "c, v"), ("0", "c, w"), ("0", "b, x"), ("0", "b, y"),
    ]  # fmt: skip


def test_markdown_escapes_and_keeps_its_columns(hostile: Any) -> None:
    fitted, table = hostile
    rows = fitted.to_markdown(table).strip().split("\n")
    bare = [row.replace("\\|", "").count("|") for row in rows]
    assert set(bare) == {8}
    assert "<script" not in "".join(rows).replace("\\<", "")


def test_html_is_a_table_and_nothing_else(hostile: Any) -> None:
    fitted, table = hostile
    seen: list[str] = []

    class Tags(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            seen.append(tag)

    Tags().feed(fitted.to_html(table))
    assert set(seen) == {"table", "thead", "tbody", "tr", "th", "td"}


def test_latex_is_escaped(hostile: Any, tmp_path: Path) -> None:
    fitted, table = hostile
    text = fitted.to_latex(table)
    assert r"a\_b \& 5 \%" in text
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().split("\n")
    assert {row.replace(r"\&", "").count("&") for row in body} == {6}
    assert all(row.endswith(r"\\") for row in body)
    if shutil.which("pdflatex"):
        page = r"\documentclass{article}\usepackage{booktabs}\begin{document}" + text + r"\end{document}"
        (tmp_path / "t.tex").write_text(page)
        subprocess.run(["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, check=True, capture_output=True)


def test_a_bootstrap_gives_its_percentiles() -> None:
    rows = np.random.default_rng(3).poisson(4.0, size=(60, 1)).astype(float)
    fitted = estep.Mixture(estep.Poisson(), 1).fit(rows)
    found = fitted.standard_errors(rows, method="bootstrap", n_boot=20)
    line = table_of(fitted, found).lines[-1]
    assert (line.lower, line.upper) == pytest.approx(tuple(found.interval()["rates"][0, 0]))
    assert "bootstrap, 95 % intervals" in fitted.summary(rows, errors=found)
    with pytest.raises(TypeError, match="Bootstrap, which holds no information"):
        fitted.diagnose(rows, errors=found)


def test_what_has_no_standard_error_says_why() -> None:
    rows = np.array([[0.0], [0.3], [1.0], [5.0], [5.5], [7.0]])
    fitted = estep.Mixture(estep.Normal("EII"), 2, fixed=dict(means=[[0.5], [np.nan]]), n_init=1, random_state=0).fit(rows)
    lines = {(x.parameter, x.component): x for x in table_of(fitted, fitted.standard_errors(rows)).lines}
    held = lines["means", "0"]
    assert (held.reason, held.cells()[1:]) == ("fixed", ["", "", "", ""])
    assert "| note |" in fitted.to_markdown(rows)


def test_coefficients_have_z() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 1))
    fitted = estep.MixtureOfRegressions(n_components=1).fit(x, 1 + 2 * x[:, 0] + rng.normal(size=200))
    frame = fitted.to_frame(x, 1 + 2 * x[:, 0] + np.random.default_rng(1).normal(size=(2, 200))[1])
    coefs = frame[frame["parameter"] == "coefs"].iloc[0]
    assert coefs["z"] == pytest.approx(coefs["estimate"] / coefs["se"])
    assert frame[frame["parameter"] == "scales"]["z"].isna().all()


def test_the_summary_stays_text_and_shows_errors_when_asked(deaths: Any, errors: Any) -> None:
    plain, full = deaths.summary(DEATHS), deaths.summary(DEATHS, errors=errors)
    assert isinstance(full, str)
    assert plain in full
    assert "Standard errors by oakes, 95 % intervals" in full
    assert SNAPSHOT in full
    assert deaths.summary(DEATHS, errors=True) == full
    with pytest.raises(ValueError, match="errors=True finds standard errors from the rows"):
        deaths.summary(errors=True)


def test_the_report_shows_intervals_and_findings(hostile: Any, tmp_path: Path) -> None:
    fitted, table = hostile
    found, errors = fitted.diagnose(table, n_sim=9), fitted.standard_errors(table)
    page = write_report(tmp_path / "page.html", fitted, table, errors=errors, findings=found).read_text("utf-8")
    assert '<a href="#estimates">Estimates</a>' in page
    assert table_of(fitted, errors).to_html().split("<thead>")[1] in page
    assert "Nothing was found." in page or "What to do:" in page
    assert "<script>alert" not in page
    bare = report_html(fitted, table)
    assert "#estimates" not in bare
    assert "#findings" not in bare


def test_estimates_without_errors_have_tables_too() -> None:
    x = pd.DataFrame({"a": [0.0, 0.2, 5.0, 5.2], "b": [1.0, 1.2, 7.0, 7.2]})
    clusters = estep.KMeans(2, random_state=0).fit(x)
    frame = clusters.to_frame()
    assert frame["column"].tolist() == ["a", "b", "a", "b"] and frame["component"].tolist() == ["0", "0", "1", "1"]
    assert "cluster" in clusters.to_markdown() and clusters.to_latex().startswith(r"\begin{tabular}")
    with pytest.raises(TypeError, match="KMeans has no standard errors; leave the rows out"):
        clusters.to_frame(x)
    counts = np.array([[5, 0, 1], [0, 4, 3], [6, 1, 0]])
    topics = estep.PLSA(2, random_state=0).fit(counts)
    assert {"topics", "documents"} == set(topics.to_frame()["parameter"])


def test_symmetric_tables_of_probabilities_are_shown_whole() -> None:
    x = np.repeat([[0.0], [9.0], [0.0], [9.0]], 10, axis=0) + np.random.default_rng(0).normal(size=(40, 1))
    moves = [[0.9, 0.1], [0.1, 0.9]]
    fit = estep.GaussianHMM(2, fixed={"transmat": moves}, random_state=0).fit(x)
    shown = fit.to_frame()
    assert (shown["parameter"] == "transmat").sum() == 4  # a covariance matrix would show three
