"""Values per voxel and subject in one call."""

import numpy as np
import pytest
from plugin_testing.scored_cells import CELLS, FOLDS, RDM, RIDGE, copied, filled, scores

from brainscore_vision.benchmarks.laion_fmri_7t import DEFAULT_SUBJECTS
from brainscore_vision.benchmarks.laion_fmri_7t.results import (
    ResultsError,
    score_to_frame,
    to_dataframe,
    to_xarray,
    voxels_to_xarray,
)


@pytest.fixture
def database(tmp_path, tiny_dataset):
    return filled(tiny_dataset, tmp_path / "results.sqlite")


def test_a_score_per_voxel(tiny_dataset):
    score = scores(tiny_dataset)["one"][RIDGE]
    frame = score_to_frame(score)
    assert frame["subject"].unique().tolist() == list(DEFAULT_SUBJECTS)
    raw = score.attrs["sub-03"].attrs["raw"].attrs["raw"]
    own = frame[frame["subject"] == "sub-03"]
    np.testing.assert_array_equal(own["correlation"], raw.values)
    np.testing.assert_array_equal(own["voxel_index_in_brain_mask"], raw["voxel_index_in_brain_mask"].values)
    assert set(frame["region"]) == {"V1"}
    assert frame["fold"].isna().all()
    folds = score_to_frame(scores(tiny_dataset)["one"][FOLDS])
    assert sorted(folds["fold"].unique()) == [f"fold_{k}" for k in range(5)]


def test_neuroids_with_columns_of_the_tables_names(tiny_dataset):
    """A table of voxels often holds the ceiling that was published, in percent."""
    score = copied(scores(tiny_dataset)["one"][RIDGE])
    for subject in DEFAULT_SUBJECTS:
        raw = score.attrs[subject].attrs["raw"].attrs["raw"]
        ones = ("neuroid", np.ones(raw.size))
        names = ("noise_ceiling", "correlation", "p_value", "subject", "model")
        score.attrs[subject].attrs["raw"].attrs["raw"] = raw.assign_coords(dict.fromkeys(names, ones))
    frame = score_to_frame(score)
    expected = score_to_frame(scores(tiny_dataset)["one"][RIDGE])
    for name in expected:
        assert frame[name].equals(expected[name]), name
    assert {"neuroid_noise_ceiling", "neuroid_p_value", "neuroid_model"} < set(frame) - set(expected)


def test_a_table_of_results_is_not_made_of_scores(tiny_dataset):
    score = scores(tiny_dataset)["one"][RIDGE]
    for make in (to_dataframe, to_xarray):
        for given in (score, [score]):
            with pytest.raises(ResultsError, match=r"received a Score\. score_to_frame makes one of a Score"):
                make(given)


def test_a_score_per_subject(tiny_dataset):
    for cell in (RIDGE, RDM):
        score = scores(tiny_dataset)["one"][cell]
        frame = score_to_frame(score, per="subject").set_index("subject")
        assert list(frame.index) == list(DEFAULT_SUBJECTS)
        assert frame.loc["sub-05", "score"] == score.attrs["sub-05"].item()
        assert frame.loc["sub-05", "raw"] == score.attrs["sub-05"].attrs["raw"].item()
    with pytest.raises(ResultsError, match="compares regions as wholes"):
        score_to_frame(score)
    with pytest.raises(ResultsError, match="per is one of subject, voxel"):
        score_to_frame(score, per="image")


def test_results_per_voxel_as_a_table(database, tiny_dataset):
    frame = database.voxels()
    assert set(frame["benchmark"]) < set(CELLS)
    assert set(frame["model"]) == {"one", "two"}
    own = database.voxels("two", [RIDGE], ["sub-01", "sub-07"])
    assert own["subject"].unique().tolist() == ["sub-01", "sub-07"]
    score = scores(tiny_dataset)["two"][RIDGE]
    np.testing.assert_array_equal(
        own[own["subject"] == "sub-07"]["correlation"], score.attrs["sub-07"].attrs["raw"].attrs["raw"].values
    )
    with pytest.raises(ResultsError, match="none of the 2 results"):
        database.voxels(benchmarks=[RDM])


def test_results_per_voxel_as_arrays(database):
    frame = database.voxels(benchmarks=[RIDGE, FOLDS])
    arrays = voxels_to_xarray(frame)
    assert arrays.sizes["model"] == 2
    assert arrays["benchmark"].values.tolist() == [RIDGE, *(f"{FOLDS} fold_{k}" for k in range(5))]
    n_voxels = frame.groupby(["subject", "voxel_index_in_brain_mask"]).ngroups
    assert arrays.sizes["neuroid"] == n_voxels
    assert int(arrays["correlation"].notnull().sum()) == frame["correlation"].notna().sum()
    for row in frame.sample(20, random_state=0).itertuples():
        label = row.benchmark if row.fold is None else f"{row.benchmark} {row.fold}"
        of_cell = arrays.sel(model=row.model, benchmark=label)
        place = (of_cell["subject"] == row.subject) & (
            of_cell["voxel_index_in_brain_mask"] == row.voxel_index_in_brain_mask
        )
        np.testing.assert_array_equal(of_cell["correlation"].values[place.values], [row.correlation])
    with pytest.raises(ResultsError, match="received several"):
        voxels_to_xarray(frame.loc[[0, 0]])
    (fingerprint,) = frame["dataset_fingerprint"].unique()
    assert fingerprint == database.results()[0].dataset_fingerprint
    rebuilt = frame.assign(dataset_fingerprint=["another", *[fingerprint] * (len(frame) - 1)])
    with pytest.raises(ResultsError, match="Arrays are of one dataset; .* of 2 fingerprints"):
        voxels_to_xarray(rebuilt)
