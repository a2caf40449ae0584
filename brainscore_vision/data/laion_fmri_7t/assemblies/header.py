"""Coordinates of an assembly file, read and checked before any of its data.

One subject's single trials are one netCDF4 variable ``data`` (presentation, neuroid) of floats. Every coordinate is a
one-dimensional variable on one of the two dimensions. Files written through Brain-Score's packaging carry extra
variables (``presentation``, ``presentation_level_0``, ``subject_id_pres``): leftovers of xarray's multi-indexes and of
file names, which are not read.
"""

from dataclasses import dataclass
from pathlib import Path

import h5netcdf.legacyapi
import h5py
import netCDF4
import numpy as np
import pandas as pd

from brainscore_vision.benchmark_helpers.stimulus_kernels.files import read_hdf5

from ..constants import OTHER_REGION, REGIONS
from ..errors import MissingDataError, SchemaError
from .region_table import RegionTable

DATA_VARIABLE = "data"
DIMENSIONS = ("presentation", "neuroid")
PRESENTATION_REQUIRED = ("stimulus_id", "repetition")
PRESENTATION_OPTIONAL = ("session", "run", "beta_index")
NOISE_CEILINGS = ("nc_4rep", "nc_12rep", "nc_allrep")
NEUROID_REQUIRED = ("subject_id", "region", "roi", "voxel_index_in_brain_mask") + NOISE_CEILINGS
INTEGER_COORDINATES = ("repetition", "run", "beta_index", "voxel_index_in_brain_mask")
REGIONS_GROUP = "regions_of_interest"
"""Group of the file with the table of memberships; older and published files lack it."""

LAYOUT_REMEDY = "Write the file again in the layout of the dataset folder (README, 'The dataset folder')."


@dataclass(frozen=True)
class AssemblyHeader:
    """Everything of an assembly file but its data.

    Attributes
    ----------
    presentations : pandas.DataFrame
        One row per trial: stimulus_id, repetition and, where the file has them, session, run, beta_index.
    neuroids : pandas.DataFrame
        One row per voxel: subject_id, region, roi, voxel_index_in_brain_mask, nc_4rep, nc_12rep, nc_allrep (percent).
    attributes : dict
        Attributes of the file and of its data variable.
    dtype : numpy.dtype
        Type of the stored data.
    chunks : tuple of int, or None
        Shape of the stored chunks; None where the data lie contiguously.
    regions : RegionTable or None
        Regions of interest; None for a file that was built without.
    """

    presentations: pd.DataFrame
    neuroids: pd.DataFrame
    attributes: dict
    dtype: np.dtype
    chunks: tuple[int, int] | None
    regions: RegionTable | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Number of trials, number of voxels."""
        return len(self.presentations), len(self.neuroids)


def open_netcdf(path: Path) -> netCDF4.Dataset | h5netcdf.legacyapi.Dataset:
    """Open a netCDF4 file for raw reading: no masking, no scaling.

    Raises
    ------
    MissingDataError
        If there is no such file.
    SchemaError
        If the file is not netCDF4, or incomplete.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingDataError(f"An assembly file is needed at {path}, but there is none.")
    try:
        # h5py and not the netCDF library, which needs locks, that some network disks lack, and crashes if a program has the
        # file open through xarray besides
        if h5py.is_hdf5(path):
            return read_hdf5(path, h5netcdf.legacyapi.Dataset)
        file = netCDF4.Dataset(str(path), "r")
    except OSError as error:
        raise SchemaError(
            f"An assembly must be a complete netCDF4 file; {path} ({path.stat().st_size:,} bytes) cannot "
            f"be opened as one: {error}. Copy, download or simulate it again."
        ) from error
    file.set_auto_maskandscale(False)
    return file


def read_header(path: Path, subject: str | None = None) -> AssemblyHeader:
    """Read and check the coordinates of an assembly file.

    Parameters
    ----------
    path : Path
    subject : str, optional
        Whose file it has to be; None takes any single subject.

    Raises
    ------
    MissingDataError
        If there is no such file.
    SchemaError
        If the variable, a coordinate or a value of a coordinate breaks a rule of the dataset folder.
    """
    with open_netcdf(path) as file:
        data = data_variable(file, path)
        presentations = _coordinates(file, path, DIMENSIONS[0], PRESENTATION_REQUIRED, PRESENTATION_OPTIONAL)
        neuroids = _coordinates(file, path, DIMENSIONS[1], NEUROID_REQUIRED, ())
        attributes = {name: source.getncattr(name) for source in (data, file) for name in source.ncattrs()}
        chunking = data.chunking()
        header = AssemblyHeader(
            presentations,
            neuroids,
            attributes,
            np.dtype(data.dtype),
            None if chunking == "contiguous" else tuple(chunking),
            _region_table(file, path, len(neuroids)),
        )
    _check_presentations(presentations, path)
    _check_neuroids(neuroids, path, subject)
    return header


