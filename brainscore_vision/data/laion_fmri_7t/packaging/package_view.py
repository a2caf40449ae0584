"""The same files as laion_fmri, the release's own package, reads them, to compare with what is read here.

Assemblies are built from the files and not through the package: its betas take 12 GB of memory a session, its brain mask
has had three definitions, and its layouts changed with them. Where the package is installed and new enough, this module
compares what it says, value by value.
"""

import inspect
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import MissingDataError
from .layout import NOISE_CEILING_MAPS, SubjectFiles
from .regions import roi_labels
from .volumes import read_brain_mask, read_volume


@dataclass(frozen=True)
class Check:
    """One comparison with the package; `detail` says how many values agree, or how many differ and which is the first."""

    what: str
    agrees: bool
    detail: str


def open_with_package(root: Path, subject: str):
    """laion_fmri's Subject that reads this data folder, whatever folder the package is configured with.

    Raises
    ------
    MissingDataError
        If the package is not installed or too old for the release's layout.
    """
    try:
        from laion_fmri.subject import Subject
    except ImportError as error:
        raise MissingDataError(
            f"Comparing with the release's package needs laion_fmri, which cannot be imported ({error}). Install it: "
            "pip install '.[laion]'."
        ) from error
    if "source" not in inspect.signature(Subject.get_brain_mask).parameters:
        raise MissingDataError(
            "Comparing with the release's package needs a version of laion_fmri whose Subject.get_brain_mask takes "
            "`source`; the installed one has an earlier layout. Install its newest version: pip install '.[laion]'."
        )
    return Subject(subject, str(root))


def compare_with_package(
    reader, files: SubjectFiles, definition: str, labels: tuple[str, ...] = roi_labels()
) -> list[Check]:
    """Compare brain mask, regions of interest and noise ceilings.

    Parameters
    ----------
    reader : laion_fmri.subject.Subject
    files : SubjectFiles
    definition : str
        Of the brain mask, a key of `volumes.MASK_DEFINITIONS`.
    labels : tuple of str
        Regions of interest to compare.
    """
    mask, grid = read_brain_mask(files, definition)
    checks = [_same("brain mask", mask, reader.get_brain_mask(source=definition))]
    paths = files.roi_files()
    for label in labels:
        ours = read_volume(paths[label], grid)[0][mask] > 0
        checks.append(_same(f"region of interest {label}", ours, reader.get_roi_mask(label)))
    for description in NOISE_CEILING_MAPS.values():
        ours = read_volume(files.noise_ceiling(description), grid)[0][mask]
        theirs = reader.get_noise_ceiling(desc=description, mask_source=definition)
        checks.append(_same(f"noise ceiling {description}", ours, theirs))
    return checks


def _same(what: str, ours: np.ndarray, theirs: np.ndarray) -> Check:
    theirs = np.asarray(theirs)
    if ours.shape != theirs.shape:
        return Check(what, False, f"shape {ours.shape} here, {theirs.shape} in laion_fmri")
    wrong = np.flatnonzero(~((ours == theirs) | (np.isnan(ours) & np.isnan(theirs))))
    if not len(wrong):
        return Check(what, True, f"{ours.size:,} values")
    first = wrong[0]
    differing = f"{len(wrong):,} of {ours.size:,} differ"
    return Check(what, False, f"{differing}, first {first}: {ours[first]} here, {theirs[first]} in laion_fmri")
