"""``python -m brainscore_vision.benchmarks.laion_fmri_7t.cli``: the same as ``laion-score``."""

from .app import main

main()
