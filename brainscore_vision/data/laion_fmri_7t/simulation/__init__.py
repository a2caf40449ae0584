"""A simulated LAION-fMRI: the release's form with made-up images and responses whose truth is known.

``simulate(folder)`` writes a dataset folder that everything else reads as if it were real; ``Truth(folder)`` knows the
signal under the noise.
"""

from .scales import SCALES, Scale
from .truth import TrueSignal, Truth
from .write import VERSION, default_folder, ensure_default, needed_bytes, simulate

__all__ = [
    "SCALES",
    "VERSION",
    "Scale",
    "TrueSignal",
    "Truth",
    "default_folder",
    "ensure_default",
    "needed_bytes",
    "simulate",
]
