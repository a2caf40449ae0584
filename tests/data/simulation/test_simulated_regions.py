"""Regions of interest of the simulation: who has which, what overlaps, where they are, and what some of them prefer."""

import numpy as np
import pandas as pd
import pytest

from brainscore_vision.data.laion_fmri_7t.assemblies.file import read_header
from brainscore_vision.data.laion_fmri_7t.constants import OTHER_REGION, SUBJECTS
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError
from brainscore_vision.data.laion_fmri_7t.released.features import FEATURE_FILES, SEGMENTATION_TABLE
from brainscore_vision.data.laion_fmri_7t.simulation import SCALES, Truth
from brainscore_vision.data.laion_fmri_7t.simulation.regions import PREFERENCES, brain_mask
from brainscore_vision.data.laion_fmri_7t.simulation.voxels import draw_voxels

TINY = SCALES["tiny"]


@pytest.fixture(scope="module")
def headers(tiny_dataset):
    return {subject: read_header(tiny_dataset / "assemblies" / f"{subject}.nc") for subject in SUBJECTS}


def test_subjects_differ_in_the_regions_that_they_have(headers):
    tables = {subject: header.regions for subject, header in headers.items()}
    lacking = {s for s in SUBJECTS if not tables[s].members("FFA2")}
    assert lacking == {"sub-01"}
    assert {s: tables[s].members("face") for s in ("sub-01", "sub-03", "sub-06")} == {
        "sub-01": ("FFA1", "OFA", "pSTSfaces"),
        "sub-03": ("FFA1", "FFA2", "OFA", "pSTSfaces"),
        "sub-06": ("FFA1", "FFA2", "pSTSfaces"),
    }
    assert [s for s in SUBJECTS if not tables[s].members("character")] == ["sub-05", "sub-06"]
    assert all(table.not_held(name) == () for table in tables.values() for name in table.names())


def test_regions_overlap_and_every_voxel_is_in_one(headers):
    for header in headers.values():
        table, region = header.regions, header.neuroids["region"].to_numpy()
        inside = {name: table.inside(name) for name in table.names()}
        assert table.membership.any(axis=1).all()
        assert (table.membership.sum(axis=1) > 1).any()
        assert (inside["EBA"] & inside["MT"]).any()
        np.testing.assert_array_equal(inside["V1v"] | inside["V1d"], region == "V1")
        np.testing.assert_array_equal(inside["hV4"], region == "V4")
        np.testing.assert_array_equal(inside["laionEVC"], np.isin(region, ("V1", "V2", "V3")))
        assert (inside["laionventral"] >= (region == "IT")).all()
        assert 0.8 < inside["laionventral"][region == "V4"].mean() <= 1
        assert inside["VO1"].any()
        assert (inside["laionventral"] >= inside["VO1"]).all()
        faces = np.any([inside[name] for name in table.members("face")], axis=0)
        np.testing.assert_array_equal(inside["face"], faces)
        assert set(region[faces]) == {OTHER_REGION}


def test_truth_knows_the_same_regions(tiny_dataset, headers):
    for subject, header in headers.items():
        whole = Truth(tiny_dataset).signal(subject)
        assert whole.regions.categories == header.regions.categories
        pd.testing.assert_frame_equal(whole.regions.membership, header.regions.membership)
        for name in ("face", "laionlateral", "V1v", "hV4"):
            part, inside = Truth(tiny_dataset).signal(subject, name), header.regions.inside(name)
            np.testing.assert_array_equal(part.values, whole.values[:, inside])
            index = header.neuroids["voxel_index_in_brain_mask"][inside]
            np.testing.assert_array_equal(part.voxel_index_in_brain_mask, index)
            assert part.regions.inside(name).all()
    with pytest.raises(DatasetError, match=r"one of V1, .*, FFA1, .*, face.* in sub-01.*got 'FFA2'"):
        Truth(tiny_dataset).signal("sub-01", "FFA2")


@pytest.mark.parametrize("subject", SUBJECTS)
def test_selective_voxels_respond_to_what_they_prefer(tiny_dataset, headers, subject):
    """By what the segmentations say that is in the images, which know nothing of voxels."""
    nouns = pd.read_csv(tiny_dataset / "stimuli" / FEATURE_FILES[SEGMENTATION_TABLE])
    truth, table = Truth(tiny_dataset).signal(subject), headers[subject].regions
    shared = np.isin(truth.stimulus_ids, nouns["image_name"].unique())
    values = truth.values[shared].astype(float)
    values = (values - values.mean(0)) / values.std(0)
    for category, stuff in PREFERENCES.items():
        selective = truth.prefers == stuff
        if not table.members(category):
            assert not selective.any()
            continue
        np.testing.assert_array_equal(selective, table.inside(category))
        has = np.isin(truth.stimulus_ids[shared], nouns["image_name"][nouns["noun"] == stuff])
        preference = values[has].mean(0) - values[~has].mean(0)  # in standard deviations over stimuli
        assert preference[selective].min() > 1
        assert np.quantile(np.abs(preference[~selective]), 0.9) < preference[selective].min()
    assert set(truth.prefers[truth.region != OTHER_REGION]) == {""}


def test_a_region_lies_together_in_both_hemispheres():
    inside = np.argwhere(brain_mask(TINY.grid, TINY.brain_voxels))
    voxels = draw_voxels(TINY, "sub-03", seed=0)
    middle = (TINY.grid[0] - 1) / 2
    for name in ("FFA1", "PPA", "pSTSfaces"):
        places = inside[voxels.index_in_brain_mask[voxels.regions.inside(name)]].astype(float)
        right = places[:, 0] > middle
        assert 0 < right.sum() < len(right)
        places[:, 0] = np.abs(places[:, 0] - middle)
        assert np.linalg.norm(places - places.mean(0), axis=1).max() < 4, "in voxels"
    assert len(np.unique(voxels.index_in_brain_mask)) == len(voxels)
    beside = voxels.index_in_brain_mask[voxels.region == OTHER_REGION]
    assert (np.diff(beside) > 0).all()
