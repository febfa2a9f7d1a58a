"""Observation laws: how a row looks once its component is known."""

from estep.families.noise import WithNoise
from estep.families.normal import Normal

__all__ = ["Normal", "WithNoise"]
