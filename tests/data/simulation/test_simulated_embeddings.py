"""Embeddings and segmentations of the simulation: the released form, and features that say something about responses."""

import h5py
import numpy as np
import pandas as pd
import pytest

from brainscore_vision.data.laion_fmri_7t.errors import DatasetError
from brainscore_vision.data.laion_fmri_7t.ids import parse
from brainscore_vision.data.laion_fmri_7t.released.features import (
    EMBEDDING_MODELS,
    FEATURE_FILES,
    SEGMENTATION_MASKS,
    SEGMENTATION_TABLE,
)
from brainscore_vision.data.laion_fmri_7t.simulation import SCALES, Truth
from brainscore_vision.data.laion_fmri_7t.simulation.feature_files import SPACES
from brainscore_vision.data.laion_fmri_7t.simulation.images import render
from brainscore_vision.data.laion_fmri_7t.source import open_dataset


@pytest.fixture(scope="module")
def dataset(tiny_dataset):
    return open_dataset(tiny_dataset)


@pytest.fixture(scope="module")
def segmentations(dataset):
    return pd.read_csv(dataset.feature_file(SEGMENTATION_TABLE))


def read(dataset, name):
    with h5py.File(dataset.feature_file(name)) as file:
        return file["embedding"][:], file["image_ids"].asstr()[:].tolist(), file["valid"][:]


@pytest.mark.parametrize("name", EMBEDDING_MODELS)
def test_embeddings_have_the_released_form(dataset, name):
    with h5py.File(dataset.feature_file(name)) as file:
        assert sorted(file) == ["embedding", "image_ids", "valid"]
        assert file["embedding"].dtype == np.float16
        assert file["valid"].dtype == bool
        assert h5py.check_string_dtype(file["image_ids"].dtype) is not None
    values, ids, valid = read(dataset, name)
    assert values.shape == (SCALES["tiny"].stimuli, SCALES["tiny"].embedding_widths[EMBEDDING_MODELS.index(name)])
    assert ids == dataset.stimulus_set()["stimulus_id"].tolist()
    assert valid.all()
    assert np.isfinite(values).all()
    lengths = np.linalg.norm(values.astype(float), axis=1)
    assert np.allclose(lengths, 1, atol=2e-3) == SPACES[name].normalised


def test_full_scale_has_the_released_widths():
    assert SCALES["full"].embedding_widths == (1024, 1024, 1024, 1152)


def test_spaces_predict_the_truth_to_different_degrees(dataset, tiny_dataset):
    """Linear readout of the noise-free signal: better than chance for all, and DINOv2 is best where detail matters."""
    signal = Truth(tiny_dataset).signal("sub-01")
    explained = {}
    for name in EMBEDDING_MODELS:
        values, ids, _ = read(dataset, name)
        rows = [ids.index(s) for s in signal.stimulus_ids]
        x = values[rows].astype(float)
        x = (x - x.mean(0)) / x.std(0)
        train = np.arange(len(x)) % 3 > 0
        for region in ("V1", "IT"):
            y = signal.values[:, signal.region == region].astype(float)
            gram = x[train].T @ x[train] + 30 * np.eye(x.shape[1])
            predicted = x[~train] @ np.linalg.solve(gram, x[train].T @ (y[train] - y[train].mean(0)))
            r = [np.corrcoef(predicted[:, i], y[~train][:, i])[0, 1] for i in range(y.shape[1])]
            explained[name, region] = np.median(r)
    assert all(explained[name, "IT"] > 0.25 for name in EMBEDDING_MODELS)
    assert max(EMBEDDING_MODELS, key=lambda name: explained[name, "V1"]) in ("DINOv2", "PEcore")
    assert explained["SigLIP2", "V1"] < min(explained["DINOv2", "V1"], explained["PEcore", "V1"])


def test_segmentations_have_the_released_form(dataset, segmentations):
    columns = "mask_row image_name noun instance_id score box_x0 box_y0 box_x1 box_y1 localized mask_file".split()
    assert list(segmentations.columns) == columns
    assert segmentations["mask_row"].tolist() == list(range(len(segmentations)))
    assert set(segmentations["image_name"]) <= set(dataset.pool_stimuli("shared"))
    assert all(parse(image).shared for image in segmentations["image_name"].unique())
    with h5py.File(dataset.feature_file(SEGMENTATION_MASKS)) as file:
        size = SCALES["tiny"].image_size
        assert file["masks"].shape == (len(segmentations), size, size)
        assert file["masks"].dtype == np.uint8
        assert file["masks"].compression == "gzip"
        masks = file["masks"][:]
    assert set(np.unique(masks)) == {0, 1}
    covered = masks.mean(axis=(1, 2))
    np.testing.assert_array_equal(segmentations["localized"] == 1, covered < 0.99)
    for row in segmentations[segmentations["localized"] == 1].itertuples():
        y, x = np.nonzero(masks[row.mask_row])
        assert (row.box_x0, row.box_y0, row.box_x1, row.box_y1) == (x.min(), y.min(), x.max() + 1, y.max() + 1)


def test_instances_are_numbered_by_their_score(segmentations):
    for _, instances in segmentations.groupby(["image_name", "noun"]):
        assert instances["instance_id"].tolist() == list(range(len(instances)))
        assert instances["score"].is_monotonic_decreasing
    assert segmentations["score"].between(0, 1).all()
    assert (segmentations["localized"] == 0).any()


def test_things_in_an_image_are_among_its_nouns(segmentations):
    for image, rows in list(segmentations.groupby("image_name"))[:20]:
        things = {noun.replace("_", " ") for noun, mask in render(image, 64, 0).parts if mask.any()}
        assert things <= set(rows["noun"])


def test_feature_file_names_what_there_is(dataset):
    assert dataset.feature_file("CLIP").name == FEATURE_FILES["CLIP"]
    with pytest.raises(DatasetError, match="got 'ResNet'"):
        dataset.feature_file("ResNet")
