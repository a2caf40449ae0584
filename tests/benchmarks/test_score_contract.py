"""What every Score carries, for each metric, pool and kind of benchmark, as Brain-Score records it."""

import copy
import json
import logging
import pickle

import numpy as np
import pytest
from brainscore_core.metrics import Score
from brainscore_core.submission import database as recorder
from brainscore_core.submission import database_models
from brainscore_vision.benchmark_helpers.validate_error import assert_valid_uncertainty
from plugin_testing.leaderboards import leaderboard
from plugin_testing.models import small_network

from brainscore_vision import load_benchmark
from brainscore_vision.benchmark_helpers.stimulus_kernels import NORMALIZATIONS, SIMILARITY_NORMALIZATIONS
from brainscore_vision.benchmarks.laion_fmri_7t import DEFAULT_SUBJECTS, benchmark, score_model
from brainscore_vision.benchmarks.laion_fmri_7t.benchmark import warn_once_of_simulation
from brainscore_vision.benchmarks.laion_fmri_7t.cli.printing import as_row, score_table
from brainscore_vision.benchmarks.laion_fmri_7t.leaderboard.database import open_database, writing
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import score_all
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

LAYERS = {"V1": "conv", "V2": "pool", "V3": "pool", "V4": ["conv", "head"], "IT": "head"}

WITH_VOXELS = (
    "LAION_fMRI.V1-tau-ridgecv",
    "LAION_fMRI.V4-ood-ridge",
    "LAION_fMRI_persubject.IT-ood-ridgecv",
    "LAION_fMRI.V2-ood-ridgecv[subjects=sub-03+sub-05,threshold=10,normalization=explained_variance]",
    "LAION_fMRI.V3-tau-ridgecv[subjects=sub-07,normalization=correlation]",
)
WITHOUT_VOXELS = ("LAION_fMRI.IT-rdm-pearson", "LAION_fMRI.IT-cka", "LAION_fMRI.IT_full-rdm-pearson[subjects=sub-01]")
FOLDS = (
    "LAION_fMRI.IT_full-random-ridgecv",
    "LAION_fMRI_persubject.V4-cluster_k5-ridge[normalization=correlation]",
)
IDENTIFIERS = WITH_VOXELS + WITHOUT_VOXELS + FOLDS


def network():
    return small_network(LAYERS, batch_size=32)


@pytest.fixture(scope="module")
def scores(tiny_dataset):
    return dict(score_all(network(), IDENTIFIERS, dataset=tiny_dataset))


@pytest.fixture(params=IDENTIFIERS)
def identifier(request):
    return request.param


@pytest.fixture
def score(scores, identifier):
    return scores[identifier]


def units(score):
    """The Scores of subjects or folds that a Score is the mean of, and what they are."""
    (over,) = (name for name in ("subject", "fold") if f"raw_{name}s" in score.attrs)
    labels = score.attrs[f"raw_{over}s"][over].values.tolist()
    return over, {label: score.attrs[label if over == "subject" else f"fold_{label}"] for label in labels}


def is_scalar(score):
    return type(score) is Score and score.ndim == 0 and np.isfinite(score.item()) and isinstance(score.item(), float)


def test_value_raw_and_ceiling(score):
    assert is_scalar(score)
    assert is_scalar(score.raw)
    assert is_scalar(score.ceiling)
    assert 0 < score.ceiling.item() <= 1
    over, parts = units(score)
    assert score.item() == pytest.approx(np.mean([part.item() for part in parts.values()]))
    np.testing.assert_array_equal(score.attrs[f"raw_{over}s"].values, [part.item() for part in parts.values()])


def test_uncertainty(score):
    over, parts = units(score)
    assert_valid_uncertainty(score)
    for part in (score, score.raw, score.ceiling):
        assert_valid_uncertainty(part, require_raw=False)
        if len(parts) > 1:
            assert part.attrs["error"] > 0
            assert part.attrs["error_over"] == [over]
            assert part.attrs["n_bootstrap"] == 200
        else:
            assert np.isnan(part.attrs["error"])
            assert part.attrs["error_nan_reason"]
    for part in parts.values():
        assert_valid_uncertainty(part)


