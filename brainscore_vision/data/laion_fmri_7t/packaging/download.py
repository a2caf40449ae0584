"""Downloads of the release, by its package's own command. Nothing here runs unless it is asked for."""

import shutil
import subprocess
import sys
from pathlib import Path

from ..errors import DatasetError, MissingDataError
from ..source import laion_fmri_folder
from .volumes import ANATOMICAL

COMMAND = "laion-fmri"


def download_command(subject: str, mask: str = ANATOMICAL, jobs: int = 4) -> list[str]:
    """The command that gets what one subject's assembly is made of.

    Parameters
    ----------
    subject : str
    mask : str
        Definition of the brain mask; the anatomical one is a file of its own.
    jobs : int
        Transfers at once.
    """
    command = [COMMAND, "download", "--subject", subject, "--extension", "nii.gz", "tsv", "json", "--n-jobs", str(jobs)]
    return [*command, "--include-anatomical"] if mask == ANATOMICAL else command


def download_subject(root: Path, subject: str, mask: str = ANATOMICAL, jobs: int = 4) -> None:
    """Run the command. It skips files that are there and asks for consent to the licence itself.

    Raises
    ------
    MissingDataError
        If the package is not installed, or the command fails.
    DatasetError
        If the package is configured with another folder.
    """
    program = shutil.which(COMMAND) or shutil.which(COMMAND, path=str(Path(sys.executable).parent))
    if program is None:
        raise MissingDataError(
            f"Downloading needs the command {COMMAND}, of the package laion_fmri; it is not on the path. Install it: "
            "pip install '.[laion]'."
        )
    configured = laion_fmri_folder()
    if configured is None or configured.resolve() != root.resolve():
        raise DatasetError(
            f"{COMMAND} downloads to the folder it is configured with; that is {configured or 'none'}, and {root} was "
            f"asked for. Run `{COMMAND} config --data-dir {root}` first."
        )
    command = [program, *download_command(subject, mask, jobs)[1:]]
    code = subprocess.run(command, check=False).returncode
    if code:
        raise MissingDataError(
            f"`{' '.join(command)}` ended with exit code {code}; its messages are above. Run it again."
        )
