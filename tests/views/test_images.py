"""Colour segmentation: planted colours are found, shapes and ranges are checked, transparent pixels are left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import estep


def planted(seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """A picture of three vertical stripes of unlike width, each a colour with a little noise."""
    colours = np.array([[200, 40, 40], [30, 160, 60], [40, 60, 190]])
    where = np.repeat(np.repeat([0, 1, 2], [30, 20, 10])[None, :], 40, axis=0)
    noisy = colours[where] + np.random.default_rng(seed).normal(0, 6, size=(40, 60, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8), where


def test_planted_colours_are_found_in_order_of_size() -> None:
    picture, where = planted()
    found = estep.segment_image(picture, 3, random_state=0)
    assert (found.labels == where).all()
    assert found.shares == pytest.approx([0.5, 1 / 3, 1 / 6], abs=1e-9)
    means = np.array([picture[where == k].mean(axis=0) for k in range(3)])
    assert 255 * found.palette == pytest.approx(means, abs=1e-6)
    assert found.picture()[0, 0].tolist() == np.rint(means[0]).tolist()
    assert found.probability_picture(1).max() == 255
    assert [row["colour"] for row in found.table()] == ["#{:02x}{:02x}{:02x}".format(*np.rint(m).astype(int)) for m in means]
    assert sum(row["pixels"] for row in found.table()) == 2400


def test_fractions_grey_and_transparency() -> None:
    picture, where = planted()
    same = estep.segment_image(picture / 255.0, 3, random_state=0)
    assert (same.labels == where).all()
    grey = estep.segment_image(picture[:, :, 0], 2, random_state=0)
    assert grey.palette.shape == (2, 1)
    assert grey.picture().shape == (40, 60, 3)
    alpha = np.full((40, 60, 1), 255, dtype=np.uint8)
    alpha[:5] = 0
    clear = estep.segment_image(np.concatenate([picture, alpha], axis=2), 3, random_state=0)
    assert (clear.labels[:5] == -1).all()
    assert np.isnan(clear.probabilities[:5]).all()
    assert clear.picture()[0, 0].tolist() == [255, 255, 255]


def test_places_tell_equal_colours_apart() -> None:
    rng = np.random.default_rng(1)
    picture = np.zeros((20, 60, 3)) + rng.uniform(0.4, 0.42, size=(20, 60, 3))
    picture[:, 20:40] += 0.4
    by_colour = estep.segment_image(picture, 2, random_state=0)
    assert by_colour.labels[0, 0] == by_colour.labels[0, 59]
    by_place = estep.segment_image(picture, 3, places=2.0, random_state=0)
    assert by_place.labels[0, 0] != by_place.labels[0, 59]


def test_a_constant_channel_is_left_out_and_kept_in_the_palette() -> None:
    picture, _ = planted()
    picture[:, :, 2] = 77
    found = estep.segment_image(picture, 2, random_state=0)
    assert found.palette[:, 2] == pytest.approx(77 / 255)


@pytest.mark.parametrize(
    ("image", "settings", "words"),
    [
        (np.zeros((4, 4)), {}, "one colour only"),
        (np.zeros((4, 4, 2)), {}, r"shape \(4, 4, 2\); expected"),
        (np.zeros(4), {}, r"shape \(4,\); expected"),
        (np.full((4, 4), 300.0), {}, "values from 300 to 300"),
        (np.array([["a"]]), {}, "image holds <U1"),
        (np.zeros((4, 4, 4)), {}, "fully transparent"),
        (planted()[0], {"places": -1}, "places must be a number >= 0, got -1"),
        (planted()[0], {"sample": 1}, "sample must be an integer >= n_segments, got 1"),
    ],
)
def test_bad_pictures_are_refused(image: Any, settings: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        estep.segment_image(image, 2, **settings)


def test_a_segment_that_is_not_there() -> None:
    found = estep.segment_image(planted()[0], 2, random_state=0)
    with pytest.raises(ValueError, match=r"segment must be 0..1, got 2"):
        found.probability_picture(2)