def test_subjects_and_folds(identifier, score):
    over, parts = units(score)
    if identifier in FOLDS:
        assert over == "fold"
        assert list(parts) == [0, 1, 2, 3, 4]
        means = parts.values()
    else:
        means = [score]
    chosen = identifier.partition("subjects=")[2].partition(",")[0].rstrip("]").split("+")
    for mean in means:
        over, own = units(mean)
        assert over == "subject"
        assert tuple(own) == (tuple(chosen) if chosen != [""] else DEFAULT_SUBJECTS)
        for part in own.values():
            assert is_scalar(part)
            assert part.attrs["n_test"] > 0
            assert part.attrs["n_features"] > 0


def test_values_per_voxel(identifier, score, tiny_dataset):
    threshold = 10 if "threshold=10" in identifier else 30
    region = identifier.partition(".")[2].partition("-")[0]
    folds = [score] if identifier not in FOLDS else list(units(score)[1].values())
    for subject, part in (pair for fold in folds for pair in units(fold)[1].items()):
        neuroids = open_dataset(tiny_dataset).responses(subject, region, noise_ceiling_threshold=threshold).neuroids
        assert part.attrs["n_neuroids"] == len(neuroids)
        if identifier in WITHOUT_VOXELS:
            assert "raw" not in part.raw.attrs
            continue
        r, ceiling = part.raw.attrs["raw"], part.ceiling.attrs["raw"]
        for values in (r, ceiling):
            assert values.dims == ("neuroid",)
            for column in ("roi", "region", "voxel_index_in_brain_mask", "nc_12rep"):
                np.testing.assert_array_equal(values[column].values, neuroids[column])
        assert (np.abs(r) <= 1).all()
        assert (ceiling < 1).all()  # of a single voxel and few test images it may be below 0


def test_normalizations(identifier, score):
    chosen = identifier.partition("normalization=")[2].partition(",")[0].rstrip("]") or "published"
    names = SIMILARITY_NORMALIZATIONS if identifier in WITHOUT_VOXELS else NORMALIZATIONS
    for part in (score, *units(score)[1].values()):
        assert tuple(part.attrs["normalizations"]) == names
        assert part.item() == pytest.approx(part.attrs["normalizations"][chosen])
    assert score.attrs["normalization"] == chosen


def test_alphas(identifier, score):
    folds = [score] if identifier not in FOLDS else list(units(score)[1].values())
    for part in (own for fold in folds for own in units(fold)[1].values()):
        if identifier in WITHOUT_VOXELS:
            assert "alpha" not in part.attrs
        elif "ridgecv" in identifier:
            assert part.attrs["alpha"] in [10.0**k for k in range(-10, 11)]
        else:
            assert part.attrs["alpha"] == 1.0


def test_where_it_comes_from(identifier, score, tiny_dataset):
    dataset = open_dataset(tiny_dataset)
    assert score.attrs["model_identifier"] == "small-network-seed0"
    # the identifier says all that changes the number, the dataset included
    assert score.attrs["benchmark_identifier"] == benchmark(identifier, dataset=tiny_dataset).identifier
    assert score.attrs["benchmark_identifier"].endswith(f"dataset=simulated:{tiny_dataset}]")
    assert score.attrs["dataset"] == dataset.describe()
    assert score.attrs["dataset"]["simulated"] is True
    assert "simulated" in score.attrs["comment"]


def test_slicing_does_not_break(score):
    expected = score.item()
    for changed in (
        score.sel(),
        score.isel(),
        score.squeeze(),
        score.mean(),
        score.sum(),
        score.min(),
        score.expand_dims("model").squeeze(),
        score.expand_dims("model").isel(model=0),
        copy.copy(score),
        copy.deepcopy(score),
        score.copy(),
        pickle.loads(pickle.dumps(score)),
    ):
        assert type(changed) is Score
        assert changed.item() == expected
        assert changed.attrs["raw"].item() == score.raw.item()
    merged = Score.merge(*(score.expand_dims(model=[name]) for name in "ab"))
    assert merged.sizes["model"] == 2
    assert (score * 1).item() == expected


def test_a_pickled_score_is_whole(score):
    """Brain-Score hands scores between processes, and to its storage, as pickles."""
    back = pickle.loads(pickle.dumps(score))
    assert back.attrs.keys() == score.attrs.keys()
    assert repr(back) == repr(score)
    assert as_row("x", back) == as_row("x", score)


