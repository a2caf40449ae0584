"""The simulated release read by the release's own package: every accessor that rebuilding relies on says the same."""

import inspect
import shutil

import numpy as np
import pandas as pd
import pytest

from brainscore_vision.data.laion_fmri_7t.errors import MissingDataError
from brainscore_vision.data.laion_fmri_7t.packaging import package_view
from brainscore_vision.data.laion_fmri_7t.packaging.layout import NOISE_CEILING_MAPS, SubjectFiles, expected_sessions
from brainscore_vision.data.laion_fmri_7t.packaging.package_view import compare_with_package, open_with_package
from brainscore_vision.data.laion_fmri_7t.packaging.regions import roi_labels
from brainscore_vision.data.laion_fmri_7t.packaging.trials import read_trials
from brainscore_vision.data.laion_fmri_7t.packaging.volumes import read_betas, read_brain_mask, read_volume
from brainscore_vision.data.laion_fmri_7t.released import load_subject
from brainscore_vision.data.laion_fmri_7t.released import splits as released_splits

SUBJECT = "sub-01"


@pytest.fixture
def package():
    return pytest.importorskip("laion_fmri.subject", reason="laion_fmri is not installed: pip install '.[laion]'")


@pytest.fixture
def reader(package, released, tmp_path):
    """The package's subject. For a version with the layout of May 2026, the files are laid where that version looks."""
    root = tmp_path / "data"
    shutil.copytree(released, root)
    files = SubjectFiles(root, SUBJECT)
    if "source" not in inspect.signature(package.Subject.get_brain_mask).parameters:
        shutil.copyfile(
            files.anatomical_mask, files.folder / f"{SUBJECT}_task-images_space-T1w_desc-meanR2gt15mask_mask.nii.gz"
        )
        rois = root / "derivatives" / "atlases" / SUBJECT / "rois"
        rois.mkdir(parents=True)
        for label, path in files.roi_files().items():
            shutil.copyfile(path, rois / f"{label}.nii.gz")
    return package.Subject(SUBJECT, str(root)), files


def test_every_accessor_that_is_used_agrees(reader):
    subject, files = reader
    mask, _ = read_brain_mask(files, "anatomical")
    np.testing.assert_array_equal(subject.get_brain_mask(), mask)
    assert subject.get_n_voxels() == mask.sum()
    assert tuple(subject.get_sessions()) == expected_sessions(files.root)
    assert set(subject.get_available_rois()) == set(files.roi_files())
    for label in roi_labels():
        ours = read_volume(files.roi_files()[label])[0][mask] > 0
        np.testing.assert_array_equal(subject.get_roi_mask(label), ours)
    for description in NOISE_CEILING_MAPS.values():
        ours = read_volume(files.noise_ceiling(description))[0][mask]
        np.testing.assert_array_equal(subject.get_noise_ceiling(desc=description), ours)
    for session in subject.get_sessions():
        ours = read_volume(files.session_noise_ceiling(session))[0][mask]
        np.testing.assert_array_equal(subject.get_noise_ceiling(session=session), ours)
        theirs = subject.get_trial_info(session).rename(columns={"label": "stimulus_id"})
        table = read_trials(files.trials(session), session)
        pd.testing.assert_frame_equal(table, theirs[list(table)])
        betas = read_betas(files.betas(session), np.flatnonzero(mask)).values
        np.testing.assert_array_equal(subject.get_betas(session=session), betas)
        np.testing.assert_array_equal(
            subject.get_betas(session=session, roi="hV4"), betas[:, subject.get_roi_mask("hV4")]
        )


