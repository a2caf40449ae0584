"""Data in a file system without locks, as some network disks are: the same values are read by other means."""

import errno
import fcntl
import os
import subprocess
import sys
from functools import partial

import h5py
import netCDF4
import numpy as np
import pandas as pd
import pytest
from plugin_testing.data_factory import make_trials, write_trials
from plugin_testing.people import in_child, without_locks

from brainscore_vision.data.laion_fmri_7t.assemblies.file import DIMENSIONS, AssemblyFile
from brainscore_vision.data.laion_fmri_7t.assemblies.neuroid_assembly import read_assembly
from brainscore_vision.data.laion_fmri_7t.errors import SchemaError


def write_characters(trials, path):
    """Text as arrays of characters, as xarray writes it on request."""
    with netCDF4.Dataset(path, "w") as file:
        for dimension, size in zip(DIMENSIONS, trials.data.shape, strict=True):
            file.createDimension(dimension, size)
        file.createVariable("data", "f4", DIMENSIONS)[:] = trials.data
        for dimension, coordinates in zip(DIMENSIONS, (trials.presentations, trials.neuroids), strict=True):
            for name, values in coordinates.items():
                values = np.asarray(values)
                if values.dtype != object:
                    file.createVariable(name, values.dtype, (dimension,))[:] = values
                    continue
                values = values.astype("S")
                file.createDimension(f"width_{name}", values.dtype.itemsize)
                characters = values.view("S1").reshape(len(values), -1)
                file.createVariable(name, "S1", (dimension, f"width_{name}"))[:] = characters
    return path


WRITERS = {
    "contiguous": write_trials,
    "chunks that divide nothing": partial(write_trials, chunks=(7, 3)),
    "compressed": partial(write_trials, chunks=(10, 6), zlib=True),
    "characters": write_characters,
}


@pytest.fixture
def no_locks(monkeypatch):
    """From now on no file can be locked, and the netCDF library opens nothing that is HDF5."""
    real = netCDF4.Dataset

    def dataset(path, mode="r", **options):
        if h5py.is_hdf5(path):
            raise OSError(-101, "NetCDF: HDF error")
        return real(path, mode, **options)

    def flock(*args):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    def start():
        monkeypatch.setattr(fcntl, "flock", flock)
        monkeypatch.setattr(netCDF4, "Dataset", dataset)

    return start


def everything(path):
    file = AssemblyFile(path, "sub-01")
    columns = np.arange(0, file.header.shape[1], 2)
    assembly = read_assembly(file)
    return file.header, file.averages(columns), file.moments(columns)[2], file.sample_digest(), assembly


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_the_same_is_read(tmp_path, no_locks, write):
    path = write(make_trials(), tmp_path / "sub-01.nc")
    header, averages, sums, digest, assembly = everything(path)
    for made, read in ((make_trials().presentations, header.presentations), (make_trials().neuroids, header.neuroids)):
        for name, values in made.items():
            np.testing.assert_array_equal(read[name], values)
    assembly = assembly.load()
    no_locks()
    header_2, averages_2, sums_2, digest_2, assembly_2 = everything(path)
    pd.testing.assert_frame_equal(header_2.presentations, header.presentations)
    pd.testing.assert_frame_equal(header_2.neuroids, header.neuroids)
    assert (header_2.attributes, header_2.dtype, header_2.chunks) == (header.attributes, header.dtype, header.chunks)
    for a, b in zip((*averages_2, sums_2), (*averages, sums), strict=True):
        np.testing.assert_array_equal(a, b)
    assert digest_2 == digest
    np.testing.assert_array_equal(assembly_2.values, assembly.values)
    for name in assembly.coords:
        np.testing.assert_array_equal(assembly_2[name].values, assembly[name].values)
    assert assembly_2.attrs == assembly.attrs


def test_a_file_that_xarray_has_open_is_read(tmp_path):
    """The netCDF library crashed the process here."""
    path = write_trials(make_trials(), tmp_path / "sub-01.nc")

    def read():
        for _ in range(5):
            everything(path)
        return "done"

    assert in_child(read) == "done"


def test_damage_is_named_there_too(tmp_path, no_locks):
    trials = make_trials()
    path = write_trials(trials, tmp_path / "sub-01.nc", chunks=(10, 6), zlib=True)
    with h5py.File(path) as stored:
        offset = stored["data"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[offset : offset + 20] = bytes(20)
    path.write_bytes(content)
    no_locks()
    with pytest.raises(SchemaError, match="must be readable.*Copy, download or simulate"):
        AssemblyFile(path, "sub-01").averages(np.arange(20))


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_process_scores_data_that_cannot_be_locked(tmp_path, tiny_dataset, run, number):
    """The libraries' own locks fail, as the system lets them fail; embeddings lie in a file of their own."""
    arguments = ["score", "LAION_fMRI-CLIP", "LAION_fMRI.V1-ood-ridge", "--json", "--no-store", "--dataset"]
    arguments.append(str(tiny_dataset))
    command = [sys.executable, "-W", "ignore", "-c"]
    code = f"import sys; from brainscore_vision.benchmarks.laion_fmri_7t.cli import main; sys.argv[1:] = {arguments}; main()"
    _, free, _ = run(*arguments)
    locked = without_locks(tmp_path, tiny_dataset, number)
    bound = subprocess.run([*command, code], env={**os.environ, **locked}, capture_output=True, text=True)
    assert bound.returncode == 0, bound.stderr
    assert bound.stdout == free
    probe = f"import h5py; h5py.File({str(tiny_dataset / 'assemblies' / 'sub-01.nc')!r})"
    premise = subprocess.run([*command, probe], env={**os.environ, **locked}, capture_output=True, text=True)
    assert "unable to lock file" in premise.stderr
