"""How the hidden labels hang together."""

from estep.structures.iid import Iid

__all__ = ["Iid"]
