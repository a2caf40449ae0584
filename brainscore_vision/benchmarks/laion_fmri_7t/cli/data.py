"""``laion-score data``: what is on this machine, what is missing and how to get it, and what the data are. Works offline,
but for ``bucket`` and ``get``.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .get import SubjectsOption, bucket, get, names
from .options import DatasetOption, Group, alone
from .tables import Column, print_table

if TYPE_CHECKING:
    from brainscore_vision.data.laion_fmri_7t.stimuli.displayed import Survey
    from brainscore_vision.data.laion_fmri_7t.stimuli.sources import StimulusSource

app = typer.Typer(cls=Group, help="See what data are on this machine, and get what is missing.", no_args_is_help=True)
app.command()(bucket)
app.command()(get)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
_SHOWN = 4  # names of a list that are printed before "and n more"


@app.command()
def status(dataset: DatasetOption = None, as_json: JsonOption = False) -> None:
    """Say which folder is used, what it holds, what it lacks, and which command gets each missing thing.

    Embeddings, fMRI and all that is derived from it are CC0; the images alone need the data use agreement.
    """
    from brainscore_vision.data.laion_fmri_7t.inventory import is_simulated, take_inventory
    from brainscore_vision.data.laion_fmri_7t.source import PUBLISHED
    from brainscore_vision.data.laion_fmri_7t.stimuli.sources import BUNDLED_VARIABLE, STIMULI_VARIABLE

    folder, why = find_folder(dataset)
    items = take_inventory(folder) if folder is not None else []
    published = published_state() if why.startswith(PUBLISHED) else {}
    if as_json:
        content = {"folder": None if folder is None else str(folder), "why": why, "published": published}
        content["items"] = [{**asdict(item), "state": item.state} for item in items]
        print(json.dumps(content))
        return
    print(f"Dataset: {why}")
    for subject, path in published.items():
        print(f"  {subject}: {path or 'not downloaded (0.9 GB, on first use)'}")
    if folder is None:
        print("Folder with images, splits and released files: none. `laion-fmri config --data-dir FOLDER` sets one.")
        for variable in (STIMULI_VARIABLE, BUNDLED_VARIABLE):
            print(f"Images alone: {variable}={os.environ.get(variable) or 'not set'}")
        return
    print(f"Folder: {folder}{' (simulated)' if is_simulated(folder) else ''}")
    for item in items:
        parts = f"{len(item.found)} of {len(item.found) + len(item.missing)}"
        print(f"  {item.name:28}{item.state:10}{parts:10}for {item.needed_for:12}{item.terms}")
    lacking = [item for item in items if item.missing]
    if is_simulated(folder) and all(item.needed_for != "scoring" for item in lacking):
        lacking = []  # it can be scored, and nothing was released that it could be rebuilt from
    for item in lacking:
        print(f"\n{item.name} ({item.terms}) lacks {_some(item.missing)}:\n    {item.command}")


@app.command()
def describe(
    dataset: DatasetOption = None,
    threshold: Annotated[float, typer.Option(help="Percent of nc_12rep; voxels above it are scored.")] = 30.0,
    as_json: JsonOption = False,
) -> None:
    """Count subjects, voxels per region and region of interest before and after the threshold, pools, splits, images."""
    from brainscore_vision.data.laion_fmri_7t import description
    from brainscore_vision.data.laion_fmri_7t.constants import SPLIT_FILES
    from brainscore_vision.data.laion_fmri_7t.source import open_dataset

    opened = open_dataset(dataset)
    numbers = [description.describe_subject(opened, subject, threshold) for subject in opened.subjects]
    pools = {pool: len(opened.pool_stimuli(pool)) for pool in ("shared", *opened.subjects)}
    kinds = description.ood_counts(opened)
    splits = description.split_sizes(opened, tuple(pools), SPLIT_FILES)
    if as_json:
        content = {"dataset": opened.describe(), "threshold": threshold, "pools": pools, "ood_types": kinds}
        content["subjects"] = numbers
        content["rois"] = description.regions_of_interest(opened)
        content["splits"] = [split._asdict() for split in splits]
        print(json.dumps(content))
        return
    print(f"{opened.name}{' (simulated responses)' if opened.is_simulated else ''}, fingerprint {opened.fingerprint()}")
    rows = []
    for n in numbers:
        voxels = (f"{kept:,}/{every:,}" for every, kept in n["voxels"].values())
        rows.append((n["subject"], f"{n['trials']:,}", f"{n['stimuli']:,}", str(n["sessions"] or "?"), *voxels))
    names = ("trials", "stimuli", "sessions", *(numbers[0]["voxels"] if numbers else ()))
    print_table("Subjects", [Column("subject"), *(Column(name, number=True) for name in names)], rows)
    print(f"Voxels: with nc_12rep above {threshold:g} percent/all.")
    rois = description.regions_of_interest(opened)
    if rois:
        rows = []
        for category, regions in rois.items():
            for region in regions:
                counts = (n["rois"].get(region) for n in numbers)
                rows.append((category, region, *("-" if c is None else f"{c[1]:,}/{c[0]:,}" for c in counts)))
        subjects = (Column(n["subject"], number=True) for n in numbers)
        print_table("Regions of interest", [Column("category"), Column("region of interest"), *subjects], rows)
    masks = {}
    for n in numbers:
        masks.setdefault(n["brain_mask"], []).append(n["subject"])
    print("Brain mask: " + "; ".join(f"{mask} ({', '.join(whose)})" for mask, whose in masks.items()))
    print("Pools: " + ", ".join(f"{pool} {size:,}" for pool, size in pools.items()))
    print("Out of distribution: " + ", ".join(f"{kind} {count}" for kind, count in kinds.items()))
    _print_splits(splits)


@app.command()
def splits(
    context: typer.Context,
    dataset: DatasetOption = None,
    pool: Annotated[str | None, typer.Option(help="shared, or a subject. Default: all pools.")] = None,
    name: Annotated[
        str | None, typer.Option(help="tau, ood, ood_<type>, cluster_k5_<k> or random_<k>. Default: all.")
    ] = None,
    ids: Annotated[bool, typer.Option("--ids", help="Print the images: side, tab, id.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Training and test images of splits: how many, where the split comes from, and with --ids which images."""
    from brainscore_vision.data.laion_fmri_7t import description
    from brainscore_vision.data.laion_fmri_7t.constants import SPLIT_FILES
    from brainscore_vision.data.laion_fmri_7t.source import open_dataset

    opened = open_dataset(dataset)
    pools = (pool,) if pool is not None else ("shared", *opened.subjects)
    names = (name,) if name is not None else SPLIT_FILES
    if ids:
        if pool is None or name is None:
            raise typer.BadParameter("--ids prints one split: name it with --pool and --name.")
        alone(context, "--ids", "dataset", "pool", "name")
        for side, members in zip(("train", "test"), opened.split_ids(pool, name), strict=True):
            for member in members:
                print(f"{side}\t{member}")
        return
    rows = description.split_sizes(opened, pools, names)
    if as_json:
        print(json.dumps([row._asdict() for row in rows]))
        return
    _print_splits(rows)
    others = [f"{row.name} of {row.pool}" for row in rows if not row.own]
    if len(others) < len(rows):
        print(f"From {opened.root / 'splits'}")
    if others:
        print(f"From the package laion_fmri{f': {_some(tuple(others))}' if len(others) < len(rows) else ''}")


