"""Encoders of any dataset and model: weights or training features, whatever is smaller, predict as scikit-learn does."""

import functools
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from plugin_testing.models import FeatureModel, pixel_features
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
from brainscore_vision.benchmark_helpers.stimulus_kernels.encoders.fit import EncoderSettings, fit
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StimulusKernelError

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


def test_an_encoder_is_of_one_subject_and_each_region_once(folder, model):
    task = task_of(folder, "V1", 3)
    with pytest.raises(StimulusKernelError, match="each region once"):
        fit(model, [task, task], options=EngineOptions(progress=False))
    with pytest.raises(StimulusKernelError, match="features that differ between passes"):
        fit(model, [task], options=EngineOptions(progress=False, random_features="accept"))
