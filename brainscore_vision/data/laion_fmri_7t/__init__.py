"""LAION-fMRI: single-trial 7T responses of five people, and the images they saw.

Brain-Score finds the identifiers below by a text search for their registration lines: keep them literal. Importing
this package loads neither data nor the modules that read them.
"""

from brainscore_vision import data_registry, stimulus_set_registry

from .constants import BIBTEX


def _load_neuroid_assembly(subject: str):
    """All single trials of a subject, with the stimuli as `attrs["stimulus_set"]`."""
    from .source import open_dataset

    dataset = open_dataset()
    assembly = dataset.assembly(subject)
    assembly.attrs["stimulus_set"] = _stimulus_set(dataset)
    assembly.attrs["stimulus_set_identifier"] = assembly.attrs["stimulus_set"].identifier
    return assembly


def _load_stimulus_set():
    """All stimuli of the dataset, as they were displayed."""
    from .source import open_dataset

    return _stimulus_set(open_dataset())


def _stimulus_set(dataset):
    """All stimuli, by the registered name; made-up ones keep one of their own, by which Brain-Score keeps activations."""
    from .constants import STIMULUS_SET_IDENTIFIER

    stimuli = dataset.stimulus_set()
    if not dataset.is_simulated:
        stimuli.identifier = STIMULUS_SET_IDENTIFIER
    return stimuli


data_registry["LAION_fMRI_sub-01"] = lambda: _load_neuroid_assembly("sub-01")
data_registry["LAION_fMRI_sub-03"] = lambda: _load_neuroid_assembly("sub-03")
data_registry["LAION_fMRI_sub-05"] = lambda: _load_neuroid_assembly("sub-05")
data_registry["LAION_fMRI_sub-06"] = lambda: _load_neuroid_assembly("sub-06")
data_registry["LAION_fMRI_sub-07"] = lambda: _load_neuroid_assembly("sub-07")

stimulus_set_registry["LAION_fMRI_stim"] = _load_stimulus_set

__all__ = ["BIBTEX"]
