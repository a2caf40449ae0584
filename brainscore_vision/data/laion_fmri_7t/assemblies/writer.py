"""Writes one subject's assembly block by block, so that the trial matrix is never in memory as a whole."""

import math
from pathlib import Path

import netCDF4
import numpy as np
import pandas as pd

from ..constants import ASSEMBLY_IDENTIFIER
from .file import (
    DATA_VARIABLE,
    DIMENSIONS,
    NEUROID_REQUIRED,
    PRESENTATION_OPTIONAL,
    PRESENTATION_REQUIRED,
    REGIONS_GROUP,
)
from .region_table import RegionTable

# Readers ask for a region's columns, in blocks of rows or at once. At the release's size, chunks of about this shape
# are read up to twice as fast as plain rows, three times where the region is narrow (V4). Noise does not compress.
_CHUNK = (1024, 128)

NORMALIZATION = "zscore-within-session"


class AssemblyWriter:
    """A netCDF file with the single variable `data` (presentation, neuroid), filled in blocks of rows.

    Use as a context manager.

    Parameters
    ----------
    path : Path
    presentations : pandas.DataFrame
        One row per trial: `stimulus_id`, `repetition`, `session`, `run`, `beta_index`.
    neuroids : pandas.DataFrame
        One row per voxel: `subject_id` (one subject), `region`, `roi`, `voxel_index_in_brain_mask`, `nc_4rep`,
        `nc_12rep`, `nc_allrep` (percent).
    attributes : dict
        Further global attributes.
    regions : RegionTable, optional
        Regions of interest of the voxels.
    """

    def __init__(
        self,
        path: Path,
        presentations: pd.DataFrame,
        neuroids: pd.DataFrame,
        attributes: dict[str, str | int],
        regions: RegionTable | None = None,
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._shape = (len(presentations), len(neuroids))
        self._row = 0
        self._file = netCDF4.Dataset(path, "w", format="NETCDF4")
        self._file.set_fill_off()
        names = (PRESENTATION_REQUIRED + PRESENTATION_OPTIONAL, NEUROID_REQUIRED)
        for dimension, length, table, columns in zip(
            DIMENSIONS, self._shape, (presentations, neuroids), names, strict=True
        ):
            self._file.createDimension(dimension, length)
            for name in columns:
                self._coordinate(name, dimension, table[name].to_numpy())
        chunk = [math.ceil(length / math.ceil(length / size)) for size, length in zip(_CHUNK, self._shape, strict=True)]
        self._data = self._file.createVariable(DATA_VARIABLE, "f4", DIMENSIONS, chunksizes=chunk, fill_value=False)
        self._data.coordinates = " ".join(names[0] + names[1])  # makes them coordinates, not data, to xarray
        about = {
            "identifier": ASSEMBLY_IDENTIFIER.format(subject=neuroids["subject_id"].iloc[0]),
            "normalization": NORMALIZATION,
            **attributes,
        }
        self._file.setncatts(about)
        self._data.setncatts(about)
        if regions is not None:
            self._write_regions(regions)

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

    def _write_regions(self, table: RegionTable) -> None:
        """A group of its own, which xarray does not read as a part of the assembly: regions x neuroids."""
        group = self._file.createGroup(REGIONS_GROUP)
        group.createDimension("region_of_interest", len(table.categories))
        names, neuroid = ("region_of_interest",), DIMENSIONS[1]
        for name, values in (("name", table.categories), ("category", table.categories.values())):
            group.createVariable(name, str, names)[:] = np.array(list(values), object)
        held = [name in table.membership for name in table.categories]
        group.createVariable("is_held", "i1", names)[:] = np.array(held, np.int8)
        membership = table.membership.reindex(columns=list(table.categories), fill_value=False)
        variable = group.createVariable("membership", "i1", (neuroid, *names), zlib=True, fill_value=False)
        variable[:] = membership.to_numpy().astype(np.int8)

    def _coordinate(self, name: str, dimension: str, values: np.ndarray) -> None:
        text = values.dtype.kind in "OU"
        kind = str if text else values.dtype.newbyteorder("=")  # NIfTI says "<" where netCDF4 expects "="
        variable = self._file.createVariable(name, kind, (dimension,))
        variable[:] = values.astype(object) if text else values
