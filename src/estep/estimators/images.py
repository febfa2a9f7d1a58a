"""Colour segmentation of pictures: pixels are rows, their colours (and, if wanted, their places) are columns.

    x_i = (red, green, blue)_i in 0..1     or with places   (red, green, blue, s u_i, s v_i),  u and v in 0..1

A mixture of normals is fitted to a sample of pixels, then every pixel is given its class probabilities.

Source: Carson, Belongie, Greenspan & Malik (2002), Blobworld, IEEE TPAMI 24:1026.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.estimators.fitting import seed_of
from estep.estimators.mixture import GaussianMixture
from estep.inference.words import keywords_of

SAMPLE = 20_000


@dataclasses.dataclass(frozen=True)
class Segmentation:
    """A segmented picture.

    Attributes
    ----------
    labels : int array (height, width)
        Most probable segment of each pixel; segments come in decreasing size. -1 where the picture is fully transparent.
    probabilities : array (height, width, k)
        Class probabilities of each pixel, NaN where it is fully transparent.
    palette : array (k, channels)
        Mean colour of each segment in 0..1.
    shares : array (k,)
        Share of the picture in each segment.
    estimator : GaussianMixture
        The fitted mixture.
    """

    labels: NDArray[np.intp]
    probabilities: Array
    palette: Array
    shares: Array
    estimator: GaussianMixture

    def picture(self) -> NDArray[np.uint8]:
        """The picture with every pixel in its segment's mean colour, (height, width, 3); white where transparent."""
        colours = self.palette if self.palette.shape[1] == 3 else np.repeat(self.palette, 3, axis=1)
        whole = np.vstack([colours, np.ones(3)])
        painted: NDArray[np.uint8] = np.rint(255 * np.clip(whole[self.labels], 0.0, 1.0)).astype(np.uint8)
        return painted

    def probability_picture(self, segment: int) -> NDArray[np.uint8]:
        """The probability of one segment as a grey picture (height, width): white is certain."""
        if not 0 <= segment < self.probabilities.shape[2]:
            raise ValueError(f"segment must be 0..{self.probabilities.shape[2] - 1}, got {segment}")
        return np.rint(255 * np.nan_to_num(self.probabilities[:, :, segment])).astype(np.uint8)

    def table(self) -> list[dict[str, Any]]:
        """A row for each segment: its number, mean colour as #rrggbb, share of the picture and pixels."""
        counts = np.bincount(self.labels[self.labels >= 0].ravel(), minlength=len(self.palette))
        colours = self.palette if self.palette.shape[1] == 3 else np.repeat(self.palette, 3, axis=1)
        codes = ["#{:02x}{:02x}{:02x}".format(*np.rint(255 * np.clip(c, 0, 1)).astype(int)) for c in colours]
        rows = zip(codes, self.shares, counts, strict=True)
        return [{"segment": k, "colour": c, "share": float(s), "pixels": int(m)} for k, (c, s, m) in enumerate(rows)]


