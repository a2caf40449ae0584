"""What layers answer: tensors in tuples and dictionaries, images on another axis, and what cannot be recorded."""

import functools
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper
from plugin_testing.layer_networks import Own, answering, conv, features_of, flat, record
from plugin_testing.models import committed
from plugin_testing.small_benchmark import make_benchmark, make_images
from torch import nn

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ModelOutputError
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.recording import (
    CommitmentRecorder,
    RegionRecorder,
    recorder_for,
)

# What a layer answers


@dataclass
class Output:
    aux: Any
    logits: Any


def lstm():
    return Own(
        lambda self, x: self.layer(x.flatten(2).transpose(1, 2)[:, :20]), layer=lambda: nn.LSTM(3, 5, batch_first=True)
    )


TAKEN = {
    "tuple": (lambda y: (y, y[:, :2]), lambda y: y, "a tuple of 2; its first tensor"),
    "tuple that starts with nothing": (lambda y: (None, y), lambda y: y, "a tuple of 2; its first tensor"),
    "tensor before what holds others": (lambda y: ((y * 0, y * 0), y), lambda y: y, "a tuple of 2; its first tensor"),
    "list": (lambda y: [y * 2, y], lambda y: 2 * y, "a list of 2; its first tensor"),
    "nested": (lambda y: [[y * 2], [y]], lambda y: 2 * y, "a list of 2; its first tensor"),
    "only key": (lambda y: {"embedding": y}, lambda y: y, "a dict with the keys embedding; its 'embedding'"),
    "usual key": (
        lambda y: OrderedDict(pooler_output=y * 0, logits=y * 0, last_hidden_state=y),
        lambda y: y,
        "keys pooler_output, logits, last_hidden_state; its 'last_hidden_state'",
    ),
    "torchvision's": (lambda y: {"aux": y * 0, "out": y}, lambda y: y, "keys aux, out; its 'out'"),
    "dict of tuples": (lambda y: {"out": (y, y * 0)}, lambda y: y, "its 'out', of that its first tensor"),
    "tuple of dicts": (lambda y: ({"x": y},), lambda y: y, "its 'x' of part 0"),
    "dataclass": (lambda y: Output(y * 0, y), lambda y: y, "a Output with the keys aux, logits; its 'logits'"),
    "named tuple": (
        lambda y: torchvision.models.GoogLeNetOutputs(y, None, None),
        lambda y: y,
        "a GoogLeNetOutputs of 3; its first tensor",
    ),
    "bool": (lambda y: y > 0, lambda y: y > 0, None),
    "int": (lambda y: (y * 100).to(torch.int16), lambda y: (y * 100).to(torch.int16), None),
    "half": (lambda y: y.half(), lambda y: y.half(), None),
    "bfloat16": (lambda y: y.bfloat16(), lambda y: y.bfloat16().float(), None),
    "float8": (lambda y: y.to(torch.float8_e5m2), lambda y: y.to(torch.float8_e5m2).float(), None),
    "sparse": (lambda y: torch.relu(y).to_sparse(), torch.relu, None),
    "sparse rows": (lambda y: torch.relu(y).to_sparse_csr(), torch.relu, None),
    "nested tensor": (lambda y: torch.nested.nested_tensor(list(y)), lambda y: y, None),
    "jagged tensor": (
        lambda y: torch.nested.nested_tensor(list(y.unflatten(1, (4, 16))), layout=torch.jagged),
        lambda y: y,
        None,
    ),
    "negative view": (lambda y: torch.complex(y, y).conj().imag, lambda y: -y, None),
    "strided": (
        lambda y: y.unflatten(1, (4, 16)).transpose(1, 2),
        lambda y: y.unflatten(1, (4, 16)).transpose(1, 2),
        None,
    ),
    "expanded": (lambda y: y[:, :1].expand(-1, 5), lambda y: y[:, :1].expand(-1, 5), None),
}


