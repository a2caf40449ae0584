"""Fit encoders: penalties and dual coefficients from kernels, weights from features that are streamed once more.

With dual coefficients A (n × voxels) of the training stimuli, c the mean of their features and X_T the features themselves,
Ŷ(x) = Ȳ + (x - c)ᵀ W with W = (X_T - 1cᵀ)ᵀ A (the columns of A sum to 0). W is made a block of features at a time. Where there
are fewer training stimuli than voxels, the features and A take less room than W and are kept instead.
"""

from __future__ import annotations

import json
import logging
import shutil
import weakref
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path

import numpy as np

from ..comparisons import RidgeMetric
from ..engine import Run
from ..errors import StimulusKernelError, StorageError
from ..features.lookup import LookupModel
from ..features.network import network_digest
from ..features.recording import answers_by_layers, committed_layers
from ..files import ProcessLock, cannot_write, make_folder, remove_abandoned, replacing
from ..kernels.compute import host
from ..kernels.kernel import StimulusKernel, column_blocks, kernel_from_features
from ..kernels.making import ENCODER_SPOOL, private_spool
from ..options import EngineOptions
from ..ridge import fit as ridge
from ..tasks import SubjectTask
from .accuracy import Accuracy, accuracy_of, nested_metadata
from .encoder import Encoder, code_digests
from .file import MatrixWriter, matrix_bytes, opened, random_signs, seal, write_tree
from .images import Plain, made_images

DTYPES = ("float32", "float16")

DESCRIBED_BYTES, GROUP_BYTES, BASE_BYTES = 256, 2**12, 2**15
"""What metadata take at most: per voxel or stimulus, per region or layer, and besides."""

SCRATCH = ".encoder-"
"""Encoders that are being written begin so."""

N_COMPARED = 32
"""Voxels whose predictions of made images are kept, to tell another network."""

N_SAMPLE = 64
"""Training stimuli on which the loss by rounding is measured."""

