"""What ``rebuild_assemblies.py`` does for all subjects: each on its own, so that one's broken file stops no other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..assemblies.published import PER_SUBJECT, SHARED, PublishedObject, fetch
from ..constants import SUBJECTS
from ..errors import DatasetError, MissingDataError
from .build import build_subject
from .download import download_subject
from .layout import SubjectFiles
from .package_view import compare_with_package, open_with_package
from .plan import BuildOptions
from .published_schema import write_published
from .verify import compare_assemblies

DOWNLOAD, BUILD, CROSS_CHECK, VERIFY, PACKAGE = "download", "build", "cross-check", "verify", "package"
ACTIONS = (DOWNLOAD, BUILD, CROSS_CHECK, VERIFY, PACKAGE)
"""In the order in which they are done."""

ALL_DONE, SOME_FAILED, WRONG_USAGE = 0, 1, 2


@dataclass(frozen=True)
class Request:
    """What to do.

    Attributes
    ----------
    root : Path
        The data folder.
    subjects : tuple of str
    actions : tuple of str
        Of `ACTIONS`.
    options : BuildOptions
    published : Path, optional
        Folder with ``assy_<identifier>.nc`` files to compare with; by default they are downloaded from Brain-Score.
    package_folder : Path, optional
        Where packaged files go; ``packaged`` in the data folder by default.
    jobs : int
        Transfers at once.
    """

    root: Path
    subjects: tuple[str, ...] = SUBJECTS
    actions: tuple[str, ...] = (BUILD,)
    options: BuildOptions = BuildOptions()
    published: Path | None = None
    package_folder: Path | None = None
    jobs: int = 4


def run(request: Request, say: Callable[[str], None]) -> int:
    """Do what was asked for, subject by subject.

    Parameters
    ----------
    request : Request
    say : callable
        Called with each line of the report.

    Returns
    -------
    int
        `ALL_DONE`, or `SOME_FAILED` if a subject failed or differs.
    """
    failed = []
    for subject in request.subjects:
        try:
            outcomes = [_STEPS[action](request, subject, say) for action in ACTIONS if action in request.actions]
            good = all(outcomes)
        except (DatasetError, OSError) as error:  # OSError: a full disk, a file that may not be read
            say(f"{subject}: FAILED: {error}")
            good = False
        if not good:
            failed.append(subject)
    say(f"{len(request.subjects) - len(failed)} of {len(request.subjects)} subjects done" + _list(failed, "failed"))
    return SOME_FAILED if failed else ALL_DONE


def _download(request: Request, subject: str, say: Callable[[str], None]) -> bool:
    download_subject(request.root, subject, request.options.mask, request.jobs)
    return True


def _build(request: Request, subject: str, say: Callable[[str], None]) -> bool:
    built = build_subject(request.root, subject, request.options)
    trials, voxels = built.shape
    how = f"{len(built.sessions_read)} sessions read now" if built.is_new else "was there, built from the same files"
    say(f"{subject}: {built.path}, {trials:,} trials, {voxels:,} voxels, {how}")
    for warning in built.warnings:
        say(f"{subject}: note: {warning}")
    return True


def _cross_check(request: Request, subject: str, say: Callable[[str], None]) -> bool:
    reader = open_with_package(request.root, subject)
    checks = compare_with_package(
        reader, SubjectFiles(request.root, subject), request.options.mask, request.options.rules
    )
    for check in checks:
        say(f"{subject}: {check.what}: {'as in laion_fmri' if check.agrees else 'DIFFERS'}, {check.detail}")
    return all(check.agrees for check in checks)


def _verify(request: Request, subject: str, say: Callable[[str], None]) -> bool:
    built = request.root / "assemblies" / f"{subject}.nc"
    if not built.is_file():
        raise MissingDataError(
            f"Verifying compares an assembly with the published files; there is no {built} yet. Build it first (the same "
            f"command without --verify)."
        )
    good = True
    for published in (PER_SUBJECT[subject], SHARED[subject]):
        comparison = compare_assemblies(built, _published_file(published, request.published))
        good &= comparison.agrees
        say(f"{subject}: {published.identifier}: {comparison.summary()}")
        for difference in comparison.differences:
            say(f"{subject}:   {difference}")
    return good


def _package(request: Request, subject: str, say: Callable[[str], None]) -> bool:
    folder = request.package_folder or request.root / "packaged"
    for written in write_published(request.root / "assemblies" / f"{subject}.nc", subject, folder):
        say(f"{subject}: {written['path']}, sha1 {written['sha1']}")
    return True


_STEPS = {DOWNLOAD: _download, BUILD: _build, CROSS_CHECK: _cross_check, VERIFY: _verify, PACKAGE: _package}


def _published_file(published: PublishedObject, folder: Path | None) -> Path:
    return fetch(published) if folder is None else folder / f"assy_{published.identifier}.nc"


def check_subjects(names: Sequence[str]) -> tuple[str, ...]:
    """Subjects by name, in the order of the release.

    Raises
    ------
    DatasetError
        If there is no such subject.
    """
    unknown = [name for name in names if name not in SUBJECTS]
    if unknown:
        raise DatasetError(f"A subject is one of {', '.join(SUBJECTS)}; got {', '.join(unknown)}. Choose among these.")
    return tuple(subject for subject in SUBJECTS if subject in names)


def _list(names: list[str], what: str) -> str:
    return f"; {what}: {', '.join(names)}" if names else ""
