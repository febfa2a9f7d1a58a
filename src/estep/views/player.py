"""The player of an animation: a block of HTML with an SVG, buttons and the frames as JSON, and a page around it.

The page needs no network and allows none: its Content-Security-Policy admits just the script and the styles whose hashes it
names. Names from the data are escaped twice, as JSON and as HTML.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from importlib.resources import files
from typing import Any

import numpy as np

from estep.core.record import Array
from estep.views.frames import Frames

TICKS = 6


def page(frames: Frames, title: str = "EM, pass by pass") -> str:
    """A whole page with one player."""
    style, script = asset("page.css") + asset("player.css"), asset("player.js")
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">{policy([style], [script])}'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{html.escape(title)}</title>'
        f"<style>{style}</style></head><body><main><h1>{html.escape(title)}</h1>{block(frames)}</main>"
        f"<script>{script}</script></body></html>\n"
    )


def block(frames: Frames) -> str:
    """The player itself, for a page that holds ``player.css`` and, after it, ``player.js``."""
    k = frames.centres.shape[1]
    words = f"{k} components moving over {len(frames.points)} rows in {len(frames)} frames: {frames.ending}"
    return (
        f'<div class="player" role="group" aria-label="Animation of the run">'
        f'<svg viewBox="0 0 640 460" role="img" aria-label="{html.escape(words, quote=True)}"></svg>'
        '<div class="controls"><button type="button" class="play" aria-pressed="false">Play</button>'
        '<button type="button" class="back" aria-label="One step back">&#9664; Step</button>'
        '<button type="button" class="on" aria-label="One step on">Step &#9654;</button>'
        '<input type="range" min="0" value="0" step="1" aria-label="Frame"><output aria-live="polite"></output></div>'
        f'<script type="application/json">{as_json(data_of(frames))}</script></div>'
    )


def policy(styles: list[str], scripts: list[str]) -> str:
    """A Content-Security-Policy that admits these styles and scripts, pictures inside the page, and nothing else."""
    admitted = {"style-src": styles, "script-src": scripts}
    parts = [f"{name} {' '.join(digest(text) for text in texts)}" for name, texts in admitted.items() if texts]
    rules = "; ".join(["default-src 'none'", *parts, "img-src data:", "base-uri 'none'", "form-action 'none'"])
    return f'<meta http-equiv="Content-Security-Policy" content="{rules}">'


def digest(text: str) -> str:
    """A text's SHA-256 as a policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def asset(name: str) -> str:
    """A text file beside this module."""
    return files("estep.views").joinpath(name).read_text(encoding="utf-8")


def as_json(data: Any) -> str:
    r"""JSON that can stand inside a script element: no closing tag, no comment can be spelt in it.

    >>> as_json("</script>")
    '"\\u003c/script\\u003e"'
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def data_of(frames: Frames) -> dict[str, Any]:
    """What the player draws, with coordinates rounded to a thousandth of the picture."""
    box = frames.box
    return {
        "box": box.tolist(),
        "points": _rounded(frames.points, box),
        "shades": base64.b64encode(frames.shades.tobytes()).decode(),
        "lines": _rounded(frames.lines, box),
        "centres": _rounded(frames.centres, box),
        "passes": frames.passes.tolist(),
        "objective": [round(float(v), 4) for v in frames.objective],
        "colours": list(frames.colours),
        "names": list(frames.names),
        "ending": frames.ending,
        "ticks": [ticks(float(a), float(b)) for a, b in box.T],
    }


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between ``low`` and ``high``.

    >>> ticks(0.3, 9.1)
    [2.0, 4.0, 6.0, 8.0]
    """
    rough = (high - low) / TICKS
    scale = 10.0 ** np.floor(np.log10(rough))
    step = scale * next(s for s in (1.0, 2.0, 5.0, 10.0) if s * scale >= rough)
    first, last = int(np.ceil(low / step)), int(np.floor(high / step))
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def _rounded(values: Array, box: Array) -> Any:
    """Values as nested lists, rounded where the picture cannot show more."""
    finest = np.floor(np.log10((box[1] - box[0]) / 2000.0)).astype(int)
    columns = [np.round(values[..., j], -int(finest[j])) for j in range(2)]
    return np.stack(columns, axis=-1).tolist()