WORTH_A_WARNING = 0.01
"""Loss by rounding, as a part of the standard deviation of predictions."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncoderSettings:
    """What kind of encoder is fitted.

    Attributes
    ----------
    alphas : tuple of float or "relative"
        As for :class:`~..comparisons.RidgeMetric`.
    alpha_per_voxel : bool
        A penalty for each voxel, instead of one for a region; by the same leave-one-out error.
    dtype : {"float32", "float16"}
        Of the weights on disk.
    max_size : int or None
        Bytes of the largest file; features go through a random projection where the encoder would be larger.
    """

    alphas: tuple[float, ...] | str = "relative"
    alpha_per_voxel: bool = False
    dtype: str = "float32"
    max_size: int | None = None

    def __post_init__(self):
        RidgeMetric(self.alphas)
        if self.dtype not in DTYPES:
            raise StimulusKernelError(f"dtype is one of {', '.join(DTYPES)}; received {self.dtype!r}.")
        if self.max_size is not None and not (isinstance(self.max_size, Real) and self.max_size > 0):
            raise StimulusKernelError(f"max_size is a number of bytes, above 0; received {self.max_size!r}.")


@dataclass(frozen=True)
class RegionFit:
    """The fit of one region, and its predictions of test stimuli.

    Attributes
    ----------
    task : SubjectTask
    dual : numpy.ndarray of float64, shape (n_train, voxels)
    mean : numpy.ndarray of float64, shape (voxels,)
    alphas : numpy.ndarray of float64, shape (voxels,)
        As the grid has them.
    unit : float
        What they count: the penalty is their product.
    predicted : numpy.ndarray of float64, shape (n_test, voxels)
        Without the mean.
    held_out : numpy.ndarray of float64, shape (voxels,)
        Correlation of responses to training stimuli with predictions by fits on the others, without the others' mean.
    notes : tuple of str
        Of penalties at an end of their grid.
    """

    task: SubjectTask
    dual: np.ndarray
    mean: np.ndarray
    alphas: np.ndarray
    unit: float
    predicted: np.ndarray
    held_out: np.ndarray
    notes: tuple[str, ...] = ()


def fit_regions(
    kernel: StimulusKernel, tasks: Sequence[SubjectTask], settings: EncoderSettings, compute
) -> dict[SubjectTask, RegionFit]:
    """Fit tasks on one kernel; those of equal training stimuli share a decomposition."""
    metric, fits = RidgeMetric(settings.alphas), {}
    together = defaultdict(list)
    for task in dict.fromkeys(tasks):
        together[task.train_ids].append(task)
    for train_ids, group in together.items():
        decomposition = ridge.decompose(kernel.gram, kernel.positions(train_ids), compute, kernel.n_features)
        unit = metric.unit(decomposition)
        for task in group:
            train = task.load_responses().select(train_ids)
            training = ridge.TrainingResponses(decomposition, train.values)
            coordinates, mean = training.coordinates, training.mean
            if settings.alpha_per_voxel:
                alphas, dual = ridge.select_alphas(training, metric.grid, unit)
            else:
                alphas = np.full(len(mean), ridge.select_alpha(training, metric.grid, unit).alpha)
                dual = training.dual_coefficients(float(alphas[0] * unit))
            held_out = np.empty(len(alphas))
            for alpha in np.unique(alphas):
                chosen = alphas == alpha
                deviations = train.values[:, chosen] - mean[chosen]
                left_out = ridge.left_out_deviations(
                    decomposition, coordinates[:, chosen], deviations, float(alpha * unit)
                )
                held_out[chosen] = _correlations(left_out, deviations)
            predicted = np.empty((0, len(alphas)))
            if task.test_ids:
                predicted = ridge.predict(decomposition, kernel.block(task.test_ids, train_ids), dual)
            notes = _at_edge(metric, task, alphas, unit)
            fits[task] = RegionFit(task, host(dual), mean, alphas, unit, predicted, held_out, notes)
    return fits


def _at_edge(metric: RidgeMetric, task: SubjectTask, alphas: np.ndarray, unit: float) -> tuple[str, ...]:
    chosen = np.unique(alphas)
    if len(chosen) == 1:
        return metric.at_edge(task, float(chosen[0]), unit)
    ends = {end: ridge.edge_of_grid(end, metric.grid) for end in chosen[[0, -1]].tolist()}
    return tuple(
        f"alpha of {np.count_nonzero(alphas == end)} of {len(alphas)} voxels of {task.subject} in {task.region} is {end:.3g}, "
        f"the {which} of its grid: a better one may lie beyond."
        for end, which in ends.items()
        if which
    )


def fit(
    model,
    tasks: Sequence[SubjectTask],
    path: Path | None = None,
    *,
    checks: Sequence[SubjectTask] | None = None,
    settings: EncoderSettings | None = None,
    options: EngineOptions | None = None,
    describe: Callable[[list[Accuracy]], dict] = nested_metadata,
    plain: Plain | None = None,
    say: Callable[[str], None] = _logger.info,
    warn: Callable[[str], None] = _logger.warning,
) -> Encoder:
    """Fit an encoder of one subject.

    Parameters
    ----------
    model : brainscore_vision.model_interface.BrainModel
    tasks : sequence of SubjectTask
        One per region, of one subject and pool: what is fitted.
    path : pathlib.Path, optional
        Written when the encoder is whole. Default: a file that goes with the encoder.
    checks : sequence of SubjectTask, optional
        One per region, in the same order: fits on their training stimuli are tested on their test stimuli, which says how well
        fits of this kind predict. Default: ``tasks``.
    settings : EncoderSettings, optional
    options : EngineOptions, optional
    describe : callable, optional
        Metadata, a tree of dictionaries, from the accuracies of ``checks``.
    plain : callable, optional
        As for :class:`~.encoder.Encoder`.
    say : callable, optional
        Called with sentences about size and small losses.
    warn : callable, optional
        Called with sentences about large losses, projections and penalties at an end of their grid.

    Returns
    -------
    Encoder

    Raises
    ------
    StimulusKernelError
        See :mod:`..errors`; sizes are checked before the features are recorded.
    """
    settings, options = settings or EncoderSettings(), options or EngineOptions()
    if options.random_features != "refuse":
        raise StimulusKernelError("An encoder is of one network: features that differ between passes are refused.")
    checks = list(tasks if checks is None else checks)
    if path is None:
        make_folder(options.spool)
        folder, lock = private_spool(options.spool, ENCODER_SPOOL)
        try:
            _write(model, tasks, folder / "encoder.h5", checks, settings, options, describe, plain, say, warn)
            encoder = Encoder.open(folder / "encoder.h5", model, plain)
        except BaseException:
            _remove(folder, lock)
            raise
        weakref.finalize(encoder, _remove, folder, lock)
        return encoder
    path = Path(path)
    _write(model, tasks, path, checks, settings, options, describe, plain, say, warn)
    return Encoder.open(path, model, plain)


def _remove(folder: Path, lock: ProcessLock) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lock.release()


def _write(model, tasks, path, checks, settings, options, describe, plain, say, warn) -> None:
    with Run([model], [*tasks, *checks], options) as run:
        run.check_data()
        jobs = [job.task for job in run.jobs]
        tasks, checks = jobs[: len(tasks)], jobs[len(tasks) :]
        if len({(task.subject, task.pool) for task in jobs}) > 1 or len(set(tasks)) < len(tasks):
            raise StimulusKernelError("An encoder is of one subject and pool, and of each region once.")
        plan = _plan(model, tasks, run, settings, say, warn)
        _check_room(path, sum(layer.n_bytes for layer in plan))
        remove_abandoned(path.parent, SCRATCH)
        work, fits = run.work(), {}
        for k, item in enumerate(run.each_kernel()):
            (kernel,) = run.kernels(item)
            fits.update(fit_regions(kernel, [job.task for job in item.jobs], settings, run.compute))
            if k < len(work) - 1:
                continue
            del kernel
            sources = run.features([layer.item for layer in plan])
            with replacing(path, SCRATCH) as scratch:
                with opened(scratch, "w") as file:
                    losses = []
                    for n, layer in enumerate(plan):
                        part = file.create_group(f"parts/{n}")
                        losses.append(_write_part(part, layer, sources[n], fits, settings, run.compute))
                        losses[-1]["layer"] = layer.label
                        is_small = layer.n_projected is None and losses[-1]["rounding"] <= WORTH_A_WARNING
                        (say if is_small else warn)(f"{layer.label}: {losses[-1]['says']}.")
                    of_fits = (note for task in tasks for note in fits[task].notes)
                    of_data = (note for check in checks for note in run.notes_on_data(check))
                    notes = list(dict.fromkeys([*of_fits, *of_data]))
                    for note in notes:
                        warn(note)
                    accuracies = [
                        accuracy_of(fits[check], fits[task]) for task, check in zip(tasks, checks, strict=True)
                    ]
                    write_tree(file.create_group("about"), _about(model, tasks, fits, losses, notes))
                    write_tree(file.create_group("metadata", track_order=True), describe(accuracies))
                    seal(file)
                if not isinstance(model, LookupModel):  # a later network has to predict the same
                    predicted = Encoder.open(scratch, model, plain).encode(made_images(), progress=False)[
                        :, :N_COMPARED
                    ]
                    with opened(scratch, "r+") as file:
                        write_tree(file["about"], {"made_images": predicted})
                        seal(file)


def _about(model, tasks: Sequence[SubjectTask], fits: dict, losses: list, notes: list[str]) -> dict:
    return {
        "identifier": str(model.identifier),
        "source": getattr(model, "model_source", None),
        "network": network_digest(model),
        "preparing": code_digests(model),
        "kind": "features" if isinstance(model, LookupModel) else "images",
        "feature_names": _feature_names(model),
        "visual_degrees": float(model.visual_degrees()),
        "source_degrees": float(tasks[0].pool.visual_degrees),
        "subject": tasks[0].subject,
        "regions": [task.region for task in tasks],
        "recorded": {task.region: task.model_region for task in tasks},
        "layers": _layers_of(model, [task.model_region for task in tasks]),
        "n_voxels": sum(fits[task].dual.shape[1] for task in tasks),
        "loss": losses,
        "notes": notes,
    }


@dataclass(frozen=True)
class _Layer:
    """One recorded layer of an encoder that is to be written: weights if ``is_direct``, else training features."""

    item: object
    layers: tuple[str, ...]
    tasks: tuple[SubjectTask, ...]
    columns: np.ndarray
    n_features: int
    is_direct: bool
    n_projected: int | None
    n_bytes: int

    @property
    def label(self) -> str:
        return self.item.labels[0]


def _plan(model, tasks: Sequence[SubjectTask], run: Run, settings: EncoderSettings, say, warn) -> list[_Layer]:
    """What is written of each layer, so that all of it is no larger than ``max_size``."""
    layers, start = [], 0
    columns, widths = {}, dict(zip(tasks, run.n_features(), strict=False))
    for task in tasks:
        n_voxels = task.load_responses().values.shape[1]
        columns[task] = np.arange(start, start + n_voxels)
        start += n_voxels
    for item in run.work():
        own = tuple(task for task in tasks if run.labels[task.model_region] == item.labels[0])
        positions = np.concatenate([columns[task] for task in own])
        p, n, v = widths[own[0]], len(own[0].train_ids), len(positions)
        direct, dual = matrix_bytes(p, v, settings.dtype), matrix_bytes(p, n, settings.dtype) + 8 * n * v
        names = _layers_of(model, [own[0].model_region]).get(own[0].model_region, ())
        names = (names,) if isinstance(names, str) else tuple(names)
        layers.append(_Layer(item, names, own, positions, p, direct <= dual, None, min(direct, dual) + 4 * p + 16 * v))
    described = DESCRIBED_BYTES * (start + len(tasks[0].pool.stimulus_ids)) + BASE_BYTES
    described += GROUP_BYTES * (len(tasks) + len(layers)) + len(json.dumps(_feature_names(model)))
    total = described + sum(layer.n_bytes for layer in layers)
    if settings.max_size is not None and total > settings.max_size:
        # what layers need whatever the projection is subtracted; each gets its share of the rest
        fixed = described + sum(4 * layer.n_features + 16 * len(layer.columns) for layer in layers)
        left = [(settings.max_size - fixed) * layer.n_bytes / (total - described) for layer in layers]
        widths = [int(room // (8 * len(layer.columns))) for layer, room in zip(layers, left, strict=True)]
        if min(widths) < 1:
            least = fixed + 8 * start * len(layers)
            raise StimulusKernelError(
                f"An encoder of {start} voxels may take {least:,} bytes at its smallest; max_size allows "
                f"{settings.max_size:,}. Raise it, or choose fewer regions."
            )
        layers = [
            replace(layer, n_projected=q, n_bytes=4 * layer.n_features + 8 * len(layer.columns) * (q + 2))
            for layer, q in zip(layers, widths, strict=True)
        ]
        warn(f"The encoder would take {total:,} bytes: features go through a random projection, to {widths} numbers.")
        total = described + sum(layer.n_bytes for layer in layers)
    say(f"The encoder takes about {total:,} bytes.")
    return layers


def _feature_names(model) -> list[str]:
    """Names of features that are looked up, where they have some."""
    return list(model.feature_names) if isinstance(model, LookupModel) else []


def _layers_of(model, regions: Sequence[str]) -> dict:
    """Layers whose answers are the model's; none where it does more with them, so that it has to be asked itself."""
    return committed_layers(model, regions) if answers_by_layers(model) else {}


