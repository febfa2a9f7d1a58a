"""How the statistics of this pass join those of earlier ones."""

from __future__ import annotations

import dataclasses
from typing import Any, Final


@dataclasses.dataclass(frozen=True)
class Replace:
    """This pass's statistics alone."""

    name: Final[str] = "replace"

    def begin(self) -> Any:
        """The memory before the first pass: none."""
        return ()

    def join(self, memory: Any, stats: Any) -> tuple[Any, Any]:
        """New memory and the statistics to maximise."""
        return memory, stats
