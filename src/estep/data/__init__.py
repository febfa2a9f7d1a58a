"""Data planes: anything with one verb, ``sum``."""

from estep.data.arrow import Arrow
from estep.data.memory import Memory

__all__ = ["Arrow", "Memory"]
