"""What a model answers to ``look_at``: brought into the order of the stimuli, and checked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import ModelOutputError

TIME_BINS = [(0, 0)]
"""One bin: fMRI responses of a stimulus have no time course here."""


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


def check_features(
    features: np.ndarray, model: str, label: str, stimulus_ids: Sequence[str] | None = None
) -> np.ndarray:
    if features.shape[1] == 0:
        raise ModelOutputError(
            f"A layer has at least one feature; {model} gave none for {label}. Check the layer's name."
        )
    if features.dtype.kind not in "fiub":
        raise ModelOutputError(f"Features are numbers; {model} gave {features.dtype} for {label}.")
    if features.dtype.kind == "f" and not np.isfinite(features).all():
        bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
        which = f", the first for {stimulus_ids[bad[0]]}" if stimulus_ids is not None else ""
        raise ModelOutputError(
            f"Features must be finite, but {model} gave nan or infinity for {len(bad)} of {len(features)} stimuli of a "
            f"batch in {label}{which}. Check the model on these images (weights, precision, preprocessing)."
        )
    return features
