"""Encoders of the dataset's subjects: what they predict is what the benchmark predicts, and they say what they are."""

import functools
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper
from PIL import Image
from plugin_testing.models import CountingModel, FeatureModel, committed, pixel_features, small_network
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge, RidgeCV

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
from brainscore_vision.benchmark_helpers.stimulus_kernels.comparisons import RidgeMetric
from brainscore_vision.benchmark_helpers.stimulus_kernels.encoders.brain import EncoderBrain
from brainscore_vision.benchmark_helpers.stimulus_kernels.encoders.encoder import Encoder, SelectionError
from brainscore_vision.benchmark_helpers.stimulus_kernels.encoders.file import EncoderFileError
from brainscore_vision.benchmark_helpers.stimulus_kernels.encoders.images import ImagesError, placed_pieces
from brainscore_vision.benchmark_helpers.stimulus_kernels.engine import Run
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import (
    NotAbleError,
    StimulusKernelError,
    UnmappedRegionError,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.network import network_digest
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.recording import recorder_for
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.compute import Compute
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge import fit as ridge
from brainscore_vision.benchmarks.laion_fmri_7t import (
    as_brain_model,
    benchmark,
    encode_many,
    encoder_metadata,
    find_model,
    fit_encoder,
    load_encoder,
    score_model,
)
from brainscore_vision.benchmarks.laion_fmri_7t.identifiers import IdentifierError
from brainscore_vision.data.laion_fmri_7t.errors import MissingDataError
from brainscore_vision.data.laion_fmri_7t.ids import is_ood
from brainscore_vision.data.laion_fmri_7t.released.features import bind
from brainscore_vision.data.laion_fmri_7t.source import open_dataset
from brainscore_vision.data.laion_fmri_7t.voxel_space import voxel_space
from brainscore_vision.models.laion_fmri_7t import StimulusFeatureModel

QUIET = EngineOptions(progress=False)
LAYERS = {"V1": "conv", "IT": "pool"}


def make_model(seed=0):
    return small_network(LAYERS, seed=seed)


def fitted(dataset, train="tau", model=None, **options):
    regions = options.pop("regions", ("V1", "IT"))
    model = make_model() if model is None else model
    engine = QUIET if options.pop("store", True) else EngineOptions(progress=False, store=False)
    return fit_encoder(model, "sub-01", regions, train, dataset=dataset, engine=engine, **options)


def predicted_by_kernels(model, task, wanted):
    """As a benchmark predicts, from the kernel alone."""
    metric = RidgeMetric("relative")
    with Run([model], [task], QUIET) as run:
        (kernel,) = [run.kernels(item)[0] for item in run.each_kernel()]
    decomposition = ridge.decompose(kernel.gram, kernel.positions(task.train_ids), Compute(), kernel.n_features)
    training = ridge.TrainingResponses(decomposition, task.load_responses().select(task.train_ids).values)
    unit = metric.unit(decomposition)
    alpha = ridge.select_alpha(training, metric.grid, unit).alpha
    return training.predict(kernel.block(wanted, task.train_ids), alpha * unit) + training.mean


def task_of(region, dataset, **options):
    name = f"LAION_fMRI_persubject.{region}-tau-ridgecv"
    (task,) = benchmark(name, subjects=("sub-01",), dataset=dataset, **options).resolve().tasks
    return task


@pytest.mark.parametrize("alphas", ["relative", "published"])
def test_accuracy_is_the_raw_score_of_the_benchmark(tiny_dataset, alphas):
    encoder = fitted(tiny_dataset, **({} if alphas == "relative" else {"alphas": alphas}))
    voxels = encoder.voxels
    for region in ("V1", "IT"):
        options = {"alphas": alphas} if alphas == "relative" else {}
        own = benchmark(
            f"LAION_fMRI_persubject.{region}-tau-ridgecv", subjects=("sub-01",), dataset=tiny_dataset, **options
        )
        score = score_model(make_model(), own).attrs["sub-01"]
        raw = score.attrs["raw"].attrs["raw"]
        of_region = voxels[voxels.region == region]
        np.testing.assert_allclose(of_region.correlation_results, raw, atol=1e-9)
        np.testing.assert_allclose(of_region.noise_ceiling_testset, score.attrs["ceiling"].attrs["raw"])
        np.testing.assert_array_equal(of_region.voxel_index, raw["voxel_index_in_brain_mask"])
        assert len(set(of_region.alpha)) == 1


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_images_of_the_dataset_are_predicted_as_by_the_kernel_and_correlate_as_scored(tiny_dataset, dtype):
    dataset, encoder = open_dataset(tiny_dataset), fitted(tiny_dataset, dtype=dtype)
    for region in ("V1", "IT"):
        task = task_of(region, tiny_dataset)
        wanted = (*task.test_ids, *task.train_ids[:10])
        found = encoder.encode(dataset.stimulus_set(wanted), {"roi": [region]}, progress=False)
        assert found.dtype == np.float32
        expected = predicted_by_kernels(make_model(), task, wanted)
        np.testing.assert_allclose(
            found, expected, atol=(1e-5 if dtype == "float32" else 3e-3) * np.abs(expected).max()
        )
        if dtype == "float32":
            measured = task.load_responses().select(task.test_ids).values
            of_test = found[: len(task.test_ids)].astype(float)
            rs = [np.corrcoef(p, m)[0, 1] for p, m in zip(of_test.T, measured.T, strict=True)]
            voxels = encoder.voxels
            np.testing.assert_allclose(rs, voxels[voxels.region == region].correlation_results, atol=1e-6)


def test_fitting_from_stored_kernels_needs_the_features_once_and_a_file_is_what_was_fitted(tiny_dataset, tmp_path):
    dataset = open_dataset(tiny_dataset)
    first = fitted(tiny_dataset, train="all")
    (tmp_path / ".encoder-killed").write_bytes(bytes(100))
    again = fitted(tiny_dataset, train="all", path=tmp_path / "again.h5")
    images = dataset.stimulus_set(task_of("V1", tiny_dataset).test_ids[:3])
    np.testing.assert_allclose(first.encode(images), again.encode(images), rtol=1e-5, atol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == ["again.h5"]
    saved = load_encoder(first.save(tmp_path / "enc.h5"), model=make_model())
    np.testing.assert_array_equal(saved.encode(images), first.encode(images))
    trained = set(encoder_metadata(tmp_path / "enc.h5")["encoding_model"]["train_stimuli"])
    assert trained == {s for s in dataset.pool_stimuli("sub-01") if not is_ood(s)}
    both = fitted(tiny_dataset, train="all+ood", regions="V1").metadata["encoding_model"]["train_stimuli"]
    assert set(both) == set(dataset.pool_stimuli("sub-01"))


def test_an_encoder_whose_file_is_another_one_now_is_not_saved(tiny_dataset, tmp_path):
    path = tmp_path / "one.h5"
    first = fitted(tiny_dataset, path=path)
    first.save(tmp_path / "kept.h5")
    second = fitted(tiny_dataset, path=path, regions="V1")
    with pytest.raises(
        EncoderFileError, match="one.h5 holds another encoder now, of a later fit. Fit <Encoder of sub-"
    ):
        first.save(tmp_path / "kept.h5")
    assert load_encoder(tmp_path / "kept.h5", model=make_model()).n_voxels == first.n_voxels > second.n_voxels
    path.unlink()
    with pytest.raises(EncoderFileError, match="there is none at"):
        second.save(tmp_path / "kept.h5")
    assert [found.name for found in tmp_path.iterdir()] == ["kept.h5"]


def test_a_penalty_per_voxel_is_that_of_scikit_learn(tiny_dataset, tmp_path):
    task = task_of("IT", tiny_dataset)
    encoder = fitted(tiny_dataset, regions="IT", alpha_per_voxel=True, alphas=tuple(10.0**k for k in range(-3, 5)))
    model, dataset = make_model(), open_dataset(tiny_dataset)
    features = features_of(model, "IT", dataset, (*task.train_ids, *task.test_ids[:5]), tmp_path)
    own = RidgeCV(alphas=10.0 ** np.arange(-3, 5), alpha_per_target=True)
    own.fit(features[: len(task.train_ids)], task.load_responses().select(task.train_ids).values)
    np.testing.assert_allclose(encoder.metadata["encoding_model"]["alpha"], own.alpha_)
    assert len(set(own.alpha_)) > 1
    found = encoder.encode(dataset.stimulus_set(task.test_ids[:5]), progress=False)
    np.testing.assert_allclose(found, own.predict(features[len(task.train_ids) :]), rtol=1e-3, atol=1e-4)


def features_of(model, region, dataset, stimulus_ids, folder):
    recorder = recorder_for(model, [region])
    placed = list(placed_pieces(dataset.stimulus_set(stimulus_ids), folder, 9.2, 8))
    found = []
    for piece, _ in placed:
        recorder.record(piece, list(recorder.labels.values()), lambda batch: found.extend(batch.values()))
    return np.concatenate(found).astype(float)


def test_arrays_files_and_pictures_of_the_same_pixels_have_the_same_responses(tiny_dataset, tmp_path):
    encoder = fitted(tiny_dataset, train="all", regions="V1", alphas=(1e-3,))
    pixels = np.random.default_rng(3).integers(0, 256, (5, 40, 40, 3), dtype=np.uint8)
    expected = encoder.encode(pixels)
    assert expected.shape == (5, encoder.n_voxels)
    assert len(np.unique(expected.round(5), axis=0)) == 5
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    batches = [
        pixels.transpose(0, 3, 1, 2),
        pixels.astype(np.int64),
        torch.from_numpy(pixels),
        list(pixels),
        [Image.fromarray(image) for image in pixels],
        paths,
        [str(path) for path in paths],
    ]
    for batch in batches:
        np.testing.assert_allclose(encoder.encode(batch, batch_size=2), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(paths[3]), expected[3:4], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(encoder.encode([paths[0], paths[0]]), expected[[0, 0]], rtol=1e-5, atol=1e-5)
    many = encoder.encode(paths * 60)  # several pieces
    np.testing.assert_allclose(many, np.tile(expected, (60, 1)), rtol=1e-5, atol=1e-5)
    see_through = np.dstack([pixels[0], np.full((40, 40), 0, np.uint8)])
    grey = np.full((1, 40, 40, 3), 128, np.uint8)
    np.testing.assert_allclose(encoder.encode([Image.fromarray(see_through)]), encoder.encode(grey), atol=1e-5)


class KeepsByName(FeatureModel):
    """Keeps its answers by the names of stimuli, as models do that are slow."""

    def look_at(self, stimuli, number_of_trials=1):
        assembly = super().look_at(stimuli, number_of_trials)
        for row, name in zip(assembly.values, assembly["stimulus_id"].values.tolist(), strict=True):
            row[:] = self.kept.setdefault((self._region, name), row.copy())
        return assembly


def test_a_model_that_keeps_answers_by_name_meets_no_name_twice(tiny_dataset, tmp_path):
    plain, keeps = (
        kind(functools.partial(pixel_features, size=3), identifier=kind.__name__)
        for kind in (FeatureModel, KeepsByName)
    )
    keeps.kept = {}
    expected, encoder = (fitted(tiny_dataset, model=model, regions="V1", alphas=(1e-3,)) for model in (plain, keeps))
    rng = np.random.default_rng(9)
    faces, places = rng.integers(0, 256, (2, 3, 40, 40, 3), dtype=np.uint8)
    for number, images in enumerate((faces, places, [Image.fromarray(image) for image in faces[::-1]])):
        responses = encoder.encode(images)
        np.testing.assert_allclose(responses, expected.encode(images), rtol=1e-5, atol=1e-5)
        assert len(np.unique(responses.round(4), axis=0)) == 3, number
    for name, image in zip((3, 4), faces, strict=False):  # numbers
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    numbered = StimulusSet({"stimulus_id": [3, 4]})
    numbered.stimulus_paths, numbered.identifier = {name: str(tmp_path / f"{name}.png") for name in (3, 4)}, None
    np.testing.assert_allclose(encoder.encode(numbered), encoder.encode(faces[:2]), rtol=1e-5, atol=1e-5)
    stimuli = StimulusSet({"stimulus_id": ["a", "b", "b"]})  # its own names, where each stands once
    for name, image in zip("ab", faces, strict=False):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    stimuli.stimulus_paths, stimuli.identifier = {name: str(tmp_path / f"{name}.png") for name in "ab"}, None
    np.testing.assert_allclose(encoder.encode(stimuli), encoder.encode(faces[[0, 1, 1]]), rtol=1e-5, atol=1e-5)
    assert not any(name == "a" for _, name in keeps.kept)


def test_a_preprocessing_that_reads_no_ppm(tiny_dataset):
    """torchvision's readers take JPEG, PNG, GIF and WebP; images in memory are handed over as files."""

    def prepare(paths):
        images = [torchvision.io.read_image(str(path), torchvision.io.ImageReadMode.RGB) for path in paths]
        return torch.stack([torchvision.transforms.functional.resize(image, [32, 32]) for image in images]) / 255

    def model():
        return committed(small_network(LAYERS).activations_model._model, LAYERS, wrapper=Reading)

    class Reading(PytorchWrapper):
        def __init__(self, *, preprocessing, **options):
            super().__init__(preprocessing=prepare, **options)

    encoder = fitted(tiny_dataset, model=model(), regions="V1")
    pixels = np.random.default_rng(3).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    responses = encoder.encode(pixels)
    np.testing.assert_allclose(responses, encoder.encode([Image.fromarray(image) for image in pixels]))
    assert len(np.unique(responses.round(4), axis=0)) == 3


KINDS = {
    "RGB": ("png", "jpg", "webp", "bmp", "tif", "gif"),
    "L": ("png", "jpg"),
    "1": ("png",),
    "LA": ("png",),
    "P": ("png",),
    "RGBA": ("png", "webp"),
    "CMYK": ("jpg", "tif"),
    "YCbCr": ("jpg",),
    "I;16": ("png",),
}


def test_an_opened_picture_has_the_responses_of_its_file(tiny_dataset, tmp_path):
    encoder = fitted(tiny_dataset, train="all", regions="V1", alphas=(1e-3,))
    picture, paths = Image.fromarray(np.random.default_rng(3).integers(0, 256, (40, 40, 4), dtype=np.uint8)), []
    for mode, suffixes in KINDS.items():
        grey = np.asarray(picture.convert("L"), np.uint16) * 257
        shown = Image.fromarray(grey) if mode == "I;16" else picture.convert("RGB").convert(mode)
        for suffix in suffixes:
            paths.append(tmp_path / f"{mode.replace(';', '')}.{suffix}")
            (picture if mode == "RGBA" else shown).save(paths[-1])
    paths.append(tmp_path / "see through.png")
    picture.convert("P").save(paths[-1], transparency=3)
    expected = encoder.encode(paths)
    assert len(np.unique(expected.round(4), axis=0)) > 8
    found = encoder.encode([Image.open(path) for path in paths])
    apart = np.abs(found - expected).max(axis=1)
    assert apart.max() < 1e-5, dict(zip([path.name for path in paths], apart, strict=True))


IMAGE = np.zeros((1, 8, 8, 3), np.uint8)


def closed() -> Image.Image:
    image = Image.fromarray(IMAGE[0])
    image.close()
    return image


BAD_IMAGES = {
    "floats from 0 to 1": (IMAGE + 0.5, r"0\.5 to 0\.5 mean is not guessed.*images \* 255"),
    "nan": (IMAGE + np.nan, "nan or infinite"),
    "too large": (IMAGE + np.int64(300), "from 300 to 300"),
    "negative": (IMAGE.astype(int) - 1, "from -1 to -1"),
    "booleans": (IMAGE.astype(bool), "received bool"),
    "0 and 1": (np.eye(8, dtype=np.uint8)[None, :, :, None].repeat(3, axis=3), r"0 and 1 alone.* pass images \* 255"),
    "empty": (IMAGE[:0], "one image or more"),
    "empty list": ([], "one image or more"),
    "grey array": (IMAGE[..., 0], "3, height, width"),
    "one image": (IMAGE[0], r"images\[None\]"),
    "four channels": (np.zeros((1, 8, 8, 4), np.uint8), "RGB; received 1 × 8 × 8 × 4"),
    "not square": (np.zeros((1, 8, 9, 3), np.uint8), "9 × 8 pixels. Crop it"),
    "features": (np.zeros((4, 100)), "received 4 × 100"),
    "no file": (["nowhere.png"], "nowhere.png is not"),
    "no file in an array": (np.array(["nowhere.png"]), "nowhere.png is not"),
    "a table": (pd.DataFrame({"a": ["nowhere.png"]}), "received a DataFrame"),
    "closed": ([closed()], "closed image"),
    "numbers": ([1, 2], "one is a int"),
    "a number": (1, "received a int"),
    "a picture of floats": (
        [Image.new("F", (8, 8), 0.5)],
        "floating-point numbers mean is not guessed; an image has mode F",
    ),
}


@pytest.fixture(scope="module")
def kept(tiny_dataset, tmp_path_factory):
    """A file, and the encoder that was saved in it; tests change neither."""
    encoder = fitted(tiny_dataset, train="all")
    return encoder.save(tmp_path_factory.mktemp("kept") / "enc.h5"), encoder


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_what_is_no_batch_of_images_is_refused_in_one_line(kept, case):
    images, message = BAD_IMAGES[case]
    with pytest.raises(ImagesError, match=message) as error:
        kept[1].encode(images)
    assert "\n" not in str(error.value)


def test_a_file_of_floats_is_not_guessed(kept, tmp_path):
    for value in (0.5, 100.0, -3.0):
        Image.new("F", (8, 8), value).save(tmp_path / "f.tif")
        with pytest.raises(ImagesError, match=r"not guessed; .*f\.tif has mode F\. Save it with 8 bits"):
            kept[1].encode([tmp_path / "f.tif"])


def test_regions_and_voxels_are_selected_by_name_and_by_one_hot(kept):
    encoder, images = kept[1], IMAGE + np.arange(3, dtype=np.uint8)
    whole, n = encoder.encode(images), encoder.n_voxels
    of_it = encoder.metadata["roi"]["IT"]
    np.testing.assert_allclose(encoder.encode(images, {"roi": ["IT"]}), whole[:, of_it], rtol=1e-6)
    index = np.zeros(n, int)
    index[[1, n - 1]] = 1
    np.testing.assert_allclose(encoder.encode(images, {"voxel_index": index}), whole[:, [1, n - 1]], rtol=1e-6)
    both = encoder.encode(images, {"voxel_index": index, "roi": "IT"})
    assert both.shape[1] == len(of_it) + 1
    table = encoder.to_xarray(both, {"voxel_index": index, "roi": "IT"})
    assert list(table.region.values[:2]) == ["V1", "IT"]
    responses, metadata = encoder.encode(images, return_metadata=True)
    assert metadata["fmri"]["n_voxels"] == n == responses.shape[1]
    assert repr(metadata) == repr(encoder.metadata)
    chosen = {"voxel_index": encoder.voxels.region == "IT"}
    responses, metadata = encoder.encode(images, chosen, return_metadata=True)
    assert metadata["fmri"]["n_voxels"] == len(of_it) == responses.shape[1]
    np.testing.assert_array_equal(metadata["fmri"]["voxel_index"], encoder.voxels.voxel_index[of_it])
    np.testing.assert_array_equal(metadata["fmri"]["voxel_coords"], encoder.metadata["fmri"]["voxel_coords"][of_it])
    assert metadata["fmri"]["affine"].shape == (4, 4)
    np.testing.assert_array_equal(metadata["encoding_model"]["alpha"], encoder.voxels.alpha[of_it])
    assert next(iter(metadata["roi"])) == "IT"
    assert not {"V1", "V1v", "V1d"} & set(metadata["roi"])
    np.testing.assert_array_equal(metadata["roi"]["IT"], np.arange(len(of_it)))
    assert list(metadata["encoding_model"]["layers"]) == list(metadata["encoding_model"]["accuracy"]) == ["IT"]
    _, metadata = encoder.encode(images, {"voxel_index": index, "roi": "IT"}, return_metadata=True)
    assert list(metadata["encoding_model"]["layers"]) == ["V1", "IT"]
    assert list(metadata["encoding_model"]["accuracy"]) == ["IT"]  # the accuracy of V1 is not that of one voxel
    for selection, message in (
        ({"roi": ["FFA"]}, "has, V1, IT, .*; received roi 'FFA'. Fit one to it, or choose voxels by voxel_index"),
        ({"roi": [["V1"]]}, r"received roi \['V1'\]"),
        ({"voxel_index": [1, 0]}, rf"each of {n} voxels"),
        ({"voxel_index": np.full(n, 2)}, "a 0 or a 1"),
        ({"voxel_index": np.zeros(n)}, "names none"),
        ({"rois": ["V1"]}, r"received \['rois'\]"),
        ({}, "roi or voxel_index"),
        ({"roi": 3}, "received roi 3"),
        (["V1"], r"is a mapping .* received \['V1'\]"),
    ):
        with pytest.raises(SelectionError, match=message):
            encoder.encode(images, selection)
    with pytest.raises(ImagesError, match="batch_size"):
        encoder.encode(images, batch_size=0)
    np.testing.assert_allclose(encoder.encode(images, batch_size=np.int64(2)), whole, rtol=1e-6)
    with pytest.raises(SelectionError, match=rf"with {len(of_it)} voxels of the selection .* received shape"):
        encoder.to_xarray(whole, {"roi": "IT"})


def test_metadata_are_nested_and_read_without_weights(kept, tiny_dataset):
    path, encoder = kept
    metadata = encoder_metadata(path)
    assert list(metadata) == ["fmri", "encoding_model", "roi"]
    about, n = metadata["encoding_model"], encoder.n_voxels
    assert repr(encoder) == f"<Encoder of sub-01 from {encoder.about['identifier']}: V1, IT; {n} voxels>"
    names = (
        "correlation_results",
        "correlation_low",
        "correlation_high",
        "explained_variance",
        "leave_one_out_correlation",
        "noise_ceiling_singletrial",
        "noise_ceiling_testset",
        "splithalf_uncorrected",
        "splithalf_corrected",
        "penalty",
    )
    for name in names:
        assert about[name].shape == (n,), name
        assert np.isfinite(about[name]).all(), name
    assert (about["correlation_low"] < about["correlation_high"]).all()
    assert set(about["accuracy"]) == {"V1", "IT"}
    assert about["layers"] == LAYERS
    assert list(encoder.voxels.layer) == [LAYERS[region] for region in encoder.voxels.region]
    assert [about[name] for name in ("identifier", "source")] == ["small-network-seed0", None]
    assert about["network"] == network_digest(make_model())
    assert about["dataset"]["simulated"]
    assert "simulated" in about["comment"]
    assert not set(about["accuracy_train_stimuli"]) & set(about["test_stimuli"])
    np.testing.assert_array_equal(np.concatenate([metadata["roi"]["V1"], metadata["roi"]["IT"]]), np.arange(n))
    task = task_of("V1", tiny_dataset)
    first, second = task.load_halves(task.test_ids)
    r = np.corrcoef(first.values[:, 0], second.values[:, 0])[0, 1]
    np.testing.assert_allclose(
        [about["splithalf_uncorrected"][0], about["splithalf_corrected"][0]], [r, 2 * r / (1 + abs(r))]
    )
    assert min(about["splithalf_uncorrected"]) < 0  # of noise
    assert (np.abs(about["splithalf_corrected"]) <= 1).all()


def test_features_that_know_nothing_correlate_with_nothing_that_was_left_out(tiny_dataset):
    """Predictions are the others' mean and a fit: without the mean, which falls where the image left out is high."""
    task = task_of("V1", tiny_dataset)
    features = np.random.default_rng(20261127).standard_normal((len(task.train_ids), 20))
    shown = dict(zip(task.train_ids, features, strict=True))
    shown |= {name: np.zeros(20) + i for i, name in enumerate(task.test_ids)}
    model = StimulusFeatureModel.from_arrays(np.array(list(shown.values())), list(shown), identifier="noise")
    voxels = fitted(tiny_dataset, model=model, regions=["V1"]).voxels
    measured = task.load_responses().select(task.train_ids).values.astype(float)
    left_out = np.empty_like(measured)
    for i in range(len(features)):
        others = np.arange(len(features)) != i
        ridge = Ridge(voxels["penalty"][0]).fit(features[others], measured[others])
        left_out[i] = ridge.predict(features[[i]])[0] - measured[others].mean(axis=0)
    expected = [np.corrcoef(p, m)[0, 1] for p, m in zip(left_out.T, measured.T, strict=True)]
    np.testing.assert_allclose(voxels["leave_one_out_correlation"], expected, atol=1e-6)
    assert abs(np.median(expected)) < 0.2


def test_voxels_have_their_places_in_the_volume(kept, tiny_dataset, tmp_path):
    fmri, voxels = kept[1].metadata["fmri"], kept[1].voxels
    placed = voxel_space(open_dataset(tiny_dataset), "sub-01")
    np.testing.assert_array_equal(fmri["voxel_coords"], placed.ijk(voxels["voxel_index"]))
    np.testing.assert_array_equal(voxels[["i", "j", "k"]], fmri["voxel_coords"])
    np.testing.assert_allclose(
        fmri["voxel_coords"] @ fmri["affine"][:3, :3].T + fmri["affine"][:3, 3],
        placed.coordinates(voxels["voxel_index"]),
    )
    shutil.copytree(tiny_dataset, tmp_path / "other", ignore=shutil.ignore_patterns("derivatives"))
    said = []
    without = fitted(tmp_path / "other", train="all", regions="V1", say=said.append)
    assert "no voxel_coords" in said[0]
    assert "voxel_coords" not in without.metadata["fmri"]


def test_several_encoders_answer_with_one_forward_pass(kept, tiny_dataset):
    model = make_model()
    first, other = (
        fit_encoder(model, subject, regions, dataset=tiny_dataset, engine=QUIET)
        for subject, regions in (("sub-01", "V1"), ("sub-03", ("IT", "V1")))
    )
    images, seen = IMAGE + np.arange(10, dtype=np.uint8)[:, None, None, None], []
    alone = [encoder.encode(images) for encoder in (first, other)]
    together = encode_many([first, other], images)  # after which the width of the layers is known
    model.activations_model._model.conv.register_forward_hook(lambda module, given, answer: seen.append(len(given[0])))
    for a, b in zip(together, encode_many([first, other], images), strict=True):
        np.testing.assert_array_equal(a, b)
    assert seen == [5, 5]  # of a model that takes 7 at once: none is shown to fill a batch up
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    early = small_network({"IT": "conv", "V1": "head"})
    of_other_layers = fit_encoder(early, "sub-03", ("V1", "IT"), dataset=tiny_dataset, engine=QUIET)
    expected = of_other_layers.encode(images)
    for a, b in zip(encode_many([other, of_other_layers, first], images), (alone[1], expected, alone[0]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(encode_many(first, images)[0], alone[0], rtol=1e-5, atol=1e-6)
    for wrong in ([], "enc.h5", [first, kept[0]], 3):
        with pytest.raises(StimulusKernelError, match="takes encoders, one or more; received (none|str|Encoder, |int)"):
            encode_many(wrong, images)
    prepared = make_model()
    extractor, prepare = prepared.activations_model._extractor, prepared.activations_model._extractor.preprocess
    extractor.preprocess = lambda paths: prepare(paths)[:, :, ::-1].copy()
    for model in (small_network(LAYERS, seed=5), prepared):
        another = fitted(tiny_dataset, regions="V1", model=model, store=False)
        with pytest.raises(EncoderFileError, match="one network, preprocessing"):
            encode_many([first, another], images)


def test_another_network_is_refused(kept):
    with pytest.raises(EncoderFileError, match="weights"):
        load_encoder(kept[0], model=make_model(seed=1))
    with pytest.raises(EncoderFileError, match="8 degrees"):
        load_encoder(kept[0], model=small_network(LAYERS, visual_degrees=9.2))
    other = make_model()
    prepare = other.activations_model._extractor.preprocess
    other.activations_model._extractor.preprocess = lambda paths: prepare(paths)[:, :, ::-1].copy() + 1
    with pytest.raises(EncoderFileError, match="prepares images"):
        load_encoder(kept[0], model=other)
    with pytest.raises(EncoderFileError, match="cannot make it again"):
        load_encoder(kept[0])
    with pytest.raises(StimulusKernelError, match="device is one of"):
        load_encoder(kept[0], "tpu", model=make_model())


def test_a_file_that_was_cut_or_changed_is_refused(kept, tmp_path):
    content = kept[0].read_bytes()
    path = tmp_path / "enc.h5"
    for cut in (0, 100, len(content) // 2, len(content) - 10):
        path.write_bytes(content[:cut])
        with pytest.raises(EncoderFileError):
            load_encoder(path, model=make_model())
    with h5py.File(kept[0]) as file:
        names = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) and item.size else None)
        places = {name: file[name].id.get_offset() for name in names if file[name].id.get_offset() is not None}
    assert any(name.endswith("matrix") for name in places)
    for offset in places.values():
        flipped = bytearray(content)
        flipped[offset] ^= 1
        path.write_bytes(flipped)
        with pytest.raises(EncoderFileError):
            load_encoder(path, model=make_model())
    expected, metadata, places = kept[1].parts[0].blocks(), repr(kept[1].metadata), np.random.default_rng(5)
    expected = [(rows, matrix.tobytes()) for rows, matrix in expected]
    n_refused = 0
    for offset in places.integers(len(content), size=50):  # anywhere: also where nothing is kept
        flipped = bytearray(content)
        flipped[offset] ^= 1 << places.integers(8)
        path.write_bytes(flipped)
        try:
            opened = Encoder.open(path)
        except EncoderFileError:
            n_refused += 1
        else:
            assert repr(opened.metadata) == metadata
            assert [(rows, matrix.tobytes()) for rows, matrix in opened.parts[0].blocks()] == expected
    assert n_refused > 20
    with pytest.raises(EncoderFileError, match="there is none"):
        load_encoder(tmp_path / "none.h5")
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(EncoderFileError, match="is no encoder"):
        encoder_metadata(path)
    path.write_bytes(content)
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 99
    with pytest.raises(EncoderFileError, match="version 1; .* has version 99"):
        encoder_metadata(path)


def test_a_bounded_size_projects_features_and_says_what_is_lost(tiny_dataset, tmp_path):
    # a penalty that does not make held-out predictions the mean of the others, which correlates negatively
    said, options = [], {"regions": "V1", "alphas": (1.0,)}
    whole = fitted(tiny_dataset, path=tmp_path / "whole.h5", **options)
    most = whole.path.stat().st_size * 2 // 3
    small = fitted(tiny_dataset, path=tmp_path / "small.h5", max_size=most, say=said.append, **options)
    assert small.path.stat().st_size <= most
    loss = small.about["loss"][0]
    assert "random projection" in said[0]
    assert abs(loss["held_out_correlation"] - loss["held_out_correlation_without"]) < 0.2, loss
    dataset, task = open_dataset(tiny_dataset), task_of("V1", tiny_dataset)
    found = small.encode(dataset.stimulus_set(task.test_ids))
    measured = task.load_responses().select(task.test_ids).values
    rs = [np.corrcoef(p, m)[0, 1] for p, m in zip(found.T.astype(float), measured.T, strict=True)]
    np.testing.assert_allclose(rs, small.voxels.correlation_results, atol=1e-5)
    reloaded = load_encoder(small.path, model=make_model())
    np.testing.assert_array_equal(reloaded.encode(IMAGE), small.encode(IMAGE))
    assert loss["rounding"] < 1e-4
    shrunk = fitted(tiny_dataset, path=tmp_path / "shrunk.h5", max_size=most, regions="V1", alphas=(1e10,))
    lost = shrunk.about["loss"][0]
    answers = shrunk.encode(dataset.stimulus_set(task.test_ids)).astype(float)
    rs = [np.corrcoef(p, m)[0, 1] for p, m in zip(answers.T, measured.T, strict=True)]
    assert np.abs(rs - shrunk.voxels.correlation_results).max() > 1e-3  # float32 cannot tell them
    assert lost["rounding"] > 1e-2
    assert "for they hardly differ from a voxel's mean response" in lost["says"]
    with pytest.raises(StimulusKernelError, match="may take .* at its smallest; max_size allows 1,000"):
        fitted(tiny_dataset, regions="V1", max_size=1000)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_no_encoder_is_larger_than_its_bound(tiny_dataset, tmp_path, dtype):
    """Neither one that is whole, however close the bound is, nor one of projected features; with many regions too."""
    rng, regions = np.random.default_rng(20261127), ("V1", "V2", "V3", "V4", "IT", "FFA1", "V1d", "V1v")
    ids = open_dataset(tiny_dataset).pool_stimuli("sub-01")
    model = StimulusFeatureModel.from_arrays(rng.standard_normal((len(ids), 3000)), ids, identifier="noise")
    options = {"model": model, "regions": regions, "dtype": dtype, "noise_ceiling_threshold": 0, "alphas": (100.0,)}
    whole, said = fitted(tiny_dataset, path=tmp_path / "enc.h5", **options).path.stat().st_size, []
    for bound in (int(1.1 * whole), whole, whole - 1, int(0.9 * whole), whole // 2):
        bounded = fitted(tiny_dataset, path=tmp_path / "enc.h5", max_size=bound, say=said.append, **options)
        assert 0.75 * min(bound, whole) < bounded.path.stat().st_size <= bound
    assert sum("would take" in text for text in said) in (3, 4)


def test_features_that_are_looked_up_have_encoders_that_take_features(tiny_dataset, tmp_path):
    dataset = open_dataset(tiny_dataset)
    encoder = fit_encoder("LAION_fMRI-CLIP", "sub-01", "IT", "tau", dataset=tiny_dataset, engine=QUIET)
    task = task_of("IT", tiny_dataset)
    model = bind(find_model("LAION_fMRI-CLIP").model(), dataset)
    features = np.asarray(model.features_for(task.test_ids))
    loaded = load_encoder(encoder.save(tmp_path / "clip.h5"))
    found = loaded.encode(features)
    np.testing.assert_allclose(found, predicted_by_kernels(model, task, task.test_ids), atol=1e-5)
    for wrong in (IMAGE, ["a.png"], features[:, 1:], features + np.nan, features[:0]):
        with pytest.raises(ImagesError, match="CLIP"):
            loaded.encode(wrong)
    with pytest.raises(ImagesError, match="sees no image.*received StimulusSet"):
        loaded.encode(dataset.stimulus_set(task.test_ids))


def test_an_encoder_of_nouns_says_which_column_is_which_noun(tiny_dataset):
    encoder = fitted(tiny_dataset, model="LAION_fMRI-nouns", regions="IT", pool="shared", alphas=(1.0,))
    model = bind(find_model("LAION_fMRI-nouns").model(), open_dataset(tiny_dataset))
    assert encoder.about["feature_names"] == list(model.table.nouns)
    table = pd.DataFrame(
        model.features_for(encoder.metadata["encoding_model"]["test_stimuli"]), columns=model.table.nouns
    )
    expected = encoder.encode(table.to_numpy())
    assert len(np.unique(expected.round(5), axis=0)) > 3
    np.testing.assert_array_equal(encoder.encode(table[sorted(table, reverse=True)]), expected)


def test_a_region_that_the_map_of_regions_lacks_is_recorded_as_asked(tiny_dataset, tmp_path):
    layers, images = {"V2": "conv", "faces": "pool"}, IMAGE + np.arange(3, dtype=np.uint8)[:, None, None, None]
    options = {"dataset": tiny_dataset, "alphas": (1.0,), "engine": QUIET}
    encoder = fit_encoder(small_network(layers), "sub-01", ("FFA1", "V1"), "tau", record="faces", **options)
    assert encoder.about["recorded"] == {"FFA1": "faces", "V1": "faces"}
    assert encoder.metadata["encoding_model"]["layers"] == {"FFA1": "pool", "V1": "pool"}
    as_usual = fit_encoder(make_model(), "sub-01", "FFA1", "tau", **options)  # records IT, which is of the same layer
    found = encoder.encode(images, {"roi": "FFA1"})
    np.testing.assert_allclose(found, as_usual.encode(images), rtol=1e-5)
    loaded = load_encoder(encoder.save(tmp_path / "enc.h5"), model=small_network(layers))
    np.testing.assert_array_equal(loaded.encode(images, {"roi": "FFA1"}), found)
    for record, error, message in (
        ("V4", UnmappedRegionError, "V4"),
        ("two words", IdentifierError, "record is a region that the model has a layer for"),
    ):
        with pytest.raises(error, match=message):
            fit_encoder(small_network(layers), "sub-01", "FFA1", record=record, **options)


def test_what_cannot_be_fitted_is_said_before_any_image_is_shown(tiny_dataset):
    for options, error, message in (
        ({"regions": "FFA"}, IdentifierError, "FFA"),
        ({"regions": ()}, IdentifierError, "one region or more"),
        ({"train": "cluster_k5"}, IdentifierError, "cluster_k5_0"),
        ({"dtype": "float64"}, StimulusKernelError, "float32, float16"),
        ({"max_size": 0}, StimulusKernelError, "above 0"),
        ({"max_size": "1GB"}, StimulusKernelError, "a number of bytes, above 0; received '1GB'"),
        ({"alphas": (-1.0,)}, StimulusKernelError, "positive"),
    ):
        with pytest.raises(error, match=message):
            fitted(tiny_dataset, model=CountingModel(), **options)
    with pytest.raises((IdentifierError, MissingDataError), match="sub-02"):
        fit_encoder(CountingModel(), "sub-02", dataset=tiny_dataset)


def test_responses_to_kinds_of_images_that_no_fit_saw_are_predicted(tiny_dataset):
    network = as_brain_model(torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(8)).eval(), layers={"V4": "0"})
    encoder, dataset = fitted(tiny_dataset, train="all", regions="V4", model=network), open_dataset(tiny_dataset)
    task = task_of("V4", tiny_dataset)
    ids = [s for s in task.pool.stimulus_ids if is_ood(s)]
    assert ids
    assert not set(ids) & set(encoder.metadata["encoding_model"]["train_stimuli"])
    predicted = encoder.encode(dataset.stimulus_set(ids), progress=False)
    measured = task.load_responses().select(ids).values
    rs = [np.corrcoef(p, m)[0, 1] for p, m in zip(predicted.T, measured.T, strict=True)]
    assert np.median(rs) > 0.15
    pairs = np.triu_indices(len(ids), 1)
    rdms = [(1 - np.corrcoef(responses))[pairs] for responses in (predicted, measured)]
    assert spearmanr(*rdms)[0] > 0.3


def test_an_encoder_is_a_model_of_other_benchmarks(tiny_dataset):
    encoder = fitted(tiny_dataset, train="all", regions=("V1", "IT"), alphas=(1e-3,))
    brain, dataset = EncoderBrain(encoder), open_dataset(tiny_dataset)
    with pytest.raises(StimulusKernelError, match="asked to record a region before it looks"):
        brain.look_at(dataset.stimulus_set(dataset.pool_stimuli("shared")[:2]))
    own = benchmark("LAION_fMRI.V1-tau-ridgecv", subjects=("sub-03",), dataset=tiny_dataset)
    score = score_model(brain, own)
    assert score.attrs["model_identifier"] == "small-network-seed0-predicted-sub-01"
    fits = [fitted(tiny_dataset, train="all", regions=("V1", "IT"), alphas=(alpha,)) for alpha in (1e-3, 10.0)]
    again, another = (network_digest(EncoderBrain(fit)) for fit in fits)
    assert score.attrs["network_digest"] == again != another  # one name, two models
    stimuli = dataset.stimulus_set(task_of("V1", tiny_dataset).test_ids[:4])
    brain.start_recording("IT")
    np.testing.assert_array_equal(brain.look_at(stimuli), encoder.encode(stimuli, {"roi": ["IT"]}))
    with pytest.raises(NotAbleError, match="does not vary between trials"):
        brain.look_at(stimuli, require_variance=True)
    raw = score.attrs["sub-03"].attrs["raw"].attrs["raw"]
    assert np.median(raw) > 0.1
    n_test = score.attrs["sub-03"].attrs["n_test"]
    (note,) = (note for note in score.attrs["notes"] if "was fitted to" in note)
    assert note.startswith(
        f"{brain.identifier} was fitted to responses to {n_test} of the {n_test} test stimuli of sub-03"
    )
    other = EncoderBrain(fitted(tiny_dataset, train="tau", pool="shared", regions="V1"), "fitted to tau")
    honest = score_model(other, benchmark("LAION_fMRI.V1-tau-ridgecv", subjects=("sub-01",), dataset=tiny_dataset))
    assert not any("was fitted to" in note for note in honest.attrs.get("notes", ()))
    with pytest.raises(UnmappedRegionError, match="its encoder has, V1, IT, .*; received V4. Fit an encoder to it"):
        score_model(brain, benchmark("LAION_fMRI.V4-tau-ridgecv", subjects=("sub-03",), dataset=tiny_dataset))
