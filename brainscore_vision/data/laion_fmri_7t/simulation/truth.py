"""What the simulation knows and a scanner does not: the true signal of each voxel for each stimulus."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from ..assemblies.region_table import RegionTable
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
        (n_voxels,) str, one of `constants.REGIONS`, or `constants.OTHER_REGION`.
    prefers : numpy.ndarray
        (n_voxels,) str, the stuff (of `voxels.STUFF`) that the voxel responds to more than to all else, in 70 % of its
        signal's variance; empty for voxels without a preference.
    regions : RegionTable
        Regions of interest of the subject, and who belongs to which.
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
    prefers: np.ndarray
    regions: RegionTable
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
        """True responses of a subject, of all voxels or of one region.

        A region is V1 to IT, IT_full (V4 and IT), a region of interest (FFA1) or a category of them (face).

        Raises
        ------
        MissingDataError
            If the folder holds no truth for the subject.
        DatasetError
            If the subject has no such region, or the folder is of an earlier version of the simulation.
        """
        path = truth_file(self.root, subject)
        if not path.is_file():
            raise MissingDataError(
                f"Only simulated datasets know their truth, in truth/<subject>.h5; got no {path}. Pass the "
                "folder and a subject of a finished simulation."
            )
        with h5py.File(path, "r") as file:
            if "prefers" not in file:
                raise DatasetError(
                    f"The truth of a simulated dataset says what each voxel prefers; {path} does not, because an earlier "
                    "version of the simulation wrote it. Simulate the dataset again."
                )
            labels, table = file["region"].asstr()[:].astype(str), _read_table(file)
            inside = np.flatnonzero(_inside(region, labels, table, subject))
            columns = slice(int(inside[0]), int(inside[-1]) + 1)  # V1 to IT lie side by side: nothing else is read
            return TrueSignal(
                subject=subject,
                stimulus_ids=file["stimulus_ids"].asstr()[:].astype(str),
                values=np.take(file["values"][:, columns], inside - columns.start, axis=1),
                group=file["group"].asstr()[:].astype(str),
                variance_factor=file["variance_factor"][:],
                ncsnr=file["ncsnr"][:][inside],
                region=labels[inside],
                prefers=file["prefers"].asstr()[:].astype(str)[inside],
                regions=table.select(inside),
                voxel_index_in_brain_mask=file["voxel_index_in_brain_mask"][:][inside],
            )


def _inside(region: str | None, labels: np.ndarray, table: RegionTable, subject: str) -> np.ndarray:
    """Whether each voxel belongs to a region, (n_voxels,) bool."""
    if region is None:
        return np.ones(len(labels), bool)
    if region in (*REGIONS, *REGION_UNIONS):
        return np.isin(labels, REGION_UNIONS.get(region, (region,)))
    if table.members(region):
        return table.inside(region)
    raise DatasetError(
        f"A region is one of {', '.join([*REGIONS, *REGION_UNIONS, *table.names()])} in {subject}, or None for all; got "
        f"{region!r}. Choose one of them."
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
        file.create_dataset("prefers", data=voxels.prefers.astype(object), dtype=h5py.string_dtype())
        file.create_dataset("voxel_index_in_brain_mask", data=voxels.index_in_brain_mask)
        table = voxels.regions
        file.create_dataset("membership", data=table.membership.to_numpy())
        for name, values in (("region_of_interest", table.categories), ("category", table.categories.values())):
            file.create_dataset(name, data=np.array(list(values), object), dtype=h5py.string_dtype())


def _read_table(file: h5py.File) -> RegionTable:
    names, categories = (file[name].asstr()[:].tolist() for name in ("region_of_interest", "category"))
    return RegionTable(dict(zip(names, categories, strict=True)), pd.DataFrame(file["membership"][:], columns=names))
