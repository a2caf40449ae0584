"""Brain-Score's bundled plugin for the same data, pointed at a dataset folder.

The bundled plugin (``brainscore_vision.benchmarks.laion_fmri``) runs as it was released, loaders included. Replaced is
only what they reach out to: the objects on S3 (files in the published form, written by `publish`), the images (its own
environment variable) and ``laion_fmri.splits`` (a stand-in that reads the folder's split files).

It drops the alpha channel of images, so that a model sees other pixels than with ours. `leave_out_transparent` makes a
view of a dataset without such images, for both sides.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import types
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import netCDF4
import numpy as np
import pandas as pd
from PIL import Image

FAMILIES = {"shared": "Zerbe2026_fmri", "persubject": "Zerbe2026_fmri_persubject"}
"""Pool -> the bundled plugin's dataset prefix."""

OBJECTS = {"shared": "LAION_fMRI_full_{subject}_Assembly", "persubject": "LAION_fMRI_persubject_{subject}_Assembly"}
"""Pool -> identifier of the published object."""

NEUROID = ("subject_id", "region", "roi", "voxel_index_in_brain_mask", "nc_4rep", "nc_12rep", "nc_allrep")
ROW_BLOCK = 2048
_OOD_TYPE = re.compile(r"shared_4rep_OOD_([a-zA-Z0-9-]+)_.+")


def leave_out_transparent(dataset: Path, target: Path) -> Path:
    """A view of a dataset folder whose splits name no image with transparent pixels.

    Assemblies and images are linked, not copied: what no split names is neither shown to a model nor scored.

    Parameters
    ----------
    dataset : Path
        Has assemblies, stimuli with ``manifest.csv`` and ``images``, and splits.
    target : Path
        New folder.

    Returns
    -------
    Path
        `target`, absolute.
    """
    dataset, target = dataset.absolute(), target.absolute()
    target.mkdir(parents=True)
    for name in ("assemblies", "stimuli"):
        (target / name).symlink_to(dataset / name, target_is_directory=True)
    transparent = transparent_stimuli(dataset)
    for source in sorted((dataset / "splits").glob("*/*.json")):
        split = json.loads(source.read_text(encoding="utf-8"))
        for variant in split["variants"]:
            for side in ("train_ids", "test_ids"):
                variant[side] = [stimulus_id for stimulus_id in variant[side] if stimulus_id not in transparent]
        split["n_train"], split["n_test"] = (len(split["variants"][0][side]) for side in ("train_ids", "test_ids"))
        copy = target / source.relative_to(dataset)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(json.dumps(split), encoding="utf-8")
    return target


def transparent_stimuli(dataset: Path) -> set[str]:
    """Stimuli whose image has a pixel that is not opaque."""
    manifest = _manifest(dataset)
    return {
        stimulus_id
        for stimulus_id, path in zip(manifest["stimulus_id"], manifest["filename"], strict=True)
        if _is_transparent(path)
    }


def _is_transparent(path: str) -> bool:
    with Image.open(path) as image:  # reads the header; pixels only where there can be an alpha channel
        if "A" not in image.getbands() and "transparency" not in image.info:
            return False
        return image.convert("RGBA").getchannel("A").getextrema()[0] < 255


def _manifest(dataset: Path) -> pd.DataFrame:
    """The table of stimuli, with absolute file names."""
    manifest = pd.read_csv(dataset / "stimuli" / "manifest.csv", keep_default_na=False)
    folder = (dataset / "stimuli" / "images").absolute()
    return manifest.assign(filename=[str(folder / name) for name in manifest["filename"]])


def publish(dataset: Path, target: Path, subjects: dict[str, Sequence[str]]) -> Path:
    """Write a dataset in the form in which Brain-Score serves it.

    Parameters
    ----------
    dataset : Path
        A dataset folder with splits; stimuli that its ``ood`` splits do not name are left out.
    target : Path
        Folder for ``assy_<identifier>.nc`` and ``manifest.csv``.
    subjects : dict of str to sequence of str
        Subjects to write for each pool, ``shared`` and ``persubject``. The two are separate objects, as published.

    Returns
    -------
    Path
        `target`.
    """
    target.mkdir(parents=True, exist_ok=True)
    named: set[str] = set()
    for pool, members in subjects.items():
        for subject in members:
            stimuli = pool_of_splits(dataset / "splits", subject if pool == "persubject" else "shared")
            named |= stimuli
            path = target / f"assy_{OBJECTS[pool].format(subject=subject)}.nc"
            _publish_assembly(dataset / "assemblies" / f"{subject}.nc", path, stimuli, subject, pool)
    manifest = _manifest(dataset)
    manifest[manifest["stimulus_id"].isin(named)].to_csv(target / "manifest.csv", index=False)
    return target


