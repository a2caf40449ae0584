"""One subject's assembly from the released files, session by session."""

import hashlib
import importlib.metadata
import json
import shutil
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from ..assemblies.file import read_header
from ..assemblies.region_table import RegionTable, region_table
from ..assemblies.writer import AssemblyWriter
from ..assemblies.zscore import ZscoreCounts, zscore_in_place
from ..constants import CATEGORIES, OTHER_REGION, REGIONS, ROIS, SUBJECTS
from ..errors import DatasetError, SchemaError
from .layout import NOISE_CEILING_MAPS, SubjectFiles, dataset_mark, expected_sessions, require, sessions_in_sidecar
from .regions import RULES, RegionRule, assign_regions, roi_labels, rules_text
from .session_store import SessionStore, SourceFile
from .trials import count_repetitions, foreign_labels, read_trials
from .volumes import ANATOMICAL, MASK_DEFINITIONS, Grid, mask_digest, read_betas, read_brain_mask, read_volume

IDENTITY = ("brain_mask", "brain_mask_sha1", "region_rules", "grid", "regions_of_interest")
"""Attributes that all sessions of an assembly, and an assembly and its update, have in common; the last one is not there
without regions of interest."""

ALL = "all"


@dataclass(frozen=True)
class BuildOptions:
    """How assemblies are built.

    Attributes
    ----------
    mask : str
        Definition of the brain mask, a key of `volumes.MASK_DEFINITIONS`.
    sessions : tuple of str, optional
        Which sessions; by default all that the data folder should have. The assembly names them.
    rules : tuple of RegionRule
    regions : tuple of str
        Regions of interest and categories of them whose voxels the assembly holds besides, with the table of memberships, or
        "all"; none for V1 to IT alone.
    scratch : Path, optional
        Where finished sessions wait, about 1 GB a subject at the release's size; by default ``.rebuild`` beside the
        assemblies.
    start_over : bool
        Discard finished sessions and replace an existing assembly.
    progress : callable
        Receives the sessions that are not finished, and yields them one by one.
    """

    mask: str = ANATOMICAL
    sessions: tuple[str, ...] | None = None
    rules: tuple[RegionRule, ...] = RULES
    regions: tuple[str, ...] = ()
    scratch: Path | None = None
    start_over: bool = False
    progress: Callable[[Iterable[str]], Iterable[str]] = iter


@dataclass(frozen=True)
class Built:
    """An assembly and how it was made.

    Attributes
    ----------
    path : Path
    shape : tuple of int
        Trials, voxels.
    is_new : bool
        False if the assembly existed and was up to date.
    sessions_read : tuple of str
        Sessions whose betas were read in this run; the others were finished before.
    counts : ZscoreCounts
        Over all sessions; a voxel counts once per session.
    warnings : tuple of str
        What to know before using it.
    """

    path: Path
    shape: tuple[int, int]
    is_new: bool = False
    sessions_read: tuple[str, ...] = ()
    counts: ZscoreCounts = ZscoreCounts()
    warnings: tuple[str, ...] = ()


def build_subject(root: Path, subject: str, options: BuildOptions | None = None) -> Built:
    """Build ``assemblies/<subject>.nc`` of a data folder.

    Finished sessions are kept until the assembly is written: after an interruption or a failure, the next run goes on
    from there. Nothing is done if the assembly exists and was built from the same files in the same way.

    Parameters
    ----------
    root : Path
        The data folder.
    subject : str
    options : BuildOptions, optional

    Returns
    -------
    Built

    Raises
    ------
    MissingDataError, SchemaError
        If a file is missing or broken. The message names it; the sessions before it are kept.
    DatasetError
        If an assembly or finished sessions exist that were made in another way.
    """
    options, root = options or BuildOptions(), Path(root).expanduser().absolute()
    files = SubjectFiles(root, subject)
    sessions = options.sessions or expected_sessions(root)
    scratch = (options.scratch or files.assembly.parent / ".rebuild") / subject
    if options.start_over and scratch.exists():
        shutil.rmtree(scratch)
    plan = _make_plan(files, sessions, options)
    if files.assembly.is_file() and not options.start_over and _is_up_to_date(files, plan):
        return Built(files.assembly, read_header(files.assembly).shape, warnings=plan.warnings)
    store = SessionStore(scratch, plan.identity(), root)
    unfinished = tuple(session for session in sessions if store.record(session) is None)
    for session in options.progress(unfinished):
        _finish_session(files, session, plan, store)
    presentations = pd.concat([read_trials(files.trials(session), session) for session in sessions], ignore_index=True)
    presentations["repetition"] = count_repetitions(presentations["stimulus_id"])
    counts = _write(files, sessions, presentations, plan, store)
    shutil.rmtree(scratch)
    warnings = plan.warnings + _warnings(presentations, counts, subject)
    return Built(files.assembly, (len(presentations), len(plan.neuroids)), True, unfinished, counts, warnings)


