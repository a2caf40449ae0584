"""From an assembly's voxels to places in the subject's volume, and masks that are refused."""

import nibabel as nib
import numpy as np
import pytest
from plugin_testing.raw_release import AFFINE, SHAPE, HandMade, save

from brainscore_vision.data.laion_fmri_7t import released
from brainscore_vision.data.laion_fmri_7t.assemblies.file import read_header
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError, MissingDataError
from brainscore_vision.data.laion_fmri_7t.packaging.build import BuildOptions, build_subject
from brainscore_vision.data.laion_fmri_7t.packaging.layout import SubjectFiles
from brainscore_vision.data.laion_fmri_7t.source import open_dataset
from brainscore_vision.data.laion_fmri_7t.voxel_space import voxel_space

SUBJECT = "sub-01"


@pytest.fixture
def release(tmp_path):
    """A hand-made release with the assembly that was built from it."""
    made = HandMade(tmp_path / "release", np.random.default_rng(3))
    build_subject(made.root, SUBJECT, BuildOptions(sessions=made.sessions))
    return made


@pytest.fixture
def silent(release, tmp_path):
    """The same assembly as the published ones are, without a word on its mask and without the release's files."""
    import netCDF4

    path = tmp_path / "silent" / "assemblies" / f"{SUBJECT}.nc"
    path.parent.mkdir(parents=True)
    path.write_bytes(release.files.assembly.read_bytes())
    with netCDF4.Dataset(path, "a") as file:
        for source in (file, file["data"]):
            for name in ("brain_mask", "brain_mask_sha1", "brain_mask_voxels", "brain_mask_definition", "grid"):
                source.delncattr(name)
    return open_dataset(path.parent.parent)


def index_of(release):
    return read_header(release.files.assembly).neuroids["voxel_index_in_brain_mask"].to_numpy()


def test_values_go_to_the_voxels_that_they_came_from(release, tmp_path):
    space, index = voxel_space(open_dataset(release.root), SUBJECT), index_of(release)
    ceilings = release.ceilings["nc_12rep"]
    path = tmp_path / "map.nii.gz"
    space.image(index, ceilings[release.brain][index]).to_filename(path)
    written = nib.load(path)
    values = np.asarray(written.dataobj)
    held = np.zeros(SHAPE, bool)
    for mask in release.rois.values():
        held |= mask & release.brain
    np.testing.assert_array_equal(values[held], ceilings[held])
    assert np.isnan(values[~held]).all()
    assert values.dtype == np.float32
    np.testing.assert_array_equal(written.affine, AFFINE.astype(np.float32))
    assert written.header.get_xyzt_units()[0] == "mm"


def test_places_are_those_of_the_released_readers(release, tmp_path):
    space, index = voxel_space(open_dataset(release.root), SUBJECT), index_of(release)
    with released.load_subject(SUBJECT, release.root) as subject:
        np.testing.assert_array_equal(space.coordinates(index), subject.get_voxel_coordinates()[index])
        selected = np.isin(np.arange(subject.get_n_voxels()), index)
        values = np.random.default_rng(4).normal(size=len(index)).astype(np.float32)
        subject.to_nifti(values, tmp_path / "theirs.nii.gz", mask=selected)
    ours, theirs = space.image(index, values), nib.load(tmp_path / "theirs.nii.gz")
    np.testing.assert_array_equal(np.nan_to_num(ours.get_fdata()), theirs.get_fdata())
    np.testing.assert_array_equal(ours.affine, theirs.affine)


def test_positions_and_millimetres_agree(release):
    space, index = voxel_space(open_dataset(release.root), SUBJECT), index_of(release)
    np.testing.assert_allclose(
        np.linalg.inv(AFFINE) @ np.column_stack([space.coordinates(index), np.ones(len(index))]).T,
        np.column_stack([space.ijk(index), np.ones(len(index))]).T,
        atol=1e-9,
    )


@pytest.mark.parametrize("definition", ["anatomical", "rsquare"])
def test_the_mask_is_found_by_the_digest_of_the_assembly(release, definition):
    build_subject(release.root, SUBJECT, BuildOptions(definition, release.sessions, start_over=True))
    space = voxel_space(open_dataset(release.root), SUBJECT)
    path = release.files.anatomical_mask if definition == "anatomical" else release.files.r2_mean
    assert space.grid.path == path
    assert "digest" in space.checked


