"""The same files through the release's own package, laion_fmri, to compare with what was read here.

Assemblies are built from the files themselves: of the calls that are needed, the package's betas take 12 GB of memory a
session, its brain mask has had three definitions, and its layouts changed with them. What the package says is checked
against, value by value, where it is installed and new enough.
"""

import inspect
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import MissingDataError
from .layout import NOISE_CEILING_MAPS, SubjectFiles
from .regions import RULES, RegionRule, roi_labels
from .volumes import read_brain_mask, read_volume


@dataclass(frozen=True)
class Check:
    """One comparison with the package.

    Attributes
    ----------
    what : str
    agrees : bool
    detail : str
        Counts, or where they differ.
    """

    what: str
    agrees: bool
    detail: str


def open_with_package(root: Path, subject: str):
    """A subject of laion_fmri that reads this data folder, whatever folder the package is configured with.

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
    reader, files: SubjectFiles, definition: str, rules: tuple[RegionRule, ...] = RULES
) -> list[Check]:
    """Compare brain mask, regions of interest, noise ceilings and trial tables.

    Parameters
    ----------
    reader : laion_fmri.subject.Subject
    files : SubjectFiles
    definition : str
        Of the brain mask.
    rules : tuple of RegionRule
        Whose regions of interest to compare.

    Returns
    -------
    list of Check
    """
    mask, _ = read_brain_mask(files, definition)
    checks = [_same("brain mask", mask, np.asarray(reader.get_brain_mask(source=definition)))]
    paths = files.roi_files()
    for label in roi_labels(rules):
        ours = read_volume(paths[label])[0][mask] > 0
        checks.append(_same(f"region of interest {label}", ours, np.asarray(reader.get_roi_mask(label))))
    for description in NOISE_CEILING_MAPS.values():
        ours = read_volume(files.noise_ceiling(description))[0][mask]
        theirs = reader.get_noise_ceiling(desc=description, mask_source=definition)
        checks.append(_same(f"noise ceiling {description}", ours, np.asarray(theirs)))
    return checks


def _same(what: str, ours: np.ndarray, theirs: np.ndarray) -> Check:
    if ours.shape != theirs.shape:
        return Check(what, False, f"shape {ours.shape} here, {theirs.shape} in laion_fmri")
    equal = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs)) if ours.dtype.kind == "f" else ours == theirs
    if equal.all():
        return Check(what, True, f"{ours.size:,} values")
    first = int(np.flatnonzero(~equal)[0])
    return Check(
        what, False, f"{(~equal).sum():,} of {equal.size:,} differ, first {first}: {ours[first]} here, {theirs[first]}"
    )
