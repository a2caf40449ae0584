"""Results for other programs: tidy tables, arrays, values per voxel, and records of a run as it goes on."""

import functools
import itertools
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from plugin_testing import scored_cells
from plugin_testing.scored_cells import CELLS, CKA, FOLDS, MODELS, ONE_SUBJECT, RDM, RIDGE, copied, facts, scores

from brainscore_vision.benchmarks.laion_fmri_7t import DEFAULT_SUBJECTS
from brainscore_vision.benchmarks.laion_fmri_7t.results import (
    ResultsDatabase,
    ResultsError,
    add_failures,
    add_scores,
    export,
    export_voxels,
    to_dataframe,
    to_xarray,
    voxel_frames,
)

read_csv = functools.partial(pd.read_csv, float_precision="round_trip")  # pandas' default is a little off


@pytest.fixture(scope="module")
def filled(tiny_dataset, tmp_path_factory):
    """Two models on every kind of benchmark; tests add nothing."""
    return scored_cells.filled(tiny_dataset, tmp_path_factory.mktemp("filled") / "results.sqlite")


# Tables


def test_a_row_per_number(filled, tiny_dataset):
    frame = to_dataframe(filled.results())
    counts = frame.groupby(["benchmark", "level"]).size() / len(MODELS)
    assert counts[RIDGE].to_dict() == {"mean": 1, "subject": 5}
    assert counts[FOLDS].to_dict() == {"mean": 1, "fold": 5, "subject": 25}
    assert counts[ONE_SUBJECT].to_dict() == {"mean": 1, "subject": 1}
    score = scores(tiny_dataset)["two"][RIDGE]
    own = frame[(frame.model == "two") & (frame.benchmark == RIDGE)].set_index("subject")
    mean = own[own.level == "mean"].iloc[0]
    assert (mean.score, mean.error, mean.raw) == (score.item(), score.attrs["error"], score.attrs["raw"].item())
    assert (mean.pool, mean.region, mean.split, mean.metric) == ("shared", "V1", "ood", "ridgecv")
    for subject in DEFAULT_SUBJECTS:
        unit, row = score.attrs[subject], own.loc[subject]
        assert row.score == row.score_published == unit.item()
        assert row.score_correlation == unit.attrs["normalizations"]["correlation"]
        assert (row.interval_low, row.interval_high) == unit.attrs["interval"]
        assert (row.n_train, row.n_test, row.alpha) == tuple(unit.attrs[n] for n in ("n_train", "n_test", "alpha"))
    assert own.loc[list(DEFAULT_SUBJECTS), "error"].isna().all()
    fold = frame[(frame.model == "two") & (frame.fold == "fold_3") & (frame.subject == "sub-07")]
    assert fold.score.item() == scores(tiny_dataset)["two"][FOLDS].attrs["fold_3"].attrs["sub-07"].item()


def test_arrays(filled, tiny_dataset):
    arrays = to_xarray(filled.results())
    assert dict(arrays.sizes) == {"model": 2, "benchmark": len(CELLS), "subject": 5, "normalization": 4, "limit": 2}
    assert "simulated" in arrays.attrs["datasets"]
    for model in MODELS:
        for cell, score in scores(tiny_dataset)[model].items():
            own = arrays.sel(model=model, benchmark=cell)
            assert own["score"].item() == score.item()
            np.testing.assert_equal(own["error"].item(), score.attrs["error"])
    own = arrays.sel(model="one", benchmark=RIDGE)
    units = scores(tiny_dataset)["one"][RIDGE].attrs
    assert own["subject_score"].values.tolist() == [units[s].item() for s in DEFAULT_SUBJECTS]
    assert own["interval"].sel(subject="sub-05").values.tolist() == list(units["sub-05"].attrs["interval"])
    assert arrays["alpha"].sel(benchmark=CKA).isnull().all()
    assert arrays["subject_score"].sel(benchmark=ONE_SUBJECT).notnull().sum() == len(MODELS)
    assert arrays["normalized"].sel(benchmark=RDM, normalization="correlation").isnull().all()
    folds = [scores(tiny_dataset)["one"][FOLDS].attrs[f"fold_{k}"].attrs["sub-01"].item() for k in range(5)]
    assert arrays["subject_score"].sel(model="one", benchmark=FOLDS, subject="sub-01").item() == np.mean(folds)


