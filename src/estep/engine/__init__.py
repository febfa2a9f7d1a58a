"""One loop, five axes, and what surrounds a run: restarts, checkpoints, words."""

from estep.engine.fit import fit
from estep.engine.presets import PRESETS, Variant

__all__ = ["PRESETS", "Variant", "fit"]
