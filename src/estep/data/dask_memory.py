"""Memory that a worker keeps from one block to the next.

Dask starts its workers with MALLOC_TRIM_THRESHOLD_=65536: the C library then gives every larger array back to the system as
soon as it is freed (mallopt(3): a trim threshold that is set also ends the adjustment of the threshold for mmap), and has the
pages of the next one cleared again. A pass makes and frees arrays of a megabyte all the time, and takes three times as long.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache

STARTED_WITH = "65536"
KEPT = 1 << 26
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


@cache
def keep_memory() -> None:
    """Let this process keep KEPT freed bytes for the next block, where it was started as Dask starts workers; once.

    Any other setting is the user's own, and stays; so do C libraries without the setting.
    """
    if os.environ.get("MALLOC_TRIM_THRESHOLD_") != STARTED_WITH:
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(M_MMAP_THRESHOLD, KEPT // 2)
        library.mallopt(M_TRIM_THRESHOLD, KEPT)