def test_a_normalization_that_some_subjects_alone_have(tiny_dataset, tmp_path):
    """Where a subject's test images show no reliable signal, their mean has none either."""
    score = copied(scores(tiny_dataset)["one"][RIDGE])
    for unit in (score, score.attrs["sub-03"]):
        del unit.attrs["normalizations"]["correlation"]
    database = ResultsDatabase(tmp_path / "results.sqlite")
    database.add(score, facts(score))
    export(database.results(), tmp_path / "results.nc")
    arrays = xr.load_dataset(tmp_path / "results.nc").sel(model="one", benchmark=RIDGE, normalization="correlation")
    assert np.isnan(arrays["normalized"])
    for subject in DEFAULT_SUBJECTS:
        own = score.attrs[subject].attrs["normalizations"].get("correlation", np.nan)
        np.testing.assert_equal(arrays["subject_normalized"].sel(subject=subject).item(), own)


def test_arrays_have_one_value_per_place(filled, tiny_dataset, tmp_path):
    database = ResultsDatabase(tmp_path / "results.sqlite")
    score = copied(scores(tiny_dataset)["one"][CKA])
    database.add(score, facts(score))
    score.attrs["dataset"]["fingerprint"] = "other data"
    database.add(score, facts(score))
    with pytest.raises(ResultsError, match=r"and other data: choose one \(--dataset\)"):
        to_xarray(database.results())
    database.add(score, facts(score))
    with pytest.raises(ResultsError, match="They are results 2 and 3: choose the latest alone"):
        to_xarray(database.results(latest=False)[1:])


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json", ".nc"])
def test_files_read_back(filled, tmp_path, suffix):
    results, path = filled.results(), tmp_path / f"results{suffix}"
    path.write_text("something older")
    export(results, path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    if suffix == ".nc":
        with xr.open_dataset(path) as read:
            xr.testing.assert_identical(read.load(), to_xarray(results))
        return
    readers = {
        ".csv": read_csv,
        ".parquet": pd.read_parquet,
        ".json": lambda p: pd.DataFrame(json.loads(p.read_text())),
    }
    read, expected = readers[suffix](path), to_dataframe(results)
    assert list(read) == list(expected)
    # which kind of nothing stands for nothing is a matter of the format
    pd.testing.assert_frame_equal(
        read.astype(object).where(read.notna(), None),
        expected.astype(object).where(expected.notna(), None),
        check_dtype=False,
        check_exact=True,
    )


def test_properties_of_numbers_and_words_are_words(filled, tmp_path):
    values = [71.5, "unknown"]
    for kinds in ([71.5, 70], [True, False], ["a", "b"], values):
        known = dict(zip(MODELS, kinds, strict=False))
        results = [
            replace(r, properties={"top1": known[r.model]} if r.model in known else {}) for r in filled.results()
        ]
        export(results, tmp_path / "properties.parquet")
        read = pd.read_parquet(tmp_path / "properties.parquet")
        for model, value in known.items():
            expected = str(value) if kinds is values else value
            assert (read[read["model"] == model]["property_top1"] == expected).all()


def test_a_property_with_a_slash_in_a_file_of_netcdf(filled, tmp_path):
    results = [replace(r, properties={"top1/5": 0.8}) for r in filled.results(models=["one"])]
    with pytest.raises(ResultsError, match="have no slash; received 'property_top1/5'.*choose .csv"):
        export(results, tmp_path / "results.nc")
    export(results, tmp_path / "results.csv")


def test_suffixes_that_are_not_known(filled, tmp_path):
    with pytest.raises(ResultsError, match=r"\.csv, \.parquet, \.json, \.nc; received 'scores\.xlsx'"):
        export(filled.results(), tmp_path / "scores.xlsx")
    with pytest.raises(ResultsError, match=r"\.csv, \.parquet; received 'voxels\.nc'"):
        export_voxels(filled, filled.results(), tmp_path / "voxels.nc")


@pytest.mark.parametrize(
    "write", [export, lambda results, path: export_voxels(None, results, path)], ids=["rows", "voxels"]
)
def test_nothing_to_write_is_said(tmp_path, write):
    path = tmp_path / "results.csv"
    path.write_text("something older")
    with pytest.raises(ResultsError, match="matches"):
        write([], path)
    assert path.read_text() == "something older"


def test_a_folder_that_does_not_exist(filled, tmp_path):
    with pytest.raises(ResultsError, match="a folder that exists"):
        export(filled.results(), tmp_path / "none" / "results.csv")


def test_parquet_without_pyarrow(filled, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ResultsError, match=r"pip install '\.\[parquet\]'"):
        export(filled.results(), tmp_path / "results.parquet")


# Voxels


def test_voxels(filled, tiny_dataset):
    frames = list(voxel_frames(filled, filled.results(models=["one"])))
    assert {frame["benchmark"].iloc[0] for frame in frames} == {RIDGE, FOLDS, ONE_SUBJECT}
    (own,) = (frame for frame in frames if frame["benchmark"].iloc[0] == RIDGE)
    for subject in DEFAULT_SUBJECTS:
        unit, rows = scores(tiny_dataset)["one"][RIDGE].attrs[subject].attrs, own[own["subject"] == subject]
        per_voxel = unit["raw"].attrs["raw"]
        assert rows["correlation"].tolist() == per_voxel.values.tolist()
        assert rows["noise_ceiling"].tolist() == unit["ceiling"].attrs["raw"].values.tolist()
        for name, coordinate in per_voxel.coords.items():
            assert rows[name].tolist() == coordinate.values.tolist()
    (folds,) = (frame for frame in frames if frame["benchmark"].iloc[0] == FOLDS)
    assert folds["fold"].unique().tolist() == [f"fold_{k}" for k in range(5)]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_voxel_files_read_back(filled, tmp_path, suffix):
    path = tmp_path / f"voxels{suffix}"
    n_rows = export_voxels(filled, filled.results(), path)
    read = (read_csv if suffix == ".csv" else pd.read_parquet)(path)
    expected = pd.concat(voxel_frames(filled, filled.results()), ignore_index=True)
    assert n_rows == len(read) == len(expected)
    for name in expected:
        known = expected[name].notna()
        assert read[name].notna().equals(known)
        assert read[name][known].astype(expected[name].dtype).tolist() == expected[name][known].tolist()


def test_similarities_have_no_voxels(filled, tmp_path):
    with pytest.raises(ResultsError, match="none is of a ridge benchmark"):
        export_voxels(filled, filled.results(benchmarks=[CKA, RDM]), tmp_path / "voxels.csv")
    assert list(tmp_path.iterdir()) == []


# Recording


def test_scores_are_there_when_they_are_yielded(tmp_path, tiny_dataset):
    database, row = ResultsDatabase(tmp_path / "results.sqlite"), scores(tiny_dataset)["one"]
    before = datetime.now(UTC)
    for number, (cell, score) in enumerate(
        add_scores(database, row.items(), model="models.py:one", benchmarks=CELLS), start=1
    ):
        assert score is row[cell]
        assert len(database.results()) == number
    results = database.results()
    assert {(r.requested_model, r.model) for r in results} == {("models.py:one", "one")}
    assert before <= results[0].started
    for earlier, later in itertools.pairwise(results):
        # one begins where the other ends, so that the seconds add up to the run's
        assert (later.started - earlier.started).total_seconds() == pytest.approx(earlier.seconds, abs=1e-5)
    assert database.failures() == []


def interrupted(row, error, after=2):
    yield from list(row.items())[:after]
    raise error


def test_a_failed_run_says_what_it_did_not_do(tmp_path, tiny_dataset):
    database, row = ResultsDatabase(tmp_path / "results.sqlite"), scores(tiny_dataset)["one"]
    error = ValueError("nan in\nlayer 3")
    with pytest.raises(ValueError, match="nan in"):
        list(add_scores(database, interrupted(row, error), model="m", benchmarks=list(row), dataset=tiny_dataset))
    done = list(row)[:2]
    assert [result.benchmark for result in database.results()] == done
    failures = database.failures()
    assert [failure.benchmark for failure in failures] == [cell for cell in row if cell not in done]
    for failure in failures:
        assert failure.error == "ValueError: nan in layer 3"
        assert "in interrupted" in failure.traceback
        assert failure.dataset_fingerprint == database.results()[0].dataset_fingerprint


@pytest.mark.parametrize("error", [KeyboardInterrupt(), KeyError("typed wrong")])
def test_what_is_no_failure_of_the_model(tmp_path, tiny_dataset, error):
    database, row = ResultsDatabase(tmp_path / "results.sqlite"), scores(tiny_dataset)["one"]
    run = add_scores(database, interrupted(row, error), model="m", benchmarks=list(row), not_kept=(KeyError,))
    with pytest.raises(type(error)):
        list(run)
    assert database.failures() == []


def test_failures_of_data_that_cannot_be_opened(tmp_path):
    database = ResultsDatabase(tmp_path / "results.sqlite")
    add_failures(
        database,
        ImportError("no"),
        model="m",
        benchmarks=[None, RIDGE],
        started=datetime.now(UTC),
        dataset=tmp_path / "none",
    )
    assert [(f.benchmark, f.dataset_fingerprint) for f in database.failures()] == [(None, ""), (RIDGE, "")]


def test_a_folder_that_cannot_be_written_is_found_out_first(tmp_path):
    database = ResultsDatabase(tmp_path / "results.sqlite")
    database.voxel_directory.write_text("a file in the way")

    def scoring():
        pytest.fail("long work began")
        yield

    with pytest.raises(ResultsError, match="cannot be written"):
        list(add_scores(database, scoring(), model="m", benchmarks=[RIDGE]))
