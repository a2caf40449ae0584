"""Where the release keeps its files: one data folder, laid out like the bucket and like laion_fmri's data folder."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import MissingDataError, SchemaError
from ..text_files import read_text

NOISE_CEILING_MAPS = {
    "nc_4rep": "Noiseceiling4rep",
    "nc_12rep": "Noiseceiling12rep",
    "nc_allrep": "NoiseceilingAllrep",
}
"""Coordinate of the assembly -> the label in the map's file name."""

RELEASED_SESSIONS = tuple(f"ses-{number:02d}" for number in range(1, 31))
"""Sessions of the release; later sessions are held out or have another task (site)."""

MARKER = "dataset.json"
DOWNLOAD_AGAIN = "`laion-score data get --check` replaces damaged files."
_RESOLUTION = "res-1pt8"
_SESSION = re.compile(r"ses-\d+")


@dataclass(frozen=True)
class SubjectFiles:
    """Paths of one subject's files, those of the release and the assembly; the files need not exist.

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
    def assembly(self) -> Path:
        """All single trials, in the layout of the dataset folder."""
        return self.root / "assemblies" / f"{self.subject}.nc"

    @property
    def folder(self) -> Path:
        """Results of the single-trial model."""
        return self.root / "derivatives" / "glmsingle-tedana" / self.subject

    def betas(self, session: str) -> Path:
        """4-D volume; the last axis is trials."""
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
        return self._anatomical(f"{_RESOLUTION}_desc-brain_mask")

    @property
    def t1w(self) -> tuple[Path, Path]:
        """T1-weighted images in the space of the betas: as measured (0.8 mm), and on the grid of the betas."""
        return self._anatomical("T1w"), self._anatomical(f"{_RESOLUTION}_T1w")

    def roi(self, category: str, label: str) -> Path:
        """Mask of a region of interest; `label` is spelled as in the file's name."""
        return self._rois / category / f"{self.subject}_space-T1w_{_RESOLUTION}_label-{label}_mask.nii.gz"

    def roi_surface(self, volume: Path, hemisphere: str, ending: str) -> Path:
        """A region on the surface of hemisphere L or R, beside its mask: a mask (``func.gii``) or vertices (``label``)."""
        before, after = self.roi("", "*").name.split("*")
        label = volume.name.removeprefix(before).removesuffix(after)
        return volume.with_name(f"{self.subject}_hemi-{hemisphere}_space-fsnative_label-{label}_mask.{ending}")

    def roi_files(self) -> dict[str, Path]:
        """Masks that exist, by label without hyphens: ``laion-ventral`` and ``laionventral`` are one label.

        Raises
        ------
        SchemaError
            If two files are the same region of interest.
        """
        before, after = self.roi("", "*").name.split("*")
        found: dict[str, Path] = {}
        for path in sorted(self._rois.glob(f"*/{before}*{after}")):
            label = path.name.removeprefix(before).removesuffix(after).replace("-", "")
            if label in found:
                raise SchemaError(
                    f"A region of interest has one mask; {self.subject} has two for {label}: {found[label]} and {path}. "
                    "Remove the older one."
                )
            found[label] = path
        return found

    def download_command(self, kind: str, *sessions: str) -> str:
        """The command that gets a kind of files, of some sessions or of all."""
        among = f" --sessions {','.join(sessions)}" if sessions else ""
        return f"laion-score data get --dataset {self.root} --subjects {self.subject} --what {kind}{among}"

    def _anatomical(self, rest: str) -> Path:
        session = "ses-PrismaAnat"
        folder = self.root / "derivatives" / "anatomical" / self.subject / session / "anat"
        return folder / f"{self.subject}_{session}_space-T1w_{rest}.nii.gz"

    @property
    def _rois(self) -> Path:
        return self.root / "derivatives" / "rois" / self.subject

    def _session_file(self, session: str, rest: str) -> Path:
        return self.folder / session / "func" / f"{self.subject}_{session}_task-images_{rest}"


def dataset_mark(root: Path) -> dict:
    """What a data folder says about itself: nothing for the release, facts for a simulation.

    Raises
    ------
    SchemaError
        If the mark cannot be read.
    """
    return read_json(root / MARKER, "the description of the dataset", "Make it again.") or {}


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
        If the file exists and is not a JSON object.
    """
    path = volume.with_name(volume.name.removesuffix(".nii.gz") + ".json")
    sidecar = read_json(path, "a sidecar", "Download it again.") or {}
    return tuple(sorted(set(_SESSION.findall(json.dumps(sidecar.get("Sources", []))))))


def read_json(path: Path, what: str, remedy: str) -> dict | None:
    """The JSON object in a file, None if there is no such file.

    Raises
    ------
    SchemaError
        If the file holds anything else; says `what` the file is, and the `remedy`.
    """
    if not path.is_file():
        return None
    try:
        content = json.loads(read_text(path))
    except ValueError as error:
        raise SchemaError(f"{path}: {what} is a JSON object; the file cannot be read: {error}. {remedy}") from error
    if not isinstance(content, dict):
        raise SchemaError(f"{path}: {what} is a JSON object; found {type(content).__name__}. {remedy}")
    return content


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
