"""Encoders of the dataset's subjects: fitted, kept in files, and loaded with their networks."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from brainscore_vision.benchmark_helpers.stimulus_kernels import DEFAULT_ALPHAS, EngineOptions
from brainscore_vision.benchmark_helpers.stimulus_kernels.encoders.accuracy import Accuracy, nested_metadata
from brainscore_vision.benchmark_helpers.stimulus_kernels.encoders.brain import EncoderBrain
from brainscore_vision.benchmark_helpers.stimulus_kernels.encoders.encoder import Encoder, encode_many, to_device
from brainscore_vision.benchmark_helpers.stimulus_kernels.encoders.file import EncoderFileError, read_header
from brainscore_vision.benchmark_helpers.stimulus_kernels.encoders.fit import EncoderSettings, fit
from brainscore_vision.data.laion_fmri_7t.assemblies.averages import region_voxels
from brainscore_vision.data.laion_fmri_7t.constants import BIBTEX, FOLD_FAMILIES
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError, SchemaError
from brainscore_vision.data.laion_fmri_7t.ids import is_ood
from brainscore_vision.data.laion_fmri_7t.source import Dataset, open_dataset
from brainscore_vision.data.laion_fmri_7t.stimuli.pictures import picture

from .benchmark import build
from .identifiers import DEFAULT_THRESHOLD, STORED_REGIONS, Cell, IdentifierError
from .networks.errors import ModelSourceError
from .results.facts import versions
from .scoring import prepare

__all__ = [
    "Encoder",
    "EncoderBrain",
    "accuracy_figure",
    "encode_many",
    "encoder_metadata",
    "encoders_in",
    "fit_encoder",
    "load_encoder",
]

ALL, WITH_OOD = "all", "all+ood"

PUBLISHED = "published"
"""Stands for the penalties of the registered benchmarks."""

CHECK_SPLIT = "tau"
"""Encoders of all images are judged by fits on the training images of this split."""

LICENCE = (
    "Fitted to responses of LAION-fMRI (laion-fmri.hebartlab.com): its terms of use hold for what is derived from them, and "
    "the network's own licence for the network."
)

_logger = logging.getLogger(__name__)


def fit_encoder(
    model,
    subject: str = "sub-01",
    regions: Sequence[str] = ("V1", "IT"),
    train: str = ALL,
    *,
    dataset=None,
    layers=None,
    pool: str = "persubject",
    alphas: tuple[float, ...] | str = "relative",
    alpha_per_voxel: bool = False,
    dtype: str = "float32",
    max_size: int | None = None,
    noise_ceiling_threshold: float = DEFAULT_THRESHOLD,
    record: str | None = None,
    path: Path | None = None,
    engine: EngineOptions | None = None,
    say: Callable[[str], None] | None = None,
) -> Encoder:
    """Fit an encoder that predicts a subject's responses to any image.

    Parameters
    ----------
    model : str, torch.nn.Module or brainscore_vision.model_interface.BrainModel
        As for :func:`score_model`.
    subject : str
    regions : sequence of str
        V1, V2, V3, V4, IT, IT_full, regions of interest (FFA1) and their categories (face).
    train : str
        ``all``: every image of the pool but out-of-distribution ones; ``all+ood``: those too; or a split, such as tau, whose
        training images are used and on whose test images its accuracy is measured. For the first two, accuracy is that of
        fits on the training images of tau.
    dataset : str, pathlib.Path or Dataset, optional
    layers : dict or "auto", optional
        As for :func:`score_model`.
    pool : str
        ``persubject`` (everything that the subject saw) or ``shared``.
    alphas : tuple of float, "relative" or "published"
        As for :func:`LAIONfMRI`; "published" are those of the registered benchmarks. On a split, correlations are the raw
        values of the benchmark of the same alphas: by default ``benchmark(..., alphas="relative")``, with "published" the
        registered one. Published penalties end where some features have predictions that are each voxel's mean and little
        else, which a correlation does not show.
    alpha_per_voxel : bool
        A penalty per voxel instead of one per region, by the same leave-one-out error.
    dtype : {"float32", "float16"}
        Of the weights.
    max_size : int, optional
        Bytes of the largest file; of larger encoders, features go through a random projection, whose loss is said.
    noise_ceiling_threshold : float
        Percent; voxels with nc_12rep above it.
    record : str, optional
        The region that the model records for all ``regions``, as for :func:`LAIONfMRI`.
    path : pathlib.Path, optional
        Where the encoder is written; default: a temporary file, see :meth:`Encoder.save`.
    engine : EngineOptions, optional
    say : callable, optional
        Called with sentences about size, loss and penalties. Default: the log, at the level of information (the size, small
        losses) or of warnings. ``about["loss"]`` and ``about["notes"]`` of the encoder keep them.

    Returns
    -------
    Encoder

    Raises
    ------
    IdentifierError, DatasetError, ModelSourceError, StimulusKernelError
    """
    if train in FOLD_FAMILIES:
        raise IdentifierError(f"An encoder has one set of training images; {train} has five. Name a fold: {train}_0.")
    regions = (regions,) if isinstance(regions, str) else tuple(dict.fromkeys(regions))
    if not regions:
        raise IdentifierError("An encoder predicts one region or more; received none.")
    is_published = isinstance(alphas, str) and alphas == PUBLISHED
    settings = EncoderSettings(DEFAULT_ALPHAS if is_published else alphas, alpha_per_voxel, dtype, max_size)
    split = CHECK_SPLIT if train in (ALL, WITH_OOD) else train
    cells = [
        Cell(
            region,
            split,
            "ridgecv",
            pool=pool,
            subjects=(subject,),
            noise_ceiling_threshold=noise_ceiling_threshold,
            record=record,
            dataset=dataset,
        )
        for region in regions
    ]
    # everything about the data is found before the model is made
    candidate, plans = prepare(model, [build(cell, engine) for cell in cells], layers, engine)
    checks = [task for plan in plans for task in plan.tasks]
    tasks = checks
    if train in (ALL, WITH_OOD):
        own = tuple(s for s in checks[0].pool.stimulus_ids if train == WITH_OOD or not is_ood(s))
        tasks = [replace(task, train_ids=own, test_ids=(), bootstrap_groups=None) for task in checks]
    facts = {"dataset": plans[0].facts["dataset"], "versions": versions(), "licence": LICENCE, "citation": BIBTEX}
    about = {**facts, "train": train, "accuracy_split": split, "pool": pool}
    say, warn = (_logger.info, _logger.warning) if say is None else (say, say)
    opened = open_dataset(dataset)
    space, rois = _space(opened, subject, say), _regions(opened, subject, noise_ceiling_threshold)
    if plans[0].facts["dataset"]["simulated"]:
        about["comment"] = "simulated data: says nothing about brains"
    return fit(
        candidate,
        tasks,
        path,
        checks=checks,
        settings=settings,
        options=engine,
        describe=partial(_metadata, about=about, space=space, rois=rois),
        plain=_plain,
        say=say,
        warn=warn,
    )


def load_encoder(path, device: str = "auto", model=None) -> Encoder:
    """Read an encoder, and make its network.

    Parameters
    ----------
    path : str or pathlib.Path
    device : {"auto", "cpu", "cuda"}
        Where the network runs.
    model : str, torch.nn.Module or brainscore_vision.model_interface.BrainModel, optional
        The network, where the file does not say where it comes from; its weights must be those of the fit.

    Raises
    ------
    EncoderFileError
        A damaged file, one of another version, or another network.
    ModelSourceError
        The network cannot be made here.
    """
    from .networks.finding import find_model

    about, _, _ = read_header(path)
    if about["kind"] == "features":
        return Encoder.open(path)
    wanted = about["source"] if model is None else model
    if wanted is None:
        raise EncoderFileError(
            f"{path} was fitted with a network made in Python, {about['identifier']}, and cannot make it again. Give it: "
            f"load_encoder(path, model=...), or --model."
        )
    try:
        made = find_model(wanted).model(about["layers"] or None)
    except ModelSourceError as error:
        if model is not None:
            raise
        raise ModelSourceError(
            f"{path} was fitted with the network {wanted}, which cannot be made here: {error} Give the network as it is called "
            f"now: load_encoder(path, model=...), or --model."
        ) from error
    to_device(made, device)
    return Encoder.open(path, made, _plain, check_images=True)


def encoder_metadata(path) -> dict:
    """What an encoder says of itself, nested as ``fmri``, ``encoding_model`` and ``roi``; reads no weights.

    ``fmri`` has an array per voxel (voxel_index, region, noise ceilings); ``encoding_model`` the network (``identifier``,
    ``source``, ``network``, a digest of its weights), ``layers`` by region, training and accuracy. Where the dataset has the
    brain mask, ``fmri`` has ``voxel_coords`` too, positions on the axes of the volume, (voxels, 3), which ``affine``, (4, 4),
    turns into millimetres.

    ``noise_ceiling_testset`` is the part of the variance of averages over the test images that a model could explain, from
    these images themselves as in a Score (below 0 for some voxels with little signal); ``noise_ceiling_singletrial`` is the
    published ceiling, of all images of the release, at one repetition.
    """
    return read_header(path)[1]


def accuracy_figure(about: dict, metadata: dict):
    """Correlation of each voxel's predictions with its responses to held-out images, by region; dots are medians.

    Parameters
    ----------
    about, metadata : dict
        Of an :class:`Encoder`, or of a file by ``read_header``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    model, regions = metadata["encoding_model"], about["regions"]
    width = max(4.5, 2 + 1.1 * len(regions))  # the title has room
    figure = Figure(figsize=(width, 3.6), layout="constrained")
    axes, rng = figure.subplots(), np.random.default_rng(0)
    for i, region in enumerate(regions):
        columns = metadata["roi"][region]
        values, ceiling = model["correlation_results"][columns], np.median(model["noise_ceiling_testset"][columns])
        axes.scatter(i + rng.uniform(-0.3, 0.3, len(values)), values, s=3, color=f"C{i}", alpha=0.4, linewidths=0)
        axes.plot(i, np.median(values), "o", color=f"C{i}", markeredgecolor="black")
        axes.hlines(np.sqrt(max(ceiling, 0.0)), i - 0.4, i + 0.4, color="black", linestyle=":")
    axes.set_xticks(range(len(regions)), regions)
    axes.set_ylabel(f"correlation on {len(model['test_stimuli'])} held-out images")
    axes.set_title(
        f"{about['identifier']} → {about['subject']}\n(dots: medians; dotted: √ of the median noise ceiling)",
        fontsize=9,
    )
    axes.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def encoders_in(folder) -> list[tuple[Path, dict | str]]:
    """Encoders in a folder and what they are of; for files that cannot be read, what is wrong."""
    found = []
    for path in sorted(Path(folder).glob("**/*.h5")):
        try:
            found.append((path, read_header(path)[0]))
        except EncoderFileError as error:
            found.append((path, str(error)))
    return found


