"""Everything of an assembly file but its data, as stored, for comparison: unknown coordinates included."""

from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np

from ..assemblies.header import DATA_VARIABLE, DIMENSIONS, open_netcdf
from ..errors import SchemaError


@dataclass(frozen=True)
class Stored:
    """What an assembly file holds beside its data.

    Attributes
    ----------
    path : Path
    shape : tuple of int
        Trials, voxels.
    coordinates : dict
        (dimension, name) -> values, (n,); text as str, numbers as stored.
    attributes : dict
        Global ones and those of the data.
    """

    path: Path
    shape: tuple[int, int]
    coordinates: dict[tuple[str, str], np.ndarray]
    attributes: dict

    def of(self, dimension: str, name: str) -> np.ndarray:
        """A coordinate that has to be there.

        Raises
        ------
        SchemaError
        """
        if (dimension, name) not in self.coordinates:
            raise SchemaError(
                f"{self.path}: assemblies are compared by {name} on their {dimension} dimension, which this file lacks; "
                f"it has {', '.join(sorted(found for _, found in self.coordinates))}."
            )
        return self.coordinates[dimension, name]


def read_stored(path: Path) -> Stored:
    """Read all coordinates of an assembly file.

    Raises
    ------
    MissingDataError
        If there is no such file.
    SchemaError
        If it is not netCDF4, or holds no data of the right form.
    """
    with open_netcdf(path) as file:
        if DATA_VARIABLE not in file.variables or file.variables[DATA_VARIABLE].dimensions != DIMENSIONS:
            raise SchemaError(
                f"{path}: an assembly holds one variable {DATA_VARIABLE!r} {DIMENSIONS}; found {sorted(file.variables)}."
            )
        data = file.variables[DATA_VARIABLE]
        coordinates = {
            (variable.dimensions[0], name): _values(variable)
            for name, variable in file.variables.items()
            if name != DATA_VARIABLE and variable.dimensions[:1] in [(dimension,) for dimension in DIMENSIONS]
        }
        attributes = {name: source.getncattr(name) for source in (data, file) for name in source.ncattrs()}
        return Stored(Path(path), data.shape, coordinates, attributes)


def _values(variable: netCDF4.Variable) -> np.ndarray:
    values = variable[:]
    if values.dtype == "S1" and values.ndim == 2:  # fixed-width text: one axis more, of characters
        values = netCDF4.chartostring(values, encoding="utf-8")
    if values.dtype.kind in "OSU":
        return np.array([v.decode("utf-8") if isinstance(v, bytes) else str(v) for v in values], dtype=str)
    return values
