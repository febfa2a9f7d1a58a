"""Data planes: anything with one verb, ``sum``."""

from estep.data.memory import Memory

__all__ = ["Memory"]
