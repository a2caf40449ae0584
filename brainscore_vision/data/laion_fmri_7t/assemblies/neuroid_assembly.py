"""An assembly file as Brain-Score's NeuroidAssembly."""

import importlib.util

import h5netcdf
import xarray as xr
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly

from brainscore_vision.benchmark_helpers.stimulus_kernels.files import has_locks, read_hdf5

from ..constants import ASSEMBLY_IDENTIFIER
from .file import DATA_VARIABLE, DIMENSIONS, AssemblyFile


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
    source = file.path
    if not has_locks(source):  # the netCDF library, xarray's first choice, opens nothing there
        source = xr.backends.H5NetCDFStore(read_hdf5(source, h5netcdf.File))
    stored = xr.open_dataset(source, chunks=lazy)[DATA_VARIABLE]
    coords = {
        name: (dimension, table[name].to_numpy())
        for dimension, table in zip(DIMENSIONS, (header.presentations, header.neuroids), strict=True)
        for name in table
    }
    assembly = NeuroidAssembly(stored.drop_vars(list(stored.coords)).assign_coords(coords))
    subject = header.neuroids["subject_id"].iloc[0]
    assembly.attrs = {**header.attributes, "identifier": ASSEMBLY_IDENTIFIER.format(subject=subject)}
    return assembly