def pool_of_splits(splits: Path, pool: str) -> set[str]:
    """All stimuli that the two sides of a pool's ``ood`` split name."""
    train, test = _sides(splits, pool, "ood")
    return {*train, *test}


def _publish_assembly(source: Path, target: Path, stimuli: set[str], subject: str, pool: str) -> None:
    """Trials of some stimuli, contiguous as xarray writes them, in blocks of rows."""
    with netCDF4.Dataset(source) as read, netCDF4.Dataset(target, "w", format="NETCDF4") as write:
        keep = np.flatnonzero(np.isin(read["stimulus_id"][:].astype(str), sorted(stimuli)))
        presentation = {name: np.asarray(read[name][:])[keep] for name in ("stimulus_id", "repetition")}
        if pool == "shared":  # the published value is a remnant of a file name, and differs from the subject's id
            presentation["subject_id_pres"] = np.full(len(keep), f"{subject}_v3", dtype=object)
        else:
            presentation |= {name: np.asarray(read[name][:])[keep] for name in ("session", "run", "beta_index")}
        neuroid = {name: np.asarray(read[name][:]) for name in NEUROID}
        for dimension, coordinates in (("presentation", presentation), ("neuroid", neuroid)):
            write.createDimension(dimension, len(next(iter(coordinates.values()))))
            for name, values in coordinates.items():
                kind = str if values.dtype == object else values.dtype
                write.createVariable(name, kind, (dimension,))[:] = values
        data = write.createVariable("data", "f4", ("presentation", "neuroid"), contiguous=True)
        data.coordinates = " ".join([*presentation, *neuroid])
        for start in range(0, len(keep), ROW_BLOCK):
            rows = keep[start : start + ROW_BLOCK]
            first = rows[0]
            data[start : start + len(rows)] = read["data"][first : rows[-1] + 1][rows - first]


@contextlib.contextmanager
def bundled_plugin(published: Path, splits: Path, caching: bool = False) -> Iterator[list[str]]:
    """Within this context the bundled plugin finds its assemblies, images and splits in the given folders.

    Parameters
    ----------
    published : Path
        Written by `publish`.
    splits : Path
        A dataset's ``splits`` folder.
    caching : bool
        Whether Brain-Score keeps ceilings, activations and converted images on disk (RESULTCACHING).

    Yields
    ------
    list of str
        Identifiers of the published objects that were opened so far, in order.
    """
    from brainscore_core.supported_data_standards.brainio import s3

    opened: list[str] = []

    def get_path(identifier: str, *_, **__) -> str:
        path = published / f"assy_{identifier}.nc"
        if not path.is_file():
            raise FileNotFoundError(f"{identifier} was not published to {published}. Name its subject in publish().")
        opened.append(identifier)
        return str(path)

    variables = {
        "LAION_FMRI_STIMULI_DIR": str(published),
        "RESULTCACHING_DISABLE": "0" if caching else "1",
        "BS_INSTALL_DEPENDENCIES": "no",  # else Brain-Score runs pip for each plugin that it imports
    }
    with (
        mock.patch.object(s3, "get_path", get_path),
        mock.patch.dict(os.environ, variables),
        _modules({"laion_fmri": types.ModuleType("laion_fmri"), "laion_fmri.splits": splits_module(splits)}),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # pandas and xarray have much to say about Brain-Score's code
        yield opened


@contextlib.contextmanager
def _modules(stand_ins: dict[str, types.ModuleType]) -> Iterator[None]:
    """Stand-ins in sys.modules; unlike mock.patch.dict, this keeps what is imported meanwhile."""
    before = {name: sys.modules.get(name) for name in stand_ins}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


def splits_module(splits: Path) -> types.ModuleType:
    """What the bundled plugin uses of ``laion_fmri.splits``, on a folder of split files."""

    def get_train_test_ids(name, pool="shared", variant_id=0, ood_types=None):
        train, test = _sides(splits, pool, name, variant_id)
        if ood_types is not None:
            test = [stimulus_id for stimulus_id in test if _OOD_TYPE.fullmatch(stimulus_id)[1] in ood_types]
        return train, test

    def get_split_masks(trials, name, pool="shared", variant_id=0, ood_types=None):
        train, test = get_train_test_ids(name, pool, variant_id, ood_types)
        return trials["label"].isin(train).to_numpy(), trials["label"].isin(test).to_numpy()

    module = types.ModuleType("laion_fmri.splits")
    module.get_train_test_ids, module.get_split_masks = get_train_test_ids, get_split_masks
    return module


def _sides(splits: Path, pool: str, name: str, variant_id: int = 0) -> tuple[list[str], list[str]]:
    variant = json.loads((splits / pool / f"{name}.json").read_text(encoding="utf-8"))["variants"][variant_id]
    return variant["train_ids"], variant["test_ids"]