def segment_image(
    image: Any,
    n_segments: int = 4,
    *,
    places: float = 0.0,
    covariance_type: str = "full",
    sample: int = SAMPLE,
    random_state: Any = None,
    **settings: Any,
) -> Segmentation:
    """Segment a picture by colour with a Gaussian mixture.

    Parameters
    ----------
    image : array (height, width), (height, width, 3) or (height, width, 4)
        Grey, RGB or RGBA; whole numbers 0..255 or fractions 0..1. Fully transparent pixels belong to no segment.
    n_segments : int
        Number of segments.
    places : float
        Weight of a pixel's place beside its colour; 0 segments by colour alone, 1 counts the longer side as much as black
        to white.
    covariance_type : str
        As in ``GaussianMixture``.
    sample : int
        Pixels that the mixture is fitted to, drawn at random; all are then classified.
    random_state, **settings
        As in ``GaussianMixture``.

    Returns
    -------
    Segmentation

    Raises
    ------
    ValueError
        A picture of another shape or range, one with a single colour, or a setting out of range.

    Examples
    --------
    >>> import numpy as np
    >>> picture = np.full((8, 8, 3), 0.1); picture[:, 4:] = (0.9, 0.5, 0.2)
    >>> picture += np.random.default_rng(0).uniform(0, 0.05, picture.shape)
    >>> found = segment_image(picture, 2, random_state=0)
    >>> np.unique(found.labels[:, :4]).size, np.unique(found.labels[:, 4:]).size
    (1, 1)
    """
    colour, solid = _read(image)
    if not isinstance(places, int | float) or not np.isfinite(places) or places < 0:
        raise ValueError(f"places must be a number >= 0, got {places!r}")
    known = keywords_of(GaussianMixture.__init__, "self", "n_components", "covariance_type", "random_state")
    if strange := [name for name in settings if name not in known]:
        raise TypeError(f"segment_image takes no {strange[0]!r}; besides its own it takes {', '.join(known)}")
    if not isinstance(sample, int | np.integer) or sample < n_segments:
        raise ValueError(f"sample must be an integer >= n_segments, got {sample!r}")
    rows = colour.reshape(-1, colour.shape[2])
    varying = np.ptp(rows[solid.ravel()], axis=0) > 0
    if not varying.any():
        raise ValueError("image has one colour only, so there is nothing to segment")
    features = np.hstack([rows[:, varying], *([_places(colour.shape[:2], places)] if places > 0 else [])])
    seen = np.flatnonzero(solid.ravel())
    rng = np.random.default_rng(seed_of(random_state))
    chosen = seen if len(seen) <= sample else np.sort(rng.choice(seen, sample, replace=False))
    fit = GaussianMixture(n_segments, covariance_type=covariance_type, random_state=random_state, **settings)
    fit.fit(features[chosen])
    resp = np.full((len(features), n_segments), np.nan)
    resp[seen] = fit.predict_proba(features[seen])
    return _segmentation(resp, rows, seen, colour.shape, fit)


def _segmentation(
    resp: Array, rows: Array, seen: NDArray[np.intp], shape: tuple[int, ...], fit: GaussianMixture
) -> Segmentation:
    weight = resp[seen].sum(axis=0)
    palette = (resp[seen].T @ rows[seen]) / np.maximum(weight, np.finfo(float).tiny)[:, None]
    labels = np.full(len(resp), -1, dtype=np.intp)
    labels[seen] = resp[seen].argmax(axis=1)
    height, width = shape[:2]
    probabilities = resp.reshape(height, width, -1)
    return Segmentation(labels.reshape(height, width), probabilities, palette, weight / weight.sum(), fit)


def _read(image: Any) -> tuple[Array, NDArray[np.bool_]]:
    """Colours (height, width, 1 or 3) in 0..1 and which pixels are not fully transparent."""
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or 0 in pixels.shape:
        raise ValueError(
            f"image has shape {np.shape(image)}; expected (height, width), (height, width, 3) or (height, width, 4)"
        )
    if pixels.dtype.kind not in "uif":
        raise ValueError(f"image holds {pixels.dtype}; expected whole numbers 0..255 or fractions 0..1")
    scaled = pixels.astype(float) / (255.0 if pixels.dtype.kind in "ui" else 1.0)
    if not np.isfinite(scaled).all() or scaled.min() < 0 or scaled.max() > 1:
        if np.isnan(scaled).any():
            holes = int(np.isnan(scaled).sum())
            raise ValueError(f"image has no value (NaN) in {holes} places; fill them in, or make these pixels transparent")
        found = f"{pixels.min():g} to {pixels.max():g}"
        raise ValueError(f"image holds values from {found}; expected whole numbers 0..255 or fractions 0..1")
    solid = scaled[:, :, 3] > 0 if scaled.shape[2] == 4 else np.ones(scaled.shape[:2], dtype=bool)
    if not solid.any():
        raise ValueError("image is fully transparent, so there is nothing to segment")
    return scaled[:, :, :3], solid


def _places(size: tuple[int, ...], weight: float) -> Array:
    height, width = size[:2]
    down, across = np.mgrid[0:height, 0:width] / max(height - 1, width - 1, 1)
    return weight * np.stack([across.ravel(), down.ravel()], axis=1)
