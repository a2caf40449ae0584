"""A few images, as paths, as networks get them, and as a stimulus set.

Brain-Score is imported in the fixtures: pytest reads this file before the session's homes are set (../../conftest.py) where
a test of this folder is named on its command line.
"""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    from plugin_testing.layer_networks import N_IMAGES

    folder = tmp_path_factory.mktemp("images")
    pixels = np.random.default_rng(2).integers(0, 256, (N_IMAGES, 32, 32, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"s{i:02d}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def images(paths):
    """The images as the networks get them."""
    import torch
    from brainscore_vision.model_helpers.activations.pytorch import load_preprocess_images

    return torch.from_numpy(load_preprocess_images(paths, image_size=32))


@pytest.fixture
def stimuli(paths):
    from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet

    stimuli = StimulusSet({"stimulus_id": [path.stem for path in paths]})
    stimuli.stimulus_paths = {path.stem: str(path) for path in paths}
    stimuli.identifier = None
    return stimuli