def _check_room(path: Path, n_bytes: int) -> None:
    if path.is_dir():
        raise StorageError(f"The encoder goes to a file; {path} is a folder. Add a name to it.")
    if error := cannot_write(path.parent):
        raise StorageError(
            f"The encoder goes to {path}, which cannot be written ({error.strerror}). Choose another folder."
        )
    free = shutil.disk_usage(path.parent).free
    if n_bytes > free:
        raise StorageError(
            f"The encoder needs {n_bytes:,} bytes in {path.parent}, where {free:,} are free. Free some, choose another folder, "
            f"or bound its size (--max-size)."
        )


def _write_part(group, layer: _Layer, sources, fits: dict, settings: EncoderSettings, compute) -> dict:
    """Write one layer's share; returns what was lost by projection or rounding. A projection replaces its fits."""
    position = {stimulus_id: i for i, stimulus_id in enumerate(layer.item.pool.stimulus_ids)}
    rows = np.array([position[stimulus_id] for stimulus_id in layer.tasks[0].train_ids])
    centre = np.empty(layer.n_features, np.float32)
    if layer.n_projected is not None:
        sample = _sample(rows)
        projected, rounded = _projected(layer, sources, rows, centre, rows[sample])
        kernel, before = kernel_from_features(projected, layer.item.pool.stimulus_ids), _held_out(layer, fits)
        fits.update(fit_regions(kernel, [job.task for job in layer.item.jobs], settings, compute))
        second = projected[rows].T @ _dual(layer, fits)
        intercept = _mean(layer, fits) - projected[rows].mean(axis=0) @ second
        after = _held_out(layer, fits)
        lost = _lost(projected[rows[sample]] @ second, rounded @ second, intercept)
        says = (
            f"random projection to {layer.n_projected} numbers: mean correlation on held-out training images {after:.4f}, and "
            f"{before:.4f} without projection; {_says_lost(lost, 'float32')}"
        )
        loss = {"held_out_correlation": after, "held_out_correlation_without": before, "rounding": lost, "says": says}
    else:
        dual = _dual(layer, fits)
        intercept, lost = _write_matrix(group, layer, sources, rows, centre, dual, _mean(layer, fits), settings.dtype)
        second = None if layer.is_direct else dual
        loss = {"rounding": lost, "says": _says_lost(lost, settings.dtype)}
    group["columns"], group["centre"] = layer.columns, centre
    group["intercept"] = intercept
    if second is not None:
        group["second"] = second
    write_tree(group.create_group("description"), {"label": layer.label, "layers": list(layer.layers)})
    return loss


