"""Writes one subject's assembly session by session, so that the trial matrix is never in memory as a whole."""

import math
from pathlib import Path

import netCDF4
import numpy as np
import pandas as pd

from ..constants import ASSEMBLY_IDENTIFIER
from .voxels import Voxels

# Readers ask for a region's columns, in blocks of rows or at once. At the release's size, chunks of about this shape
# are read up to twice as fast as plain rows, three times where the region is narrow (V4). Noise does not compress.
_CHUNK = (1024, 128)


class AssemblyWriter:
    """A netCDF file with the single variable `data` (presentation, neuroid), filled in blocks of rows.

    Use as a context manager.

    Parameters
    ----------
    path : Path
    subject : str
    trials : pandas.DataFrame
        One row per presentation: `stimulus_id`, `repetition`, `session`, `run`, `beta_index`.
    voxels : Voxels
    ceilings : dict
        Name of a neuroid coordinate, such as "nc_12rep" -> (n_voxels,) float32 noise ceiling in percent.
    attributes : dict
        Further global attributes.
    """

    def __init__(
        self,
        path: Path,
        subject: str,
        trials: pd.DataFrame,
        voxels: Voxels,
        ceilings: dict[str, np.ndarray],
        attributes: dict[str, str | int],
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._shape = (len(trials), len(voxels))
        self._row = 0
        self._file = netCDF4.Dataset(path, "w", format="NETCDF4")
        self._file.set_fill_off()
        for name, length in zip(("presentation", "neuroid"), self._shape, strict=True):
            self._file.createDimension(name, length)
        presentation = {name: trials[name].to_numpy() for name in _PRESENTATION}
        neuroid = {
            "subject_id": np.full(len(voxels), subject),
            "region": voxels.region,
            "roi": voxels.roi,
            "voxel_index_in_brain_mask": voxels.index_in_brain_mask,
            **ceilings,
        }
        for dimension, coordinates in (("presentation", presentation), ("neuroid", neuroid)):
            for name, values in coordinates.items():
                self._coordinate(name, dimension, values)
        chunk = [math.ceil(length / math.ceil(length / size)) for size, length in zip(_CHUNK, self._shape, strict=True)]
        self._data = self._file.createVariable(
            "data", "f4", ("presentation", "neuroid"), chunksizes=chunk, fill_value=False
        )
        self._data.coordinates = " ".join([*presentation, *neuroid])  # makes them coordinates, not data, to xarray
        about = {
            "identifier": ASSEMBLY_IDENTIFIER.format(subject=subject),
            "normalization": "zscore-within-session",
            **attributes,
        }
        self._file.setncatts(about)
        self._data.setncatts(about)

    def append(self, betas: np.ndarray) -> None:
        """Write the next rows, (n_trials, n_voxels) float32."""
        self._data[self._row : self._row + len(betas)] = betas
        self._row += len(betas)

    def __enter__(self) -> "AssemblyWriter":
        return self

    def __exit__(self, kind, error, trace) -> None:
        self._file.close()
        if error is None and self._row != self._shape[0]:
            raise ValueError(f"An assembly of {self._shape[0]} presentations was closed after {self._row}.")

    def _coordinate(self, name: str, dimension: str, values: np.ndarray) -> None:
        text = values.dtype.kind in "OU"
        variable = self._file.createVariable(name, str if text else values.dtype, (dimension,))
        variable[:] = values.astype(object) if text else values


_PRESENTATION = ("stimulus_id", "repetition", "session", "run", "beta_index")