def test_records_are_plain_json(identifier, score):
    record = json.loads(json.dumps(as_row(identifier, score), allow_nan=False))
    assert record["benchmark"] == identifier
    assert record["model"] == "small-network-seed0"
    assert record["score"] == score.item()
    assert record["raw"] == score.raw.item()
    assert record["ceiling"] == score.ceiling.item()
    assert record["normalization"] == score.attrs["normalization"]
    assert record["normalizations"] == score.attrs["normalizations"]
    assert record["dataset"]["simulated"] is True
    over, parts = units(score)
    assert (record["error"] is None) == (len(parts) == 1)
    assert len(record[f"{over}s"]) == len(parts)


def test_a_table_has_a_row_for_each(scores):
    ordered = {identifier: scores[identifier] for identifier in IDENTIFIERS}
    table = score_table({"one": ordered, "another": ordered})
    assert table.row_count == len(IDENTIFIERS)
    cells = list(table.columns[1].cells)
    assert cells[0].startswith(f"{scores[IDENTIFIERS[0]].item():.3f} ± ")
    assert "±" not in cells[IDENTIFIERS.index("LAION_fMRI.V3-tau-ridgecv[subjects=sub-07,normalization=correlation]")]


def test_simulated_data_are_said_once_in_the_log(tiny_dataset, caplog):
    warn_once_of_simulation.cache_clear()
    with caplog.at_level(logging.WARNING):
        for identifier in ("LAION_fMRI.V1-tau-ridge", "LAION_fMRI.V2-tau-ridge"):
            score_model(network(), identifier, dataset=tiny_dataset)
    assert [record.message for record in caplog.records if "Simulated data" in record.message] == [
        f"Simulated data ({tiny_dataset}): scores on them say nothing about brains."
    ]


# Through Brain-Score's own doors


@pytest.fixture
def environment_dataset(monkeypatch, tiny_dataset):
    monkeypatch.setenv("LAION_FMRI_DATASET", str(tiny_dataset))


@pytest.mark.parametrize(
    "name", ["LAION_fMRI.V2-ood-ridgecv", "LAION_fMRI_persubject.IT-tau-ridgecv", "LAION_fMRI.V4-rdm-pearson"]
)
def test_load_benchmark_gives_the_same(environment_dataset, tiny_dataset, name):
    theirs, ours = load_benchmark(name)(network()), score_model(network(), name, dataset=tiny_dataset)
    assert theirs.item() == ours.item()
    assert theirs.attrs["dataset"] == ours.attrs["dataset"] | {"name": theirs.attrs["dataset"]["name"]}
    assert as_row(name, theirs)["subjects"] == as_row(name, ours)["subjects"]
    assert theirs.attrs["benchmark_identifier"] == f"{name}[dataset=simulated:{tiny_dataset}]"
    assert load_benchmark(name).ceiling.item() == pytest.approx(ours.ceiling.item(), rel=1e-12)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_update_score_takes_every_score_as_it_is(kind, tmp_path, scores, tiny_dataset):
    """The functions of Brain-Score's recorder, called with what benchmarks return, as its endpoint calls them."""
    with leaderboard(kind, tmp_path) as place, writing(open_database(place)):
        for number in (1, 2):  # it gives benchmarks to user 2
            database_models.User.create(
                id=number, email=f"{number}@b.c", is_active=True, is_staff=False, is_superuser=False, password=""
            )
        submission = recorder.submissionentry_from_meta(jenkins_id=1, user_id=1, model_type="brainmodel")
        model = recorder.modelentry_from_model(
            "small", public=True, competition=None, submission=submission, domain="vision"
        )
        for identifier, score in scores.items():
            live = benchmark(identifier, dataset=tiny_dataset)
            instance = recorder.benchmarkinstance_from_benchmark(live, domain="vision")
            entry = database_models.Score.create(benchmark=instance, model=model)
            recorder.update_score(score, entry)
            kept = database_models.Score.get_by_id(entry.id)
            assert (kept.score_ceiled, kept.score_raw) == (score.item(), score.raw.item())
            assert kept.comment == score.attrs["comment"]
            assert kept.benchmark.ceiling == pytest.approx(score.ceiling.item(), rel=1e-12)
            assert kept.benchmark.version == 1
            assert kept.benchmark.benchmark.reference.bibtex == live.bibtex
            ceiling_error = pytest.approx(score.ceiling.attrs["error"], rel=1e-9, abs=1e-15)
            for found, given in ((kept.error, score.attrs["error"]), (kept.benchmark.ceiling_error, ceiling_error)):
                if np.isnan(score.attrs["error"]):
                    assert found is None or np.isnan(found)  # SQLite has no nan
                else:
                    assert found == given
