"""Assemblies and stimuli in Brain-Score's own types, as `load_dataset` and `load_stimulus_set` return them."""

import importlib.util

import xarray as xr
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet

from .assembly_file import AssemblyFile
from .assembly_header import DATA_VARIABLE, DIMENSIONS
from .constants import ASSEMBLY_IDENTIFIER
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


def read_assembly(file: AssemblyFile) -> NeuroidAssembly:
    """An assembly file as NeuroidAssembly with this plugin's coordinates, whatever else the file holds.

    Parameters
    ----------
    file : AssemblyFile

    Returns
    -------
    NeuroidAssembly
        Lazy: the trials are read when computed with, block by block where dask is installed.
    """
    header = file.header  # checked before xarray reads the same file
    lazy = {} if importlib.util.find_spec("dask") is not None else None  # as Brain-Score's own loader decides it
    stored = xr.open_dataset(file.path, chunks=lazy)[DATA_VARIABLE]
    coords = {
        name: (dimension, table[name].to_numpy())
        for dimension, table in zip(DIMENSIONS, (header.presentations, header.neuroids), strict=True)
        for name in table
    }
    assembly = NeuroidAssembly(stored.drop_vars(list(stored.coords)).assign_coords(coords))
    subject = header.neuroids["subject_id"].iloc[0]
    assembly.attrs = {**header.attributes, "identifier": ASSEMBLY_IDENTIFIER.format(subject=subject)}
    return assembly
