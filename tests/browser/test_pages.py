"""Report and player in a real browser: nothing is fetched, nothing is logged, buttons work, numbers are the model's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import estep
from estep.data.sets import load_faithful
from estep.estimators.pictures import frames
from estep.views.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    X, _ = load_faithful()
    return pd.DataFrame(X, columns=["<img src=x onerror=alert(1)>", "waiting"])


@pytest.fixture(scope="module")
def fitted(table: pd.DataFrame) -> Any:
    return estep.GaussianMixture(3, n_init=2, random_state=0).fit(table)


@pytest.fixture(scope="module")
def report(table: pd.DataFrame, fitted: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    return write_report(path, fitted, table, command="estep fit <x>.csv", frames=frames(fitted, table))


class Visit:
    """A page that was opened, with all that it logged and asked for."""

    def __init__(self, browser: Any, path: Path, **look: Any) -> None:
        self.context = browser.new_context(**look)
        self.page = self.context.new_page()
        self.logged: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.logged.append(message.text))
        self.page.on("pageerror", lambda error: self.logged.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.logged.append("dialog"), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())

    def close(self) -> None:
        self.context.close()


LOOKS = [
    {"viewport": {"width": 1100, "height": 800}},
    {"viewport": {"width": 390, "height": 800}, "color_scheme": "dark"},
]


@pytest.mark.parametrize("look", LOOKS, ids=["wide", "phone, dark"])
def test_the_report_is_quiet_and_fits_the_screen(browser: Any, report: Path, fitted: Any, look: Any) -> None:
    visit = Visit(browser, report, **look)
    page = visit.page
    assert visit.logged == []
    assert [url for url in visit.asked if not url.startswith(("file:", "data:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert f"{fitted.log_likelihood_:.4f}" in page.inner_text("dl.facts")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
    assert dark == (look.get("color_scheme") == "dark")
    visit.close()


def test_contrast_is_readable_in_light_and_dark(browser: Any, report: Path) -> None:
    """Text against its background has a contrast of at least 4.5 (WCAG 2.2, level AA)."""
    for scheme in ("light", "dark"):
        visit = Visit(browser, report, color_scheme=scheme)
        colours = visit.page.evaluate(
            "(() => { const s = getComputedStyle(document.documentElement);"
            "return ['--paper','--ink','--quiet','--accent'].map(n => s.getPropertyValue(n).trim()) })()"
        )
        paper, *inks = (_luminance(colour) for colour in colours)
        for ink in inks:
            assert (max(paper, ink) + 0.05) / (min(paper, ink) + 0.05) >= 4.5
        visit.close()


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_player_steps_plays_and_ends_at_the_fit(browser: Any, table: pd.DataFrame, fitted: Any, tmp_path: Path) -> None:
    animation = fitted.animate(table)
    visit = Visit(browser, animation.save(tmp_path / "run.html"))
    page, last = visit.page, len(animation) - 1
    assert page.locator("circle").count() == len(table) + 3
    assert page.inner_text("output").startswith("pass 1, objective")
    page.click("button.on")
    assert page.get_attribute(".player", "data-frame") == "1"
    page.click("button.back")
    page.click("button.back")
    assert page.get_attribute(".player", "data-frame") == "0"
    page.click("button.play")
    page.wait_for_selector(".player:not([data-frame='0'])")
    assert page.inner_text("button.play") == "Pause"
    page.click("button.play")
    assert page.inner_text("button.play") == "Play"
    page.focus("input")
    page.keyboard.press("End")
    assert page.get_attribute(".player", "data-frame") == str(last)
    assert page.inner_text("output").endswith("converged")
    assert f"{animation.frames.objective[-1]:.4f}" in page.inner_text("output")
    assert page.locator("svg text", has_text="<img").count() == 1
    assert visit.logged == []
    visit.close()