@app.command()
def images(dataset: DatasetOption = None, as_json: JsonOption = False) -> None:
    """Decode every image: which are damaged, which are shown as plain copies and why, sizes, the seal. Takes minutes."""
    from brainscore_vision.data.laion_fmri_7t.source import open_dataset
    from brainscore_vision.data.laion_fmri_7t.stimuli.displayed import describe_copies, describe_sizes
    from brainscore_vision.data.laion_fmri_7t.stimuli.seal import SEAL, differences, read_seal
    from brainscore_vision.data.laion_fmri_7t.stimuli.sources import survey_images

    source = open_dataset(dataset).stimuli
    found, sealed = survey_images(source), read_seal(source.folder)
    changes = None if sealed is None else differences(sealed, found.hashes)
    if as_json:
        content = {"images": len(found.hashes), "copies": len(found.copied), "reasons": dict(found.changes)}
        content["sizes"] = [{"width": w, "height": h, "images": n} for (w, h), n in found.sizes.most_common()]
        content |= {"unreadable": found.unreadable, "not_square": found.not_square}
        content["seal"] = None if changes is None else asdict(changes)
        print(json.dumps(content))
    else:
        print(f"{len(found.hashes):,} images, {describe_sizes(found)}; {describe_copies(found)}.")
        if found.not_square:
            print(f"Not square: {len(found.not_square)}, first {found.not_square[0]!r}. People saw squares.")
        if changes is None:
            print(f"Not sealed. `laion-score data seal {source.folder}` notes a hash of each image.")
        else:
            print(f"Seal {source.folder / SEAL}: {changes or 'all images are as they were sealed'}.")
    _refuse_unreadable(found, source)
    if changes:
        raise typer.Exit(1)


