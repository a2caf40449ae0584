"""Comparing assemblies: what differs is found, listed by kind, and told from what does not matter."""

import shutil
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from brainscore_vision.data.laion_fmri_7t.assemblies.file import AssemblyFile
from brainscore_vision.data.laion_fmri_7t.assemblies.published import PER_SUBJECT, SHARED
from brainscore_vision.data.laion_fmri_7t.constants import OTHER_REGION
from brainscore_vision.data.laion_fmri_7t.errors import MissingDataError, SchemaError
from brainscore_vision.data.laion_fmri_7t.packaging import command
from brainscore_vision.data.laion_fmri_7t.packaging.published_schema import published_form, write_published
from brainscore_vision.data.laion_fmri_7t.packaging.verify import (
    DIFFERENT,
    IDENTICAL,
    ROUNDED,
    Agreement,
    compare_assemblies,
)

SUBJECT = "sub-06"


@pytest.fixture(scope="module")
def packaged(tiny_dataset, tmp_path_factory) -> Path:
    """Folder of the published form of one subject; tests do not change it."""
    folder = tmp_path_factory.mktemp("published")
    write_published(tiny_dataset / "assemblies" / f"{SUBJECT}.nc", SUBJECT, folder)
    return folder


@pytest.fixture
def built(tiny_dataset) -> Path:
    return tiny_dataset / "assemblies" / f"{SUBJECT}.nc"


@pytest.fixture
def changed(built, tmp_path) -> Path:
    """A copy to change."""
    return Path(shutil.copyfile(built, tmp_path / "changed.nc"))


def change(path: Path, name: str, places, values) -> None:
    with netCDF4.Dataset(path, "a") as file:
        file.variables[name][places] = values


def kinds(comparison: Agreement) -> dict[tuple[str, str], int]:
    return {(d.kind, d.name): d.count for d in comparison.differences if not d.cosmetic}


def test_equal_files_agree(built, changed):
    comparison = compare_assemblies(built, changed)
    assert comparison.agrees
    assert comparison.differences == ()
    assert comparison.n_identical == comparison.n_values == np.prod(AssemblyFile(built).header.shape)


def test_values_are_compared_to_rounding(built, changed):
    with netCDF4.Dataset(changed, "a") as file:
        data = file.variables["data"]
        data[3, 5] = data[3, 5] + 1
        data[100, 7] = np.nan
        data[200, :4] = data[200, :4] + np.float32(4e-6)
    comparison = compare_assemblies(built, changed)
    assert kinds(comparison) == {("values", "data"): 2}
    values, rounding = comparison.differences
    assert [example.split(":")[0] for example in values.examples] == ["trial 3, neuroid 5", "trial 100, neuroid 7"]
    assert (rounding.kind, rounding.count) == ("rounding", 4)
    assert "sums in float32" in rounding.cosmetic
    assert not comparison.agrees


@pytest.mark.parametrize(
    ("shift", "verdict"), [(0, IDENTICAL), (5e-6, ROUNDED), (2e-5, DIFFERENT), (9e-5, DIFFERENT), (1e-3, DIFFERENT)]
)
def test_three_words_tell_equal_bits_rounding_and_a_shift_of_every_value(built, changed, shift, verdict):
    with netCDF4.Dataset(changed, "a") as file:
        file.variables["data"][:] += np.float32(shift)
    comparison = compare_assemblies(built, changed)
    assert comparison.verdict == verdict
    assert comparison.summary().startswith(f"{verdict}; ")
    assert comparison.agrees == (verdict != DIFFERENT)


@pytest.mark.parametrize("mean", [0.25, 1, 5])
def test_sums_in_float32_as_the_published_files_were_made_are_rounding(built, changed, mean):
    shape = AssemblyFile(built).header.shape
    betas = np.random.default_rng(8).normal(mean, 1, shape).astype(np.float32)
    exact = betas.astype(np.float64)
    change(changed, "data", slice(None), (exact - exact.mean(0)) / exact.std(0))
    theirs = Path(shutil.copyfile(built, changed.with_name("theirs.nc")))
    change(theirs, "data", slice(None), (betas - np.nanmean(betas, 0)) / np.nanstd(betas, 0))
    assert compare_assemblies(changed, theirs).verdict == ROUNDED


