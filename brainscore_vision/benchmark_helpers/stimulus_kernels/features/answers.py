"""What a model answers to ``look_at``: brought into the order of the stimuli, and checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ModelOutputError

TIME_BINS = [(0, 0)]
"""One bin: fMRI responses of a stimulus have no time course here."""


USUAL_KEYS = ("last_hidden_state", "logits", "out", "output", "features", "x", "sample")
"""Of an answer with several named tensors, the first of these is taken."""


FIRST = "its first tensor"


@dataclass(frozen=True)
class LayerAnswer:
    """What a layer of a PyTorch network answered, copied: nothing that happens later in the pass changes it.

    Attributes
    ----------
    tensor : torch.Tensor or None
        Contiguous, of a type that numpy knows, on the CPU or where it was; None if the answer holds nothing that can be
        recorded.
    kind : str
        What the answer was, in words: "a tuple of 2".
    place : str
        Where in the answer the tensor was; empty if the answer is the tensor.
    problem : str
        Why there is none; ends a sentence about ``kind``, and may be empty.
    """

    tensor: Any
    kind: str = "a tensor"
    place: str = ""
    problem: str = ""

    @classmethod
    def of(cls, output, stays: bool = False) -> LayerAnswer:
        """Of what a module returned, on the CPU; on its own device if it ``stays`` there.

        A tuple or a list stands for its first tensor, a mapping, a dataclass or a ModelOutput for its only tensor or for the
        one under a usual name (:data:`USUAL_KEYS`).
        """
        tensor, place, problem = _first_tensor(output)
        if tensor is not None:
            tensor, problem = _readable(tensor, stays)
        return cls(tensor, _kind(output), place, problem)


def _first_tensor(output) -> tuple[Any, str, str]:
    """Tensor, its place, and the problem if there is none; see LayerAnswer."""
    import torch

    if isinstance(output, torch.Tensor):
        return output, "", ""
    if isinstance(output, (tuple, list)):
        # tensors before what holds others: (output, (hidden, cell))
        for i, part in sorted(enumerate(output), key=lambda item: not isinstance(item[1], torch.Tensor)):
            tensor, inner, _ = _first_tensor(part)
            if tensor is not None:
                return tensor, f"{inner} of part {i}" if inner not in ("", FIRST) else FIRST, ""
        return None, "", " that holds no tensor"
    named = _named_parts(output)
    if named is None:
        return None, "", ""
    found = {name: answer for name, part in named.items() if (answer := _first_tensor(part))[0] is not None}
    if not found:
        return None, "", " that hold no tensor" if named else ""
    usual = [name for name in (*USUAL_KEYS, *found) if name in found]
    if len(found) > 1 and usual[0] not in USUAL_KEYS:
        return None, "", f", and nothing says which of these to record ({', '.join(USUAL_KEYS)} would)"
    tensor, inner, _ = found[usual[0]]
    return tensor, f"its {usual[0]!r}" + (f", of that {inner}" if inner else ""), ""


def _named_parts(output) -> dict | None:
    """Parts of a mapping or a dataclass by their names; None of anything else."""
    if isinstance(output, Mapping):
        return dict(output)
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        return {field.name: getattr(output, field.name, None) for field in dataclasses.fields(output)}
    return None


def _readable(tensor, stays: bool) -> tuple[Any, str]:
    """A copy of a tensor of a type that numpy can read, and the problem if there can be none."""
    import torch

    tensor = tensor.detach()
    if tensor.is_nested:
        parts = tensor.unbind()
        if len({part.shape for part in parts}) != 1:
            return None, " with nested parts of different sizes"
        tensor = torch.stack(parts)
    if tensor.is_complex():
        return None, f" of complex numbers ({tensor.dtype}; their absolute values or real parts would do)"
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    if type(tensor).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:  # torch.masked's and the like
        return None, ", a tensor with ways of its own, which its module would have to turn into a plain one"
    known = tensor.dtype in (torch.float16, torch.float32, torch.float64) or not tensor.is_floating_point()
    dtype = tensor.dtype if known else torch.float32  # bfloat16 and smaller ones are exact in float32
    device = tensor.device if stays else "cpu"
    return tensor.to(device, dtype, copy=True, memory_format=torch.contiguous_format).resolve_neg(), ""


def _kind(output) -> str:
    import torch

    if output is None:
        return "nothing"
    if isinstance(output, torch.Tensor):
        plain = type(output).__torch_dispatch__ is torch.Tensor.__torch_dispatch__
        return "a tensor" if plain else f"a {type(output).__name__}"
    named = _named_parts(output)
    if named is not None:
        names = ", ".join(map(str, list(named)[:8])) + (" ..." if len(named) > 8 else "")
        return f"a {type(output).__name__} with the keys {names}" if named else f"an empty {type(output).__name__}"
    size = f" of {len(output)}" if isinstance(output, (tuple, list)) else ""
    return f"a {type(output).__name__}{size}"


def features_of(assembly, stimulus_ids: Sequence[str], model: str, label: str) -> np.ndarray:
    """Features of ``stimulus_ids``, in their order, from what ``look_at`` returned.

    Raises
    ------
    ModelOutputError
        Other stimuli than shown, more than one time bin, or features that are not finite.
    """
    # a level of a multi-index is no entry of coords in older xarray, but can be asked for
    if not {"presentation", "neuroid"} <= set(getattr(assembly, "dims", ())) or not hasattr(assembly, "stimulus_id"):
        raise ModelOutputError(
            f"{model} must answer look_at with an assembly (presentation × neuroid) that names each stimulus_id; for {label} "
            f"it gave {type(assembly).__name__}{getattr(assembly, 'dims', '')}. See Brain-Score's BrainModel interface."
        )
    if "time_bin" in assembly.dims:
        if assembly.sizes["time_bin"] != 1:
            raise ModelOutputError(
                f"{model} was asked for the time bins {TIME_BINS} of {label} and answered with "
                f"{assembly.sizes['time_bin']} of them. Return one bin per bin asked for."
            )
        assembly = assembly.squeeze("time_bin")
    assembly = assembly.transpose("presentation", "neuroid")
    answered = [str(s) for s in assembly["stimulus_id"].values]
    if answered != list(stimulus_ids):
        position = {s: i for i, s in enumerate(answered)}
        if len(position) != len(answered) or set(position) != set(stimulus_ids):
            missing = [s for s in stimulus_ids if s not in position]
            unasked = [s for s in position if s not in set(stimulus_ids)]
            raise ModelOutputError(
                f"{model} must answer once for each of the {len(stimulus_ids)} stimuli it is shown; for {label} it answered "
                f"{len(answered)} times, {len(answered) - len(position)} of them repeated, {len(missing)} stimuli are missing "
                f"(the first: {missing[:3]}), {len(unasked)} were not shown (the first: {unasked[:3]}). "
                f"Check how the model names and orders its answers."
            )
        assembly = assembly.isel(presentation=[position[s] for s in stimulus_ids])
    return check_features(np.asarray(assembly.values), model, label, stimulus_ids)


def check_features(features, model: str, label: str, stimulus_ids: Sequence[str] | None = None):
    """Features of shape (n, n_features), an array or a tensor, as they are.

    Raises
    ------
    ModelOutputError
        None at all, no real numbers, or not finite.
    """
    if not isinstance(features, np.ndarray):
        import torch

        if features.shape[1] and bool(torch.isfinite(features).all()):
            return features
        features = features.cpu().numpy()
    if features.shape[1] == 0:
        raise ModelOutputError(
            f"A layer has at least one feature; {model} gave none for {label}. Check the layer's name."
        )
    if features.dtype.kind not in "fiub":
        raise ModelOutputError(
            f"Features are numbers, and real; {model} gave {features.dtype} for {label}. Map the region to a layer that "
            f"answers with real numbers."
        )
    if features.dtype.kind == "f" and not np.isfinite(features).all():
        bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
        which = f", the first for {stimulus_ids[bad[0]]}" if stimulus_ids is not None else ""
        raise ModelOutputError(
            f"Features must be finite, but {model} gave nan or infinity for {len(bad)} of {len(features)} stimuli of a "
            f"batch in {label}{which}. Check the model on these images (weights, precision, preprocessing)."
        )
    return features
