"""Models whose features are looked up: the same scores as any model, without an image, and honest about what is missing."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from brainscore_core.plugin_management.handle_metadata import validate_metadata_file
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.model_interface import BrainModel
from plugin_testing.models import FeatureModel

from brainscore_vision import load_metric, load_model, score
from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ModelOutputError, StimulusKernelError
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.store import KernelStore, ModelIdentity
from brainscore_vision.benchmarks.laion_fmri_7t import benchmark, compare, score_model
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import score_all
from brainscore_vision.data.laion_fmri_7t.errors import MissingDataError
from brainscore_vision.data.laion_fmri_7t.released.features import EMBEDDING_MODELS, FEATURE_FILES
from brainscore_vision.data.laion_fmri_7t.source import open_dataset
from brainscore_vision.models import laion_fmri_7t as plugin
from brainscore_vision.models.laion_fmri_7t import EmbeddingModel, StimulusFeatureModel, combine
from brainscore_vision.models.laion_fmri_7t.test import *  # noqa: F403 - the plugin's tests are tests of this suite too
from brainscore_vision.models.laion_fmri_7t.test import REGISTERED

CELLS = (
    "LAION_fMRI.V1-tau-ridgecv",
    "LAION_fMRI_persubject.V4-ood-ridgecv",
    "LAION_fMRI.IT-rdm-pearson",
    "LAION_fMRI.V2-cka",
)


@pytest.fixture(autouse=True)
def _without_private_access(request):
    if request.node.get_closest_marker("private_access"):
        pytest.skip("needs the released data")


@pytest.fixture(scope="module")
def without_images(tiny_dataset, tmp_path_factory):
    """The tiny dataset as somebody has it who signed no agreement: no image, no manifest."""
    root = tmp_path_factory.mktemp("open") / "dataset"
    shutil.copytree(tiny_dataset, root, ignore=shutil.ignore_patterns("images", "manifest.csv"))
    return root


@pytest.fixture
def own_copy(tiny_dataset, tmp_path):
    """A dataset whose embeddings a test may change."""
    shutil.copytree(tiny_dataset, tmp_path / "dataset")
    return tmp_path / "dataset"


def embedding_file(root, name="CLIP"):
    return root / "stimuli" / FEATURE_FILES[name]


def arrays(root, name="CLIP"):
    with h5py.File(embedding_file(root, name)) as file:
        return file["embedding"][:], file["image_ids"].asstr()[:].tolist()


def invalidate(root, stimulus_ids):
    with h5py.File(embedding_file(root), "r+") as file:
        known = file["image_ids"].asstr()[:].tolist()
        for stimulus_id in stimulus_ids:
            file["valid"][known.index(stimulus_id)] = False
            file["embedding"][known.index(stimulus_id)] = np.nan


def test_scores_equal_those_of_the_same_features_as_a_plain_model(tiny_dataset):
    """And so of a model that is recorded through Brain-Score's interface, images and all."""
    values, ids = arrays(tiny_dataset)
    plain = FeatureModel(dict(zip(ids, values, strict=True)))
    expected = dict(score_all(plain, CELLS, dataset=tiny_dataset))
    found = dict(score_all(EmbeddingModel("CLIP", tiny_dataset), CELLS, dataset=tiny_dataset))
    for cell in CELLS:
        assert found[cell].item() == pytest.approx(expected[cell].item(), abs=1e-12)
        assert found[cell].raw.item() == pytest.approx(expected[cell].raw.item(), abs=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_benchmarks_run_where_no_image_exists(tiny_dataset, without_images, cell):
    with pytest.raises(MissingDataError, match="Models need images"):
        open_dataset(without_images).stimulus_set()
    bound = score_model("LAION_fMRI-DINOv2", cell, dataset=without_images)
    assert bound.item() == score_model("LAION_fMRI-DINOv2", cell, dataset=tiny_dataset).item()
    assert bound.attrs["model_identifier"] == "LAION_fMRI-DINOv2"


@pytest.mark.parametrize("name", EMBEDDING_MODELS)
def test_every_embedding_is_registered_and_scored_by_brainscore_itself(tiny_dataset, without_images, name, monkeypatch):
    monkeypatch.setenv("LAION_FMRI_DATASET", str(without_images))
    found = score(f"LAION_fMRI-{name}", "LAION_fMRI.V4-tau-ridgecv")
    assert found.item() == score_model(f"LAION_fMRI-{name}", "LAION_fMRI.V4-tau-ridgecv", dataset=tiny_dataset).item()


def test_every_space_scores_differently(tiny_dataset):
    scores = {
        name: score_model(f"LAION_fMRI-{name}", "LAION_fMRI.IT-tau-ridgecv", dataset=tiny_dataset).item()
        for name in EMBEDDING_MODELS
    }
    assert len(set(scores.values())) == len(EMBEDDING_MODELS)
    assert all(value > 0 for value in scores.values())


def test_a_model_follows_the_benchmark_to_its_dataset(tiny_dataset, own_copy):
    """However it is called; one that was given a dataset stays with it."""
    with h5py.File(embedding_file(own_copy), "r+") as file:
        file["embedding"][:] = file["embedding"][:][::-1]
    cell = "LAION_fMRI.IT-tau-ridgecv"
    there, here = (score_model("LAION_fMRI-CLIP", cell, dataset=root).item() for root in (tiny_dataset, own_copy))
    assert there != here
    assert benchmark(cell, dataset=own_copy)(load_model("LAION_fMRI-CLIP")).item() == here
    assert score_model("LAION_fMRI-CLIP", f"{cell}[dataset={own_copy}]").item() == here
    assert dict(score_all("LAION_fMRI-CLIP", [f"{cell}[dataset={own_copy}]"])).popitem()[1].item() == here
    fixed = EmbeddingModel("CLIP", dataset=tiny_dataset)
    assert score_model(fixed, cell, dataset=own_copy).item() == there


def test_one_kernel_per_pool_serves_all_regions(tiny_dataset, tmp_path):
    cells = [f"LAION_fMRI.{region}-{split}-ridgecv" for region in ("V1", "IT", "IT_full") for split in ("tau", "ood")]
    engine = EngineOptions(store_directory=tmp_path)
    list(score_all("LAION_fMRI-PEcore", cells, dataset=tiny_dataset, engine=engine))
    assert len(list(KernelStore(tmp_path).entries())) == 1


def test_a_notebook_may_have_the_embeddings_open(tiny_dataset):
    cell = "LAION_fMRI.V4-tau-ridgecv"
    expected = score_model("LAION_fMRI-CLIP", cell, dataset=tiny_dataset).item()
    with h5py.File(embedding_file(tiny_dataset)) as file, h5py.File(tiny_dataset / "assemblies" / "sub-01.nc") as other:
        assert file["embedding"].shape[0]
        assert other["data"].ndim == 2
        engine = EngineOptions(store=False)
        found = dict(score_all("LAION_fMRI-CLIP", [cell], dataset=tiny_dataset, engine=engine))[cell]
    assert found.item() == expected


def test_a_replaced_file_gives_other_kernels(own_copy, tmp_path):
    """As the release replaced its embeddings under the same names."""
    engine, cell = EngineOptions(store_directory=tmp_path / "kernels"), "LAION_fMRI.V4-tau-ridgecv"
    model = EmbeddingModel("CLIP", own_copy)
    first = dict(score_all(model, [cell], dataset=own_copy, engine=engine))[cell]
    before = ModelIdentity.of(model).key
    values, _ = arrays(own_copy)
    shared = [i for i, s in enumerate(arrays(own_copy)[1]) if s.startswith("shared_12rep")]
    values[shared] = values[shared][::-1]
    with h5py.File(embedding_file(own_copy), "r+") as file:
        file["embedding"][:] = values
    assert ModelIdentity.of(model).key != before
    second = dict(score_all(model, [cell], dataset=own_copy, engine=engine))[cell]
    assert second.item() != first.item()
    assert len(list(KernelStore(tmp_path / "kernels").entries())) == 2


def test_an_invalid_stimulus_is_an_error_with_its_name(own_copy):
    train, test = open_dataset(own_copy).split_ids("shared", "tau")
    invalidate(own_copy, [train[0], test[0]])
    with pytest.raises(
        ModelOutputError, match=rf"2 have none.*{min(train[0], test[0])[:20]}.*2 are marked as not valid"
    ):
        score_model("LAION_fMRI-CLIP", "LAION_fMRI.V1-tau-ridgecv", dataset=own_copy)


def test_stimuli_that_a_benchmark_does_not_need_may_be_invalid(own_copy):
    """Though they are in the pool that its kernel covers."""
    cell = "LAION_fMRI.V1-ood_gabor-ridge"
    expected = score_model("LAION_fMRI-CLIP", cell, dataset=own_copy)
    invalidate(own_copy, [next(s for s in open_dataset(own_copy).pool_stimuli("shared") if "_OOD_shape_" in s)])
    found = score_model("LAION_fMRI-CLIP", cell, dataset=own_copy)
    assert found.item() == pytest.approx(expected.item(), abs=1e-9)
    assert "dropped_stimuli" not in found.attrs


@pytest.mark.parametrize("cell", CELLS)
def test_dropped_stimuli_are_said_and_leave_the_rest(own_copy, cell):
    """The score is that of the benchmark without these stimuli."""
    dataset = open_dataset(own_copy)
    train, test = dataset.split_ids("shared", "tau")
    gone = sorted([train[0], train[5], test[1]])
    invalidate(own_copy, gone)
    found = score_model(EmbeddingModel("CLIP", own_copy, missing="drop"), cell, dataset=own_copy)
    assert found.attrs["dropped_stimuli"] == gone
    assert found.attrs["sub-01"].attrs["dropped_stimuli"] == gone
    (task, *_) = benchmark(cell, dataset=own_copy).resolve().tasks
    assert found.attrs["sub-01"].attrs["n_test"] == len(set(task.test_ids) - set(gone))
    assert found.attrs["sub-01"].attrs["n_train"] == len(set(task.train_ids) - set(gone))


def test_dropping_equals_a_benchmark_without_these_stimuli(own_copy):
    dataset = open_dataset(own_copy)
    train, test = dataset.split_ids("shared", "tau")
    invalidate(own_copy, [train[0], test[1]])
    dropped = score_model(EmbeddingModel("CLIP", own_copy, missing="drop"), "LAION_fMRI.V2-tau-ridge", dataset=own_copy)
    (task, *_) = benchmark("LAION_fMRI.V2-tau-ridge", dataset=own_copy).resolve().tasks
    responses = task.load_responses()
    values, ids = arrays(own_copy)
    rows = {s: values[i].astype(float) for i, s in enumerate(ids)}
    kept, tested = [s for s in train if s != train[0]], [s for s in test if s != test[1]]
    x, y = np.stack([rows[s] for s in kept]), responses.select(kept).values
    x_mean, y_mean = x.mean(0), y.mean(0, dtype=float)
    weights = np.linalg.solve((x - x_mean).T @ (x - x_mean) + np.eye(x.shape[1]), (x - x_mean).T @ (y - y_mean))
    prediction = (np.stack([rows[s] for s in tested]) - x_mean) @ weights
    measured = responses.select(tested).values
    r = [np.corrcoef(prediction[:, i], measured[:, i])[0, 1] for i in range(measured.shape[1])]
    assert dropped.attrs["sub-01"].raw.item() == pytest.approx(np.median(r), abs=1e-6)


def spoil(root, stimulus_ids):
    """Rows that say that they are valid, and are not."""
    with h5py.File(embedding_file(root), "r+") as file:
        known = file["image_ids"].asstr()[:].tolist()
        for stimulus_id in stimulus_ids:
            file["embedding"][known.index(stimulus_id), 3] = np.nan


def test_nan_rows_that_a_benchmark_does_not_use_do_not_stop_it(own_copy):
    cell = "LAION_fMRI.V1-ood_gabor-ridge"
    expected = score_model("LAION_fMRI-CLIP", cell, dataset=own_copy)
    unused = [s for s in open_dataset(own_copy).pool_stimuli("shared") if "_OOD_shape_" in s][:2]
    spoil(own_copy, unused)
    found = score_model("LAION_fMRI-CLIP", cell, dataset=own_copy)
    assert found.item() == pytest.approx(expected.item(), abs=1e-9)
    with pytest.raises(
        ModelOutputError, match=r"2 have none, the first: .*_OOD_shape_.*2 are there with nan or infinity"
    ):
        score_model("LAION_fMRI-CLIP", "LAION_fMRI.V1-ood-ridge", dataset=own_copy)


@pytest.mark.parametrize("cell", CELLS)
def test_nan_rows_are_dropped_as_those_that_are_not_valid(own_copy, cell):
    train, test = open_dataset(own_copy).split_ids("shared", "tau")
    spoil(own_copy, gone := sorted([train[1], train[4], test[0]]))
    with pytest.raises(ModelOutputError, match=r"have none, the first: .*3 are there with nan or infinity"):
        score_model(EmbeddingModel("CLIP", own_copy), cell, dataset=own_copy)
    found = score_model(EmbeddingModel("CLIP", own_copy, missing="drop"), cell, dataset=own_copy)
    assert found.attrs["dropped_stimuli"] == gone
    invalidate(own_copy, gone)
    expected = score_model(EmbeddingModel("CLIP", own_copy, missing="drop"), cell, dataset=own_copy)
    assert found.item() == expected.item()


def test_a_matrix_of_pairs_is_said_to_be_compared_as_features():
    features = np.random.default_rng(3).standard_normal((90, 20))
    ids = [f"{i}.jpg" for i in range(90)]
    notes = {
        name: StimulusFeatureModel.from_arrays(values, ids, name).notes()
        for name, values in {
            "RDM": 1 - np.corrcoef(features),
            "kernel": (features @ features.T).astype(np.float32),
            "square": features @ features[:20].T @ np.ones((20, 90)) + np.arange(90.0)[:, None],
            "features": features,
        }.items()
    }
    assert {name: len(found) for name, found in notes.items()} == {"RDM": 1, "kernel": 1, "square": 0, "features": 0}
    assert "each row as features of a stimulus" in notes["RDM"][0]


def test_absent_invalid_and_nan_rows_are_counted_apart(own_copy):
    train, test = open_dataset(own_copy).split_ids("shared", "tau")
    with h5py.File(embedding_file(own_copy), "r+") as file:
        known = file["image_ids"].asstr()[:].tolist()
        file["image_ids"][known.index(train[0])] = "gone.jpg"
    invalidate(own_copy, train[1:3])
    spoil(own_copy, test[:3])
    message = (
        rf"6 have none.*1 are absent from .* and 2 are marked as not valid there and 3 are there with nan .*{train[0]}"
    )
    with pytest.raises(ModelOutputError, match=message):
        score_model("LAION_fMRI-CLIP", CELLS[0], dataset=own_copy)


@pytest.mark.parametrize(
    ("cell", "known", "counts"),
    [
        ("LAION_fMRI.V1-tau-ridgecv", lambda train, test: [], r"0 of \d+ training stimuli and 0 of \d+ test stimuli"),
        (
            "LAION_fMRI.V1-tau-ridgecv",
            lambda train, test: train,
            r"(\d+) of \2 training stimuli and 0 of \d+ test stimuli",
        ),
        (
            "LAION_fMRI.V1-tau-ridgecv",
            lambda train, test: test,
            r"0 of \d+ training stimuli and (\d+) of \2 test stimuli",
        ),
        ("LAION_fMRI.V1-tau-ridge", lambda train, test: train + test[:2], r"and 2 of \d+ test stimuli"),
        ("LAION_fMRI.V1-tau-ridge", lambda train, test: train[:2] + test, r"2 of \d+ training stimuli"),
        (
            "LAION_fMRI.V1-rdm-pearson",
            lambda train, test: train[:2],
            r"2 of \d+ test stimuli of pool shared",
        ),
        ("LAION_fMRI.V1-cka", lambda train, test: [], r"0 of \d+ test stimuli"),
    ],
)
def test_a_table_that_knows_too_few_stimuli(tiny_dataset, cell, known, counts):
    ids = [*known(*open_dataset(tiny_dataset).split_ids("shared", "tau")), "another.jpg"]
    features = np.random.default_rng(6).standard_normal((len(ids), 5))
    model = StimulusFeatureModel.from_arrays(features, ids, "mine", missing="drop")
    message = rf"at least 3 (training and as many )?test stimuli; mine has features for .*{counts}.*Complete the"
    with pytest.raises(
        ModelOutputError,
        match=message,
    ):
        score_model(model, cell, dataset=tiny_dataset)


def test_models_that_were_fitted_to_other_stimuli_are_compared_with_a_note(tiny_dataset):
    cell = "LAION_fMRI.V1-tau-ridge[subjects=sub-01]"
    ids = open_dataset(tiny_dataset).pool_stimuli("shared")
    train, _ = open_dataset(tiny_dataset).split_ids("shared", "tau")
    features = np.random.default_rng(0).standard_normal((len(ids), 6))
    kept = [i for i, s in enumerate(ids) if s not in train[:16]]
    part = StimulusFeatureModel.from_arrays(features[kept], [ids[i] for i in kept], "part", missing="drop")
    whole = StimulusFeatureModel.from_arrays(features, ids, "whole")
    first, second = (score_model(model, cell, dataset=tiny_dataset) for model in (whole, part))
    assert any(f"({len(train)} and {len(train) - 16} of sub-01)" in note for note in compare(first, second).notes)
    assert not any("training stimuli" in note for note in compare(first, first).notes)
    kept = [i for i, s in enumerate(ids) if s not in train[16:32]]  # as many, and other ones
    other = StimulusFeatureModel.from_arrays(features[kept], [ids[i] for i in kept], "other", missing="drop")
    third = score_model(other, cell, dataset=tiny_dataset)
    (note,) = [note for note in compare(second, third).notes if "training stimuli" in note]
    assert "other training stimuli (16 are left out for the first alone, 16 for the second alone)" in note


def test_no_drop_is_not_mentioned(tiny_dataset):
    found = score_model(EmbeddingModel("CLIP", missing="drop"), CELLS[0], dataset=tiny_dataset)
    assert "dropped_stimuli" not in found.attrs


def test_missing_is_error_or_drop():
    with pytest.raises(StimulusKernelError, match="one of error, drop; received 'ignore'"):
        EmbeddingModel("CLIP", missing="ignore")


def test_a_dataset_without_embeddings_says_where_to_get_them(own_copy):
    embedding_file(own_copy).unlink()
    with pytest.raises(MissingDataError, match="laion-score data get --what embeddings"):
        score_model("LAION_fMRI-CLIP", CELLS[0], dataset=own_copy)


def test_from_file_and_from_arrays(tiny_dataset):
    values, ids = arrays(tiny_dataset)
    expected = score_model("LAION_fMRI-CLIP", CELLS[0], dataset=tiny_dataset).item()
    own = StimulusFeatureModel.from_file(embedding_file(tiny_dataset))
    assert own.identifier == "features-task-images_desc-CLIP_embeddings"
    assert score_model(own, CELLS[0], dataset=tiny_dataset).item() == expected
    memory = StimulusFeatureModel.from_arrays(values.astype(np.float64), ids, "mine")
    assert score_model(memory, CELLS[0], dataset=tiny_dataset).item() == pytest.approx(expected, abs=1e-12)


def test_features_of_one_name_do_not_share_kernels(tiny_dataset):
    values, ids = arrays(tiny_dataset)
    first, second = (
        StimulusFeatureModel.from_arrays(features, ids, "mine")
        for features in (values, np.random.default_rng(1).standard_normal(values.shape))
    )
    assert ModelIdentity.of(first).key != ModelIdentity.of(second).key
    assert score_model(first, CELLS[0], dataset=tiny_dataset) != score_model(second, CELLS[0], dataset=tiny_dataset)


def test_memory_is_forecast_without_images(without_images):
    expected = benchmark(CELLS[0], dataset=without_images).preallocate_memory(load_model("LAION_fMRI-CLIP"))
    assert 0 < expected.additional < expected.available


def test_metadata_are_valid_and_complete():
    problems, metadata = validate_metadata_file(Path(plugin.__file__).parent / "metadata.yaml")
    assert problems == []
    assert sorted(metadata["models"]) == sorted(REGISTERED)


def test_it_is_a_brain_model_that_reads_ids_alone(tiny_dataset):
    values, ids = arrays(tiny_dataset)
    model = EmbeddingModel("CLIP", tiny_dataset)
    shown = StimulusSet({"stimulus_id": ids[:5][::-1]})
    with pytest.raises(StimulusKernelError, match="asked to record a region before"):
        model.look_at(shown)
    model.start_recording("any region", time_bins=[(70, 170)])
    assembly = model.look_at(shown)
    np.testing.assert_array_equal(assembly.values, values[:5][::-1])
    assert assembly["stimulus_id"].values.tolist() == ids[:5][::-1]
    assert set(assembly["region"].values) == {"any region"}
    with pytest.raises(NotImplementedError, match=r"1 of the 2 stimuli .* no features, the first: \['unknown.jpg'\]"):
        model.look_at(StimulusSet({"stimulus_id": ["unknown.jpg", ids[0]]}))


@pytest.mark.parametrize("made_of", ["a table", "a combination"])
@pytest.mark.parametrize("metric", ["ridge", "pls"])
def test_metrics_of_brain_score_draw_folds_by_what_stimuli_are_of(metric, made_of):
    """Its cross-validation is stratified by object_name, on both sides."""
    rng = np.random.default_rng(4)
    ids, names = [f"image{i}" for i in range(60)], np.repeat(["face", "car", "house"], 20)
    features = rng.standard_normal((60, 30))
    stimuli = StimulusSet({"stimulus_id": ids, "object_name": names, "region": "of the image"})
    stimuli.stimulus_paths, stimuli.identifier = {name: f"{name}.png" for name in ids}, "sixty"
    coords = {"stimulus_id": ("presentation", ids), "object_name": ("presentation", names)}
    coords |= {"neuroid_id": ("neuroid", range(4)), "region": ("neuroid", ["IT"] * 4)}
    values = features[:, :2] @ rng.standard_normal((2, 4)) * 5 + rng.standard_normal((60, 4))
    measured = NeuroidAssembly(values, coords=coords, dims=["presentation", "neuroid"])
    model = StimulusFeatureModel.from_arrays(features, ids, "of 30 numbers")
    if made_of == "a combination":
        model = combine([model, StimulusFeatureModel.from_arrays(features[:, :2], ids, "of two numbers")])
    model.start_recording("IT", time_bins=[(70, 170)])
    answer = model.look_at(stimuli.iloc[::-1])
    assert answer["object_name"].values.tolist() == names[::-1].tolist()
    assert 0.2 < float(load_metric(metric)(answer, measured)) <= 1


@pytest.mark.parametrize("identifier", REGISTERED)
def test_what_a_lookup_cannot_do_is_said_as_brain_scores_models_say_it(identifier, monkeypatch, tmp_path):
    """In a run of every new model on every public benchmark; on a machine without the dataset, too."""
    monkeypatch.setenv("LAION_FMRI_DATASET", str(tmp_path / "nowhere"))
    model = load_model(identifier)
    for task in (BrainModel.Task.label, BrainModel.Task.probabilities, BrainModel.Task.odd_one_out):
        with pytest.raises(
            NotImplementedError, match=f"{identifier} looks up features .* no behavior; received .*{task}"
        ):
            model.start_task(task, "imagenet")
    model.start_task(BrainModel.Task.passive)
    model.start_recording(BrainModel.RecordingTarget.IT, time_bins=[(70, 170), (170, 270)])
    others = StimulusSet({"stimulus_id": ["dicarlo_1", "dicarlo_2"]})
    with pytest.raises(NotImplementedError, match="2 of the 2 stimuli .* have no features.*whose stimuli it knows"):
        model.look_at(others, number_of_trials=10)
    with pytest.raises(NotImplementedError, match="a list of images"):
        model.look_at(["image1.png", "image2.png"])
    with pytest.raises(NotImplementedError, match="vary between trials"):
        model.look_at(others, number_of_trials=2, require_variance=True)


@pytest.mark.parametrize(
    "module", ["brainscore_vision.data.laion_fmri_7t.released.embeddings", "laion_fmri.embeddings"]
)
def test_a_reader_leads_to_the_same_numbers(tiny_dataset, module):
    """Ours and laion_fmri's read the simulated files, and a model made from a reader is the registered one."""
    embeddings = pytest.importorskip(module, reason="laion_fmri (with embeddings) is not installed")
    with embeddings.load_embeddings("all", data_dir=tiny_dataset) as reader:
        _, ids = arrays(tiny_dataset)
        for name in EMBEDDING_MODELS:
            model = StimulusFeatureModel.from_reader(reader, name)
            np.testing.assert_array_equal(reader.get(name, ids[3:9]), model.features_for(ids[3:9]))
            assert model.features_version == EmbeddingModel(name, tiny_dataset).features_version
