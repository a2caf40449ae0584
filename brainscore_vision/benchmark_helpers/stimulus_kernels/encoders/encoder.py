"""Encoders that answer: predicted responses to images, or to features where a model looks features up."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from tqdm.auto import tqdm

from ..errors import ModelOutputError, StimulusKernelError
from ..features.image_files import check_degrees
from ..features.network import network_digest, pytorch_wrapper, weights_state
from ..features.preprocessing import noticing_changes, preprocessing_digest, same_code, structure_digest
from ..features.recording import CPU_BATCH, answers_by_layers, library, recorder_for, recording_alone
from ..files import replacing
from .file import EncoderFileError, Part, opened, read_header
from .images import ImagesError, Plain, listed, made_images, placed_pieces, reads_ppm

BUFFER_BYTES = 2**28
"""Features of images that wait to be multiplied together: the large matrix is read once for all of them."""

_WEIGHTED = " (2*x is x times 2, the weight that a combination gives it: multiply the numbers first)"

TOLERANCE = 1e-2
"""Of predictions of made images, relative to their spread, between the fit and now."""

DEVICES = ("auto", "cpu", "cuda")
SELECTIONS = ("roi", "voxel_index")

_logger = logging.getLogger(__name__)


class SelectionError(StimulusKernelError):
    """A region or voxel that an encoder does not have."""


@dataclass(eq=False, repr=False)
class Encoder:
    """Predicts a subject's responses; made by fitting one, or by opening a file.

    Attributes
    ----------
    path : pathlib.Path
        The file behind it.
    about : dict
        Network, field of view, subject, regions.
    metadata : dict
        Nested: ``fmri`` describes voxels; ``encoding_model`` the network, its layers by region, training, test and accuracy;
        ``roi`` has the positions of each region's voxels in the responses.
    parts : list of Part
    model : brainscore_vision.model_interface.BrainModel or None
        None where features are looked up: they are given instead of images.
    plain : callable or None
        How images were shown to the subjects; see :data:`.images.Plain`.
    """

    path: Path
    about: dict
    metadata: dict
    parts: list[Part]
    model: object = None
    plain: Plain | None = None
    _recorders: dict = field(default_factory=dict)
    _reads_ppm: bool | None = None
    _weights: tuple | None = None

    @classmethod
    def open(cls, path: Path, model=None, plain: Plain | None = None, check_images: bool = False) -> Encoder:
        """The encoder of a file.

        Parameters
        ----------
        path : pathlib.Path
        model : brainscore_vision.model_interface.BrainModel, optional
            That it was fitted with; needed for images.
        plain : callable, optional
        check_images : bool
            Compare predictions of a few made images with those after the fit.

        Raises
        ------
        EncoderFileError
            A damaged file, one of another version, or another network.
        """
        about, metadata, parts = read_header(path)
        encoder = cls(Path(path), about, metadata, parts, model, plain)
        for part in parts:
            if part.checksums is not None:
                for _ in part.blocks():  # a damaged block is found now, and not after a thousand images
                    pass
        if model is not None:
            encoder._check_model()
            if check_images and about["kind"] == "images":
                encoder._check_predictions()
        return encoder

    @property
    def n_voxels(self) -> int:
        return self.about["n_voxels"]

    def __repr__(self) -> str:
        source, regions = f"{self.about['subject']} from {self.about['identifier']}", ", ".join(self.about["regions"])
        return f"<Encoder of {source}: {regions}; {self.n_voxels} voxels>"

    @property
    def voxels(self) -> pd.DataFrame:
        """One row per voxel: what is known of it, its layer, its place (``i``, ``j``, ``k``), and how well it is predicted."""
        region, layer = np.full((2, self.n_voxels), "", object)
        for name, layers in self.metadata["encoding_model"]["layers"].items():
            region[self.metadata["roi"][name]] = name
            layer[self.metadata["roi"][name]] = layers if isinstance(layers, str) else " + ".join(layers or ())
        columns = {"region": region} | ({"layer": layer} if any(layer) else {})
        for group in ("fmri", "encoding_model"):
            for name, value in self.metadata[group].items():
                if self._is_per_voxel(name, value) and value.ndim == 1:
                    columns.setdefault(name, value)
        if "voxel_coords" in self.metadata["fmri"]:
            columns |= dict(zip("ijk", self.metadata["fmri"]["voxel_coords"].T, strict=True))
        return pd.DataFrame(columns)

    def encode(
        self,
        images,
        selection: Mapping | None = None,
        return_metadata: bool = False,
        batch_size: int | None = None,
        progress: bool = True,
    ):
        """Predicted responses.

        Parameters
        ----------
        images : numpy.ndarray, sequence of paths or PIL images, or StimulusSet
            Square and RGB; arrays hold whole numbers from 0 to 255, (n, 3, height, width) or (n, height, width, 3). They are
            taken to be as wide as the images that the subject saw. Encoders of features that are looked up take an array of
            features instead, (n, features), or a DataFrame with the columns of the fit, in any order.
        selection : mapping, optional
            ``roi``, names of regions that the encoder was fitted to, or of regions of interest that lie in these (keys of
            ``metadata["roi"]``); ``voxel_index``, 1 for each voxel that is wanted and 0 for others. With both, voxels that
            either names. Default: all voxels.
        return_metadata : bool
            Also return :attr:`metadata`, of the selected voxels; the accuracy of a region stands there if all of its voxels do.
        batch_size : int, optional
            Images at once at most; default: the model's own on a GPU, 8 or fewer on the CPU.
        progress : bool
            Show a bar; silent when standard error is not a terminal.

        Returns
        -------
        numpy.ndarray of float32, shape (images, voxels)
            Voxels in the encoder's order. Their correlations with responses are those of the metadata but for rounding, which
            ``about["loss"]`` tells: it is not small where a penalty leaves little but a voxel's mean response.

        Raises
        ------
        ImagesError, SelectionError, ModelOutputError
        """
        (responses,) = encode_many([self], images, selection, batch_size, progress)
        return (responses, self._metadata_of(self.selected(selection))) if return_metadata else responses

    def _metadata_of(self, columns: np.ndarray) -> dict:
        """Metadata of some voxels, as if there were no others."""
        tree = {
            group: {n: value[columns] if self._is_per_voxel(n, value) else value for n, value in described.items()}
            for group, described in self.metadata.items()
        }
        places = {name: np.flatnonzero(np.isin(columns, own)) for name, own in self.metadata["roi"].items()}
        tree["roi"] = {name: own for name, own in places.items() if len(own)}
        whole = {name for name, own in places.items() if len(own) == len(self.metadata["roi"][name])}
        for name, regions in (("layers", set(tree["roi"])), ("accuracy", whole)):
            if name in tree["encoding_model"]:
                of_all = tree["encoding_model"][name]
                tree["encoding_model"][name] = {region: of_all[region] for region in of_all if region in regions}
        tree["fmri"]["n_voxels"] = len(columns)
        return tree

    def _is_per_voxel(self, name: str, value) -> bool:
        is_other = name == "affine" or name.endswith("_stimuli")
        return isinstance(value, np.ndarray) and value.shape[:1] == (self.n_voxels,) and not is_other

    def to_xarray(self, responses: np.ndarray, selection: Mapping | None = None, stimulus_ids=None) -> xr.DataArray:
        """Responses with the coordinates of voxels, (stimulus, voxel)."""
        voxels = self.voxels.iloc[self.selected(selection)]
        if np.shape(responses) != (len(responses if stimulus_ids is None else stimulus_ids), len(voxels)):
            raise SelectionError(
                f"Responses are (images × voxels) with {len(voxels)} voxels of the selection and an image for each of the "
                f"stimulus_ids; received shape {np.shape(responses)}. Give the selection and the images that were encoded."
            )
        ids = [f"image {i}" for i in range(len(responses))] if stimulus_ids is None else list(map(str, stimulus_ids))
        coords = {"stimulus": ids} | {
            str(name): ("voxel", column.to_numpy(str if column.dtype == object else column.dtype))
            for name, column in voxels.items()
        }
        attrs = {name: self.about[name] or "" for name in ("subject", "identifier", "source", "network")}
        return xr.DataArray(responses, dims=("stimulus", "voxel"), coords=coords, attrs=attrs, name="response")

    def to_frame(self, responses: np.ndarray, selection: Mapping | None = None, stimulus_ids=None) -> pd.DataFrame:
        """Responses as a table: a row per image, a column per voxel, named by region and position."""
        array = self.to_xarray(responses, selection, stimulus_ids)
        names = [f"{r}_{i}" for r, i in zip(array.region.values, self.selected(selection), strict=True)]
        return pd.DataFrame(responses, index=pd.Index(array.stimulus.values, name="stimulus"), columns=names)

    def save(self, path: Path) -> Path:
        """Write the encoder to a file, whole or not at all; EncoderFileError if the file behind it is not there any more."""
        path = Path(path)
        with opened(self.path):
            pass
        with replacing(path) as scratch:
            shutil.copyfile(self.path, scratch)
            about, _, parts = read_header(scratch)
            if fit_digest(about, parts) != fit_digest(self.about, self.parts):
                raise EncoderFileError(
                    f"{self.path} holds another encoder now, of a later fit. Fit {self!r} again, to a path of its own."
                )
        return path

    def selected(self, selection: Mapping | None) -> np.ndarray:
        """Positions of voxels, ascending, that a selection names."""
        if selection is None:
            return np.arange(self.n_voxels)
        if not isinstance(selection, Mapping) or not selection or not set(selection) <= set(SELECTIONS):
            raise SelectionError(
                f"A selection is a mapping with {' or '.join(SELECTIONS)}, or both; received "
                f"{list(selection) if isinstance(selection, Mapping) else selection!r}."
            )
        chosen = np.zeros(self.n_voxels, bool)
        roi = selection.get("roi")
        for name in () if roi is None else roi if isinstance(roi, list | tuple | set | np.ndarray) else [roi]:
            if not isinstance(name, str) or name not in self.metadata["roi"]:
                raise SelectionError(
                    f"roi names regions all of whose voxels the encoder of {self.about['subject']} has, "
                    f"{', '.join(self.metadata['roi'])}; received roi {name!r}. Fit one to it, or choose voxels by voxel_index "
                    f"(encoder.voxels describes them)."
                )
            chosen[self.metadata["roi"][name]] = True
        if selection.get("voxel_index") is not None:
            index = np.asarray(selection["voxel_index"])
            if index.shape != (self.n_voxels,) or not np.isin(index, (0, 1)).all():
                raise SelectionError(
                    f"voxel_index has a 0 or a 1 for each of {self.n_voxels} voxels of {self.about['subject']}; received shape "
                    f"{index.shape}, dtype {index.dtype}."
                )
            chosen |= index.astype(bool)
        if not chosen.any():
            raise SelectionError("A selection names one voxel or more; this one names none.")
        return np.flatnonzero(chosen)

    def _check_model(self) -> None:
        """Raise EncoderFileError if the network is another one now, such as one that was trained further since the fit."""
        weights = weights_state(self.model)
        if weights == self._weights:
            return
        about, now = self.about, network_digest(self.model)
        if now != about["network"] or float(self.model.visual_degrees()) != about["visual_degrees"]:
            raise EncoderFileError(
                f"An encoder answers with the network that it was fitted with: {about['identifier']} of weights "
                f"{about['network']} and {about['visual_degrees']:g} degrees; {self.model.identifier} has weights {now} and "
                f"{self.model.visual_degrees():g} degrees. Load the same weights, or fit the encoder again."
            )
        self._weights = weights

    def _check_predictions(self) -> None:
        expected = self.about["made_images"]
        with noticing_changes(self.model):
            found = self.encode(made_images(), progress=False)[:, : len(expected[0])]
        expected = np.array(expected)
        # what all images share is the intercept's; the second bound is float32's rounding
        scale = max(expected.std(axis=0).max(), 1e-4 * np.abs(expected).max()) or 1.0
        apart = float(np.abs(found - expected).max() / scale)
        if not apart <= TOLERANCE:
            raise EncoderFileError(
                f"The same network must answer as it did after the fit, but predictions of made images differ by {apart:.2g} "
                f"of their spread: {self.model.identifier} prepares images, or computes, in another way. Fit the encoder again."
            )
        then, now = self.about.get("preparing") or [None, None], code_digests(self.model)
        if not all(map(same_code, then, now)):
            _logger.warning(
                "Code or settings of %s are not those that %s was fitted with. Predictions of a few made images are the same, "
                "those of other images may not be: load the network as it was, or fit the encoder again.",
                self.model.identifier,
                self.path,
            )


def fit_digest(about: dict, parts: Sequence[Part]) -> str:
    """Digest of the network, its code and the weights that an encoder was fitted with: another fit has another one."""
    content = hashlib.blake2b(repr((about["network"], about.get("preparing"))).encode(), digest_size=16)
    for part in parts:
        content.update(repr((part.label, part.layers)).encode())
        for array in (part.columns, part.centre, part.intercept, part.second, part.checksums):
            content.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    return content.hexdigest()


def code_digests(model) -> list[str | None]:
    """What a file says of a model besides its weights: its code and settings, and what prepares its images.

    To be called after images were shown inside :func:`~..features.preprocessing.noticing_changes`.
    """
    return [structure_digest(model, steady=True), preprocessing_digest(model)]


def encode_many(
    encoders: Sequence[Encoder],
    images,
    selection: Mapping | None = None,
    batch_size: int | None = None,
    progress: bool = True,
) -> list[np.ndarray]:
    """Predicted responses of several encoders of one network, such as those of several subjects, with one forward pass.

    Parameters
    ----------
    encoders : sequence of Encoder
    images, selection, batch_size, progress
        As for :meth:`Encoder.encode`.

    Returns
    -------
    list of numpy.ndarray of float32
        One per encoder, (images, voxels).
    """
    encoders = list(encoders) if isinstance(encoders, Iterable) else [encoders]
    if not encoders or not all(isinstance(encoder, Encoder) for encoder in encoders):
        received = ", ".join(type(encoder).__name__ for encoder in encoders)
        raise StimulusKernelError(f"encode_many takes encoders, one or more; received {received or 'none'}.")
    names = ("network", "identifier", "kind", "visual_degrees", "source_degrees", "preparing")
    if len({str([encoder.about.get(name) for name in names]) for encoder in encoders}) != 1:
        raise EncoderFileError(
            f"Encoders that share a forward pass are of one network, preprocessing and field of view; received "
            f"{', '.join(str(encoder.about['identifier']) for encoder in encoders)}. Ask them one by one."
        )
    if batch_size is not None and (
        isinstance(batch_size, bool) or not isinstance(batch_size, Integral) or batch_size < 1
    ):
        raise ImagesError(f"batch_size is a number of images, 1 or more; received {batch_size!r}.")
    outputs = [_Output(encoder, selection) for encoder in encoders]
    first = encoders[0]
    if first.about["kind"] == "features":
        features = _features(first, images)
        for output in outputs:
            output.take({part.label: features for part in output.encoder.parts})
    else:
        if first.model is None:
            raise EncoderFileError(
                f"Images are answered with the network of {first.about['identifier']}; load the encoder with it (model=...)."
            )
        first._check_model()
        _show(first, encoders, listed(images), outputs, batch_size, progress)
    return [output.result() for output in outputs]


def _features(encoder: Encoder, features) -> np.ndarray:
    names = encoder.about.get("feature_names")
    if isinstance(features, pd.DataFrame) and not isinstance(features, StimulusSet):
        if names and pd.api.types.infer_dtype(features.columns) == "string":
            lacking = [name for name in names if name not in features]
            if lacking:
                raise ImagesError(
                    f"Features of {encoder.about['identifier']} are the columns {names[0]} to {names[-1]}; the table lacks "
                    f"{len(lacking)} of {len(names)}, the first: {lacking[0]}{_WEIGHTED if '*' in lacking[0] else ''}. Rename "
                    f"them, or pass the numbers alone, in this order (to_numpy())."
                )
            features = features[names]
        elif not features.columns.equals(pd.RangeIndex(features.shape[1])):  # which counts places
            columns = ", ".join(map(repr, features.columns[:3].tolist()))
            of_fit = f"are called {names[0]} to {names[-1]}" if names else "have no names"
            raise ImagesError(
                f"Features of {encoder.about['identifier']} {of_fit}; the table's columns are called {columns} ..., which says "
                f"nothing of their order. Pass the numbers alone, in the order of the fit (to_numpy())."
            )
        features = features.to_numpy()
    n = encoder.parts[0].n_features
    if not isinstance(features, np.ndarray) or features.ndim != 2 or features.dtype.kind not in "fiub":
        raise ImagesError(
            f"{encoder.about['identifier']} looks features up and sees no image: its encoder takes an array of features of the "
            f"same kind, (n, {n}), or a table of them; received "
            f"{f'{features.dtype} {features.shape}' if isinstance(features, np.ndarray) else type(features).__name__}."
        )
    if not len(features) or features.shape[1] != n or not np.isfinite(features).all():
        raise ImagesError(
            f"Features of {encoder.about['identifier']} are finite numbers, (n, {n}) with n of 1 or more; received shape "
            f"{features.shape}, {np.count_nonzero(~np.isfinite(features))} of them not finite."
        )
    return features


def _show(first: Encoder, encoders, images, outputs, batch_size, progress: bool) -> None:
    """Show images to the network; the next ones are prepared meanwhile."""
    layers = {part.label: part.layers for encoder in encoders for part in encoder.parts}
    model = first.model
    if all(layers.values()) and answers_by_layers(model):
        region_layers = {label: names[0] if len(names) == 1 else list(names) for label, names in layers.items()}
        model = library().ModelCommitment(
            identifier=model.identifier,
            activations_model=model.activations_model,
            layers=list(dict.fromkeys(name for names in layers.values() for name in names)),
            region_layer_map=region_layers,
            visual_degrees=model.visual_degrees(),
        )
    # kept: it knows how wide the layers are, and that images can be prepared one by one
    key = id(getattr(model, "activations_model", model)), str(layers)
    if key not in first._recorders:
        first._recorders[key] = recorder_for(model, list(layers))
    recorder = first._recorders[key]
    degrees = first.about["source_degrees"], first.about["visual_degrees"]
    if isinstance(images, StimulusSet):
        check_degrees(images, degrees[0], f"the fit of {first.about['identifier']}")

    def sink(batch):
        for output in outputs:
            output.take(batch)
        bar.update(len(next(iter(batch.values()))))

    with (
        recording_alone(first.model),
        tempfile.TemporaryDirectory(prefix="encoding-") as folder,
        ThreadPoolExecutor(1, "images") as preparing,
        tqdm(
            total=len(images),
            unit="images",
            desc=str(model.identifier),
            leave=False,
            disable=None if progress else True,
        ) as bar,
    ):
        if first._reads_ppm is None:
            first._reads_ppm = reads_ppm(first.model, Path(folder))
        pieces = placed_pieces(images, Path(folder), *degrees, first.plain, first._reads_ppm)
        waiting = preparing.submit(next, pieces, None)
        while (piece := waiting.result()) is not None:
            waiting = preparing.submit(next, pieces, None)
            stimuli, made = piece
            with _batches_of(model, batch_size, len(stimuli)):
                recorder.record(stimuli, list(layers), sink)
            shutil.rmtree(made)


@contextlib.contextmanager
def _batches_of(model, batch_size: int | None, n_images: int):
    """Batches of one size, as Brain-Score fills up the last one: no larger than asked for, or than is best for the model."""
    extractor = getattr(getattr(model, "activations_model", None), "_extractor", None)
    own = getattr(extractor, "_batch_size", None)
    if own is None:
        yield
        return
    wrapper, most = pytorch_wrapper(model.activations_model), batch_size or own
    if batch_size is None and wrapper is not None and wrapper._device.type == "cpu":
        most = min(own, CPU_BATCH)
    extractor._batch_size = math.ceil(n_images / math.ceil(n_images / most))
    try:
        yield
    finally:
        extractor._batch_size = own


class _Output:
    """Collects features of images, and multiplies them when there are enough."""

    def __init__(self, encoder: Encoder, selection: Mapping | None):
        self.encoder, self._columns = encoder, encoder.selected(selection)
        self._places = {}  # part: columns of the output, columns of the part
        for part in encoder.parts:
            _, to, of = np.intersect1d(self._columns, part.columns, return_indices=True)
            self._places[part.number] = to, of
        self._waiting: list[dict] = []
        self._n_bytes, self._done = 0, []

    def take(self, batch: dict) -> None:
        for part in self.encoder.parts:
            if batch[part.label].shape[1] != part.n_features:
                raise ModelOutputError(
                    f"A layer has the same features for all images; {part.label} had {part.n_features} in the fit and has "
                    f"{batch[part.label].shape[1]} now. Give all images the size that the network's preprocessing makes."
                )
        own = {part.label: batch[part.label] for part in self.encoder.parts if len(self._places[part.number][0])}
        self._waiting.append(own)
        self._n_bytes += sum(features.nbytes for features in own.values())
        if self._n_bytes >= BUFFER_BYTES:
            self._multiply()

    def result(self) -> np.ndarray:
        self._multiply()
        return np.concatenate(self._done)

    def _multiply(self) -> None:
        if not self._waiting:
            return
        n = sum(len(next(iter(batch.values()))) for batch in self._waiting)
        out = np.empty((n, len(self._columns)), np.float32)
        for part in self.encoder.parts:
            to, of = self._places[part.number]
            if not len(to):
                continue
            features = [batch[part.label] for batch in self._waiting]
            features = features[0] if len(features) == 1 else np.concatenate(features)
            product = 0.0
            for rows, matrix in part.blocks():
                if part.second is None and len(of) < len(part.columns):
                    matrix = matrix[:, of]
                centred = (features[:, rows] - part.centre[rows]).astype(np.float32, copy=False)
                product = product + (centred @ matrix).astype(float)
            if part.second is not None:
                product = product @ part.second[:, of]
            out[:, to] = product + part.intercept[of]
        self._waiting, self._n_bytes = [], 0
        self._done.append(out)


def to_device(model, device: str) -> None:
    """Move a model's network to ``cpu`` or ``cuda``; ``auto`` leaves it where the model put it.

    Raises
    ------
    StimulusKernelError
        Another device, one that is not there, or a model without a PyTorch network that could be moved.
    """
    import torch

    if device not in DEVICES:
        raise StimulusKernelError(f"device is one of {', '.join(DEVICES)}; received {device!r}.")
    if device == "auto":
        return
    if device == "cuda" and not torch.cuda.is_available():
        raise StimulusKernelError("device is 'cuda', and there is no CUDA GPU here. Use 'auto' or 'cpu'.")
    wrapper = pytorch_wrapper(getattr(model, "activations_model", None))
    if wrapper is None:
        raise StimulusKernelError(f"{model.identifier} has no PyTorch network that could be moved. Use device='auto'.")
    wrapper._device = torch.device(device)
    wrapper._model = wrapper._model.to(wrapper._device)
