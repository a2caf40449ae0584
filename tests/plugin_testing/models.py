"""Models for tests: small, seeded, and wrong on request."""

import functools
import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_vision.model_interface import BrainModel
from PIL import Image

Misbehaviour = Callable[[np.ndarray, list[str]], tuple[np.ndarray, list[str]]]
"""Changes an answer: (values, stimulus ids) before to (values, stimulus ids) after."""

REGIONS = ("V1", "V2", "V3", "V4", "IT")


class FeatureModel(BrainModel):
    """A model that answers with given features, through the BrainModel interface alone.

    Parameters
    ----------
    features : mapping of stimulus id to vector, or callable
        A callable gets the path of the image that is shown.
    regions : sequence of str, or mapping of region to features
        Regions that can be recorded; a mapping gives each its own features, as `features` does.
    visual_degrees : float
        9.2 has LAION-fMRI's images shown as they are.
    misbehave : callable, optional
        See `Misbehaviour`.
    time_bins : int, optional
        Answer with a time dimension of so many bins.

    Attributes
    ----------
    looks : list of (region, stimulus ids)
        Every call of ``look_at``.
    """

    def __init__(self, features, regions=REGIONS, visual_degrees=9.2, misbehave=None, time_bins=None, identifier=None):
        self.features = dict(regions) if isinstance(regions, Mapping) else dict.fromkeys(regions, features)
        self._identifier = identifier or f"features-{_content(self.features):08x}"
        self._visual_degrees = visual_degrees
        self._misbehave = misbehave
        self._time_bins = time_bins
        self._region = None
        self.looks: list[tuple[str, list[str]]] = []

    @property
    def identifier(self) -> str:
        return self._identifier

    def visual_degrees(self):
        return self._visual_degrees

    def start_recording(self, recording_target, time_bins):
        self.features[recording_target]  # as Brain-Score's own models: an unknown region is a KeyError
        self._region = recording_target

    def look_at(self, stimuli, number_of_trials=1):
        ids = [str(stimulus_id) for stimulus_id in stimuli["stimulus_id"]]
        self.looks.append((self._region, ids))
        features = self.features[self._region]
        if callable(features):
            values = np.stack([features(stimuli.get_stimulus(stimulus_id)) for stimulus_id in ids])
        else:
            values = np.stack([features[stimulus_id] for stimulus_id in ids])
        if self._misbehave is not None:
            values, ids = self._misbehave(values, ids)
        dims = ("presentation", "neuroid")
        coords = {
            "stimulus_id": ("presentation", ids),
            "object_name": ("presentation", ["none"] * len(ids)),
            "neuroid_id": ("neuroid", np.arange(values.shape[1])),
            "region": ("neuroid", [self._region] * values.shape[1]),
        }
        if self._time_bins is not None:
            values = np.repeat(values[:, :, None], self._time_bins, axis=2)
            dims += ("time_bin",)
            coords["time_bin_start"] = ("time_bin", np.arange(self._time_bins))
            coords["time_bin_end"] = ("time_bin", np.arange(self._time_bins) + 1)
        return NeuroidAssembly(values, dims=dims, coords=coords)

    @property
    def shown(self) -> list[str]:
        """Every stimulus of every look, in order, repeated as often as it was shown."""
        return [stimulus_id for _, ids in self.looks for stimulus_id in ids]


class CountingModel(FeatureModel):
    """Features from pixels; for tests that ask whether a model was shown anything at all."""

    def __init__(self, **options):
        super().__init__(pixel_features, **options)


def pixel_features(path, size: int = 6) -> np.ndarray:
    """A coarse image: float64, shape (size * size * 3,)."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((size, size)), dtype=float).ravel()


def random_features(
    stimulus_ids: Sequence[str], width: int, seed: int = 0, offset: float = 0.0
) -> dict[str, np.ndarray]:
    """Gaussian features that depend on the stimulus' id and the seed alone."""
    return {
        stimulus_id: np.random.default_rng([seed, zlib.crc32(stimulus_id.encode())]).standard_normal(width) + offset
        for stimulus_id in stimulus_ids
    }