def data_variable(file: netCDF4.Dataset, path: Path) -> netCDF4.Variable:
    """The variable of the trials, (presentation, neuroid) floats; SchemaError if the file has no such variable."""
    if DATA_VARIABLE not in file.variables:
        raise SchemaError(
            f"{path}: an assembly holds its trials in one variable named {DATA_VARIABLE!r}; "
            f"found {sorted(file.variables)}. {LAYOUT_REMEDY}"
        )
    data = file.variables[DATA_VARIABLE]
    if data.dimensions != DIMENSIONS:
        raise SchemaError(
            f"{path}: the dimensions of {DATA_VARIABLE!r} must be {DIMENSIONS}; found "
            f"{data.dimensions}. {LAYOUT_REMEDY}"
        )
    packed = {"scale_factor", "add_offset"} & set(data.ncattrs())
    if np.dtype(data.dtype).kind != "f" or packed:
        raise SchemaError(
            f"{path}: {DATA_VARIABLE!r} must hold plain floats; found {data.dtype}"
            f"{' packed with ' + ', '.join(sorted(packed)) if packed else ''}. {LAYOUT_REMEDY}"
        )
    if 0 in data.shape:
        raise SchemaError(
            f"{path}: an assembly needs trials and voxels; found {data.shape[0]} trials and "
            f"{data.shape[1]} voxels. {LAYOUT_REMEDY}"
        )
    return data


def _coordinates(file: netCDF4.Dataset, path: Path, dimension: str, required: tuple, optional: tuple) -> pd.DataFrame:
    """All coordinates of one dimension as the columns of a table, one row per entry of the dimension."""
    on_dimension = {
        name
        for name, variable in file.variables.items()
        if variable.dimensions[:1] == (dimension,) and name != DATA_VARIABLE
    }
    missing = [name for name in required if name not in on_dimension]
    if missing:
        elsewhere = [f"{name} lies on {file.variables[name].dimensions}" for name in missing if name in file.variables]
        raise SchemaError(
            f"{path}: an assembly needs the coordinates {', '.join(required)} on its {dimension} "
            f"dimension; missing: {', '.join(missing)}; found: {', '.join(sorted(on_dimension)) or 'none'}"
            f"{'; ' + ', '.join(elsewhere) if elsewhere else ''}. {LAYOUT_REMEDY}"
        )
    names = list(required) + [name for name in optional if name in on_dimension]
    columns = {name: _values(file.variables[name], name, path) for name in names}
    return pd.DataFrame(columns)


def _region_table(file: netCDF4.Dataset, path: Path, n_neuroids: int) -> RegionTable | None:
    """The file's table of memberships, checked; None if it has none."""
    if REGIONS_GROUP not in file.groups:
        return None
    group = file.groups[REGIONS_GROUP]
    try:
        names, categories, held, membership = (
            stored_values(group.variables[name]) for name in ("name", "category", "is_held", "membership")
        )
    except KeyError as error:
        raise SchemaError(
            f"{path}: the group {REGIONS_GROUP} has name, category, is_held and membership; {error} is missing. "
            f"{LAYOUT_REMEDY}"
        ) from error
    n_regions = len(names)
    if membership.shape != (n_neuroids, n_regions) or not np.isin(membership, (0, 1)).all():
        raise SchemaError(
            f"{path}: memberships are 0 or 1 for each of {n_neuroids} voxels and {n_regions} regions of interest; found "
            f"shape {membership.shape}, values {np.unique(membership)[:5].tolist()}. {LAYOUT_REMEDY}"
        )
    if len(set(names)) < n_regions or len(categories) != n_regions or len(held) != n_regions:
        raise SchemaError(
            f"{path}: each region of interest has one name and one category; found {', '.join(names)}. {LAYOUT_REMEDY}"
        )
    table = pd.DataFrame(membership.astype(bool), columns=list(names))
    return RegionTable(dict(zip(names, categories, strict=True)), table.loc[:, held.astype(bool)])


