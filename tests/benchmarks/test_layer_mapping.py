"""Brain-Score's own choice of layers, ``LayerScores`` and ``LayerSelection``, on these benchmarks."""

import h5py
import numpy as np
import pytest
from brainscore_vision.model_helpers.activations.pca import LayerPCA
from brainscore_vision.model_helpers.brain_transformation import ModelCommitment, RegionLayerMap
from brainscore_vision.model_helpers.brain_transformation.neural import LayerScores, LayerSelection
from plugin_testing.models import small_network

from brainscore_vision.benchmarks.laion_fmri_7t import benchmark, score_model

LAYERS = ["pool", "conv", "head"]
NAMES = ("LAION_fMRI.V1-ood-ridge", "LAION_fMRI.IT_full-rdm-pearson")


@pytest.fixture(scope="module")
def expected(tiny_dataset):
    """Benchmark -> layer -> score of a model that is committed to this layer."""
    region = {NAMES[0]: "V1", NAMES[1]: "IT"}
    return {
        name: {
            layer: score_model(small_network({region[name]: layer}), name, dataset=tiny_dataset).item()
            for layer in LAYERS
        }
        for name in NAMES
    }


@pytest.mark.parametrize("prerun", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_layer_scores_are_those_of_models_committed_to_each_layer(tiny_dataset, expected, name, prerun):
    network = small_network({"V1": "conv"}).activations_model
    scores = LayerScores("small-network", network, visual_degrees=8)(
        benchmark(name, dataset=tiny_dataset), layers=LAYERS, prerun=prerun
    )
    assert scores["layer"].values.tolist() == LAYERS
    assert scores.values == pytest.approx([expected[name][layer] for layer in LAYERS], rel=1e-6)


@pytest.fixture
def imagenet(tmp_path, monkeypatch):
    """Where Brain-Score has the images of ImageNet that its principal components are of: noise, for every class."""
    path = tmp_path / "imagenet.hdf5"
    with h5py.File(path, "w") as file:
        images = file.create_dataset("val/images", (50_000, 8, 8, 3), dtype="uint8", chunks=(50, 8, 8, 3))
        for i, image in enumerate(np.random.default_rng(2).integers(0, 256, (1000, 8, 8, 3), dtype=np.uint8)):
            images[50 * i] = image
    monkeypatch.setenv("MT_IMAGENET_PATH", str(path))


def test_a_model_without_a_map_is_committed_by_layer_selection(tiny_dataset, expected, imagenet):
    """As ModelCommitment does it; layers with at most 1,000 features keep them, the others get principal components."""
    name = NAMES[0]
    network = small_network({"V1": "conv"}).activations_model
    selection = LayerSelection("small-network", network, LAYERS, visual_degrees=8)
    chosen = RegionLayerMap(selection, {"V1": benchmark(name, dataset=tiny_dataset)})["V1"]
    assert not LayerPCA.is_hooked(network)
    assert network.identifier == "small-network-seed0"
    narrow = {layer: expected[name][layer] for layer in ("pool", "head")}
    assert chosen in ("conv", max(narrow, key=narrow.get))
    model = ModelCommitment("small-network", network, LAYERS, region_layer_map={"V1": chosen})
    assert score_model(model, name, dataset=tiny_dataset).item() == pytest.approx(expected[name][chosen], rel=1e-6)