def test_the_same_calls_give_the_same_answers(reader, tmp_path):
    theirs, files = reader
    ours = load_subject(SUBJECT, files.root)
    assert ours.get_available_rois() == sorted(theirs.get_available_rois())
    for name, mask in theirs.get_roi_masks(["hV4", "FFA1"]).items():
        np.testing.assert_array_equal(ours.get_roi_mask(name), mask)
    for options in (
        {"roi": ["V1v", "EBA"]},
        {"roi": "hV4", "nc_threshold": 20.0, "stimuli": "shared"},
        {"mask": ~ours.get_roi_mask("laion"), "stimuli": "unique"},
    ):
        np.testing.assert_array_equal(ours.get_betas("ses-02", **options), theirs.get_betas("ses-02", **options))
    both = (
        ours.get_noise_ceiling(session=["ses-01"], roi="V2d"),
        theirs.get_noise_ceiling(session=["ses-01"], roi="V2d"),
    )
    np.testing.assert_array_equal(both[0]["ses-01"], both[1]["ses-01"])
    pd.testing.assert_frame_equal(ours.get_trial_info("ses-01"), theirs.get_trial_info("ses-01"))
    np.testing.assert_allclose(ours.get_voxel_coordinates(roi="hV4"), theirs.get_voxel_coordinates(roi="hV4"))
    values = np.arange(1.0, 1 + ours.get_roi_mask("hV4").sum())
    for subject, name in ((ours, "ours.nii.gz"), (theirs, "theirs.nii.gz")):
        subject.to_nifti(values, tmp_path / name, roi="hV4")
    maps = [read_volume(tmp_path / name) for name in ("ours.nii.gz", "theirs.nii.gz")]
    np.testing.assert_array_equal(maps[0][0], maps[1][0])
    maps[0][1].require_same(maps[1][1])


@pytest.mark.parametrize("pool", ["shared", "sub-03"])
def test_the_packages_splits(package, pool, monkeypatch):
    theirs = pytest.importorskip("laion_fmri.splits", reason="laion_fmri is not installed: pip install '.[laion]'")
    monkeypatch.setenv("LAION_FMRI_DATASET", "")
    ours = released_splits.load_all_splits(pool)
    assert list(ours) == theirs.list_splits()
    assert [released_splits.list_ood_types(), released_splits.list_pools()] == [
        theirs.list_ood_types(),
        theirs.list_pools(),
    ]
    for name, split in theirs.load_all_splits(pool).items():
        said = (split.name, split.pool, split.splitter, split.params, split.n_train, split.n_test, split.split_family)
        found = ours[name]
        assert said == (
            *(found.name, found.pool, found.splitter, found.params, found.n_train, found.n_test, found.split_family),
        )
        assert [v.test_ids for v in split.variants] == [v.test_ids for v in found.variants]
    kinds = ["shape", "gabor"]
    ids = released_splits.get_train_test_ids("ood", pool, ood_types=kinds)
    assert ids == theirs.get_train_test_ids("ood", pool, ood_types=kinds)


def test_cross_check_of_the_program(reader, released):
    subject, files = reader
    if "source" not in inspect.signature(type(subject).get_brain_mask).parameters:
        with pytest.raises(MissingDataError, match="earlier layout.*pip install"):
            open_with_package(released, SUBJECT)
        pytest.skip("this laion_fmri has an earlier layout: the cross-check refuses it, as it should")
    checks = compare_with_package(open_with_package(files.root, SUBJECT), files, "anatomical")
    assert len(checks) == 1 + len(roi_labels()) + 3
    assert all(check.agrees for check in checks), checks


class Stub:
    """The accessors of a newer laion_fmri, over the files here, with one wrong answer."""

    def __init__(self, files: SubjectFiles, wrong: str):
        self.files, self.wrong = files, wrong

    def get_brain_mask(self, source="anatomical", res="1pt8"):
        return read_brain_mask(self.files, source)[0]

    def get_roi_mask(self, query):
        mask = read_volume(self.files.roi_files()[query])[0][self.get_brain_mask()] > 0
        return ~mask if query == self.wrong else mask

    def get_noise_ceiling(self, session=None, desc=None, mask_source="anatomical"):
        values = read_volume(self.files.noise_ceiling(desc))[0][self.get_brain_mask(mask_source)]
        return values[:-1] if desc == self.wrong else values


@pytest.mark.parametrize("wrong", ["nothing", "V3d", "Noiseceiling4rep"])
def test_cross_check_finds_what_differs(released, wrong):
    files = SubjectFiles(released, SUBJECT)
    checks = compare_with_package(Stub(files, wrong), files, "anatomical")
    assert [check.what.split()[-1] for check in checks if not check.agrees] == [wrong] * (wrong != "nothing")


def test_without_the_package_the_error_says_how_to_get_it(released, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "laion_fmri.subject", None)
    with pytest.raises(MissingDataError, match=r"pip install '\.\[laion\]'"):
        package_view.open_with_package(released, SUBJECT)