def test_signs_of_zero_and_infinities_are_compared_to_the_last_bit(built, changed, tmp_path):
    other = Path(shutil.copyfile(changed, tmp_path / "other.nc"))
    for path, zero in ((changed, 0.0), (other, -0.0)):
        change(path, "data", (1, slice(0, 3)), np.array([zero, np.inf, np.nan]))
    comparison = compare_assemblies(changed, other)
    assert comparison.n_values - comparison.n_identical == 1
    assert (comparison.verdict, comparison.largest) == (ROUNDED, 0)


def test_files_built_from_the_same_sources_have_the_same_bits(changed, tmp_path):
    with netCDF4.Dataset(changed, "a") as file:
        file.setncattr("sources", '[{"path": "betas.nii.gz", "sha256": "ab"}]')
    again = Path(shutil.copyfile(changed, tmp_path / "again.nc"))
    assert compare_assemblies(again, changed).verdict == IDENTICAL
    with netCDF4.Dataset(again, "a") as file:
        file.variables["data"][0, 0] = np.nextafter(file.variables["data"][0, 0], np.float32(9))
    comparison = compare_assemblies(again, changed)
    assert comparison.verdict == DIFFERENT
    assert "the same bits" in str(comparison.differences[0])


@pytest.mark.parametrize("block_bytes", [1, 10_000, 2**30])
def test_block_size_does_not_change_the_result(built, changed, block_bytes):
    change(changed, "data", (slice(10, 500, 7), 3), 9.0)
    whole = compare_assemblies(built, changed)
    assert compare_assemblies(built, changed, block_bytes=block_bytes) == whole
    assert kinds(whole) == {("values", "data"): 70}


def test_memory_holds_one_block(built, changed, monkeypatch):
    from brainscore_vision.data.laion_fmri_7t.packaging import verify

    largest, read = [], verify._rows
    monkeypatch.setattr(verify, "_rows", lambda file, rows: largest.append(len(rows)) or read(file, rows))
    n_trials, n_voxels = AssemblyFile(built).header.shape
    compare_assemblies(built, changed, block_bytes=20 * n_voxels * 8)
    assert max(largest) == 20
    assert sum(largest) == 2 * n_trials


@pytest.mark.parametrize(
    ("name", "value"), [("region", "V2"), ("roi", "V9"), ("nc_12rep", 1.5), ("session", "ses-09"), ("run", 77)]
)
def test_coordinates_are_compared_element_by_element(built, changed, name, value):
    change(changed, name, slice(0, 2), np.array([value, value], dtype=object if isinstance(value, str) else None))
    comparison = compare_assemblies(built, changed)
    assert kinds(comparison) == {("coordinate", name): 2}
    assert f"published {value}" in comparison.differences[0].examples[0]
    assert str(comparison.differences[0]).startswith(f"coordinate of {name}: 2 of ")


def test_other_trials_and_voxels_are_named_and_the_common_ones_compared(built, changed):
    change(changed, "voxel_index_in_brain_mask", 2, 3_599)
    change(changed, "stimulus_id", slice(4, 5), np.array(["shared_4rep_NSD_special100_777.jpg"], dtype=object))
    comparison = compare_assemblies(built, changed)
    found = kinds(comparison)
    assert found.pop(("voxels", "published alone")) == found.pop(("voxels", "built alone")) == 1
    assert found.pop(("trials", "published alone")) == found.pop(("trials", "built alone")) == 1
    assert not found
    shape = AssemblyFile(built).header.shape
    assert comparison.n_values == comparison.n_identical == (shape[0] - 1) * (shape[1] - 1)


def test_another_order_is_cosmetic_and_matched_by_name(built, tmp_path):
    import xarray as xr

    with xr.open_dataset(built) as file:
        reversed_ = file.load().isel(presentation=slice(None, None, -1), neuroid=slice(None, None, -1))
    reversed_.to_netcdf(tmp_path / "reversed.nc")
    comparison = compare_assemblies(built, tmp_path / "reversed.nc")
    assert comparison.agrees
    assert {(d.kind, d.name) for d in comparison.differences} == {("order", "trials"), ("order", "voxels")}
    assert comparison.n_identical == comparison.n_values