def not_finite(stimulus_id: str, value: float = np.nan) -> Misbehaviour:
    """One feature of one stimulus is nan or infinite."""

    def misbehave(values, ids):
        values = values.copy()
        for row in (row for row, shown in enumerate(ids) if shown == stimulus_id):
            values[row, -1] = value
        return values, ids

    return misbehave


def wider(stimulus_id: str) -> Misbehaviour:
    """One more feature in the answer that has this stimulus."""
    return lambda values, ids: (np.pad(values, ((0, 0), (0, 1))) if stimulus_id in ids else values, ids)


def other_dtype(stimulus_id: str) -> Misbehaviour:
    """Half the precision in the answer that has this stimulus."""
    return lambda values, ids: (values.astype(np.float32) if stimulus_id in ids else values, ids)


def silent_about(stimulus_id: str) -> Misbehaviour:
    """No answer for this stimulus."""

    def misbehave(values, ids):
        kept = [row for row, shown in enumerate(ids) if shown != stimulus_id]
        return values[kept], [ids[row] for row in kept]

    return misbehave


def renamed(stimulus_id: str, name: str = "another stimulus") -> Misbehaviour:
    """Answers for another stimulus than it was shown."""
    return lambda values, ids: (values, [name if shown == stimulus_id else shown for shown in ids])


def twice(stimulus_id: str) -> Misbehaviour:
    """Two answers for one stimulus."""

    def misbehave(values, ids):
        rows = [row for row, shown in enumerate(ids) for _ in range(2 if shown == stimulus_id else 1)]
        return values[rows], [ids[row] for row in rows]

    return misbehave


def reordered(values, ids):
    """The same answers in another order."""
    return values[::-1], ids[::-1]


def as_text(values, ids):
    """Words instead of numbers."""
    return values.astype(str), ids


def small_network(layer_map, seed=0, batch_size=7, visual_degrees=8, misbehave=None, identifier=None):
    """A convolutional network of a few kilobytes, wrapped and committed as Brain-Score's models are.

    Layers: ``conv`` (6 × 16 × 16), ``pool`` (6 × 4 × 4) and ``head`` (10). `misbehave` changes the ``{layer: values}`` of
    each batch.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = torch.nn.Sequential()
        network.add_module("conv", torch.nn.Conv2d(3, 6, 5, stride=2, padding=2))
        network.add_module("relu", torch.nn.ReLU())
        network.add_module("pool", torch.nn.AvgPool2d(4))
        network.add_module("flat", torch.nn.Flatten())
        network.add_module("head", torch.nn.Linear(96, 10))
    model = committed(
        network,
        layer_map,
        identifier or f"small-network-seed{seed}",
        batch_size,
        visual_degrees,
        ["conv", "pool", "head"],
    )
    if misbehave is not None:
        extractor = model.activations_model._extractor
        honest = extractor.get_activations
        extractor.get_activations = lambda images, layers: misbehave(honest(images, layers))
    return model


def committed(
    network, layer_map, identifier="a-network", batch_size=7, visual_degrees=8, layers=None, wrapper=None, image_size=32
):
    """A ModelCommitment of a torch.nn.Module that sees images of 3 × `image_size` × `image_size`.

    `layer_map` may be None, as for models whose regions Brain-Score is to choose; `wrapper` is a PytorchWrapper's class.
    """
    from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper, load_preprocess_images
    from brainscore_vision.model_helpers.brain_transformation import ModelCommitment

    activations = (wrapper or PytorchWrapper)(
        identifier=identifier,
        model=network,
        preprocessing=functools.partial(load_preprocess_images, image_size=image_size),
        batch_size=batch_size,
    )
    return ModelCommitment(
        identifier=identifier,
        activations_model=activations,
        layers=layers or [name for name, _ in network.named_modules() if name],
        region_layer_map=layer_map,
        visual_degrees=visual_degrees,
    )


def _content(features: dict) -> int:
    """A number that differs between different features: kernels are kept by a model's identifier."""
    code = 0
    for region, values in features.items():
        code = zlib.crc32(region.encode(), code)
        if callable(values):
            code = zlib.crc32(values.__qualname__.encode(), code)
        else:
            for stimulus_id, vector in values.items():
                code = zlib.crc32(np.ascontiguousarray(vector).tobytes(), zlib.crc32(stimulus_id.encode(), code))
    return code
