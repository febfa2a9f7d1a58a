"""What is shown while a fit runs: one line on stderr, redrawn: which fit, which pass, the objective, the time left.

With rich installed the line has a spinner; without it, it is plain. Nothing is shown where stderr is no terminal.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import sys
import time
from typing import Any

import numpy as np

EVERY = 0.2


class Progress:
    """Told after every pass of every run; ``fits`` is how many fits there are to do."""

    def __init__(self, fits: int, shown: bool) -> None:
        self.fits, self.shown = fits, shown and sys.stderr.isatty()
        self.began = self.drawn = time.monotonic()
        self.done: dict[str, int] = {}
        self.status: Any = None
        self.width = 0

    def told(self, run: str, state: Any) -> None:
        """Redraw the line for a run that made a pass; at most five times a second."""
        fit = run.rpartition("/")[0]
        self.done[fit] = self.done.get(fit, 0) + 1
        now = time.monotonic()
        if self.shown and now - self.drawn >= EVERY:
            self.drawn = now
            self._draw(self.text(run, state, now - self.began))

    def text(self, run: str, state: Any, seconds: float) -> str:
        """The line for a run ``[<fit>/]<start> short|long`` after ``seconds``."""
        fit, _, start = run.rpartition("/")
        which = f"fit {len(self.done)} of {max(self.fits, len(self.done))}: {fit.partition(' ')[2]}, " if self.fits > 1 else ""
        words = f"{which}start {int(start.split()[0]) + 1}, pass {len(state.trace)}, objective {float(state.value):.4f}"
        left = self._left(state, seconds)
        return f"{words}, about {left:.0f} s left" if math.isfinite(left) else words

    def _left(self, state: Any, seconds: float) -> float:
        """Seconds left: of all fits at the pace so far, or of this run by Aitken's rate."""
        if self.fits > 1:
            before = len(self.done) - 1
            return seconds / before * max(self.fits - before, 0) if before else math.nan
        left, rate = float(state.stop.left), float(state.stop.rates[-1]) if state.stop.rates.size else math.nan
        if not (np.isfinite(left) and left > 0 and 0 < rate < 1):
            return math.nan
        passes = max(math.log(max(left, 1e-300) * 1e6) / -math.log(rate), 0.0)
        return passes * seconds / max(sum(self.done.values()), 1)

    def _draw(self, text: str) -> None:
        if self.status is None and importlib.util.find_spec("rich"):
            from rich.console import Console

            self.status = Console(stderr=True).status("")
            self.status.start()
        if self.status is not None:
            from rich.text import Text

            self.status.update(Text(text))
            return
        sys.stderr.write("\r" + text.ljust(self.width))
        sys.stderr.flush()
        self.width = len(text)

    def close(self) -> None:
        """Clear the line."""
        if self.status is not None:
            with contextlib.suppress(Exception):  # a terminal that has gone is no reason to fail
                self.status.stop()
        elif self.width:
            sys.stderr.write("\r" + " " * self.width + "\r")
            sys.stderr.flush()
        self.status, self.width = None, 0
