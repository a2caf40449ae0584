"""Betas are streamed: one volume at a time, once through the file, whatever the numbers' type and order."""

import gzip
import hashlib
import tracemalloc

import nibabel as nib
import numpy as np
import pytest

from brainscore_vision.data.laion_fmri_7t.errors import SchemaError
from brainscore_vision.data.laion_fmri_7t.packaging import volumes
from brainscore_vision.data.laion_fmri_7t.packaging.volumes import read_betas

SHAPE = (7, 5, 4)
AFFINE = np.diag([2.0, 2, 2, 1])


def write(path, values, image=nib.Nifti1Image, **header):
    made = image(values, AFFINE)
    for name, value in header.items():
        made.header[name] = value
    made.to_filename(path)
    return path


@pytest.mark.parametrize("dtype", [">f4", "<f4", "f8", "i2", "u1"])
@pytest.mark.parametrize("image", [nib.Nifti1Image, nib.Nifti2Image])
def test_values_are_those_of_nibabel(tmp_path, dtype, image):
    rng = np.random.default_rng(1)
    values = (rng.standard_normal((*SHAPE, 9)) * 50).astype(np.int16).clip(0, 200).astype(dtype)
    path = write(tmp_path / "b.nii.gz", values, image)
    voxels = np.array([0, 3, 17, 64, 139])
    read = read_betas(path, voxels)
    expected = nib.load(path).get_fdata().reshape(-1, 9)[voxels].T  # C order
    np.testing.assert_array_equal(read.values, expected.astype(np.float32))
    assert read.values.dtype == np.float32
    assert read.values.flags.c_contiguous
    assert read.grid.shape == SHAPE
    np.testing.assert_allclose(read.grid.affine, AFFINE)
    assert (read.size, read.sha256) == (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())


def test_scaled_integers(tmp_path):
    rng = np.random.default_rng(2)
    image = nib.Nifti1Image(rng.normal(3, 10, (*SHAPE, 6)), AFFINE)
    image.set_data_dtype(np.int16)  # nibabel chooses slope and intercept
    image.to_filename(tmp_path / "b.nii.gz")
    voxels = np.arange(0, 140, 11)
    expected = nib.load(tmp_path / "b.nii.gz").get_fdata().reshape(-1, 6)[voxels].T
    np.testing.assert_allclose(read_betas(tmp_path / "b.nii.gz", voxels).values, expected, rtol=1e-6)


def test_nan_is_kept(tmp_path):
    values = np.full((*SHAPE, 3), np.nan, np.float32)
    values[..., 1] = 4
    read = read_betas(write(tmp_path / "b.nii.gz", values), np.array([5]))
    np.testing.assert_array_equal(read.values[:, 0], [np.nan, 4, np.nan])


def test_header_extensions_are_skipped(tmp_path):
    rng = np.random.default_rng(3)
    image = nib.Nifti1Image(rng.standard_normal((*SHAPE, 3)).astype(np.float32), AFFINE)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"made elsewhere " * 40))
    image.to_filename(tmp_path / "b.nii.gz")
    read = read_betas(tmp_path / "b.nii.gz", np.array([1, 2]))
    np.testing.assert_array_equal(read.values, image.get_fdata().reshape(-1, 3)[[1, 2]].T.astype(np.float32))


@pytest.mark.parametrize(
    "content",
    [b"", b"nothing", gzip.compress(b"x" * 400), gzip.compress(b"")],
    ids=["empty", "text", "other content", "nothing inside"],
)
def test_other_files_are_named(tmp_path, content):
    path = tmp_path / "betas.nii.gz"
    path.write_bytes(content)
    with pytest.raises(SchemaError, match=r"betas\.nii\.gz"):
        read_betas(path, np.array([0]))


def test_three_axes_are_refused(tmp_path):
    path = write(tmp_path / "b.nii.gz", np.zeros(SHAPE, np.float32))
    with pytest.raises(SchemaError, match=r"four axes.*\(7, 5, 4\)"):
        read_betas(path, np.array([0]))


def test_memory_is_that_of_one_volume(tmp_path):
    """240 MB of volumes, read within 8 MB; bench/rebuild_memory.py measures the release's size."""
    shape, n_trials = (100, 100, 60), 100
    path = tmp_path / "b.nii.gz"
    header = nib.Nifti1Image(np.zeros((1, 1, 1, 1), np.float32), AFFINE).header
    header.set_data_shape((*shape, n_trials))
    header["vox_offset"], header["magic"] = 352, b"n+1"
    volume = np.arange(np.prod(shape), dtype=np.float32)
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(header.binaryblock + bytes(4))
        for trial in range(n_trials):
            volume[0] = trial
            file.write(volume)
    tracemalloc.start()
    try:
        values = read_betas(path, np.array([0, 1])).values
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(values[:, 0], np.arange(n_trials))
    np.testing.assert_array_equal(values[:, 1], np.full(n_trials, shape[0] * shape[1]))
    assert volume.nbytes < peak < 8e6
    assert volume.nbytes * n_trials > 20 * peak


def test_file_is_read_once(tmp_path, monkeypatch):
    rng = np.random.default_rng(4)
    path = write(tmp_path / "b.nii.gz", rng.standard_normal((*SHAPE, 40)).astype(np.float32))
    readers = []

    class Counting(volumes._HashedReader):
        def __init__(self, raw):
            super().__init__(raw)
            readers.append(self)

    monkeypatch.setattr(volumes, "_HashedReader", Counting)
    read_betas(path, np.array([0]))
    assert [reader.size for reader in readers] == [path.stat().st_size]


@pytest.mark.parametrize("rest", [bytes(3_000_000), gzip.compress(b"")], ids=["padding", "an empty member"])
def test_the_digest_covers_what_follows_the_trials(tmp_path, rest):
    """Bytes that gzip allows after the data, more than one buffer of them, belong to the file that is named."""
    rng = np.random.default_rng(5)
    path = write(tmp_path / "b.nii.gz", rng.standard_normal((*SHAPE, 4)).astype(np.float32))
    path.write_bytes(path.read_bytes() + rest)
    read = read_betas(path, np.array([0, 1]))
    assert (read.size, read.sha256) == (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
