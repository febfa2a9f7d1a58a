"""What is kept of a stream of rows between calls."""

from __future__ import annotations

from typing import Any

from estep.core.record import record


@record
class Stream:
    """What ``partial_fit`` knows of earlier calls: statistics per unit weight, how many, their weight, that of a fit before."""

    stats: Any
    calls: Any
    weight: Any
    before: Any
