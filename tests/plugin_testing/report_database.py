"""Results databases for reports: real scores of three small models on the tiny dataset, and copies of them."""

import functools
from functools import partial
from pathlib import Path

import numpy as np

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
from brainscore_vision.benchmarks.laion_fmri_7t.report import write_report
from brainscore_vision.benchmarks.laion_fmri_7t.report.study import read_study
from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import score_all
from brainscore_vision.data.laion_fmri_7t.constants import OOD_TYPES

from .models import FeatureModel, pixel_features
from .once import computed_once, made_once
from .scored_cells import copied, facts

TAU, OOD, OWN = "LAION_fMRI.V1-tau-ridgecv", "LAION_fMRI.V1-ood-ridgecv", "LAION_fMRI_persubject.V1-tau-ridgecv"
IT, RDM, CKA = "LAION_fMRI.IT-tau-ridgecv", "LAION_fMRI.IT-rdm-pearson", "LAION_fMRI.V4-cka"
FOLDS = "LAION_fMRI.V1-cluster_k5-ridgecv"
KINDS = tuple(f"LAION_fMRI.IT-ood_{kind}-ridge" for kind in OOD_TYPES)
CELLS = (TAU, OOD, OWN, IT, RDM, CKA, FOLDS, *KINDS)
MODELS = ("pixels", "coarse", "edges")


@functools.cache
def scores(dataset: Path) -> dict[str, dict]:
    """``scores[model][benchmark]``; made once for all tests."""
    models = (
        FeatureModel(pixel_features, identifier="pixels"),
        FeatureModel(partial(pixel_features, size=4), identifier="coarse"),
        FeatureModel(_edges, identifier="edges"),
    )
    engine = EngineOptions(store=False, progress=False)

    def compute():
        return {model.identifier: dict(score_all(model, CELLS, dataset=dataset, engine=engine)) for model in models}

    return computed_once(dataset.parent / "scores for reports.pickle", compute)


def renamed(score, model: str, **attrs):
    """A copy under another model's name, with some attributes replaced."""
    copy = copied(score)
    copy.attrs.update(model_identifier=model, **attrs)
    return copy


def fill(path: Path, some_scores) -> ResultsDatabase:
    """A database of scores, each a minute after the one before."""
    database = ResultsDatabase(path)
    for number, score in enumerate(some_scores):
        database.add(score, facts(score, number, model=score.attrs["model_identifier"]))
    return database


def everything(dataset: Path) -> list:
    return [score for row in scores(dataset).values() for score in row.values()]


def zoo(dataset: Path, size: int = 100) -> list:
    """Scores of ``size`` models: copies under names as long as those of layers, some with gaps."""
    found = []
    for number in range(size):
        row = scores(dataset)[MODELS[number % len(MODELS)]]
        cells = (TAU, OOD, IT) if number % 7 else (TAU, IT)
        found += [renamed(row[cell], f"network_{number}-blocks.{number % 12}.attention.output") for cell in cells]
    return found


def zoo_report(dataset: Path) -> Path:
    """A folder with ``results.db`` of the zoo and one failure, properties of the models, and ``page``; made once."""

    def make(folder):
        folder.mkdir()
        report_with_properties(folder, zoo(dataset))

    return made_once(dataset.parent / "zoo", make)


def report_with_properties(folder: Path, some_scores) -> None:
    """Write ``page`` of the scores, of a failure, and of two properties, of which every third model lacks one."""
    database = fill(folder / "results.db", some_scores)
    database.add_failure("broken", None, facts(some_scores[0], 99), "ImportError: timm", "Traceback: line 7")
    lines = [
        f"{model},{'odd' if n % 2 else 'even'},{1e6 * (n % 50 + 1) if n % 3 else ''}"
        for n, model in enumerate(read_study(database).models)
    ]
    (folder / "models.csv").write_text("\n".join(["model,family,parameters", *lines]))
    write_report(database, folder / "page", properties=folder / "models.csv")


def _edges(path) -> np.ndarray:
    """Differences between neighbours in a coarse image."""
    image = pixel_features(path, 8).reshape(8, 8, 3).mean(axis=2)
    return np.concatenate([np.abs(np.diff(image, axis=axis)).ravel() for axis in (0, 1)])