def test_brain_masks_are_not_mixed(built, changed, tmp_path):
    for path, mask in ((changed, "rsquare"), (Path(shutil.copyfile(built, tmp_path / "b.nc")), "anatomical")):
        with netCDF4.Dataset(path, "a") as file:
            file.setncattr("brain_mask", mask)
    with pytest.raises(SchemaError, match=r"same mask; .*'anatomical'.*'rsquare'.*--mask"):
        compare_assemblies(tmp_path / "b.nc", changed)


def test_published_form_of_all_trials(packaged, built):
    path = packaged / f"assy_{PER_SUBJECT[SUBJECT].identifier}.nc"
    comparison = compare_assemblies(built, path)
    assert comparison.agrees, comparison.differences
    header = AssemblyFile(built).header
    shape = len(header.presentations), int((header.neuroids["region"] != OTHER_REGION).sum())  # V1 to IT alone
    assert comparison.n_identical == comparison.n_values == np.prod(shape)
    # and it is read like any assembly
    assert AssemblyFile(path, SUBJECT).header.shape == shape


def test_published_form_of_the_shared_stimuli(packaged, built):
    path = packaged / f"assy_{SHARED[SUBJECT].identifier}.nc"
    comparison = compare_assemblies(built, path)
    assert comparison.agrees, comparison.differences
    assert {(d.kind, d.name) for d in comparison.differences} == {
        *(("additional", name) for name in ("session", "run", "beta_index")),
        ("absent", "subject_id_pres"),
    }
    header = AssemblyFile(path).header
    assert header.presentations["stimulus_id"].str.startswith("shared_").all()
    assert list(header.presentations) == ["stimulus_id", "repetition"]


def test_file_name_artefact_of_the_published_files_is_cosmetic(built, packaged, tmp_path):
    ours = packaged / f"assy_{SHARED[SUBJECT].identifier}.nc"
    theirs = Path(shutil.copyfile(ours, tmp_path / "theirs.nc"))
    n_trials = AssemblyFile(ours).header.shape[0]
    change(theirs, "subject_id_pres", slice(None), np.full(n_trials, f"{SUBJECT}_v3", dtype=object))
    comparison = compare_assemblies(ours, theirs)
    assert comparison.agrees
    (difference,) = comparison.differences
    assert (difference.kind, difference.name, difference.count) == ("coordinate", "subject_id_pres", n_trials)
    assert f"published {SUBJECT}_v3" in difference.examples[0]


def test_published_form_has_the_published_types(built):
    form = published_form(AssemblyFile(built), np.arange(30), all_trials=True)
    assert form.dtype == np.float32
    assert form["voxel_index_in_brain_mask"].dtype == np.int32
    assert form["nc_12rep"].dtype == np.float32


def test_program_verifies_both_files_and_says_so_in_its_exit_code(tiny_dataset, packaged, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(tiny_dataset / "assemblies", root / "assemblies")
    lines: list[str] = []
    request = command.Request(root=root, subjects=(SUBJECT,), actions=("verify",), published=packaged)
    assert command.run(request, lines.append) == command.ALL_DONE
    assert [line.split(":")[1].strip() for line in lines[:1]] == [PER_SUBJECT[SUBJECT].identifier]
    change(root / "assemblies" / f"{SUBJECT}.nc", "data", (0, 0), 50.0)
    assert command.run(request, lines.append) == command.SOME_FAILED
    assert any(": DIFFERENT; " in line for line in lines)
    absent = command.Request(root=root, subjects=("sub-01",), actions=("verify",), published=tmp_path)
    assert command.run(absent, lines.append) == command.SOME_FAILED
    assert "assy_LAION_fMRI_persubject_sub-01_Assembly.nc, but there is none" in lines[-2]


def test_missing_file_is_named(built, tmp_path):
    with pytest.raises(MissingDataError, match=r"nothing\.nc"):
        compare_assemblies(built, tmp_path / "nothing.nc")
