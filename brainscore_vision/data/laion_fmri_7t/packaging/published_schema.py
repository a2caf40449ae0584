"""Writes assemblies in the form that Brain-Score publishes, with Brain-Score's own packaging tools.

Two files a subject: all trials (``LAION_fMRI_persubject_sub-XX_Assembly``), and the trials of the shared stimuli without
session, run and beta_index (``LAION_fMRI_full_sub-XX_Assembly``). Both are written to a folder; nothing is uploaded.
"""

from pathlib import Path

import numpy as np
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_core.supported_data_standards.brainio.packaging import package_data_assembly_locally

from .. import ids
from ..assemblies.file import DIMENSIONS, PRESENTATION_OPTIONAL, AssemblyFile
from ..assemblies.published import PER_SUBJECT, SHARED
from ..constants import OTHER_REGION, STIMULUS_SET_IDENTIFIER
from .trials import count_repetitions


def write_published(assembly: Path, subject: str, folder: Path) -> list[dict]:
    """Write a subject's assembly, given in the layout of the dataset folder, in its two published forms.

    Parameters
    ----------
    folder : Path
        Made if it does not exist; an earlier file of the same name is replaced.

    Returns
    -------
    list of dict
        What Brain-Score's tool says of each file: identifier, path, sha1, cls.

    Raises
    ------
    MissingDataError, SchemaError
        If the assembly is missing or breaks a rule of the dataset folder.
    """
    file = AssemblyFile(assembly, subject)
    stimulus_ids = file.header.presentations["stimulus_id"]
    parsed = ids.parse_all(stimulus_ids, assembly)
    shared = np.flatnonzero([parsed[name].shared for name in stimulus_ids])
    forms = (
        (PER_SUBJECT[subject].identifier, np.arange(len(stimulus_ids)), True),
        (SHARED[subject].identifier, shared, False),
    )
    return [
        package_data_assembly_locally(
            published_form(file, rows, all_trials), identifier, STIMULUS_SET_IDENTIFIER, downloads_path=str(folder)
        )
        for identifier, rows, all_trials in forms
    ]


def published_form(file: AssemblyFile, rows: np.ndarray, all_trials: bool) -> NeuroidAssembly:
    """Some trials with the coordinates of the published files.

    Parameters
    ----------
    file : AssemblyFile
    rows : numpy.ndarray of int, shape (n_trials,)
        Ascending.
    all_trials : bool
        Whether this is a per-subject file, which keeps session, run and beta_index. A shared file names the trials'
        subject instead, and counts repetitions anew.

    Returns
    -------
    NeuroidAssembly
        (n_trials, n_voxels) float32, in memory.
    """
    columns = np.flatnonzero(file.header.neuroids["region"] != OTHER_REGION)  # the published files have V1 to IT
    neuroids = file.header.neuroids.iloc[columns].reset_index(drop=True)
    trials = file.header.presentations.iloc[rows].reset_index(drop=True)
    if not all_trials:
        trials = trials.drop(columns=list(PRESENTATION_OPTIONAL), errors="ignore")
        trials["repetition"] = count_repetitions(trials["stimulus_id"])
        trials["subject_id_pres"] = neuroids["subject_id"].iloc[0]
    values = np.empty((len(rows), len(neuroids)), np.float32)
    for stored_rows, places, block in file.blocks(columns):
        first, end = np.searchsorted(rows, (stored_rows.start, stored_rows.stop))
        values[first:end, places] = block[rows[first:end] - stored_rows.start]
    neuroids = neuroids.astype({"voxel_index_in_brain_mask": np.int32})
    coords = {
        name: (dimension, table[name].to_numpy())
        for dimension, table in zip(DIMENSIONS, (trials, neuroids), strict=True)
        for name in table
    }
    return NeuroidAssembly(values, coords=coords, dims=DIMENSIONS)
