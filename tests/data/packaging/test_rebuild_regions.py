"""Assemblies with regions of interest: every voxel of each, memberships that overlap, and what was not asked for."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from plugin_testing.raw_release import HandMade, save

from brainscore_vision.data.laion_fmri_7t.assemblies.averages import read_responses
from brainscore_vision.data.laion_fmri_7t.assemblies.file import AssemblyFile, open_netcdf, read_header
from brainscore_vision.data.laion_fmri_7t.constants import OTHER_REGION, REGIONS
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError
from brainscore_vision.data.laion_fmri_7t.packaging.build import BuildOptions, build_subject
from brainscore_vision.data.laion_fmri_7t.packaging.published_schema import write_published
from brainscore_vision.data.laion_fmri_7t.packaging.verify import IDENTICAL, compare_assemblies
from brainscore_vision.data.laion_fmri_7t.released import load_subject

SOME_SUBJECTS = ("sub-01", "sub-03")
EVERYTHING = BuildOptions(regions=("all",))
OPTIONS = BuildOptions(sessions=("ses-01", "ses-02"))


def stored(path):
    with open_netcdf(path) as file:
        return file.variables["data"][:]


@pytest.fixture(scope="module")
def rebuilt(released, tmp_path_factory):
    root = shutil.copytree(released, tmp_path_factory.mktemp("regions") / "data")
    for subject in SOME_SUBJECTS:
        build_subject(root, subject, EVERYTHING)
    return root


@pytest.fixture
def made(tmp_path):
    """A subject with two regions beside V1 to IT, which overlap each other and V2, in the last ninth of the brain."""
    one = HandMade(tmp_path / "data", np.random.default_rng(5))
    number = np.arange(one.brain.size).reshape(one.brain.shape)
    free = number % 9 == 8
    one.rois["FFA1"] = free & (number < 60)
    one.rois["OFA"] = free & (number > 30) | one.rois["V2v"]
    for name in ("FFA1", "OFA"):
        save(one.files.roi("face", name), one.rois[name].astype(np.uint8))
    return one


@pytest.mark.parametrize("subject", SOME_SUBJECTS)
def test_rebuilding_all_regions_gives_the_packaged_assembly(tiny_dataset, rebuilt, subject):
    packaged, built = (root / "assemblies" / f"{subject}.nc" for root in (tiny_dataset, rebuilt))
    np.testing.assert_array_equal(stored(built), stored(packaged))
    ours, theirs = read_header(built), read_header(packaged)
    pd.testing.assert_frame_equal(ours.presentations, theirs.presentations)
    pd.testing.assert_frame_equal(ours.neuroids, theirs.neuroids)
    assert ours.regions.categories == theirs.regions.categories
    pd.testing.assert_frame_equal(ours.regions.membership, theirs.regions.membership)
    assert ours.attributes["regions_of_interest"] == "all"


def test_memberships_are_those_that_the_reader_of_the_release_has(rebuilt):
    for subject in SOME_SUBJECTS:
        reader, header = load_subject(subject, rebuilt), read_header(rebuilt / "assemblies" / f"{subject}.nc")
        index = header.neuroids["voxel_index_in_brain_mask"].to_numpy()
        assert set(header.regions.categories) == set(reader.get_available_rois())
        for name in (*reader.get_available_rois(), *reader.get_available_categories()):
            mask = reader.get_roi_mask(name)
            np.testing.assert_array_equal(header.regions.inside(name), mask[index])
            assert header.regions.inside(name).sum() == mask.sum(), "all voxels of a region are there"
            ceiling = reader.get_noise_ceiling(desc="Noiseceiling12rep", roi=name)
            assert (ceiling > 0).all(), "category regions have noise ceilings, too"
            found = header.neuroids[header.regions.inside(name)].sort_values("voxel_index_in_brain_mask")["nc_12rep"]
            np.testing.assert_array_equal(found, ceiling)


def test_overlapping_regions_are_memberships(made):
    header = read_header(build_subject(made.root, made.subject, replace(OPTIONS, regions=("all",))).path)
    index = header.neuroids["voxel_index_in_brain_mask"].to_numpy()
    brain = made.brain.ravel()
    for name, volume in made.rois.items():
        np.testing.assert_array_equal(header.regions.inside(name), volume.ravel()[brain][index])
    inside = {name: header.regions.inside(name) for name in ("FFA1", "OFA", "face", "V2v")}
    assert (inside["FFA1"] & inside["OFA"]).any()
    assert (inside["OFA"] >= inside["V2v"]).all()
    np.testing.assert_array_equal(inside["face"], inside["FFA1"] | inside["OFA"])
    region = header.neuroids["region"].to_numpy()
    of_five = region != OTHER_REGION
    assert set(region[: of_five.sum()]) == set(REGIONS), "V1 to IT come first, and are what they are without the others"
    alone = read_header(build_subject(made.root, made.subject, replace(OPTIONS, start_over=True)).path)
    assert alone.regions is None
    pd.testing.assert_frame_equal(header.neuroids[: len(alone.neuroids)], alone.neuroids)


def test_a_list_of_regions_holds_these_and_says_what_is_not_there(made):
    built = build_subject(made.root, made.subject, replace(OPTIONS, regions=("FFA1", "PPA")))
    assert built.warnings[0] == "sub-01 has no PPA"
    header = read_header(built.path)
    assert sorted(set(header.regions.categories) - set(header.regions.membership)) == ["OFA"]
    assert {"V1v", "hV4", "laionventral", "FFA1"} <= set(header.regions.membership), "whole ones are known"
    file = AssemblyFile(built.path, made.subject)
    expected = made.rois["FFA1"].ravel()[made.brain.ravel()]
    ceilings = made.ceilings["nc_12rep"].ravel()[made.brain.ravel()]
    responses = read_responses(file, "FFA1", 30)
    assert (
        sorted(responses.neuroids["voxel_index_in_brain_mask"]) == np.flatnonzero(expected & (ceilings > 30)).tolist()
    )
    for region in ("OFA", "face"):
        with pytest.raises(DatasetError, match=r"built without OFA\. Build it .*--regions all --start-over"):
            read_responses(file, region, 30)
    with pytest.raises(DatasetError, match="regions_of_interest 'FFA1 PPA'; now asked for is 'all'.*--start-over"):
        build_subject(made.root, made.subject, replace(OPTIONS, regions=("all",)))


def test_unknown_region_is_refused_before_betas_are_read(made):
    made.files.betas("ses-01").write_bytes(b"no betas")
    with pytest.raises(
        DatasetError, match=r"by name, by category or as 'all' \(--regions\); got 'FFA9'.*FFA1, OFA.*face"
    ):
        build_subject(made.root, made.subject, replace(OPTIONS, regions=("FFA1", "FFA9")))


@pytest.mark.parametrize(
    ("category", "label", "rule"),
    [
        ("mine", "V4", "that of .*'V4', which is a region of the benchmarks"),
        ("mine", "it", "'it', which is a region of the benchmarks"),
        ("mine", "face", "'face', which is a category"),
        ("mine", "mine", "'mine', which is a category"),
        ("mine", "all", "'all', which is how all are asked for"),
        ("V4", "foveal", r"that of .*foveal.* is 'V4', which is a region of the benchmarks\. Rename its folder"),
    ],
)
def test_a_mask_whose_name_stands_for_something_else_is_refused(made, category, label, rule):
    save(made.files.roi(category, label), made.rois["V1v"].astype(np.uint8))
    with pytest.raises(DatasetError, match=f"has a name of its own; {rule}|{rule}"):
        build_subject(made.root, made.subject, replace(OPTIONS, regions=("all",)))
    assert build_subject(made.root, made.subject, OPTIONS).is_new, "nobody asks for it"


def test_a_mask_of_other_values_than_0_and_1_is_said(made):
    fractions = made.rois["FFA1"].astype(np.float32)
    fractions[fractions > 0] = np.linspace(0.01, 1, int((fractions > 0).sum()))
    save(made.files.roi("face", "FFA1"), fractions)
    warnings = build_subject(made.root, made.subject, replace(OPTIONS, regions=("FFA1",))).warnings
    (said,) = [warning for warning in warnings if "mask of FFA1" in warning]
    assert (
        f"0 to 1, and not 0 and 1 alone: all above 0 are taken to be inside ({made.rois['FFA1'].sum()} voxels)" in said
    )


def test_assembly_without_regions_of_interest_stays_up_to_date(made):
    first = build_subject(made.root, made.subject, OPTIONS)
    assert "regions_of_interest" not in read_header(first.path).attributes
    assert not build_subject(made.root, made.subject, OPTIONS).is_new
    with pytest.raises(DatasetError, match=r"one of V1, .*IT_full; got 'FFA1'.*built without regions.*--regions all"):
        read_responses(AssemblyFile(first.path), "FFA1", 30)


def test_published_form_has_v1_to_it_alone(rebuilt, tmp_path):
    built = rebuilt / "assemblies" / "sub-01.nc"
    without = tmp_path / "data"
    shutil.copytree(rebuilt, without)
    build_subject(without, "sub-01", BuildOptions(start_over=True))
    written = [
        write_published(path, "sub-01", tmp_path / name)[0]
        for path, name in ((built, "with"), (without / "assemblies" / "sub-01.nc", "without"))
    ]
    np.testing.assert_array_equal(*(stored(one["path"]) for one in written))
    comparison = compare_assemblies(built, written[1]["path"])
    assert comparison.verdict == IDENTICAL, comparison.differences
