"""A structure times a family, and models that are neither."""

from estep.models.factorial import Factorial
from estep.models.latent import Latent, LatentParams, LatentStats
from estep.models.motif import Motif, MotifParams, MotifStats
from estep.models.profile import Profile, ProfileParams, ProfileStats

__all__ = [
    "Factorial",
    "Latent",
    "LatentParams",
    "LatentStats",
    "Motif",
    "MotifParams",
    "MotifStats",
    "Profile",
    "ProfileParams",
    "ProfileStats",
]
