"""What the simulation knows and a scanner does not: the true signal of each voxel for each stimulus."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from ..constants import REGION_UNIONS, REGIONS
from ..errors import DatasetError, MissingDataError
from .voxels import VARIANCE_FACTORS, Voxels


@dataclass(frozen=True)
class TrueSignal:
    """True responses of one subject's voxels.

    Attributes
    ----------
    subject : str
    stimulus_ids : numpy.ndarray
        (n_stimuli,) str, sorted.
    values : numpy.ndarray
        (n_stimuli, n_voxels) float32, in standard deviations of a single trial's noise. A voxel's values have mean 0
        and standard deviation `ncsnr` over the shared stimuli that are not out-of-distribution, and over the subject's own.
    group : numpy.ndarray
        (n_stimuli,) str: ``ood_<type>``, the shared ``cluster_k5_<k>``, or ``unique``.
    variance_factor : numpy.ndarray
        (n_stimuli,) float, by group: the variance of the signal was multiplied by it, in every voxel.
    ncsnr : numpy.ndarray
        (n_voxels,) float32
    region : numpy.ndarray
        (n_voxels,) str, one of `constants.REGIONS`.
    voxel_index_in_brain_mask : numpy.ndarray
        (n_voxels,) int32, the same voxels in the same order as in the subject's assembly file.
    """

    subject: str
    stimulus_ids: np.ndarray
    values: np.ndarray
    group: np.ndarray
    variance_factor: np.ndarray
    ncsnr: np.ndarray
    region: np.ndarray
    voxel_index_in_brain_mask: np.ndarray

    def select(self, stimulus_ids: Sequence[str]) -> "TrueSignal":
        """The signal for these stimuli, in this order.

        Raises
        ------
        MissingDataError
            If the subject did not see one of them.
        """
        wanted = np.asarray(stimulus_ids, dtype=str)
        rows = np.searchsorted(self.stimulus_ids, wanted).clip(max=len(self.stimulus_ids) - 1)
        absent = wanted[self.stimulus_ids[rows] != wanted]
        if len(absent):
            raise MissingDataError(
                f"The true signal is known for the {len(self.stimulus_ids)} stimuli that {self.subject} saw; "
                f"{len(absent)} of the {len(wanted)} wanted ones are not among them, the first {absent[0]!r}. "
                "Ask for stimuli of this subject's pool."
            )
        return replace(
            self,
            stimulus_ids=wanted,
            values=self.values[rows],
            group=self.group[rows],
            variance_factor=self.variance_factor[rows],
        )


class Truth:
    """Access to the truth of a simulated dataset.

    Parameters
    ----------
    root : str or Path
        Folder that `simulate` wrote.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root)

    def signal(self, subject: str, region: str | None = None) -> TrueSignal:
        """True responses of a subject, optionally of one region ("IT_full" is V4 and IT).

        Reads that region alone.

        Raises
        ------
        MissingDataError
            If the folder holds no truth for the subject.
        DatasetError
            If there is no such region, or the folder is of an earlier version of the simulation.
        """
        path = truth_file(self.root, subject)
        if not path.is_file():
            raise MissingDataError(
                f"Only simulated datasets know their truth, in truth/<subject>.h5; got no {path}. Pass the "
                "folder and a subject of a finished simulation."
            )
        wanted = REGIONS if region is None else REGION_UNIONS.get(region, (region,))
        if not set(wanted) <= set(REGIONS):
            raise DatasetError(
                f"A region is one of {', '.join([*REGIONS, *REGION_UNIONS])} or None for all; got {region!r}. "
                "Choose one of them."
            )
        with h5py.File(path, "r") as file:
            if "group" not in file:
                raise DatasetError(
                    f"The truth of a simulated dataset names the group of each stimulus; {path} does not, because an earlier "
                    "version of the simulation wrote it. Simulate the dataset again."
                )
            labels = file["region"].asstr()[:]
            inside = np.flatnonzero(np.isin(labels, wanted))
            columns = slice(int(inside[0]), int(inside[-1]) + 1)  # regions lie side by side
            return TrueSignal(
                subject=subject,
                stimulus_ids=file["stimulus_ids"].asstr()[:].astype(str),
                values=file["values"][:, columns],
                group=file["group"].asstr()[:].astype(str),
                variance_factor=file["variance_factor"][:],
                ncsnr=file["ncsnr"][columns],
                region=labels[columns].astype(str),
                voxel_index_in_brain_mask=file["voxel_index_in_brain_mask"][columns],
            )


def truth_file(root: Path, subject: str) -> Path:
    return root / "truth" / f"{subject}.h5"


def write_truth(
    root: Path, subject: str, stimulus_ids: np.ndarray, groups: np.ndarray, signal: np.ndarray, voxels: Voxels
) -> None:
    """Write the truth of one subject; `signal` is (n_stimuli, n_voxels) float32."""
    path = truth_file(root, subject)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs["units"] = "standard deviations of the noise of a single trial"
        file.create_dataset("stimulus_ids", data=stimulus_ids.astype(object), dtype=h5py.string_dtype())
        file.create_dataset("group", data=groups.astype(object), dtype=h5py.string_dtype())
        file.create_dataset("variance_factor", data=[VARIANCE_FACTORS[group] for group in groups])
        file.create_dataset("values", data=signal)
        file.create_dataset("ncsnr", data=voxels.ncsnr)
        file.create_dataset("region", data=voxels.region.astype(object), dtype=h5py.string_dtype())
        file.create_dataset("voxel_index_in_brain_mask", data=voxels.index_in_brain_mask)