def test_another_mask_than_the_assembly_says_is_refused(release):
    with pytest.raises(
        DatasetError, match="counts its voxels in another brain mask.*anatomical of 100 voxels.*98 voxels"
    ):
        voxel_space(open_dataset(release.root), SUBJECT, mask="rsquare")


def test_a_changed_mask_is_refused_though_its_count_is_the_same(release):
    brain = release.brain.copy()
    brain[0, 0, 0], brain[-1, 0, 0] = False, True
    save(release.files.anatomical_mask, brain.astype(np.uint8))
    with pytest.raises(MissingDataError, match="does not have it.*has 100, SHA-1.*laion-score data get"):
        voxel_space(open_dataset(release.root), SUBJECT)


def test_a_mask_that_is_not_there_comes_with_the_command_that_gets_it(release):
    release.files.anatomical_mask.unlink()
    with pytest.raises(MissingDataError, match="there is no .*desc-brain_mask.*--what anatomy,ceilings"):
        voxel_space(open_dataset(release.root), SUBJECT)


def test_the_same_numbers_on_another_grid_are_another_mask(release, tmp_path):
    save(tmp_path / "other.nii.gz", release.brain.reshape(5, 6, 4).astype(np.uint8))
    with pytest.raises(DatasetError, match="grid 5 6 4"):
        voxel_space(open_dataset(release.root), SUBJECT, mask=tmp_path / "other.nii.gz")


class TestAssemblyThatDoesNotSayItsMask:
    def test_wants_a_name(self, silent):
        with pytest.raises(DatasetError, match="does not say in which brain mask.*--mask"):
            voxel_space(silent, SUBJECT)

    def test_takes_the_right_one_and_checks_it_by_regions(self, silent, release):
        space = voxel_space(silent, SUBJECT, "anatomical", release.root)
        n = len(index_of(release))
        assert space.checked == f"{n} of {n} voxels lie in their regions of interest"
        by_file = voxel_space(silent, SUBJECT, release.files.anatomical_mask, release.root)
        np.testing.assert_array_equal(by_file.brain, space.brain)

    def test_refuses_one_that_is_too_small(self, silent, release, tmp_path):
        small = release.brain.copy()
        small[1:] = False
        save(tmp_path / "small.nii.gz", small.astype(np.uint8))
        with pytest.raises(DatasetError, match=r"places up to \d+ in their brain mask.* has 20 voxels"):
            voxel_space(silent, SUBJECT, tmp_path / "small.nii.gz", release.root)

    def test_refuses_one_whose_voxels_miss_their_regions(self, silent, release, tmp_path):
        shifted = np.ones(SHAPE, bool)
        shifted[0, 0, 0] = False
        save(tmp_path / "shifted.nii.gz", shifted.astype(np.uint8))
        with pytest.raises(DatasetError, match="outside the regions of interest"):
            voxel_space(silent, SUBJECT, tmp_path / "shifted.nii.gz", release.root)

    def test_says_when_the_count_is_all_that_was_checked(self, silent, release):
        space = voxel_space(silent, SUBJECT, release.files.anatomical_mask)
        assert "the count alone" in space.checked

    def test_refuses_a_picture_in_place_of_a_mask(self, silent, release):
        with pytest.raises(DatasetError, match="zeros and ones"):
            voxel_space(silent, SUBJECT, release.files.noise_ceiling("Noiseceiling12rep"), release.root)

    def test_refuses_a_definition_without_the_files(self, silent, release, monkeypatch):
        with pytest.raises(MissingDataError, match="The brain mask"):
            voxel_space(silent, SUBJECT, "anatomical")


def test_the_t1_image_is_the_finest_that_is_there(release):
    assert voxel_space(open_dataset(release.root), SUBJECT).t1w is None
    fine, coarse = SubjectFiles(release.root, SUBJECT).t1w
    save(coarse, np.ones(SHAPE, np.float32))
    assert voxel_space(open_dataset(release.root), SUBJECT).t1w == coarse
    save(fine, np.ones((12, 10, 8), np.float32))
    assert voxel_space(open_dataset(release.root), SUBJECT).t1w == fine


def test_a_value_without_a_place_is_refused(release):
    space = voxel_space(open_dataset(release.root), SUBJECT)
    for index, values in (([0, 100], [1.0, 2.0]), ([-1], [1.0]), ([0, 1], [1.0])):
        with pytest.raises(DatasetError, match="has a place in the brain mask"):
            space.image(np.array(index), np.array(values))