def _plain(content: bytes) -> bytes | None:
    """An image as people saw it: transparent pixels on grey."""
    return picture(content).copy


def _space(dataset: Dataset, subject: str, say: Callable[[str], None]):
    """Where the subject's voxels are in the volume, or None: said, and the encoder is no worse for it."""
    from brainscore_vision.data.laion_fmri_7t.voxel_space import voxel_space  # needs nibabel

    try:
        return voxel_space(dataset, subject)
    except SchemaError:
        raise
    except DatasetError:
        say(
            f"The encoder's metadata have no voxel_coords: the dataset does not say in which brain mask voxels of {subject} "
            f"are counted, or does not have it (laion-score data get --what anatomy,ceilings)."
        )
        return None


def _regions(dataset: Dataset, subject: str, noise_ceiling_threshold: float) -> dict[str, np.ndarray]:
    """Voxels of every region and region of interest that the subject has, above the threshold."""
    file, table = dataset.assembly_file(subject), dataset.region_table(subject)
    voxels, found = file.header.neuroids, {}
    for name in (*STORED_REGIONS, *(table.names() if table is not None else ())):
        with contextlib.suppress(DatasetError):  # the file was built without it
            inside = region_voxels(file, name) & (voxels["nc_12rep"] > noise_ceiling_threshold).to_numpy()
            found[name] = voxels["voxel_index_in_brain_mask"].to_numpy()[inside]
    return {name: own for name, own in found.items() if len(own)}


def _metadata(accuracies: list[Accuracy], about: dict, space, rois: dict[str, np.ndarray]) -> dict:
    tree = nested_metadata(accuracies)
    fmri, roi = tree["fmri"], tree["roi"]
    fmri["voxel_index"] = fmri.pop("voxel_index_in_brain_mask")
    # regions that were not fitted by themselves, all of whose voxels were
    for name, voxels in rois.items():
        if name not in roi and np.isin(voxels, fmri["voxel_index"]).all():
            roi[name] = np.flatnonzero(np.isin(fmri["voxel_index"], voxels))
    if space is not None:
        fmri |= {"voxel_coords": space.ijk(fmri["voxel_index"]), "affine": space.grid.affine}
    tree["encoding_model"] |= about
    return tree
