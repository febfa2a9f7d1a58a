"""The report of a hidden Markov model: its numbers, pictures of time, intervals and findings; sequences however they come."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import estep
from estep.views.report import report_html, write_report


def diaries() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    mood = np.concatenate([np.repeat([0, 1, 0, 1], [12, 8, 10, 10]) for _ in range(6)])
    score = np.where(mood == 1, 7.0, 3.0) + rng.normal(size=240)
    return pd.DataFrame(
        {"person": np.repeat([f"p{i}" for i in range(6)], 40), "day": np.tile(np.arange(40), 6), "score": score}
    )


def test_the_report_shows_errors_findings_and_time(tmp_path: Path) -> None:
    table = diaries()
    fit = estep.GaussianHMM(2, random_state=0, n_init=3).fit(table, sequence="person", time="day")
    told = {"sequence": "person", "time": "day"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        errors, findings = fit.standard_errors(table, **told), fit.diagnose(table, n_sim=0, **told)
    page = write_report(tmp_path / "page.html", fit, table, errors=errors, findings=findings, **told).read_text("utf-8")
    for words in (
        "hidden Markov model, 2 states",
        "Rows over time in the colours of the most probable path",
        "Forecast pseudo-residuals",
        "Estimates with standard errors (oakes)",
        "to 1",
        "influence of single rows",
        f"{fit.log_likelihood_:.4f}",
    ):
        assert words in page, words
    assert "Responsibilities: to which component a row belongs, along" not in page  # that would take rows one by one
    assert "240 rows of 1 column (score)" in page


def test_a_list_and_one_sequence_are_the_same_page_but_for_their_ends() -> None:
    table = diaries()
    parts = [part[["score"]] for _, part in table.groupby("person")]
    fit = estep.GaussianHMM(2, random_state=0, n_init=3).fit(parts)
    by_list = report_html(fit, parts)
    by_lengths = report_html(fit, table[["score"]], lengths=[40] * 6)
    assert by_list == by_lengths
    assert report_html(fit, table[["score"]]) != by_lengths
    letters = estep.CategoricalHMM(2, random_state=0).fit(np.array(list("abcab"))[np.arange(60) % 5][:, None])
    page = report_html(letters, np.array(list("abcab"))[np.arange(60) % 5][:, None])
    assert "Rows over time" in page and "pseudo-residuals" not in page
    with pytest.raises(ValueError, match="lengths is for hidden Markov models, and this is a GaussianMixture"):
        report_html(estep.GaussianMixture(1).fit(table[["score"]]), table[["score"]], lengths=[240])
