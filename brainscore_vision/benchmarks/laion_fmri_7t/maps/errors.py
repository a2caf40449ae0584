"""Errors of maps."""

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StimulusKernelError


class MapError(StimulusKernelError):
    """Values that have no map, or a map that cannot be drawn."""
