"""A run as an animation: a GIF, or a page with play, pause and step. Frames come from ``frames.py``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from estep.core.files import write_whole
from estep.views.frames import Frames
from estep.views.plot import INK, SOFT, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PER_SECOND = 6
HOLD = 8


@dataclasses.dataclass(frozen=True)
class Animation:
    """The iterates of a run, ready to be saved or shown.

    ``save("run.gif")`` writes a GIF, ``save("run.html")`` a page with a player that needs no network; in a notebook the
    player shows itself. ``figure(i)`` is one frame as a matplotlib figure.
    """

    frames: Frames

    def __len__(self) -> int:
        return len(self.frames)

    def save(self, path: str | Path) -> Path:
        """Write the animation as ``.gif`` or ``.html``, by the name's ending; the file is replaced whole or not at all.

        Raises
        ------
        ValueError
            Another ending.
        """
        path = Path(path)
        writer = WRITERS.get(path.suffix.lower())
        if writer is None:
            raise ValueError(f"path: {path.name!r} ends with {path.suffix!r}; an animation is saved as {' or '.join(WRITERS)}")
        write_whole(path, writer(self.frames))
        return path

    def figure(self, i: int = -1) -> Figure:
        """Frame ``i`` as a figure."""
        figure = new_figure("Animation.figure", (6.0, 4.8))
        draw_frame(self.frames, range(len(self.frames))[i], figure.add_subplot())
        return figure

    def _repr_html_(self) -> str:
        import html

        from estep.views.player import page

        inner = html.escape(page(self.frames), quote=True)
        return f'<iframe title="EM, pass by pass" srcdoc="{inner}" width="720" height="680" style="border:0"></iframe>'


def draw_frame(frames: Frames, i: int, ax: Axes) -> None:
    """Frame ``i``: coloured rows, outlines and the paths of the centres so far."""
    size = float(np.clip(4000.0 / max(len(frames.points), 1), 3.0, 26.0))
    ax.scatter(
        frames.points[:, 0], frames.points[:, 1], s=size, c=frames.shades[i] / 255.0, alpha=0.75, linewidths=0, label="rows"
    )
    for line, colour in zip(frames.lines[i], frames.colours, strict=False):
        ax.plot(*line.T, color=colour, linewidth=1.6)
    for k, colour in zip(range(frames.centres.shape[1]), frames.colours, strict=False):
        ax.plot(*frames.centres[: i + 1, k].T, color=colour, linewidth=0.9, alpha=0.7)
        ax.plot(*frames.centres[i, k], marker="P", markersize=11, color=colour, mec="white", mew=1.2, linestyle="none")
    (left, low), (right, high) = frames.box
    ax.set_xlim(left, right)
    ax.set_ylim(low, high)
    ax.set_xlabel(frames.names[0])
    ax.set_ylabel(frames.names[1])
    ax.set_title(caption(frames, i), fontsize="small", color=INK, loc="left")
    tidy(ax)


def caption(frames: Frames, i: int) -> str:
    """What stands above a frame: the pass, the objective, and at the end how the run ended."""
    words = f"pass {frames.passes[i]}   objective {frames.objective[i]:.4f}"
    return f"{words}   {frames.ending}" if i == len(frames) - 1 else words


def gif(frames: Frames) -> bytes:
    """The frames as a GIF that runs for ever and rests on its last frame."""
    import io

    from PIL import Image

    figure = new_figure("Animation.save", (6.0, 4.8))
    figure.text(0.99, 0.01, "", color=SOFT)
    pictures = []
    for i in range(len(frames)):
        figure.clear()
        draw_frame(frames, i, figure.add_subplot())
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=90, format="png", facecolor="white")
        pictures.append(Image.open(buffer).convert("P", palette=Image.Palette.ADAPTIVE, colors=128))
    times = [1000 // PER_SECOND] * (len(pictures) - 1) + [HOLD * 1000 // PER_SECOND]
    out = io.BytesIO()
    pictures[0].save(out, format="GIF", save_all=True, append_images=pictures[1:], duration=times, loop=0)
    return out.getvalue()


def _page(frames: Frames) -> bytes:
    from estep.views.player import page

    return page(frames).encode()


WRITERS: dict[str, Any] = {".gif": gif, ".html": _page}
