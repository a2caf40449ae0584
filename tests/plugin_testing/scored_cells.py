"""Scores of every kind on the tiny dataset, and the facts of made-up runs: for tests of what is done with results."""

import copy
import functools
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase, RunFacts
from brainscore_vision.benchmarks.laion_fmri_7t.results.entry import without_dataset
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import score_all

from .models import CountingModel, FeatureModel, pixel_features
from .once import computed_once, made_once

RIDGE, RDM, CKA = "LAION_fMRI.V1-ood-ridgecv", "LAION_fMRI.V4-rdm-pearson", "LAION_fMRI.V1-cka"
FOLDS, ONE_SUBJECT = "LAION_fMRI.V2-cluster_k5-ridge", "LAION_fMRI.IT-ood-ridge[subjects=sub-01]"
CELLS = (RIDGE, RDM, CKA, FOLDS, ONE_SUBJECT)
MODELS = ("one", "two")
STARTED = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@functools.cache
def scores(dataset: Path) -> dict:
    """``scores(folder)[model][benchmark]`` of two models."""
    engine = EngineOptions(store=False, progress=False)
    candidates = CountingModel(identifier="one"), FeatureModel(_spread, identifier="two")

    def compute():
        return {model.identifier: dict(score_all(model, CELLS, dataset=dataset, engine=engine)) for model in candidates}

    return computed_once(dataset.parent / "scored cells.pickle", compute)


def filled(dataset: Path, path: Path) -> ResultsDatabase:
    """A new results file with both models on every kind of benchmark, in the order one, two."""

    def fill(path):
        database = ResultsDatabase(path)
        for row in scores(dataset).values():
            for score in row.values():
                database.add(score, facts(score))

    whole = made_once(dataset.parent / "scored cells.sqlite", fill)
    shutil.copy(whole, path)
    shutil.copytree(f"{whole}.voxels", f"{path}.voxels")
    return ResultsDatabase(path)


def facts(score, number=0, model=None, **changes) -> RunFacts:
    """Facts of a run that produced ``score``; ``number`` minutes after the first."""
    values = {
        "model": model or f"models.py:{score.attrs['model_identifier']}",
        "model_revision": None,
        "dataset_fingerprint": score.attrs["dataset"]["fingerprint"],
        "benchmark_version": 1,
        "started": STARTED + timedelta(minutes=number),
        "seconds": 1.5,
        "peak_memory_bytes": 3_000_000_000,
        "machine": "somewhere",
        "versions": {"numpy": "1.26.4"},
    }
    return RunFacts(**(values | changes))


def copied(score):
    """A Score that may be changed; xarray copies what is in attrs no deeper than its names."""
    attrs = {k: copied(v) if hasattr(v, "attrs") else copy.deepcopy(v) for k, v in score.attrs.items()}
    copy_of = score.copy()
    copy_of.attrs = attrs
    return copy_of


def assert_same_tree(actual, expected, place="score"):
    """Two Scores with equal values and equal attrs of equal kinds, at every depth.

    A Score that was kept names its benchmark without the dataset that the expected one may name.
    """
    assert type(actual) is type(expected), place
    assert actual.item() == expected.item(), place
    assert set(actual.attrs) == set(expected.attrs), place
    for name, value in expected.attrs.items():
        where, other = f"{place}.{name}", actual.attrs[name]
        if type(value) is type(expected):
            assert_same_tree(other, value, where)
        elif hasattr(value, "dims"):
            assert value.identical(other), where
        elif isinstance(value, float) and np.isnan(value):
            assert np.isnan(other), where
        else:
            assert type(other) is type(value), where
            assert other == (without_dataset(value) if name == "benchmark_identifier" else value), where


def _spread(path):
    return pixel_features(path).reshape(-1, 3).std(axis=0) ** [0.5, 1, 2]
