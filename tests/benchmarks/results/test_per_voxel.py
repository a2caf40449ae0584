"""Values per voxel and subject in one call."""

import dataclasses

import h5py
import numpy as np
import pandas as pd
import pytest
from plugin_testing.scored_cells import CELLS, FOLDS, RDM, RIDGE, copied, facts, filled, scores

from brainscore_vision.benchmarks.laion_fmri_7t import DEFAULT_SUBJECTS
from brainscore_vision.benchmarks.laion_fmri_7t.results import (
    ResultsDatabase,
    ResultsError,
    export_voxels,
    score_to_frame,
    to_dataframe,
    to_xarray,
    voxels,
    voxels_to_xarray,
)
from brainscore_vision.benchmarks.laion_fmri_7t.results.packing import pack


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


def test_neuroids_with_columns_of_the_names_that_such_columns_get(tiny_dataset):
    score = with_columns(scores(tiny_dataset)["one"][RIDGE], correlation=np.zeros, neuroid_correlation=np.ones)
    frame = score_to_frame(score)
    assert (frame["neuroid_correlation"] == 1).all()
    assert (frame["neuroid_neuroid_correlation"] == 0).all()


def with_columns(score, **columns):
    """A Score whose neuroids have other columns too; each is made of the number of neuroids."""
    score = copied(score)
    folds = [score.attrs[f"fold_{k}"] for k in range(5)] if "fold_0" in score.attrs else [score]
    for unit in (fold.attrs[subject] for fold in folds for subject in DEFAULT_SUBJECTS):
        for part in ("raw", "ceiling"):
            known = unit.attrs[part].attrs["raw"]
            new = {name: ("neuroid", make(known.size)) for name, make in columns.items()}
            unit.attrs[part].attrs["raw"] = known.assign_coords(new)
    return score


def first_of(*first, others):
    """A column of objects that begins so."""
    return lambda n: pd.Series([*first, *[others] * (n - len(first))], dtype=object).to_numpy()


KEPT = {
    "nan": ("depth", lambda n: np.r_[np.nan, np.ones(n - 1)], [np.nan, 1.0]),
    "whole numbers with a gap": ("depth", first_of(pd.NA, 2, others=3), [np.nan, 2.0]),
    "numbers as objects": ("depth", first_of(1, 2, others=3), [1, 2]),
    "text with a gap": ("array", first_of(None, "M", others="P"), ["", "M"]),
    "numbers and text": ("array", first_of(np.nan, 0, others="P"), ["", "0"]),
    "yes or no with a gap": ("is_good", first_of(True, None, others=False), [1.0, np.nan]),
    "yes or no as objects": ("is_good", first_of(True, False, others=False), [True, False]),
    "dates": ("day", lambda n: np.full(n, "2020-01-02", "M8[ns]"), ["2020-01-02 00:00:00"] * 2),
    "tuples": ("place", first_of((0, 1), (0, 2), others=(1, 1)), ["(0, 1)", "(0, 2)"]),
    **{name: (name, np.ones, [1.0, 1.0]) for name in ("correlation", "bootstrap", "neuroids", "position")},
}


@pytest.mark.parametrize(("name", "column", "expected"), KEPT.values(), ids=KEPT)
def test_whatever_columns_of_neuroids_are_called_and_hold_is_kept(tmp_path, tiny_dataset, name, column, expected):
    database, score = ResultsDatabase(tmp_path / "r.sqlite"), scores(tiny_dataset)["one"][RIDGE]
    database.add(with_columns(score, **{name: column}), facts(score))
    frame = database.voxels()
    own = frame[f"neuroid_{name}" if name == "correlation" else name]
    pd.testing.assert_series_equal(own[:2], pd.Series(expected), check_names=False)
    np.testing.assert_array_equal(frame["correlation"], score_to_frame(score)["correlation"])
    assert voxels_to_xarray(frame).sizes["neuroid"] == len(frame)


def test_folds_share_the_columns_of_their_neuroids_where_some_are_missing(tmp_path, tiny_dataset):
    database, score = ResultsDatabase(tmp_path / "r.sqlite"), scores(tiny_dataset)["one"][FOLDS]
    database.add(with_columns(score, depth=lambda n: np.full(n, np.nan)), facts(score))
    (path,) = database.voxel_directory.iterdir()
    with h5py.File(path) as file:
        assert np.isnan(file["fold_0/sub-01/neuroids/depth"]).all()
        assert file["fold_0/sub-01/neuroids"] == file["fold_1/sub-01/neuroids"]


def test_a_subject_may_be_called_as_an_array_is(tmp_path, tiny_dataset):
    root = pack(scores(tiny_dataset)["one"][RIDGE])
    named = [dataclasses.replace(root.children[0], label=name) for name in ("correlation", "neuroids")]
    content = voxels.encode(dataclasses.replace(root, children=tuple(named)), {})
    found = voxels.read(voxels.write(content, tmp_path, "result"), {})
    for name in ("correlation", "neuroids"):
        np.testing.assert_array_equal(found[name]["correlations"].values, root.children[0].correlations.values)


def test_a_parquet_file_of_neuroids_with_numbers_and_words(tmp_path, tiny_dataset):
    """One subject's sites have numbers and another's have names."""
    score = scores(tiny_dataset)["one"][RIDGE]
    named = with_columns(score, site=lambda n: np.array([f"site {i}" for i in range(n)]))
    numbered = with_columns(score, site=np.arange)
    named.attrs[DEFAULT_SUBJECTS[0]] = numbered.attrs[DEFAULT_SUBJECTS[0]]
    database, path = ResultsDatabase(tmp_path / "r.sqlite"), tmp_path / "voxels.parquet"
    database.add(named, facts(score))
    export_voxels(database, database.results(), path)
    assert pd.read_parquet(path)["site"].tolist() == database.voxels()["site"].map(str).tolist()
    database.add(numbered, facts(score, 1, model="models.py:another"))
    numbers_first = sorted(database.results(), key=lambda result: -result.id)
    with pytest.raises(ResultsError, match="A column of Parquet has one type; in result 1, site is string, and int64"):
        export_voxels(database, numbers_first, path)


def test_a_table_of_results_is_not_made_of_nothing(database):
    for make in (to_dataframe, to_xarray):
        with pytest.raises(ResultsError, match="made of one result or more; received none.*no result matches"):
            make(database.results(models=["none-*"]))


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