@pytest.mark.filterwarnings("ignore:.*(nested tensors|Sparse CSR tensor)")
@pytest.mark.parametrize(("answer", "expected", "note"), TAKEN.values(), ids=TAKEN.keys())
def test_the_tensor_of_an_answer(answer, expected, note, stimuli, images):
    network = answering(answer)
    features, notes = features_of(network, "layer", stimuli)
    with torch.no_grad():
        wanted = flat(expected(network.layer.conv(images).flatten(1)))
    assert features.dtype == wanted.dtype
    if wanted.dtype.kind in "bi":
        assert (features != wanted).mean() < 0.01  # other batches: a value may fall on the other side
    else:
        np.testing.assert_allclose(features.astype(float), wanted.astype(float), rtol=0.13, atol=1e-3)
    assert len(notes) == (note is not None)
    if note:
        assert f"layer of a-network answers with {note}" in notes[0] or note in notes[0]
        assert notes[0].endswith("is recorded.")


def test_the_answer_of_a_recurrent_layer(stimuli, images):
    network = lstm()
    features, notes = features_of(network, "layer", stimuli)
    np.testing.assert_allclose(features, flat(network(images)[0]), rtol=0, atol=1e-5)
    assert "a tuple of 2; its first tensor" in notes[0]


REFUSED = {
    "nothing": (lambda y: None, "answers with nothing"),
    "text": (lambda y: "cat", "answers with a str"),
    "a number": (lambda y: 3.0, "answers with a float"),
    "an array": (lambda y: y.numpy(), "answers with a ndarray"),
    "an empty tuple": (lambda y: (), "a tuple of 0 that holds no tensor"),
    "an empty dict": (lambda y: {}, "an empty dict"),
    "no tensor": (lambda y: {"loss": None, "n": 3}, "a dict with the keys loss, n that hold no tensor"),
    "unnamed choice": (lambda y: {"low": y, "high": y}, "with the keys low, high, and nothing says which"),
    "complex": (torch.fft.fft, r"of complex numbers \(torch.complex64; their absolute values"),
    "one number": (torch.sum, "one number to 7 images: no axis follows the number of images"),
    "a mean over images": (lambda y: y.mean(0), "64 to 7 images and 64 to 2: no axis follows"),
    "a constant": (lambda y: torch.ones(1, 5), "1 × 5 to 7 images and 1 × 5 to 2: no axis follows"),
    "similarities": (lambda y: y @ y.T, "7 × 7 to 7 images and 2 × 2 to 2: axes 0, 1 follow the number of images"),
    "windows": (lambda y: y.reshape(-1, 16), "28 × 16 to 7 images and 8 × 16 to 2: axis 0 holds 4 rows per image"),
    "all in one": (lambda y: y.reshape(-1), "448 to 7 images and 128 to 2: axis 0 holds 64 rows per image"),
    "found objects": (lambda y: y[y > 0], "axis 0 does not hold one row per image|rows per image"),
    "a list of images": (list, "no axis follows the number of images"),
    "other sizes": (
        lambda y: torch.nested.nested_tensor([row[: 3 + i] for i, row in enumerate(y)]),
        "nested parts of different sizes",
    ),
    "masked": (
        lambda y: torch.masked.masked_tensor(y.clone(), torch.ones_like(y, dtype=torch.bool)),
        "answers with a MaskedTensor, a tensor with ways of its own",
    ),
    "no features": (lambda y: y[:, :0], "at least one feature"),
    "infinity": (lambda y: y / 0, "must be finite"),
}


