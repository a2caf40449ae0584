"""Maps: one value per voxel in the subject's volume, as NIfTI and as figures."""

from .errors import MapError
from .making import BrainMap, brain_maps, layer_maps
from .quantities import QUANTITIES, Quantity

__all__ = ["QUANTITIES", "BrainMap", "MapError", "Quantity", "brain_maps", "layer_maps"]