@dataclass(frozen=True)
class _Plan:
    """What is decided before a subject's betas are read."""

    neuroids: pd.DataFrame  # one row per voxel, with the coordinates of the assembly
    voxels: np.ndarray  # (n_voxels,) int, places on the grid in C order
    grid: Grid
    sources: tuple[SourceFile, ...]  # masks and maps
    attributes: dict  # what the assembly says about itself
    warnings: tuple[str, ...]
    regions: RegionTable | None

    def identity(self) -> dict:
        """What all sessions of an assembly have in common, so that sessions made in two ways are never mixed."""
        described = self.neuroids[["region", "roi", "voxel_index_in_brain_mask"]].to_csv(index=False)
        voxels = hashlib.sha1(described.encode()).hexdigest()
        return {**{name: self.attributes[name] for name in IDENTITY if name in self.attributes}, "voxels_sha1": voxels}


def _make_plan(files: SubjectFiles, sessions: tuple[str, ...], options: BuildOptions) -> _Plan:
    """Read a subject's masks and maps; an error if one is missing, broken or on another grid."""
    mask, grid = read_brain_mask(files, options.mask)
    rois = files.roi_files()
    _check_names(rois, options)
    wanted, warnings = _wanted_regions(files, options.regions)
    masks, used = {}, []
    for label in dict.fromkeys((*roi_labels(options.rules), *(rois if options.regions else ()))):
        if label not in rois:
            continue  # assign_regions names all missing masks together
        values = read_volume(rois[label], grid)[0]
        inside = values > 0
        masks[label] = inside[mask]
        if len(np.unique(values)) > 2 or values.min() < 0:
            warnings.append(
                f"the mask of {label} holds {len(np.unique(values)):,} different values, {values.min():g} to {values.max():g}, "
                f"and not 0 and 1 alone: all above 0 are taken to be inside ({inside.sum():,} voxels)"
            )
        used.append(rois[label])
        n_outside = int((inside & ~mask).sum())
        if n_outside:
            warnings.append(f"{n_outside} voxels of {label} lie outside the brain mask and are left out")
    neuroids, contested = assign_regions(
        {label: masks[label] for label in roi_labels(options.rules) if label in masks}, options.rules
    )
    table = None
    if options.regions:
        neuroids = _with_others(neuroids, [masks[label] for label in wanted])
        by_category = sorted(rois, key=lambda label: (rois[label].parent.name, label))
        categories = {label: rois[label].parent.name for label in by_category}
        table = region_table(masks, categories, neuroids["voxel_index_in_brain_mask"].to_numpy())
    neuroids.insert(0, "subject_id", files.subject)
    warnings += [f"{n} voxels are in both of {pair}; the later has them" for pair, n in contested.items()]
    voxels = np.flatnonzero(mask)[neuroids["voxel_index_in_brain_mask"].to_numpy()]
    ceiling_sessions = {}
    for name, description in NOISE_CEILING_MAPS.items():
        path = files.noise_ceiling(description)
        require(path, f"The noise ceiling map {name}", f"Get it with `{files.download_command('ceilings')}`.")
        neuroids[name] = read_volume(path, grid)[0][voxels]
        used.append(path)
        estimated_on = sessions_in_sidecar(path)
        ceiling_sessions[name] = " ".join(estimated_on)
        others = sorted(set(estimated_on) - set(sessions))
        if others:
            warnings.append(f"{name} was estimated on sessions that the assembly does not hold: {', '.join(others)}")
    used.append(grid.path)
    attributes = {
        "dataset": dataset_mark(files.root).get("name", "release"),
        "sessions": " ".join(sessions),
        "brain_mask": options.mask,
        "brain_mask_definition": MASK_DEFINITIONS[options.mask],
        "brain_mask_voxels": int(mask.sum()),
        "brain_mask_sha1": mask_digest(mask),
        "grid": " ".join(map(str, grid.shape)),
        "region_rules": rules_text(options.rules),
        "noise_ceiling_sessions": json.dumps(ceiling_sessions),
    }
    if options.regions:
        attributes["regions_of_interest"] = " ".join(sorted(options.regions))
    sources = tuple(SourceFile.of(path, files.root) for path in used)
    return _Plan(neuroids, voxels, grid, sources, attributes, tuple(warnings), table)


