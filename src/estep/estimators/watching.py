"""Who watches a fit: scikit-learn callbacks (each pass is a task) and the progress line with the time left."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from estep.core.result import Status
from estep.engine.run import Watch
from estep.engine.state import State


@contextlib.contextmanager
def watcher(self: Any, X: Any, y: Any, publish: Callable[[State], dict[str, Any]]) -> Iterator[Watch | None]:
    """A ``watch`` for the run of estimator ``self``, or None when nobody looks."""
    context = self._init_callback_context(max_subtasks=None)
    context.call_on_fit_task_begin(estimator=self, X=X, y=y)
    watches = []
    if getattr(self, "_skl_callbacks", None):
        watches.append(_callback_watch(self, context, X, y, publish))
    line = ProgressLine(type(self).__name__) if self.progress else None
    if line is not None:
        watches.append(line.watch)
    try:
        yield (lambda state, status: _told(watches, state, status)) if watches else None
    finally:
        if line is not None:
            line.close()
    context.call_on_fit_task_end(estimator=self, X=X, y=y)


def _callback_watch(self: Any, context: Any, X: Any, y: Any, publish: Callable[[State], dict[str, Any]]) -> Watch:
    def watch(state: State, status: Status) -> bool:
        task = context.subcontext(task_name="pass")
        task.call_on_fit_task_begin(estimator=self, X=X, y=y)
        return bool(task.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=lambda: publish(state)))

    return watch


def _told(watches: list[Watch], state: State, status: Status) -> bool:
    """Tell every watch; whether any asks to stop."""
    asked = [watch(state, status) for watch in watches]
    return True in asked


class ProgressLine:
    """One line on stderr, redrawn: passes, objective, projected gain and time left; at most ten times a second."""

    def __init__(self, who: str, stream: Any = None) -> None:
        self.who, self.stream = who, stream or sys.stderr
        self.began = self.drawn = time.monotonic()
        self.width = self.starts = self.passes = 0

    def watch(self, state: State, status: Status) -> bool:
        """Redraw; never stops the run."""
        self.starts += len(state.trace) == 1
        self.passes += 1
        now = time.monotonic()
        if now - self.drawn >= 0.1:
            self.drawn = now
            self._draw(self.text(state, (now - self.began)))
        return False

    def text(self, state: State, seconds: float) -> str:
        """The line for ``state`` after ``seconds`` of work."""
        passes = len(state.trace)
        words = f"{self.who}: start {max(self.starts, 1)}, pass {passes}, objective {float(state.value):.6f}"
        left, rate = float(state.stop.left), float(state.stop.rates[-1]) if state.stop.rates.size else math.nan
        if np.isfinite(left) and left > 0 and 0 < rate < 1:
            more = max(math.log(max(left, 1e-300) * 1e6) / -math.log(rate), 0.0)
            words += f", about {left:.2g} nats and {more * seconds / max(self.passes, 1):.0f} s left"
        return words

    def close(self) -> None:
        """Clear the line."""
        if self.width:
            self._draw("")
            self.stream.write("\r")
            self.stream.flush()

    def _draw(self, text: str) -> None:
        self.stream.write("\r" + text.ljust(self.width))
        self.stream.flush()
        self.width = len(text)
