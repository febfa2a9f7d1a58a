"""Data planes: anything with one verb, ``sum``; and small real data ``sets`` for examples."""

from estep.data import sets
from estep.data.arrow import Arrow
from estep.data.memory import Memory
from estep.data.on_dask import OnDask

__all__ = ["Arrow", "Memory", "OnDask", "sets"]
