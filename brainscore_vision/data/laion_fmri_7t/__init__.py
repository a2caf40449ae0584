"""LAION-fMRI: single-trial 7T responses of five people, and the images they saw.

Brain-Score finds the identifiers below by a text search for their registration lines: keep them literal. Importing
this package loads neither data nor the modules that read them.
"""

from brainscore_vision import data_registry, stimulus_set_registry

from .constants import BIBTEX


def _load_neuroid_assembly(subject: str):
    from .loaders import load_neuroid_assembly

    return load_neuroid_assembly(subject)


def _load_stimulus_set():
    from .loaders import load_stimulus_set

    return load_stimulus_set()


data_registry["LAION_fMRI_sub-01"] = lambda: _load_neuroid_assembly("sub-01")
data_registry["LAION_fMRI_sub-03"] = lambda: _load_neuroid_assembly("sub-03")
data_registry["LAION_fMRI_sub-05"] = lambda: _load_neuroid_assembly("sub-05")
data_registry["LAION_fMRI_sub-06"] = lambda: _load_neuroid_assembly("sub-06")
data_registry["LAION_fMRI_sub-07"] = lambda: _load_neuroid_assembly("sub-07")

stimulus_set_registry["LAION_fMRI_stim"] = _load_stimulus_set

__all__ = ["BIBTEX"]
