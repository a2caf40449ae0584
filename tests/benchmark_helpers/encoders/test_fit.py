"""Encoders of any dataset and model: weights or training features, whatever is smaller, predict as scikit-learn does."""

import dataclasses
import functools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from plugin_testing.models import FeatureModel, pixel_features, small_network
from plugin_testing.second_dataset import Images
from plugin_testing.small_benchmark import make_images
from sklearn.linear_model import Ridge

from brainscore_vision.benchmark_helpers.stimulus_kernels import (
    EngineOptions,
    NoiseCeiling,
    Responses,
    RidgeMetric,
    StimulusPart,
    StimulusPool,
    SubjectTask,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.encoders.encoder import Encoder
from brainscore_vision.benchmark_helpers.stimulus_kernels.encoders.file import EncoderFileError
from brainscore_vision.benchmark_helpers.stimulus_kernels.encoders.fit import EncoderSettings, fit
from brainscore_vision.benchmark_helpers.stimulus_kernels.encoders.images import ImagesError
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StimulusKernelError
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.lookup import LookupModel

IDS = tuple(f"image {i}" for i in range(30))
TRAIN, TEST = IDS[:22], IDS[22:]


@dataclass(frozen=True)
class Made:
    """Noise: an encoder has to predict it as the reference does."""

    n_voxels: int

    def __call__(self) -> Responses:
        values = 3 + np.random.default_rng(self.n_voxels).standard_normal((len(IDS), self.n_voxels))
        counts = np.full(len(IDS), 4)
        sites = pd.DataFrame({"site": np.arange(self.n_voxels)})
        return Responses("A", np.array(IDS), values, counts, sites, NoiseCeiling(np.full(self.n_voxels, 0.5), 0.25))


def task_of(folder, region, n_voxels):
    pool = StimulusPool("all", (StimulusPart("all images", IDS),), 8.0, Images(folder))
    return SubjectTask("A", region, region, pool, TRAIN, TEST, RidgeMetric((5.0,)), Made(n_voxels))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_images(tmp_path_factory.mktemp("images"), len(IDS), seed=4)


@pytest.fixture
def model():
    # 1,200 features: two blocks; far from 0, as after a ReLU
    features = {"V1": functools.partial(shifted, size=20), "IT": functools.partial(shifted, size=6)}
    return FeatureModel(None, regions=features, visual_degrees=8.0, identifier="shifted pixels")


def shifted(path, size):
    return pixel_features(path, size) / 50 + 100


@pytest.mark.parametrize("n_voxels", [3, 90], ids=["weights", "training features"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float16", 3e-3)])
def test_predictions_are_those_of_scikit_learn(folder, model, tmp_path, n_voxels, dtype, tolerance):
    tasks = [task_of(folder, "V1", n_voxels), task_of(folder, "IT", 2)]
    settings = EncoderSettings(alphas=(5.0,), dtype=dtype)
    encoder = fit(model, tasks, tmp_path / "enc.h5", settings=settings, options=EngineOptions(progress=False))
    assert (encoder.parts[0].second is None) == (n_voxels == 3)
    stimuli = Images(folder).load_stimuli(TEST)
    found = encoder.encode(stimuli, progress=False)
    for task, size, columns in zip(tasks, (20, 6), (slice(0, n_voxels), slice(n_voxels, None)), strict=True):
        x = {i: shifted(Images(folder).load_stimuli([i]).get_stimulus(i), size) for i in IDS}
        reference = Ridge(5.0).fit([x[i] for i in TRAIN], task.load_responses().select(TRAIN).values)
        np.testing.assert_allclose(found[:, columns], reference.predict([x[i] for i in TEST]), atol=tolerance)
    assert encoder.about["loss"][0]["rounding"] < tolerance
    assert encoder.path.stat().st_size < 400_000
    one_hot = np.zeros(encoder.n_voxels)
    one_hot[[1, n_voxels]] = 1
    np.testing.assert_allclose(encoder.encode(stimuli, {"voxel_index": one_hot}), found[:, [1, n_voxels]], rtol=1e-5)


def test_columns_of_neuroids_replace_nothing_that_an_encoder_says_of_itself(folder, model):
    made = Made(3)()
    neuroids = made.neuroids.assign(subject_id="monkey", n_voxels=[7, 8, 9], alpha=[-1.0, -2.0, -3.0], layer="granular")
    task = dataclasses.replace(
        task_of(folder, "V1", 3), load_responses=lambda: dataclasses.replace(made, neuroids=neuroids)
    )
    encoder = fit(model, [task], settings=EncoderSettings(alphas=(5.0,)), options=EngineOptions(progress=False))
    assert (encoder.metadata["fmri"]["subject_id"], encoder.metadata["fmri"]["n_voxels"]) == ("A", 3)
    assert encoder.voxels["alpha"].tolist() == [5.0] * 3
    assert encoder.voxels["neuroid_alpha"].tolist() == [-1.0, -2.0, -3.0]
    assert encoder.voxels["neuroid_layer"].tolist() == ["granular"] * 3


@pytest.mark.parametrize("alpha", [1.0, 1e8, 1e11])
def test_the_loss_that_is_told_is_that_of_what_is_answered(folder, model, alpha):
    """Also where predictions differ so little from the mean of 3 that float32 has few digits for it."""
    said, warned = [], []
    task, settings = task_of(folder, "V1", 3), EncoderSettings(alphas=(alpha,))
    options = {"options": EngineOptions(progress=False), "say": said.append, "warn": warned.append}
    encoder = fit(model, [task], settings=settings, **options)
    found = encoder.encode(Images(folder).load_stimuli(TRAIN), progress=False)
    x = np.array([shifted(Images(folder).load_stimuli([i]).get_stimulus(i), 20) for i in TRAIN], float)
    deviations = x - x.mean(axis=0)
    responses = task.load_responses().select(TRAIN).values
    dual = np.linalg.solve(deviations @ deviations.T + alpha * np.eye(len(x)), responses - responses.mean(axis=0))
    exact = deviations @ deviations.T @ dual  # tiny, and in float64 no mean is beside it
    apart = np.sqrt(np.mean((found - responses.mean(axis=0) - exact) ** 2, axis=0)) / exact.std(axis=0)
    told = encoder.about["loss"][0]["rounding"]
    assert 0.3 * apart.max() < told < 3 * apart.max()
    is_large = told > 0.01
    assert is_large == (alpha == 1e11)
    assert any("changes predictions" in text for text in (warned if is_large else said))
    assert any("hardly differ from a voxel's mean" in text for text in warned) == is_large


def normed(assembly):
    return assembly / np.sqrt((assembly**2).sum("neuroid"))


def features_by_interface(model, folder, region):
    """Image to features, one look for each."""
    model.start_recording(region, time_bins=[(0, 0)])
    found = {}
    for i in IDS:
        stimuli = Images(folder).load_stimuli([i])
        stimuli.identifier = None  # activations of a named set are cached
        found[i] = model.look_at(stimuli, number_of_trials=1).values.astype(float).ravel()
    return found


def test_what_a_model_makes_of_its_layers_is_in_the_encoder(folder, tmp_path):
    """A ModelCommitment whose look_at does more than to record a layer."""
    model = small_network({"V1": "pool", "IT": "head"})
    look_at = model.look_at
    model.look_at = lambda *args, **kwargs: normed(look_at(*args, **kwargs))
    tasks = [task_of(folder, "V1", 3), task_of(folder, "IT", 2)]
    settings, options = EncoderSettings(alphas=(0.1,)), EngineOptions(progress=False)
    encoder = fit(model, tasks, tmp_path / "enc.h5", settings=settings, options=options)
    again = Encoder.open(tmp_path / "enc.h5", model, check_images=True)
    for task, columns in zip(tasks, (slice(0, 3), slice(3, None)), strict=True):
        x = features_by_interface(model, folder, task.region)
        reference = Ridge(0.1).fit([x[i] for i in TRAIN], task.load_responses().select(TRAIN).values)
        for one in (encoder, again):
            found = one.encode(Images(folder).load_stimuli(TEST), progress=False)
            np.testing.assert_allclose(found[:, columns], reference.predict([x[i] for i in TEST]), atol=1e-4)


@pytest.mark.parametrize("written", [lambda p: p.mul_(2), lambda p: p.data.mul_(2)], ids=["trained", "by its data"])
def test_a_network_that_was_trained_further_does_not_answer_for_its_encoder(folder, written):
    model = small_network({"V1": "pool"})
    encoder = fit(model, [task_of(folder, "V1", 3)], options=EngineOptions(progress=False))
    stimuli, weights = Images(folder).load_stimuli(TEST), model.activations_model._model.conv.weight
    before = encoder.encode(stimuli, progress=False)
    with torch.no_grad():
        written(weights)
    with pytest.raises(EncoderFileError, match="has weights .* fit the encoder again"):
        encoder.encode(stimuli, progress=False)
    with torch.no_grad():
        weights.div_(2)
    np.testing.assert_allclose(encoder.encode(stimuli, progress=False), before, rtol=1e-6)


def test_threads_may_ask_one_encoder(folder):
    """As those of a web server do."""
    model = small_network({"V1": "pool", "IT": "head"})
    tasks = [task_of(folder, "V1", 3), task_of(folder, "IT", 2)]
    encoder = fit(model, tasks, settings=EncoderSettings(alphas=(0.1,)), options=EngineOptions(progress=False))
    paths = [Images(folder).load_stimuli([i]).get_stimulus(i) for i in IDS]
    expected = encoder.encode(paths, progress=False)
    asked = [np.arange(k, k + 2 + k % 4) % len(IDS) for k in range(12)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda rows: encoder.encode([paths[row] for row in rows], progress=False), asked))
    for rows, responses in zip(asked, found, strict=True):
        np.testing.assert_allclose(responses, expected[rows], atol=1e-5)


class Looked(LookupModel):
    """Features with names, by stimulus."""

    identifier, features_version, feature_names = "looked up", "1", [f"f{i}" for i in range(12)]
    table = pd.DataFrame(np.random.default_rng(5).standard_normal((len(IDS), 12)), IDS, feature_names)

    def known(self, stimulus_ids):
        return stimulus_ids

    def features_for(self, stimulus_ids):
        return self.table.loc[list(stimulus_ids)].to_numpy()


def test_features_in_a_table_are_found_by_their_names(folder):
    settings = EncoderSettings(alphas=(0.1,))
    encoder = fit(Looked(), [task_of(folder, "V1", 3)], settings=settings, options=EngineOptions(progress=False))
    table = Looked.table.loc[list(TEST)]
    expected = encoder.encode(table.to_numpy())
    by_text = table[sorted(table)]  # f0, f1, f10, f11, f2 ...
    np.testing.assert_array_equal(encoder.encode(by_text.assign(trial=1)), expected)
    with pytest.raises(ImagesError, match="columns f0 to f11; the table lacks 1 of 12, the first: f3"):
        encoder.encode(table.rename(columns={"f3": "g3"}))
    np.testing.assert_array_equal(encoder.encode(table.set_axis(range(12), axis=1)), expected)
    for numbers in (range(11, -1, -1), range(6, 18)):
        with pytest.raises(ImagesError, match="are called f0 to f11; the table's columns are called .*to_numpy"):
            encoder.encode(table.set_axis(numbers, axis=1))


def test_an_encoder_is_of_one_subject_and_each_region_once(folder, model):
    task = task_of(folder, "V1", 3)
    with pytest.raises(StimulusKernelError, match="each region once"):
        fit(model, [task, task], options=EngineOptions(progress=False))
    with pytest.raises(StimulusKernelError, match="features that differ between passes"):
        fit(model, [task], options=EngineOptions(progress=False, random_features="accept"))
