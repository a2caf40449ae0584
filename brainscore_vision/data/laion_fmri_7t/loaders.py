"""Assemblies and stimuli in Brain-Score's own types, as `load_dataset` and `load_stimulus_set` return them."""

from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet

from .source import open_dataset


def load_neuroid_assembly(subject: str) -> NeuroidAssembly:
    """All single trials of a subject, from the dataset that `source.open_dataset` finds.

    Parameters
    ----------
    subject : str
        Such as ``sub-01``.

    Returns
    -------
    NeuroidAssembly, float32 (presentation, neuroid)
        Betas in standard deviations of a voxel within a session, read when computed with; every coordinate is a
        level of its dimension's index. ``attrs``: stimulus_set, stimulus_set_identifier, identifier.

    Raises
    ------
    MissingDataError
        If the dataset, the subject or the stimuli are not there.
    SchemaError
        If the file breaks a rule of the dataset folder.
    """
    dataset = open_dataset()
    assembly = dataset.assembly(subject)
    stimulus_set = dataset.stimulus_set()
    assembly.attrs["stimulus_set_identifier"] = stimulus_set.identifier
    assembly.attrs["stimulus_set"] = stimulus_set
    return assembly


def load_stimulus_set() -> StimulusSet:
    """All stimuli of the dataset that `source.open_dataset` finds, as they were displayed.

    Raises
    ------
    MissingDataError
        If the dataset or its images are not there.
    DatasetError
        If an image cannot be read.
    """
    return open_dataset().stimulus_set()