def _says_lost(lost: float, dtype: str) -> str:
    says = f"{dtype} changes predictions by {lost:.1g} of their standard deviation (largest of all voxels)"
    if lost > WORTH_A_WARNING and dtype == "float32":
        return says + ", for they hardly differ from a voxel's mean response, as a large penalty makes them"
    return says + ("; float32 may lose less" if lost > WORTH_A_WARNING else "")


def _sample(rows: np.ndarray) -> np.ndarray:
    """Positions among training stimuli on which the loss by rounding is measured."""
    return np.unique(np.linspace(0, len(rows) - 1, N_SAMPLE).astype(int))


def _lost(exact: np.ndarray, kept: np.ndarray, intercept: np.ndarray) -> float:
    """How far answers are from exact ones, as a part of the standard deviation of these: the largest of all voxels."""
    told = (kept + intercept).astype(np.float32)  # as encoders answer
    lost, spread = np.sqrt(np.mean((told - (exact + intercept)) ** 2, axis=0)), exact.std(axis=0)
    return float((lost[spread > 0] / spread[spread > 0]).max(initial=0.0))


def _write_matrix(group, layer: _Layer, sources, rows, centre, dual, mean, dtype: str) -> tuple[np.ndarray, float]:
    """Write M; fills ``centre``, returns the intercept, and the loss by rounding weights and predictions.

    With the intercept, the mean of the training features is predicted to be ``mean``.
    """
    width = dual.shape[1] if layer.is_direct else len(rows)
    writer, offset = MatrixWriter(group, layer.n_features, width, dtype), np.zeros(width)
    sample = _sample(rows)
    exact, kept = np.zeros((2, len(sample), width))
    for i, (start, stop, features) in enumerate(column_blocks(sources)):
        features = features[rows]
        mean_features = features.mean(axis=0)
        centre[start:stop] = mean_features
        features -= centre[start:stop]
        block = features.T @ dual if layer.is_direct else features.T
        written = writer.write(i, slice(start, stop), block)
        offset += (mean_features - centre[start:stop]) @ written
        exact += features[sample] @ block
        kept += features[sample] @ written
    writer.close()
    if not layer.is_direct:
        offset, exact, kept = offset @ dual, exact @ dual, kept @ dual
    intercept = mean - offset
    return intercept, _lost(exact, kept, intercept)


