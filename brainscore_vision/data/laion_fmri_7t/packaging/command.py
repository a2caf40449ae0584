"""What ``rebuild_assemblies.py`` does, subject by subject: one subject's broken file stops no other subject."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..assemblies.published import PER_SUBJECT, SHARED, fetch
from ..bucket import default_bucket
from ..constants import SUBJECTS
from ..download import download, make_plan
from ..errors import DatasetError, MissingDataError
from .build import BuildOptions, build_subject
from .layout import SubjectFiles
from .package_view import compare_with_package, open_with_package
from .published_schema import write_published
from .regions import roi_labels
from .verify import compare_assemblies
from .volumes import ANATOMICAL

DOWNLOAD, BUILD, CROSS_CHECK, VERIFY, PACKAGE = "download", "build", "cross-check", "verify", "package"

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
        Of `STEPS`.
    options : BuildOptions
    published : Path, optional
        Folder of ``assy_<identifier>.nc`` files to compare with; by default they are downloaded from Brain-Score.
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
    """Do what was asked for, subject by subject; `say` is called with each line of the report.

    Returns
    -------
    int
        `ALL_DONE`, or `SOME_FAILED` if a subject failed or differs.
    """
    failed = []
    for subject in request.subjects:
        try:
            outcomes = [step(request, subject, say) for action, step in STEPS.items() if action in request.actions]
            good = all(outcomes)
        except (DatasetError, OSError) as error:  # OSError: a full disk, a file that may not be read
            say(f"{subject}: FAILED: {error}")
            good = False
        if not good:
            failed.append(subject)
    n_done = len(request.subjects) - len(failed)
    say(f"{n_done} of {len(request.subjects)} subjects done{'; failed: ' if failed else ''}{', '.join(failed)}")
    return SOME_FAILED if failed else ALL_DONE


def _download(request: Request, subject: str, say: Callable[[str], None]) -> bool:
    """Get the files of one subject's assembly from the release's bucket."""
    bucket, options = default_bucket(), request.options
    kinds = ("rois", "ceilings", *(("anatomy",) if options.mask == ANATOMICAL else ()), "betas")
    plan = make_plan(request.root, bucket.files(kinds, (subject,), options.sessions or ()))
    outcome = download(bucket, plan, request.jobs)
    say(f"{subject}: {len(plan.present):,} files were here, {sum(outcome.checked.values()):,} downloaded and checked")
    for key, why in outcome.failed.items():
        say(f"{subject}: {key}: {why}")
    return not outcome.failed


def _build(request: Request, subject: str, say: Callable[[str], None]) -> bool:
    built = build_subject(request.root, subject, request.options)
    trials, voxels = built.shape
    how = f"{len(built.sessions_read)} sessions read now" if built.is_new else "was there, built from the same files"
    say(f"{subject}: {built.path}, {trials:,} trials, {voxels:,} voxels, {how}")
    for warning in built.warnings:
        say(f"{subject}: note: {warning}")
    return True


def _cross_check(request: Request, subject: str, say: Callable[[str], None]) -> bool:
    files, options = SubjectFiles(request.root, subject), request.options
    labels = tuple(files.roi_files()) if options.regions else roi_labels(options.rules)
    checks = compare_with_package(open_with_package(request.root, subject), files, options.mask, labels)
    for check in checks:
        say(f"{subject}: {check.what}: {'as in laion_fmri' if check.agrees else 'DIFFERS'}, {check.detail}")
    return all(check.agrees for check in checks)


def _verify(request: Request, subject: str, say: Callable[[str], None]) -> bool:
    built = SubjectFiles(request.root, subject).assembly
    if not built.is_file():
        raise MissingDataError(
            f"Verifying compares an assembly with the published files; there is no {built} yet. Build it first (the same "
            f"command without --verify)."
        )
    good = True
    for published in (PER_SUBJECT[subject], SHARED[subject]):
        folder = request.published
        path = fetch(published) if folder is None else folder / f"assy_{published.identifier}.nc"
        comparison = compare_assemblies(built, path)
        good &= comparison.agrees
        say(f"{subject}: {published.identifier}: {comparison.summary()}")
        for difference in comparison.differences:
            say(f"{subject}:   {difference}")
    return good


def _package(request: Request, subject: str, say: Callable[[str], None]) -> bool:
    folder = request.package_folder or request.root / "packaged"
    for written in write_published(SubjectFiles(request.root, subject).assembly, subject, folder):
        say(f"{subject}: {written['path']}, sha1 {written['sha1']}")
    return True


STEPS = {DOWNLOAD: _download, BUILD: _build, CROSS_CHECK: _cross_check, VERIFY: _verify, PACKAGE: _package}
"""What can be done with a subject, in the order in which it is done."""