def stored_values(variable: netCDF4.Variable) -> np.ndarray:
    """A variable's values: text as str objects, whichever way the writer stored it, numbers as they are."""
    values = variable[:]
    if values.dtype == "S1" and values.ndim == 2:  # fixed-width text: one axis more, of characters
        values = netCDF4.chartostring(values, encoding="utf-8")
    if values.dtype.kind not in "OSU" or values.ndim != 1:
        return values
    return np.array(
        [value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in values], dtype=object
    )


def _values(variable: netCDF4.Variable, name: str, path: Path) -> np.ndarray:
    """A coordinate's values: str objects, integers or float32."""
    values = stored_values(variable)
    if values.ndim != 1:
        raise SchemaError(
            f"{path}: coordinate {name} must be one-dimensional; found shape {values.shape}. {LAYOUT_REMEDY}"
        )
    if name in INTEGER_COORDINATES:
        return _integers(values, name, path)
    if name in NOISE_CEILINGS:
        if values.dtype.kind not in "fiu":
            raise SchemaError(
                f"{path}: coordinate {name} must hold numbers (percent); found {values.dtype}. {LAYOUT_REMEDY}"
            )
        return values.astype(np.float32)
    return np.array([str(value) for value in values], dtype=object)


def _integers(values: np.ndarray, name: str, path: Path) -> np.ndarray:
    is_number = values.dtype.kind in "fiu"
    if not is_number or not np.isfinite(values).all() or (values != np.floor(values)).any():
        raise SchemaError(
            f"{path}: coordinate {name} must hold integers; found {values.dtype}, "
            f"such as {values[:3].tolist()}. {LAYOUT_REMEDY}"
        )
    return values.astype(np.int64)


def _check_presentations(presentations: pd.DataFrame, path: Path) -> None:
    nameless = (presentations["stimulus_id"] == "").to_numpy()
    if nameless.any():
        raise SchemaError(
            f"{path}: every trial needs a stimulus_id; {nameless.sum()} trials have none, first: row "
            f"{np.flatnonzero(nameless)[0]}. {LAYOUT_REMEDY}"
        )
    pairs = presentations[["stimulus_id", "repetition"]]
    repeated = pairs[pairs.duplicated()]
    if len(repeated):
        first = repeated.iloc[0]
        raise SchemaError(
            f"{path}: each stimulus has each repetition number once; {len(repeated)} trials repeat one, "
            f"first: {first['stimulus_id']!r}, repetition {first['repetition']}, row "
            f"{repeated.index[0]}. Remove the duplicates, or count repetitions anew from 0."
        )


def _check_neuroids(neuroids: pd.DataFrame, path: Path, subject: str | None) -> None:
    unknown = sorted(set(neuroids["region"]) - {*REGIONS, OTHER_REGION})
    if unknown:
        raise SchemaError(
            f"{path}: the region of a voxel is one of {', '.join(REGIONS)}, or {OTHER_REGION}; found "
            f"{', '.join(map(repr, unknown))}. Leave these voxels out or name their region."
        )
    subjects = sorted(set(neuroids["subject_id"]))
    if len(subjects) != 1 or subject not in (None, subjects[0]):
        raise SchemaError(
            f"{path}: an assembly file holds one subject, {subject or 'any'}; its subject_id says "
            f"{', '.join(map(repr, subjects))}. Put each subject's file under that subject's name."
        )
    index = neuroids["voxel_index_in_brain_mask"]
    if index.duplicated().any():
        raise SchemaError(
            f"{path}: a voxel belongs to one region and occurs once; {index.duplicated().sum()} entries "
            f"of voxel_index_in_brain_mask occur again, first: {index[index.duplicated()].iloc[0]}. "
            f"Make the region masks exclusive."
        )
    for name in NOISE_CEILINGS:
        values = neuroids[name].to_numpy()
        outside = (values < 0) | (values > 100)  # NaN is neither: a voxel may lack a ceiling, and is then never used
        if outside.any():
            raise SchemaError(
                f"{path}: {name} is a noise ceiling in percent, 0 to 100; {outside.sum()} voxels lie "
                f"outside, first: {values[outside][0]:g}. Rebuild the coordinate from the release's maps."
            )
    largest = np.nan_to_num(neuroids["nc_12rep"].to_numpy()).max()
    if 0 < largest <= 1:
        raise SchemaError(
            f"{path}: noise ceilings are percent, 0 to 100; the largest nc_12rep is {largest:g}, which "
            f"looks like a fraction. Multiply {', '.join(NOISE_CEILINGS)} by 100."
        )
