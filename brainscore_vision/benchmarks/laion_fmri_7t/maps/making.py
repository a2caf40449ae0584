"""From Scores and layer maps to one volume per subject."""

from __future__ import annotations

import contextlib
import gzip
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from brainscore_core.metrics import Score

from brainscore_vision.benchmark_helpers.stimulus_kernels.files import replacing
from brainscore_vision.benchmark_helpers.stimulus_kernels.layers.layer_map import LayerMap
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.differences import (
    model_names,
    other_test_stimuli,
    other_training,
)
from brainscore_vision.data.laion_fmri_7t.source import Dataset, open_dataset

from ..identifiers import IdentifierError, parse
from .errors import MapError
from .quantities import LAYER, QUANTITIES, Quantity, name_of, subject_values, subjects_of

if TYPE_CHECKING:  # nibabel is loaded when a volume is made
    from brainscore_vision.data.laion_fmri_7t.voxel_space import VoxelSpace

INDEX = "voxel_index_in_brain_mask"
DIFFERENCES = ("correlation", "explained_variance")
"""Values that one model may have more of than another."""

VOLUMES = (".nii", ".nii.gz")


@dataclass(frozen=True)
class BrainMap:
    """One value per voxel of one subject, and where the voxels are.

    Attributes
    ----------
    subject : str
    value : str
        A key of :data:`~.quantities.QUANTITIES`.
    neuroids : pandas.DataFrame
        One row per voxel: at least ``region`` and ``voxel_index_in_brain_mask``.
    values : numpy.ndarray of float64, shape (n_voxels,)
        nan where a voxel has none.
    space : VoxelSpace
    about : dict
        What a reader of the map should know: written beside the volume.
    is_difference : bool
        Whether the values are one model's minus another's.
    levels : tuple of str
        What the values 1, 2, … stand for; empty where they are quantities.
    """

    subject: str
    value: str
    neuroids: pd.DataFrame
    values: np.ndarray
    space: VoxelSpace
    about: dict = field(repr=False)
    is_difference: bool = False
    levels: tuple[str, ...] = ()

    @property
    def quantity(self) -> Quantity:
        """What the values are."""
        return QUANTITIES[self.value]

    @cached_property
    def image(self):
        """The values as a nibabel.Nifti1Image on the grid of the betas: float32, nan outside of the voxels."""
        return self.space.image(self.neuroids[INDEX].to_numpy(), self.values)

    @property
    def file_name(self) -> str:
        """As the release names volumes: ``sub-01_task-images_space-T1w_desc-correlation_statmap.nii.gz``."""
        words = (*self.value.split("_"), *(["difference"] if self.is_difference else []))
        description = words[0] + "".join(word.capitalize() for word in words[1:])
        return f"{self.subject}_task-images_space-T1w_desc-{description}_statmap.nii.gz"

    def save(self, path: str | Path) -> Path:
        """Write the volume, and what it is in a JSON file of the same name beside it.

        Parameters
        ----------
        path : str or Path
            A file that ends in .nii or .nii.gz, or a folder, where the file is called :attr:`file_name`.

        Returns
        -------
        Path
            Of the volume.
        """
        path = Path(path).expanduser()
        if not is_volume(path):
            path = path / self.file_name
        ending = next(ending for ending in VOLUMES if path.name.endswith(ending))
        described = path.with_name(f"{path.name.removesuffix(ending)}.json")
        self._check_replaced(path, described)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            content = self.image.to_bytes()
            with replacing(path) as scratch:  # without a time in the archive, the same map has the same bytes
                scratch.write_bytes(gzip.compress(content, mtime=0) if ending == ".nii.gz" else content)
            with replacing(described) as scratch:
                scratch.write_text(json.dumps(self.about, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise MapError(f"{path} cannot be written: {error.strerror}. Give --out another place.") from error
        return path

    def _check_replaced(self, path: Path, described: Path) -> None:
        """Refuse to write over another model's map, whose file has the same name."""
        there = None
        with contextlib.suppress(OSError, ValueError):  # none, or none of ours
            there = json.loads(described.read_text(encoding="utf-8"))
        names = ("Model", "Minus", "Benchmarks", "Regions")
        if isinstance(there, dict) and any(there.get(name) != self.about.get(name) for name in names):
            was, now = (
                " minus ".join(filter(None, (one.get("Model"), one.get("Minus")))) for one in (there, self.about)
            )
            raise MapError(
                f"{path} is a map of {was} ({', '.join(there.get('Benchmarks', ()))}), and this one is of {now}. Give --out "
                f"another name, or remove it."
            )


def is_volume(path: Path) -> bool:
    """Whether a path names a NIfTI file."""
    return path.name.endswith(VOLUMES)


def brain_maps(
    scores: Score | Sequence[Score],
    value: str = "correlation",
    *,
    minus: Score | Sequence[Score] = (),
    names: Sequence[str] = (),
    subjects: Sequence[str] = (),
    dataset: str | Path | Dataset | None = None,
    mask: str | Path | None = None,
    release: str | Path | None = None,
) -> list[BrainMap]:
    """One map per subject of the values per voxel of Scores.

    Parameters
    ----------
    scores : Score or sequence of Score
        Of one model, by :func:`score_model` or from a results file; several are of the same benchmark in different regions,
        which become one map.
    value : str
        A key of :data:`~.quantities.QUANTITIES`, without ``layer``.
    minus : Score or sequence of Score
        Of another model on the same benchmarks, in any order: the map is the first model's value minus this one's.
    names : sequence of str
        What to call the model, and that of ``minus``; by default their identifiers, with digests where these are the same.
    subjects : sequence of str
        All of the Scores by default.
    dataset : str, Path or Dataset, optional
        Where the data are that were scored; by default where they were then.
    mask, release : str or Path, optional
        As for :func:`brainscore_vision.data.laion_fmri_7t.voxel_space.voxel_space`.

    Returns
    -------
    list of BrainMap
        In the order of subjects.

    Raises
    ------
    MapError
        Scores that have no such values, or do not belong together.
    DatasetError
        A missing or wrong brain mask, or voxels that the dataset does not have.
    """
    scores, minus = _listed(scores), _listed(minus)
    if value not in QUANTITIES or value == LAYER:
        known = [name for name in QUANTITIES if name != LAYER]
        also = " Maps of layers are made of a layer map: layer_maps." if value == LAYER else ""
        raise MapError(f"A map of Scores shows one of {', '.join(known)}; got {value!r}.{also}")
    _check_together(scores)
    if minus:
        _check_difference(scores, minus, value)
    opened = _dataset(scores, dataset)
    wanted = _subjects(scores, subjects)
    parts = _by_subject(scores, value)
    if minus:
        parts = _differences(parts, _by_subject(minus, value))
    maps = []
    for subject in wanted:
        neuroids, values = _joined(subject, parts[subject])
        about = _about_scores(scores, minus, names, value, list(parts[subject]), opened)
        maps.append(_placed(opened, subject, value, neuroids, values, about, mask, release, is_difference=bool(minus)))
    return maps


def layer_maps(
    layer_map: LayerMap,
    *,
    subjects: Sequence[str] = (),
    dataset: str | Path | Dataset | None = None,
    mask: str | Path | None = None,
    release: str | Path | None = None,
) -> list[BrainMap]:
    """One map per subject of the best layer of each voxel; parameters, result and errors as for :func:`brain_maps`.

    Parameters
    ----------
    layer_map : LayerMap
        By ``map_layers(..., metric="ridgecv")``.
    """
    if not layer_map.neuroids:
        raise MapError(
            f"The best layer of each voxel comes with layer maps by ridgecv that this version made; that of {layer_map.model} "
            f"has none. Make it again: `laion-score layers MODEL --json`."
        )
    facts = layer_map.facts
    opened = dataset if isinstance(dataset, Dataset) else open_dataset(dataset or _place(facts.get("dataset", {})))
    unknown = sorted(set(subjects) - set(layer_map.subjects))
    if unknown:
        raise MapError(
            f"The layer map has {', '.join(layer_map.subjects)}; got {', '.join(unknown)}. Name some of these."
        )
    maps = []
    for subject in subjects or layer_map.subjects:
        regions = {one.region: one for one in layer_map.neuroids if one.subject == subject}
        values = {
            region: xr.DataArray(
                np.where(one.correlations > 0, one.layers + 1.0, np.nan),
                dims=["neuroid"],
                coords={name: ("neuroid", column.to_numpy()) for name, column in one.coordinates.items()},
            )
            for region, one in regions.items()
        }
        neuroids, joined = _joined(subject, values)
        about = {
            **_described(LAYER),
            "Model": layer_map.model,
            "Regions": list(regions),
            "TrainingImages": f"{facts.get('split')}, pool {facts.get('pool')}",
            "Levels": {str(number): layer for number, layer in enumerate(layer_map.layers, start=1)},
            **_described_dataset(opened),
        }
        placed = _placed(opened, subject, LAYER, neuroids, joined, about, mask, release, levels=layer_map.layers)
        maps.append(placed)
    return maps


def _listed(scores: Score | Sequence[Score]) -> list[Score]:
    return [scores] if isinstance(scores, Score) else list(scores)


def _cell(score: Score) -> tuple:
    """What benchmarks of one map have in common."""
    try:
        cell = parse(name_of(score))
    except IdentifierError:
        return (name_of(score),)
    return cell.pool, cell.split, cell.metric, cell.noise_ceiling_threshold, cell.alphas


def _check_together(scores: list[Score]) -> None:
    if not scores:
        raise MapError("A map is made of one Score or more; got none.")
    for what, of in (
        ("one model", lambda s: s.attrs.get("model_identifier")),
        ("one dataset", lambda s: s.attrs.get("dataset", {}).get("fingerprint")),
        ("one benchmark, in several regions", _cell),
    ):
        if len({of(score) for score in scores}) > 1:
            found = dict.fromkeys(f"{_model(score)} on {name_of(score)}" for score in scores)
            raise MapError(f"A map is of {what}; got {', '.join(found)}. Choose by --model, --benchmark and --dataset.")
    digests = {score.attrs.get("network_digest") for score in scores} - {None}  # earlier versions do not say it
    if len(digests) > 1:
        found = dict.fromkeys(
            f"{_model(score)} (network {score.attrs.get('network_digest')}) on {name_of(score)}" for score in scores
        )
        raise MapError(f"A map is of one network; got {', '.join(found)}. Choose Scores of one of them.")
    seen: dict[str, Score] = {}
    for score in scores:
        if seen.setdefault(name_of(score), score) is not score:
            raise MapError(
                f"A map has one Score of a benchmark; got several on {name_of(score)}, such as those of two layers. Give one."
            )


def _check_difference(scores: list[Score], minus: list[Score], value: str) -> None:
    """Refuse values that cannot be subtracted: those of other benchmarks, other data or other test images."""
    if value not in DIFFERENCES:
        raise MapError(f"Models differ in {' or '.join(DIFFERENCES)}; the difference of two {value} says nothing.")
    _check_together(minus)
    by_name = {name_of(score): score for score in minus}
    missing = [name_of(score) for score in scores if name_of(score) not in by_name]
    if missing:
        raise MapError(
            f"Both models need scores on the same benchmarks; {_model(minus[0])} has none on {', '.join(missing)}."
        )
    for score in scores:
        other = by_name[name_of(score)]
        own, others = (one.attrs.get("dataset", {}).get("fingerprint") for one in (score, other))
        if own != others:
            raise MapError(
                f"A difference is of scores on the same data; on {name_of(score)} they are {own} for {_model(score)} and "
                f"{others} for {_model(minus[0])}. Score both models on one dataset."
            )
        if other_test_stimuli(score, other):
            left_out = [len(one.attrs.get("dropped_stimuli", ())) for one in (score, other)]
            raise MapError(
                f"A difference is of scores on the same test images; on {name_of(score)}, those of {_model(score)} and of "
                f"{_model(minus[0])} are not the same ({left_out[0]} and {left_out[1]} images were left out). Give both models "
                f"features of all images, or leave out the same."
            )


def _model(score: Score) -> str:
    return score.attrs.get("model_identifier", "a model")


def _place(described: Mapping) -> str | None:
    """Where a dataset was, by what a Score says of it."""
    name, root = described.get("name"), described.get("root")
    return name if name in ("simulated", "published") else root


def _dataset(scores: list[Score], dataset) -> Dataset:
    if isinstance(dataset, Dataset):
        return dataset
    return open_dataset(dataset or _place(scores[0].attrs.get("dataset", {})))


def _subjects(scores: list[Score], subjects: Sequence[str]) -> list[str]:
    found = list(dict.fromkeys(subject for score in scores for subject in subjects_of(score)))
    subjects = [subjects] if isinstance(subjects, str) else subjects
    unknown = [subject for subject in subjects if subject not in found]
    if unknown:
        raise MapError(f"The scores are of {', '.join(found)}; got {', '.join(unknown)}. Name some of these.")
    return list(subjects) or found


def _by_subject(scores: list[Score], value: str) -> dict[str, dict[str, xr.DataArray]]:
    """Subject -> benchmark -> values."""
    found: dict[str, dict[str, xr.DataArray]] = {}
    for score in scores:
        for subject, values in subject_values(score, value).items():
            found.setdefault(subject, {})[name_of(score)] = values
    return found


def _differences(first: dict, second: dict) -> dict:
    found: dict[str, dict[str, xr.DataArray]] = {}
    for subject, parts in first.items():
        for benchmark, values in parts.items():
            other = second.get(subject, {}).get(benchmark)
            if other is None or not np.array_equal(other[INDEX].values, values[INDEX].values):
                raise MapError(f"A difference is of the same voxels; those of {subject} on {benchmark} differ.")
            found.setdefault(subject, {})[benchmark] = values.copy(data=values.values - other.values)
    return found


def _joined(subject: str, parts: Mapping[str, xr.DataArray]) -> tuple[pd.DataFrame, np.ndarray]:
    """Voxels and values of several benchmarks or regions, which have no voxel in common."""
    tables = {name: part.to_dataframe(name="value").reset_index(drop=True) for name, part in parts.items()}
    table = pd.concat(tables, names=["part"]).reset_index(level="part")
    if INDEX not in table:
        raise MapError(f"A map needs {INDEX} of each voxel; the values of {subject} lack it. Score again.")
    repeated = table[table.duplicated(INDEX, keep=False)]
    if len(repeated):
        raise MapError(
            f"A voxel has one value in a map; {repeated[INDEX].nunique():,} of {subject} are in more than one of "
            f"{', '.join(repeated['part'].unique())}. Leave out regions that overlap (--benchmark)."
        )
    return table.drop(columns=["part", "value"]), table["value"].to_numpy(float)


def _placed(
    opened: Dataset,
    subject: str,
    value: str,
    neuroids: pd.DataFrame,
    values: np.ndarray,
    about: dict,
    mask,
    release,
    **rest,
) -> BrainMap:
    from brainscore_vision.data.laion_fmri_7t.voxel_space import voxel_space

    _check_voxels(opened, subject, neuroids)
    space = voxel_space(opened, subject, mask, release)
    about = {
        **about,
        "Subject": subject,
        "Voxels": int(np.isfinite(values).sum()),
        "OutsideOfVoxels": "nan",
        "BrainMask": space.grid.path.name,
        "BrainMaskVoxels": int(space.brain.sum()),
        "BrainMaskKnownBy": space.checked,
        "GeneratedBy": [{"Name": "laion-score map", "Version": importlib.metadata.version("laion-fmri-7t")}],
    }
    return BrainMap(subject, value, neuroids, values, space, about, **rest)


def _check_voxels(opened: Dataset, subject: str, neuroids: pd.DataFrame) -> None:
    """Refuse a dataset whose assembly has other voxels than those that were scored."""
    held = opened.assembly_file(subject).header.neuroids.set_index(INDEX)
    lost = ~neuroids[INDEX].isin(held.index).to_numpy()
    if not lost.any():
        own = held.loc[neuroids[INDEX]]
        name = "nc_12rep" if "nc_12rep" in neuroids else "region"  # layer maps keep no measured values
        lost = own[name].to_numpy() != neuroids[name].to_numpy()
    if lost.any():
        raise MapError(
            f"A map needs the dataset that was scored; in {opened.name}, {int(lost.sum()):,} of {len(lost):,} scored voxels of "
            f"{subject} are missing or others. Name the right one (--dataset)."
        )


def _about_scores(scores, minus, names: Sequence[str], value: str, benchmarks: list[str], opened: Dataset) -> dict:
    first = scores[0].attrs
    models = names or (model_names(scores[0], minus[0]) if minus else (_model(scores[0]),))
    about = {**_described(value), "Model": models[0]}
    if minus:
        about["Minus"] = models[1]
        about["Description"] = f"{about['Model']} minus {about['Minus']}. {about['Description']}"
    about["Benchmarks"] = benchmarks
    if value == "alpha":
        relative = any("mean_eigenvalue" in scores[0].attrs[s].attrs for s in subjects_of(scores[0]))
        about["Units"] = "mean eigenvalues of the training kernel" if relative else "squared units of the features"
    layers, minus_layers = (
        {region: layer for score in of_model for region, layer in score.attrs.get("layers", {}).items()}
        for of_model in (scores, minus)
    )
    left_out = {
        name_of(score): len(score.attrs["dropped_stimuli"]) for score in scores if "dropped_stimuli" in score.attrs
    }
    notes = [note for score in (*scores, *minus) for note in score.attrs.get("notes", ())]
    notes = list(dict.fromkeys([*notes, *_notes_on_training(scores, minus)]))
    extra = {
        "Layers": layers,
        "MinusLayers": minus_layers,
        "ModelSource": first.get("model_source"),
        "MinusModelSource": minus[0].attrs.get("model_source") if minus else None,
        "StimuliLeftOut": left_out,
        "Notes": notes,
    }
    return about | {name: content for name, content in extra.items() if content} | _described_dataset(opened)


def _notes_on_training(scores: list[Score], minus: list[Score]) -> list[str]:
    by_name = {name_of(score): score for score in minus}
    return [
        f"In this difference, {note}"
        for score in scores
        if name_of(score) in by_name
        for note in other_training(score, by_name[name_of(score)])
    ]


def _described(value: str) -> dict:
    quantity = QUANTITIES[value]
    return {"Description": quantity.description, "Value": value, "Units": quantity.units}


def _described_dataset(opened: Dataset) -> dict:
    facts = opened.describe()
    return {"Dataset": {name: facts[name] for name in ("name", "fingerprint", "simulated")}}