@app.command()
def seal(
    folder: Annotated[
        str | None,
        typer.Argument(help="Folder of a dataset or of its images. Default: the dataset that is scored on."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a seal that says something else.")] = False,
) -> None:
    """Note a hash of each image in seal.json beside the images; from then on, scoring and `check` compare.

    A damaged image that still decodes, rows in another order or a replaced image are found by nothing else.
    """
    from brainscore_vision.data.laion_fmri_7t.errors import MissingDataError
    from brainscore_vision.data.laion_fmri_7t.source import PUBLISHED, SIMULATED, open_dataset
    from brainscore_vision.data.laion_fmri_7t.stimuli.seal import SEAL, write_seal
    from brainscore_vision.data.laion_fmri_7t.stimuli.sources import HOW_TO_GET_STIMULI, find_stimuli, survey_images

    if folder is None or folder in (PUBLISHED, SIMULATED):
        source = open_dataset(folder).stimuli
    else:
        root = Path(folder).expanduser().absolute()
        source = find_stimuli(root)
        if source is None:
            what = "has neither manifest.csv nor the release's files" if root.is_dir() else "is not a folder"
            raise MissingDataError(f"To be sealed, images must be there; {root} {what}. {HOW_TO_GET_STIMULI}")
    found = survey_images(source)
    _refuse_unreadable(found, source)
    written = write_seal(source.folder, found.hashes, force)
    print(f"{len(found.hashes):,} images {'sealed' if written else 'are as they were sealed'}: {source.folder / SEAL}")


@app.command()
def verify(
    dataset: DatasetOption = None,
    subjects: SubjectsOption = None,
    published: Annotated[
        Path | None,
        typer.Option(help="Folder of published files (assy_*.nc) to compare with. Default: they are downloaded."),
    ] = None,
) -> None:
    """Compare assemblies with the published ones: identical (to the last bit), equal to float32 rounding, or DIFFERENT.

    The exit code is 1 if a subject's differ. Other differences, such as of coordinates, are listed.
    """
    from brainscore_vision.data.laion_fmri_7t.constants import SUBJECTS
    from brainscore_vision.data.laion_fmri_7t.packaging import command
    from brainscore_vision.data.laion_fmri_7t.source import PUBLISHED

    people = names(subjects, "--subjects", SUBJECTS)
    folder, why = find_folder(dataset)
    if folder is None or why.startswith(PUBLISHED):
        raise typer.BadParameter("Assemblies in a data folder are compared. Name it: --dataset FOLDER.")
    request = command.Request(root=folder, subjects=people, actions=(command.VERIFY,), published=published)
    if command.run(request, print) != command.ALL_DONE:
        raise typer.Exit(1)


def _refuse_unreadable(found: Survey, source: StimulusSource) -> None:
    from brainscore_vision.data.laion_fmri_7t.errors import DatasetError

    if found.unreadable:
        raise DatasetError(
            f"Every image must be whole; {len(found.unreadable)} of {len(found.hashes):,} are not, first "
            f"{'; '.join(found.unreadable[:_SHOWN])}. {source.how_to_restore}"
        )


def find_folder(dataset: str | None) -> tuple[Path | None, str]:
    """The folder that a dataset's files are in, and in words how it was chosen. Makes nothing, downloads nothing.

    Parameters
    ----------
    dataset : str or None
        As for `open_dataset`, except that a folder may lack assemblies: `status` says what a folder lacks.

    Raises
    ------
    MissingDataError
        If a folder does not exist, or the simulated dataset has not been made.
    """
    from brainscore_vision.data.laion_fmri_7t.constants import SUBJECTS
    from brainscore_vision.data.laion_fmri_7t.errors import MissingDataError
    from brainscore_vision.data.laion_fmri_7t.source import DATASET_VARIABLE, PUBLISHED, SIMULATED
    from brainscore_vision.data.laion_fmri_7t.stimuli.sources import laion_fmri_folder

    said = "--dataset" if dataset is not None else DATASET_VARIABLE
    chosen = dataset if dataset is not None else os.environ.get(DATASET_VARIABLE) or None
    configured = laion_fmri_folder()
    if chosen is None:
        if configured is not None and any((configured / "assemblies" / f"{s}.nc").is_file() for s in SUBJECTS):
            return configured, f"{configured}, laion_fmri's configured folder"
        return configured, f"{PUBLISHED} (nothing else is named, and laion_fmri's folder holds no assemblies)"
    if chosen == PUBLISHED:
        return configured, f"{PUBLISHED}, by {said}"
    if chosen == SIMULATED:
        from brainscore_vision.data.laion_fmri_7t.simulation import default_folder

        folder = default_folder()
        if not folder.is_dir():
            raise MissingDataError(
                f"The simulated dataset is made on first use and is not there yet ({folder}). Run `laion-score demo`, "
                "or make one with `laion-score simulate FOLDER`."
            )
        return folder, f"{SIMULATED}, by {said}"
    folder = Path(chosen).expanduser().absolute()
    if not folder.is_dir():
        raise MissingDataError(f"A data folder must exist; {folder}, by {said}, does not. Make it or correct the name.")
    return folder, f"{folder}, by {said}"


def published_state() -> dict[str, str | None]:
    """Subject -> local copy of the published assembly, None if it was not downloaded."""
    from brainscore_vision.data.laion_fmri_7t.assemblies.published import PER_SUBJECT, local_copy

    copies = {subject: local_copy(published) for subject, published in PER_SUBJECT.items()}
    return {subject: None if path is None else str(path) for subject, path in copies.items()}


def _print_splits(rows: list) -> None:
    """A row per split, a column per pool."""
    pools, splits = dict.fromkeys(row.pool for row in rows), dict.fromkeys(row.name for row in rows)
    sizes = {(row.pool, row.name): f"{row.train:,}/{row.test:,}" for row in rows}
    columns = [Column("split"), *(Column(pool, number=True) for pool in pools)]
    print_table("Training/test images", columns, [(split, *(sizes[pool, split] for pool in pools)) for split in splits])


def _some(names: tuple[str, ...]) -> str:
    """A few names and how many more."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