def _check_names(rois: dict[str, Path], options: BuildOptions) -> None:
    """Raise DatasetError if assemblies would hold a region of interest that nobody could ask for by its name."""
    taken = {name.casefold(): "a region of the benchmarks" for name in (*REGIONS, OTHER_REGION)}
    taken |= {name.casefold(): "a category" for name in (*CATEGORIES, *(path.parent.name for path in rois.values()))}
    taken[ALL] = "how all are asked for"
    for label, path in rois.items() if options.regions else ():
        if kind := taken.get(label.casefold()):
            raise DatasetError(
                f"A region of interest has a name of its own; that of {path} is {label!r}, which is {kind}. Give it another "
                f"label, such as label-my{label}_mask."
            )
        if path.parent.name.casefold() in map(str.casefold, REGIONS):
            raise DatasetError(
                f"A category of regions of interest has a name of its own; that of {path} is {path.parent.name!r}, which is a "
                f"region of the benchmarks. Rename its folder."
            )


def _wanted_regions(files: SubjectFiles, names: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """A subject's regions of interest that are asked for by name, by category or as "all"; and what it lacks, in words.

    Raises
    ------
    DatasetError
        If nobody's regions of interest have such a name or category.
    """
    categories = {label: path.parent.name for label, path in files.roi_files().items()}
    wanted, warnings, unknown = {}, [], []
    for name in names:
        found = [label for label, category in categories.items() if name in (ALL, label, category)]
        wanted.update(dict.fromkeys(found))
        if not found and name in (*ROIS, *CATEGORIES, *_drawn_in_others(files)):
            warnings.append(f"{files.subject} has no {name}")
        elif not found:
            unknown.append(name)
    if unknown:
        raise DatasetError(
            f"Regions of interest are asked for by name, by category or as {ALL!r} (--regions); got "
            f"{', '.join(map(repr, unknown))}. {files.subject} has {', '.join(sorted(categories)) or 'none'}; categories are "
            f"{', '.join(sorted(set(categories.values()))) or 'none'}. Get others: `{files.download_command('rois')}`."
        )
    return list(wanted), warnings


def _drawn_in_others(files: SubjectFiles) -> list[str]:
    """Regions of interest and categories of the folder's other subjects."""
    others = (SubjectFiles(files.root, subject).roi_files() for subject in SUBJECTS)
    return [name for found in others for label, path in found.items() for name in (label, path.parent.name)]


def _with_others(neuroids: pd.DataFrame, masks: list[np.ndarray]) -> pd.DataFrame:
    """The voxels of V1 to IT, then those that are in some mask alone, in the order of their index.

    So the regions that everybody asks for stay side by side in the file.
    """
    inside = np.any(masks, axis=0) if masks else np.zeros(0, bool)
    index = np.setdiff1d(np.flatnonzero(inside), neuroids["voxel_index_in_brain_mask"]).astype(np.int32)
    others = {"region": OTHER_REGION, "roi": OTHER_REGION, "voxel_index_in_brain_mask": index}
    return pd.concat([neuroids, pd.DataFrame(others)], ignore_index=True)


def _finish_session(files: SubjectFiles, session: str, plan: _Plan, store: SessionStore) -> None:
    """Read and z-score one session's betas, and keep them."""
    whose, remedy = f"of {files.subject}, {session},", f"Get it with `{files.download_command('betas', session)}`."
    path = require(files.betas(session), f"The volume of betas {whose}", remedy)
    table = require(files.trials(session), f"The trial table {whose}", remedy)
    trials = read_trials(table, session)
    betas = read_betas(path, plan.voxels)
    plan.grid.require_same(betas.grid)
    if len(betas.values) != len(trials):
        raise SchemaError(
            f"A session has one row in its trial table per volume; {path} has {len(betas.values):,} volumes, "
            f"{table} {len(trials):,} rows. {remedy}"
        )
    counts = zscore_in_place(betas.values)
    sources = SourceFile.of(path, files.root, betas.sha256), SourceFile.of(table, files.root)
    store.save(session, betas.values, sources, counts)


def _write(
    files: SubjectFiles, sessions: tuple[str, ...], presentations: pd.DataFrame, plan: _Plan, store: SessionStore
) -> ZscoreCounts:
    """Join the finished sessions to an assembly; gives what z-scoring met in all of them."""
    records = [store.record(session) for session in sessions]
    if None in records:
        changed = sessions[records.index(None)]
        raise DatasetError(f"The files of {files.subject}, {changed}, changed while they were read. Run again.")
    counts = ZscoreCounts(*(sum(values) for values in zip(*(vars(r.counts).values() for r in records), strict=True)))
    sources = plan.sources + tuple(source for record in records for source in record.sources)
    attributes = {
        **plan.attributes,
        **{f"zscore_{name}": value for name, value in vars(counts).items()},
        "sources": json.dumps([vars(source) for source in sources]),
        "software": json.dumps(_versions()),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    temporary = files.assembly.with_name(f".{files.assembly.name}.part-{uuid.uuid4().hex}")
    try:
        with AssemblyWriter(temporary, presentations, plan.neuroids, attributes, plan.regions) as writer:
            for session in sessions:
                betas = store.load(session)
                if betas is None:
                    raise DatasetError(
                        f"The finished session {session} in {store.folder} is damaged. Run again with --start-over."
                    )
                writer.append(betas)
        read_header(temporary, files.subject)  # refuses what scoring would refuse
        temporary.replace(files.assembly)
    finally:
        temporary.unlink(missing_ok=True)
    return counts


def _warnings(presentations: pd.DataFrame, counts: ZscoreCounts, subject: str) -> tuple[str, ...]:
    warnings = []
    if counts.non_finite:
        warnings.append(
            f"{counts.non_finite:,} betas are NaN or infinite and became 0 "
            f"({counts.voxels_without_value:,} voxel-sessions have no other value)"
        )
    if counts.constant_voxels:
        warnings.append(f"{counts.constant_voxels:,} voxel-sessions do not vary and became 0")
    foreign = foreign_labels(presentations["stimulus_id"], subject)
    if foreign:
        warnings.append(f"{len(foreign):,} stimuli are not {subject}'s by their name, first: {foreign[0]!r}")
    return tuple(warnings)


def _is_up_to_date(files: SubjectFiles, plan: _Plan) -> bool:
    """Whether the assembly is what would be built; an error if it was built in another way."""
    found = read_header(files.assembly).attributes
    if "sources" not in found:
        raise DatasetError(
            f"{files.assembly} was not built by rebuild_assemblies.py, which would replace it. Move it away, or allow that "
            "with --start-over."
        )
    for name in (*IDENTITY, "sessions"):
        was, wanted = (str(attributes.get(name, "none")) for attributes in (found, plan.attributes))
        if was != wanted:
            raise DatasetError(
                f"{files.assembly} was built with {name} {was!r}; now asked for is {wanted!r}. Keep it by the earlier choice, "
                f"or replace it with --start-over."
            )
    recorded = [SourceFile(**source) for source in json.loads(found["sources"])]
    same_fixed = {(s.path, s.sha256) for s in plan.sources} <= {(s.path, s.sha256) for s in recorded}
    return same_fixed and all(source.is_unchanged(files.root) for source in recorded)


def _versions() -> dict[str, str]:
    names = ("laion-fmri-7t", "laion-fmri", "brainscore-vision", "nibabel", "numpy", "netCDF4")
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # laion-fmri is optional, for one
            found[name] = "not installed"
    return found
