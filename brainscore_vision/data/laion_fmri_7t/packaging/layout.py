"""Where the release keeps its files: one data folder, the same as the bucket and as laion_fmri's data folder."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import MissingDataError, SchemaError
from ..text_files import read_text

GLMSINGLE = "derivatives/glmsingle-tedana"
ROIS = "derivatives/rois"
ANATOMICAL = "derivatives/anatomical"
RESOLUTION = "res-1pt8"

NOISE_CEILING_MAPS = {
    "nc_4rep": "Noiseceiling4rep",
    "nc_12rep": "Noiseceiling12rep",
    "nc_allrep": "NoiseceilingAllrep",
}
"""Coordinate of the assembly -> the label in the map's file name."""

RELEASED_SESSIONS = tuple(f"ses-{number:02d}" for number in range(1, 31))
"""Sessions of the release; later ones are held out or have another task (site)."""

MARKER = "dataset.json"
_SESSION = re.compile(r"ses-\d+")


@dataclass(frozen=True)
class SubjectFiles:
    """Paths of one subject's released files; none of them need exist.

    Attributes
    ----------
    root : Path
        The data folder.
    subject : str
        Such as ``sub-01``.
    """

    root: Path
    subject: str

    @property
    def folder(self) -> Path:
        """Results of the single-trial model."""
        return self.root / GLMSINGLE / self.subject

    def betas(self, session: str) -> Path:
        """4-D volume, the last axis being trials."""
        return self._session_file(session, "space-T1w_stat-effect_desc-SingletrialBetas_statmap.nii.gz")

    def trials(self, session: str) -> Path:
        """Table of the volumes of `betas`: session, run, beta_index, label."""
        return self._session_file(session, "desc-SingletrialBetas_trials.tsv")

    def session_noise_ceiling(self, session: str) -> Path:
        """Map in percent, of one session."""
        return self._session_file(session, "space-T1w_desc-Noiseceiling_statmap.nii.gz")

    def noise_ceiling(self, description: str) -> Path:
        """Map in percent, over sessions; `description` is one of the values of `NOISE_CEILING_MAPS`."""
        return self.folder / f"{self.subject}_task-images_space-T1w_desc-{description}_statmap.nii.gz"

    @property
    def r2_mean(self) -> Path:
        """Map of the model's mean R2 over sessions."""
        return self.folder / f"{self.subject}_task-images_space-T1w_stat-rsquare_desc-R2mean_statmap.nii.gz"

    @property
    def anatomical_mask(self) -> Path:
        """Brain mask from the anatomy, on the grid of the betas."""
        session = "ses-PrismaAnat"
        name = f"{self.subject}_{session}_space-T1w_{RESOLUTION}_desc-brain_mask.nii.gz"
        return self.root / ANATOMICAL / self.subject / session / "anat" / name

    def roi(self, category: str, label: str) -> Path:
        """Mask of a region of interest, under the label as it is spelled in the file's name."""
        name = f"{self.subject}_space-T1w_{RESOLUTION}_label-{label}_mask.nii.gz"
        return self.root / ROIS / self.subject / category / name

    def roi_files(self) -> dict[str, Path]:
        """Masks that are there, by label without hyphens, which is how the package spells all of them.

        Returns
        -------
        dict of str to Path
            ``laion-ventral`` and ``laionventral`` are both found as ``laionventral``.

        Raises
        ------
        SchemaError
            If two files are the same region of interest.
        """
        pattern = re.compile(rf"{self.subject}_space-T1w_{RESOLUTION}_label-(?P<label>.+)_mask\.nii\.gz")
        found: dict[str, Path] = {}
        for path in sorted((self.root / ROIS / self.subject).glob("*/*")):
            match = pattern.fullmatch(path.name)
            if match is None:
                continue
            label = match["label"].replace("-", "")
            if label in found:
                raise SchemaError(
                    f"A region of interest has one mask; {self.subject} has two for {label}: {found[label]} and {path}. "
                    "Remove the older one."
                )
            found[label] = path
        return found

    def sessions_at_hand(self) -> tuple[str, ...]:
        """Sessions that have betas or a trial table, in order."""
        return tuple(
            path.name
            for path in sorted(self.folder.glob("ses-*"))
            if _SESSION.fullmatch(path.name) and (self.betas(path.name).is_file() or self.trials(path.name).is_file())
        )

    def _session_file(self, session: str, rest: str) -> Path:
        return self.folder / session / "func" / f"{self.subject}_{session}_task-images_{rest}"


def dataset_mark(root: Path) -> dict:
    """What a data folder says about itself: empty for the release, filled by the simulation.

    Raises
    ------
    SchemaError
        If the mark cannot be read.
    """
    path = root / MARKER
    if not path.is_file():
        return {}
    try:
        mark = json.loads(read_text(path))
    except ValueError as error:
        raise SchemaError(
            f"{path} describes the dataset in JSON; it cannot be read: {error}. Make it again."
        ) from error
    if not isinstance(mark, dict):
        raise SchemaError(f"{path} describes the dataset by a JSON object; found {type(mark).__name__}. Make it again.")
    return mark


def expected_sessions(root: Path) -> tuple[str, ...]:
    """Sessions that every subject of this data folder has: the release's 30, or as many as were simulated."""
    return tuple(dataset_mark(root).get("sessions", RELEASED_SESSIONS))


def sessions_in_sidecar(volume: Path) -> tuple[str, ...]:
    """Sessions that a noise-ceiling map was made from, by the ``Sources`` of the JSON file beside it.

    Returns
    -------
    tuple of str
        Sorted; empty if there is no such file or it names none.

    Raises
    ------
    SchemaError
        If the file is there and is not a JSON object.
    """
    path = volume.with_name(volume.name.removesuffix(".nii.gz") + ".json")
    if not path.is_file():
        return ()
    try:
        sources = json.loads(read_text(path))["Sources"]
    except (ValueError, TypeError) as error:
        raise SchemaError(f"{path}: a sidecar is a JSON object; reading it gave {error}. Download it again.") from error
    except KeyError:
        return ()
    return tuple(sorted({session for source in sources for session in _SESSION.findall(str(source))}))


def require(path: Path, what: str, remedy: str) -> Path:
    """The path, if it is a file.

    Raises
    ------
    MissingDataError
        Otherwise.
    """
    if not path.is_file():
        raise MissingDataError(f"{what} is needed at {path}, but there is no such file. {remedy}")
    return path
