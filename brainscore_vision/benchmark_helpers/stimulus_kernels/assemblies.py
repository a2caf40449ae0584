"""Assemblies of several subjects in one array, for people who bring a metric of their own."""

from __future__ import annotations

from typing import Sequence

import numpy as np
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly, walk_coords

from .errors import ResponsesError

DIMS = ("presentation", "neuroid")


def block_diagonal_concat(assemblies: Sequence[NeuroidAssembly]) -> NeuroidAssembly:
    """Stitch slices of several subjects into one assembly, each on its own block of the diagonal.

    Parameters
    ----------
    assemblies : sequence of NeuroidAssembly
        Each (presentation × neuroid), with the same coordinates.

    Returns
    -------
    NeuroidAssembly
        Shape (sum of presentations, sum of neuroids), float, nan off the diagonal blocks.

    Raises
    ------
    ResponsesError
        No assembly, other dimensions, or a coordinate that one of them lacks.
    """
    if not assemblies:
        raise ResponsesError("block_diagonal_concat needs at least one assembly, received none.")
    coords_of = []
    for i, assembly in enumerate(assemblies):
        if set(assembly.dims) != set(DIMS):
            raise ResponsesError(f"Assemblies have dimensions {DIMS}; number {i} has {assembly.dims}.")
        coords_of.append({name: (dims, values) for name, dims, values in walk_coords(assembly)})
    expected = coords_of[0]
    for i, coords in enumerate(coords_of):
        differing = set(expected) ^ set(coords)
        if differing:
            raise ResponsesError(
                f"All assemblies must have the same coordinates, or some would be lost; number {i} differs from the first "
                f"in {sorted(differing)}. Add what is missing, or drop it everywhere."
            )
        wrong = [name for name in expected if expected[name][0] != coords[name][0]]
        if wrong:
            raise ResponsesError(f"Coordinates must lie on the same dimension everywhere; number {i} differs in {wrong}.")
    sizes = np.array([[assembly.sizes[dim] for dim in DIMS] for assembly in assemblies])
    dtype = np.result_type(*[assembly.dtype for assembly in assemblies], np.float32)
    values = np.full(sizes.sum(axis=0), np.nan, dtype=dtype)
    row = column = 0
    for assembly, (n_rows, n_columns) in zip(assemblies, sizes, strict=True):
        values[row : row + n_rows, column : column + n_columns] = assembly.transpose(*DIMS).values
        row, column = row + n_rows, column + n_columns
    coords = {
        name: (dims, np.concatenate([coords[name][1] for coords in coords_of]))
        for name, (dims, _) in expected.items()
        if dims in ((DIMS[0],), (DIMS[1],))
    }
    return NeuroidAssembly(values, dims=DIMS, coords=coords)