def _projected(layer: _Layer, sources, rows, centre, sample) -> tuple[np.ndarray, np.ndarray]:
    """Centred features of all stimuli times random signs, shape (stimuli, n_projected); fills ``centre``.

    Also those of a sample of the stimuli with the precision with which encoders multiply.
    """
    projected = np.zeros((len(layer.item.pool.stimulus_ids), layer.n_projected))
    rounded = np.zeros((len(sample), layer.n_projected))
    signs = random_signs(layer.n_features, layer.n_projected)
    for (start, stop, features), (_, block) in zip(column_blocks(sources), signs, strict=True):
        centre[start:stop] = features[rows].mean(axis=0)
        features = features - centre[start:stop]
        projected += features @ block
        rounded += features[sample].astype(np.float32) @ block
    return projected, rounded


def _dual(layer: _Layer, fits: dict) -> np.ndarray:
    return np.concatenate([fits[task].dual for task in layer.tasks], axis=1)


def _mean(layer: _Layer, fits: dict) -> np.ndarray:
    return np.concatenate([fits[task].mean for task in layer.tasks])


def _held_out(layer: _Layer, fits: dict) -> float:
    """Mean over voxels of the correlation on held-out training stimuli."""
    return float(np.concatenate([fits[task].held_out for task in layer.tasks]).mean())


def _correlations(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Pearson correlation of columns; 0 where one is constant."""
    p, m = predicted - predicted.mean(axis=0), measured - measured.mean(axis=0)
    both = np.linalg.norm(p, axis=0) * np.linalg.norm(m, axis=0)
    return np.einsum("ij,ij->j", p, m) / np.where(both > 0, both, 1.0)