@pytest.mark.filterwarnings("ignore:.*nested tensors")
@pytest.mark.parametrize(("answer", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_an_answer_that_cannot_be_recorded_is_one_line(answer, message, stimuli):
    with pytest.raises(ModelOutputError, match=message) as error:
        features_of(answering(answer), "layer", stimuli)
    assert "layer" in str(error.value)
    assert "a-network" in str(error.value)
    assert "\n" not in str(error.value)


# Images on another axis


def tokens_first(n_tokens, width=6):
    side = int(n_tokens**0.5)
    return Own(
        lambda self, x: self.block(self.conv(x).flatten(2).permute(2, 0, 1)).permute(1, 0, 2).mean(1),
        conv=lambda: nn.Conv2d(3, width, 32 // side, stride=32 // side),
        block=lambda: nn.Linear(width, width),
    )


@pytest.mark.parametrize("kind", [CommitmentRecorder, RegionRecorder])
@pytest.mark.parametrize("n_tokens", [1, 4, 16, 64])
@pytest.mark.parametrize("batch_size", [1, 2, 4, 7, 16])
def test_tokens_may_come_before_images(n_tokens, batch_size, kind, stimuli, images):
    network = tokens_first(n_tokens)
    model = committed(network, {"V1": "block", "IT": "conv"}, batch_size=batch_size)
    features, _notes = record(kind(model, ["V1", "IT"]), stimuli)
    with torch.no_grad():
        expected = network.block(network.conv(images).flatten(2).permute(2, 0, 1)).permute(1, 0, 2)
        np.testing.assert_allclose(features["V1"], flat(expected), rtol=0, atol=1e-5)
        np.testing.assert_allclose(features["IT"], flat(network.conv(images)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize(
    "layer",
    ["encoder", "encoder.layers.0", "encoder.layers.1.self_attn", "encoder.layers.0.linear1", "encoder.layers.0.norm2"],
)
def test_torchs_transformer(batch_first, layer, stimuli):
    """The same weights in both layouts give the same features."""
    found = {}
    for first in (True, batch_first):

        def forward(self, x, first=first):
            tokens = self.conv(x).flatten(2).permute(*((0, 2, 1) if first else (2, 0, 1)))
            return self.encoder(tokens)

        block = functools.partial(nn.TransformerEncoderLayer, 8, 2, 12, batch_first=first)
        network = Own(
            forward,
            conv=lambda: nn.Conv2d(3, 8, 8, stride=8),
            encoder=lambda block=block: nn.TransformerEncoder(block(), 2, enable_nested_tensor=False),
        )
        found[first], _ = features_of(network, layer, stimuli, batch_size=8)
    np.testing.assert_allclose(found[batch_first], found[True], rtol=0, atol=1e-5)


def test_a_network_that_takes_one_number_of_images(stimuli, images):
    def fixed(self, x):
        return self.head(self.conv(x).reshape(5, -1, 6))

    network = Own(fixed, conv=conv, head=lambda: nn.Linear(6, 4))
    model = committed(network, {"V1": "head", "V2": "conv"}, batch_size=5)
    features, _ = record(recorder_for(model, ["V1", "V2"]), stimuli)
    np.testing.assert_allclose(features["V2"], flat(network.conv(images)), rtol=0, atol=1e-5)
    ambiguous = Own(lambda self, x: self.head(self.conv(x).reshape(5, -1, 6)), conv=conv, head=lambda: nn.Linear(6, 5))
    with pytest.raises(ModelOutputError, match="5 × 64 × 5 to 5 images: several axes have that size"):
        features_of(ambiguous, "head", stimuli, batch_size=5)


class BatchNorm(nn.Module):
    """Stays in training mode, whatever it is told."""

    def forward(self, x):
        return nn.functional.batch_norm(x, None, None, training=True)


def test_features_that_depend_on_the_other_images_are_refused(tmp_path):
    network = Own(lambda self, x: self.norm(self.conv(x)), conv=conv, norm=BatchNorm)
    benchmark = make_benchmark(make_images(tmp_path / "images", 44))
    with pytest.raises(
        ModelOutputError, match="must answer alike to the same images, but features of .* in norm differ"
    ):
        benchmark(committed(network, {"V1": "norm"}, batch_size=5))


class OwnActivations(PytorchWrapper):
    """Does something around each batch."""

    def get_activations(self, images, layer_names):
        return super().get_activations([image / 2 for image in images], layer_names)


def test_answers_that_are_no_tensor_in_a_wrapper_of_ones_own(stimuli, images):
    network = answering(lambda y: (y.bfloat16(), y))
    features, notes = features_of(network, "layer", stimuli, wrapper=OwnActivations)
    expected = network.layer.conv(images / 2).flatten(1).bfloat16().float()
    np.testing.assert_allclose(features, flat(expected), rtol=0, atol=0.02)
    assert "a tuple of 2; its first tensor" in notes[0]
    with pytest.raises(ModelOutputError, match="answers with nothing"):
        features_of(answering(lambda y: None), "layer", stimuli, wrapper=OwnActivations)
