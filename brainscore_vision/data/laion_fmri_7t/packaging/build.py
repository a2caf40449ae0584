"""One subject's assembly from the released files, session by session."""

import importlib.metadata
import json
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from ..assemblies.header import read_header
from ..assemblies.writer import AssemblyWriter
from ..assemblies.zscore import ZscoreCounts, zscore_in_place
from ..errors import DatasetError, SchemaError
from .betas import read_betas
from .layout import SubjectFiles, expected_sessions, require
from .plan import BuildOptions, Plan, how_to_get, make_plan
from .session_store import SessionStore, SourceFile, discard
from .trials import count_repetitions, foreign_labels, read_trials


@dataclass(frozen=True)
class Built:
    """An assembly and how it came about.

    Attributes
    ----------
    path : Path
    shape : tuple of int
        Trials, voxels.
    is_new : bool
        False if the assembly was there and up to date.
    sessions_read : tuple of str
        Sessions whose betas were read in this run; the others were finished before.
    counts : ZscoreCounts
        Over all sessions, voxels counted once per session.
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

    Finished sessions are kept until the assembly is written; an interrupted or failed run goes on with the next one.
    If the assembly is there and was built from the same files in the same way, nothing is done.

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
        If a file is missing or broken; its name is in the message, and the sessions before it are kept.
    DatasetError
        If an assembly or finished sessions are there that were made in another way.
    """
    options, root = options or BuildOptions(), Path(root).expanduser().absolute()
    files = SubjectFiles(root, subject)
    sessions = options.sessions or expected_sessions(root)
    target = root / "assemblies" / f"{subject}.nc"
    scratch = (options.scratch or target.parent / ".rebuild") / subject
    if options.start_over:
        discard(scratch)
    plan = make_plan(files, sessions, options)
    if target.is_file() and not options.start_over and _is_up_to_date(target, plan, root):
        return Built(target, read_header(target).shape, warnings=plan.warnings)
    store = SessionStore(scratch, plan.identity(), root)
    tables, done = [], []
    todo = [session for session in sessions if store.record(session) is None]
    for session in options.progress(todo):
        _finish_session(files, session, plan, store)
        done.append(session)
    for session in sessions:
        tables.append(read_trials(files.trials(session), session))
    presentations = pd.concat(tables, ignore_index=True)
    presentations["repetition"] = count_repetitions(presentations["stimulus_id"])
    return _write(target, presentations, plan, store, sessions, tuple(done), files)


def _finish_session(files: SubjectFiles, session: str, plan: Plan, store: SessionStore) -> None:
    whose, remedy = f"of {files.subject}, {session},", how_to_get(files.subject, session)
    path = require(files.betas(session), f"The volume of betas {whose}", remedy)
    require(files.trials(session), f"The trial table {whose}", remedy)
    trials = read_trials(files.trials(session), session)
    betas = read_betas(path, plan.voxels)
    plan.grid.require_same(betas.grid)
    if len(betas.values) != len(trials):
        raise SchemaError(
            f"A session has one row in its trial table per volume; {path} has {len(betas.values):,} volumes, "
            f"{files.trials(session)} {len(trials):,} rows. {how_to_get(files.subject, session)}"
        )
    counts = zscore_in_place(betas.values)
    sources = (
        SourceFile.of(path, files.root, betas.sha256),
        SourceFile.of(files.trials(session), files.root),
    )
    store.save(session, betas.values, sources, counts)


def _write(
    target: Path,
    presentations: pd.DataFrame,
    plan: Plan,
    store: SessionStore,
    sessions: tuple[str, ...],
    done: tuple[str, ...],
    files: SubjectFiles,
) -> Built:
    """Put the finished sessions together, then discard them."""
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
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.part-{uuid.uuid4().hex}")
    try:
        with AssemblyWriter(temporary, presentations, plan.neuroids, attributes) as writer:
            for session in sessions:
                kept = store.load(session)
                if kept is None:
                    raise DatasetError(
                        f"The finished session {session} in {store.folder} is damaged. Run again with --start-over."
                    )
                writer.append(kept[0])
        read_header(temporary, files.subject)  # refuses what scoring would refuse
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    store.clear()
    built = Built(target, (len(presentations), len(plan.neuroids)), True, done, counts, plan.warnings)
    return replace(built, warnings=built.warnings + _warnings(presentations, counts, files.subject))


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


def _is_up_to_date(target: Path, plan: Plan, root: Path) -> bool:
    """Whether the assembly is what would be built; an error if it was built in another way."""
    header = read_header(target)
    found = header.attributes
    if "sources" not in found:
        raise DatasetError(
            f"{target} was not built by rebuild_assemblies.py, which would replace it. Move it away, or allow that "
            "with --start-over."
        )
    for name in ("brain_mask", "brain_mask_sha1", "region_rules", "grid", "sessions"):
        if str(found.get(name)) != str(plan.attributes[name]):
            raise DatasetError(
                f"{target} was built with {name} {found.get(name)!r}; now asked for is {plan.attributes[name]!r}. Keep "
                "it by the earlier choice, or replace it with --start-over."
            )
    recorded = [SourceFile(**source) for source in json.loads(found["sources"])]
    same_fixed = {(s.path, s.sha256) for s in plan.sources} <= {(s.path, s.sha256) for s in recorded}
    return same_fixed and all(source.is_unchanged(root) for source in recorded)


def _versions() -> dict[str, str]:
    names = ("laion-fmri-7t", "laion-fmri", "brainscore-vision", "nibabel", "numpy", "netCDF4")
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # not everything need be installed
            found[name] = "not installed"
    return found
