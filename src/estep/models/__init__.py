"""A structure times a family, and models that are neither."""

from estep.models.latent import Latent, LatentParams, LatentStats

__all__ = ["Latent", "LatentParams", "LatentStats"]
