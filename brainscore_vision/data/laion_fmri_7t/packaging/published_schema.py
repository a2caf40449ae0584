"""Writes assemblies in the form in which Brain-Score publishes them, with Brain-Score's own packaging tools.

Two files a subject: all trials (``LAION_fMRI_persubject_sub-XX_Assembly``), and those of the shared stimuli without
session, run and beta_index (``LAION_fMRI_full_sub-XX_Assembly``). Both are written to a folder; nothing is uploaded.
"""

from pathlib import Path

import numpy as np
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_core.supported_data_standards.brainio.packaging import package_data_assembly_locally

from .. import ids
from ..assemblies.file import AssemblyFile
from ..assemblies.header import DATA_VARIABLE, DIMENSIONS, open_netcdf
from ..assemblies.published import PER_SUBJECT, SHARED
from ..constants import STIMULUS_SET_IDENTIFIER
from .trials import count_repetitions

_BLOCK = 1024  # trials


def write_published(assembly: Path, subject: str, folder: Path) -> list[dict]:
    """Package one subject's assembly.

    Parameters
    ----------
    assembly : Path
        In the layout of the dataset folder.
    subject : str
    folder : Path
        Made if need be; an earlier file of the same name is replaced.

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
    shown = file.header.presentations["stimulus_id"]
    parsed = ids.parse_all(shown, assembly)
    shared = np.array([parsed[name].shared for name in shown])
    every = np.ones_like(shared)
    written = []
    for published, rows in ((PER_SUBJECT[subject], every), (SHARED[subject], shared)):
        packaged = published_form(file, np.flatnonzero(rows), all_trials=rows is every)
        written.append(
            package_data_assembly_locally(
                packaged, published.identifier, STIMULUS_SET_IDENTIFIER, downloads_path=str(folder)
            )
        )
    return written


def published_form(file: AssemblyFile, rows: np.ndarray, all_trials: bool) -> NeuroidAssembly:
    """Some trials with the coordinates of the published files.

    Parameters
    ----------
    file : AssemblyFile
    rows : numpy.ndarray of int, shape (n_trials,)
        Ascending.
    all_trials : bool
        Whether this is a per-subject file, which keeps session, run and beta_index. A shared one has the trials'
        subject instead, and counts repetitions anew.

    Returns
    -------
    NeuroidAssembly
        (n_trials, n_voxels) float32, in memory.
    """
    trials = file.header.presentations.iloc[rows].reset_index(drop=True)
    subject = file.header.neuroids["subject_id"].iloc[0]
    names = ["stimulus_id", "repetition"]
    if all_trials:
        names += [name for name in ("session", "run", "beta_index") if name in trials]
    else:
        trials = trials.assign(repetition=count_repetitions(trials["stimulus_id"]), subject_id_pres=subject)
        names.append("subject_id_pres")
    values = np.empty((len(rows), file.header.shape[1]), np.float32)
    with open_netcdf(file.path) as stored:
        data = stored.variables[DATA_VARIABLE]
        for start in range(0, len(rows), _BLOCK):
            part = rows[start : start + _BLOCK]
            values[start : start + len(part)] = data[part[0] : part[-1] + 1][part - part[0]]
    coords = {name: (DIMENSIONS[0], trials[name].to_numpy()) for name in names}
    neuroids = file.header.neuroids
    coords |= {name: (DIMENSIONS[1], neuroids[name].to_numpy()) for name in neuroids}
    coords["voxel_index_in_brain_mask"] = (DIMENSIONS[1], neuroids["voxel_index_in_brain_mask"].to_numpy(np.int32))
    return NeuroidAssembly(values, coords=coords, dims=DIMENSIONS)
