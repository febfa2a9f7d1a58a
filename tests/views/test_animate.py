"""Animations: frames hold the iterates, files are what they say, names from the data do no harm."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import estep
from estep.data.sets import load_faithful
from estep.views.frames import kept_passes
from estep.views.player import as_json, page, policy, ticks


@pytest.fixture(scope="module")
def faithful() -> pd.DataFrame:
    X, columns = load_faithful()
    return pd.DataFrame(X, columns=list(columns))


@pytest.fixture(scope="module")
def fitted(faithful: pd.DataFrame) -> Any:
    return estep.GaussianMixture(3, n_init=3, random_state=0).fit(faithful)


def test_the_last_frame_is_the_fit(fitted: Any, faithful: pd.DataFrame) -> None:
    """The replay is plain EM from the same start: it ends within the tolerance of the fit, and the rows have its colours."""
    frames = fitted.animate(faithful).frames
    assert frames.objective[-1] == pytest.approx(fitted.objective_, abs=1e-3)
    assert (np.diff(frames.objective) >= -1e-9).all()
    assert frames.ending == "converged"
    assert frames.centres[-1] == pytest.approx(fitted.means_, abs=0.05)
    assert frames.shades.shape == (len(frames), 272, 3)


def test_kmeans_is_replayed_step_by_step(faithful: pd.DataFrame) -> None:
    fit = estep.KMeans(3, random_state=0).fit(faithful)
    frames = fit.animate(faithful).frames
    assert frames.centres[-1] == pytest.approx(fit.cluster_centers_, abs=1e-9)
    assert len(np.unique(frames.shades[-1], axis=0)) == 3


def test_one_column_shows_curves_and_piles_of_rows(faithful: pd.DataFrame) -> None:
    fit = estep.GaussianMixture(2, n_init=3, random_state=0).fit(faithful[["waiting"]])
    frames = fit.animate(faithful[["waiting"]]).frames
    grid, heights = frames.lines[-1, 0].T
    again = np.exp(fit.score_samples(pd.DataFrame({"waiting": grid})))
    assert frames.lines[-1, :, :, 1].sum(axis=0) == pytest.approx(again, rel=1e-2)
    assert frames.names == ("waiting", "density")
    assert len(np.unique(frames.points, axis=0)) >= faithful["waiting"].nunique()


def test_long_runs_keep_the_first_passes_and_the_last() -> None:
    kept = kept_passes(3000)
    assert len(kept) <= 60
    assert kept[:6].tolist() == list(range(6))
    assert kept[-1] == 2999
    assert (np.diff(kept) > 0).all()


def test_a_gif_has_a_picture_a_frame_and_rests_at_the_end(fitted: Any, faithful: pd.DataFrame, tmp_path: Path) -> None:
    animation = estep.KMeans(2, random_state=0).fit(faithful).animate(faithful)
    path = animation.save(tmp_path / "run.gif")
    with Image.open(path) as picture:
        assert picture.n_frames == len(animation)
        picture.seek(picture.n_frames - 1)
        assert picture.info["duration"] > 1000


def test_another_ending_is_refused(fitted: Any, faithful: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ends with '.mp4'; an animation is saved as .gif or .html"):
        fitted.animate(faithful).save(tmp_path / "run.mp4")
    assert list(tmp_path.iterdir()) == []


def test_the_page_holds_what_is_drawn(fitted: Any, faithful: pd.DataFrame) -> None:
    frames = fitted.animate(faithful).frames
    (block,) = re.findall(r'<script type="application/json">(.*?)</script>', page(frames), flags=re.S)
    data = json.loads(block)
    assert len(data["passes"]) == len(frames)
    span = frames.box[1] - frames.box[0]
    assert (np.abs(np.array(data["points"]) - frames.points) <= span / 1000).all()
    assert data["names"] == ["eruptions", "waiting"]


def test_names_cannot_close_the_script() -> None:
    assert "<" not in as_json({"name": "</script><script>alert(1)</script><!--"})
    assert json.loads(as_json("</script>&")) == "</script>&"


def test_the_policy_names_its_texts_by_hash() -> None:
    words = policy(["a {}"], ["b()"])
    assert words.count("sha256-") == 2
    assert "default-src 'none'" in words
    assert "unsafe" not in words


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3e-9, 2e-9), (1e8, 1e8 + 7), (-5000, 12000)])
def test_ticks_are_round_and_inside(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 2 <= len(found) <= 7
    assert all(low <= t <= high for t in found)


def test_a_fit_without_means_or_start_says_so(fitted: Any, faithful: pd.DataFrame) -> None:
    import copy
    import dataclasses

    lost = copy.copy(fitted)
    lost.result_ = dataclasses.replace(fitted.result_, first=None)
    with pytest.raises(ValueError, match="does not know where its run began"):
        lost.animate(faithful)
    with pytest.raises(ValueError, match="columns names 'x'"):
        fitted.animate(faithful, columns=["x"])
