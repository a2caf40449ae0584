"""Encoders of the dataset's subjects: what they predict is what the benchmark predicts, and they say what they are."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from plugin_testing.models import small_network

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
from brainscore_vision.benchmark_helpers.stimulus_kernels.comparisons import RidgeMetric
from brainscore_vision.benchmark_helpers.stimulus_kernels.encoders.encoder import SelectionError
from brainscore_vision.benchmark_helpers.stimulus_kernels.encoders.file import EncoderFileError
from brainscore_vision.benchmark_helpers.stimulus_kernels.encoders.images import ImagesError
from brainscore_vision.benchmark_helpers.stimulus_kernels.engine import Run
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StimulusKernelError
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.store import KernelStore
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge import fit as ridge
from brainscore_vision.benchmarks.laion_fmri_7t import (
    benchmark,
    encode_many,
    encoder_metadata,
    fit_encoder,
    load_encoder,
    score_model,
)
from brainscore_vision.benchmarks.laion_fmri_7t.identifiers import IdentifierError
from brainscore_vision.data.laion_fmri_7t.errors import MissingDataError
from brainscore_vision.data.laion_fmri_7t.ids import is_ood
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

QUIET = EngineOptions(progress=False)
LAYERS = {"V1": "conv", "IT": "pool"}


def make_model(seed=0):
    return small_network(LAYERS, seed=seed)


def fitted(dataset, train="tau", model=None, **options):
    regions = options.pop("regions", ("V1", "IT"))
    model = make_model() if model is None else model
    return fit_encoder(model, "sub-01", regions, train, dataset=dataset, engine=QUIET, **options)


def predicted_by_kernels(model, task, wanted):
    """As a benchmark predicts, from the kernel alone."""
    with Run([model], [task], QUIET) as run:
        for item in run.each_kernel():
            (kernel,) = run.kernels(item)
            metric = RidgeMetric("relative")
            rows = kernel.positions(task.train_ids)
            decomposition = ridge.decompose(kernel.gram, rows, run.compute, kernel.n_features)
            coordinates, mean = decomposition.coordinates(task.load_responses().select(task.train_ids).values)
            found = ridge.select_alpha(decomposition, coordinates, metric.grid, metric.unit(decomposition))
            return ridge.predict(decomposition, kernel.block(wanted, task.train_ids), found.dual_coefficients, mean)


def task_of(region, dataset, **options):
    name = f"LAION_fMRI_persubject.{region}-tau-ridgecv"
    (task,) = benchmark(name, subjects=("sub-01",), dataset=dataset, **options).resolve().tasks
    return task


def test_accuracy_is_the_raw_score_of_the_benchmark(tiny_dataset):
    encoder = fitted(tiny_dataset)
    voxels = encoder.voxels
    for region in ("V1", "IT"):
        own = benchmark(
            f"LAION_fMRI_persubject.{region}-tau-ridgecv", subjects=("sub-01",), alphas="relative", dataset=tiny_dataset
        )
        raw = score_model(make_model(), own).attrs["sub-01"].attrs["raw"].attrs["raw"]
        of_region = voxels[voxels.region == region]
        np.testing.assert_allclose(of_region.correlation_results, raw, atol=1e-9)
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
        np.testing.assert_allclose(found, expected, atol=(1e-5 if dtype == "float32" else 3e-3) * np.abs(expected).max())
        if dtype == "float32":
            measured = task.load_responses().select(task.test_ids).values
            of_test = found[: len(task.test_ids)].astype(float)
            rs = [np.corrcoef(p, m)[0, 1] for p, m in zip(of_test.T, measured.T, strict=True)]
            voxels = encoder.voxels
            np.testing.assert_allclose(rs, voxels[voxels.region == region].correlation_results, atol=1e-6)


def test_fitting_from_stored_kernels_needs_the_features_once_and_a_file_is_what_was_fitted(tiny_dataset, tmp_path):
    dataset = open_dataset(tiny_dataset)
    first = fitted(tiny_dataset, train="all")
    again = fitted(tiny_dataset, train="all", path=tmp_path / "again.h5")
    images = dataset.stimulus_set(task_of("V1", tiny_dataset).test_ids[:3])
    np.testing.assert_allclose(first.encode(images), again.encode(images), rtol=1e-5, atol=1e-6)
    saved = load_encoder(first.save(tmp_path / "enc.h5"), model=make_model())
    np.testing.assert_array_equal(saved.encode(images), first.encode(images))
    trained = set(encoder_metadata(tmp_path / "enc.h5")["encoding_model"]["train_stimuli"])
    assert trained == {s for s in dataset.pool_stimuli("sub-01") if not is_ood(s)}
    both = fitted(tiny_dataset, train="all+ood", regions="V1").metadata["encoding_model"]["train_stimuli"]
    assert set(both) == set(dataset.pool_stimuli("sub-01"))
