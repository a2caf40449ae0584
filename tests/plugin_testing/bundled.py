"""What the comparison with the bundled plugin needs: both sides' data, and a network that is quick to run.

Pointing the bundled plugin at a dataset is shared with the benchmark that times it, and lives beside that.
"""

import functools
import sys
from dataclasses import dataclass
from pathlib import Path

from .install_check import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "bench"))

import bundled_plugin
from bundled_plugin import leave_out_transparent, publish
from compared import Compared, Outcome, our_outcomes, their_outcomes

LAYERS = {"V1": "0", "IT": "4"}
"""Of `small_network`, by region: 1,568 features, more than the training images, and 24, fewer."""


@dataclass(frozen=True)
class BothSides:
    """One dataset for both plugins.

    Attributes
    ----------
    dataset : Path
        Dataset folder, for ours.
    published : Path
        The same data in the published form, for the bundled plugin.
    """

    dataset: Path
    published: Path

    def bundled(self, caching: bool = False):
        """The context in which the bundled plugin sees this data."""
        return bundled_plugin.bundled_plugin(self.published, self.dataset / "splits", caching)

    def ours(self, compared: Compared, model) -> dict[str, Outcome]:
        """Our outcome of each subject."""
        return our_outcomes(compared.ours(self.dataset)(model), compared.subjects)

    def theirs(self, compared: Compared, model, caching: bool = False) -> dict[str, Outcome]:
        """The bundled plugin's outcome of each subject."""
        with self.bundled(caching):
            return their_outcomes(compared.theirs()(model), compared.subjects)


def both_sides(dataset: Path, folder: Path, subjects: tuple[str, ...]) -> BothSides:
    """A dataset without its transparent images, for both plugins.

    Parameters
    ----------
    dataset : Path
        A dataset folder.
    folder : Path
        Existing folder for what is made.
    subjects : tuple of str
        Whose data the bundled plugin gets.
    """
    opaque = leave_out_transparent(dataset, folder / "dataset")
    return BothSides(opaque, publish(opaque, folder / "published", {"shared": subjects, "persubject": subjects}))


def small_network():
    """A seeded convolutional network on 32 x 32 pixels, committed to V1 and IT (`LAYERS`)."""
    import torch
    from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper, load_preprocess_images
    from brainscore_vision.model_helpers.brain_transformation import ModelCommitment

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, kernel_size=5, stride=2),
            torch.nn.ReLU(),
            torch.nn.Conv2d(8, 6, kernel_size=3, stride=2),
            torch.nn.Tanh(),
            torch.nn.AdaptiveAvgPool2d(2),
        )
    activations = PytorchWrapper(
        identifier="small-network",
        model=network,
        preprocessing=functools.partial(load_preprocess_images, image_size=32),
    )
    return ModelCommitment(
        identifier="small-network",
        activations_model=activations,
        layers=list(LAYERS.values()),
        region_layer_map=dict(LAYERS),
    )
