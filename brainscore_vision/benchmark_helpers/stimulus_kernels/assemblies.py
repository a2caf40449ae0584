"""Assemblies of several subjects in one array, for people who bring a metric of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly, walk_coords

from .errors import ResponsesError
from .tasks import Responses

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
        Shape (sum of presentations, sum of neuroids), float, nan off the diagonal blocks. A scalar coordinate is kept.

    Raises
    ------
    ResponsesError
        No assembly, other dimensions, or a coordinate that would be lost: one that an assembly lacks, a scalar that
        differs between them, one on both dimensions.
    """
    assemblies = list(assemblies)
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
            raise ResponsesError(
                f"Coordinates must lie on the same dimension everywhere; number {i} differs in {wrong}."
            )
    sizes = np.array([[assembly.sizes[dim] for dim in DIMS] for assembly in assemblies])
    dtype = np.result_type(*[assembly.dtype for assembly in assemblies], np.float32)
    values = np.full(sizes.sum(axis=0), np.nan, dtype=dtype)
    row = column = 0
    for assembly, (n_rows, n_columns) in zip(assemblies, sizes, strict=True):
        values[row : row + n_rows, column : column + n_columns] = assembly.transpose(*DIMS).values
        row, column = row + n_rows, column + n_columns
    coords = {name: _joined(name, [coords[name] for coords in coords_of]) for name in expected}
    return NeuroidAssembly(values, dims=DIMS, coords=coords)


def to_assembly(responses: Responses) -> NeuroidAssembly:
    """One subject's responses as Brain-Score's assembly, for metrics that want one.

    Returns
    -------
    NeuroidAssembly, (presentation × neuroid)
        A copy. Coordinates: presentation: stimulus_id, n_repetitions, subject_id_pres; neuroid: subject_id and the columns
        of ``neuroids``. One row per stimulus, so there is no repetition.

    Raises
    ------
    ResponsesError
        Columns of ``neuroids`` with the name of a dimension, or of a coordinate of presentations.
    """
    n_stimuli, n_neuroids = responses.values.shape
    presentations = {
        "stimulus_id": responses.stimulus_ids.astype(object),
        "n_repetitions": responses.n_repetitions,
        "subject_id_pres": np.full(n_stimuli, responses.subject, dtype=object),
    }
    neuroids = {"subject_id": np.full(n_neuroids, responses.subject, dtype=object)}
    taken = sorted((presentations.keys() | {*DIMS}) & set(responses.neuroids.columns))
    if taken:
        raise ResponsesError(
            f"An assembly's coordinates have a name each; neuroids of {responses.subject} have columns {', '.join(taken)}, "
            f"which are its dimensions, or say something of stimuli in it. Rename them."
        )
    neuroids |= {name: column.to_numpy() for name, column in responses.neuroids.items()}
    coords = {name: (DIMS[0], values) for name, values in presentations.items()}
    coords |= {name: (DIMS[1], values) for name, values in neuroids.items()}
    return NeuroidAssembly(responses.values.copy(), dims=DIMS, coords=coords)


def _joined(name: str, parts: list):
    """One coordinate of the whole from those of the blocks, each as (dimensions, values)."""
    dims = parts[0][0]
    if len(dims) == 1:
        return dims, np.concatenate([values for _, values in parts])
    if dims:
        raise ResponsesError(
            f"A coordinate belongs to {DIMS[0]}, to {DIMS[1]} or to the whole assembly; {name} lies on {dims}. Drop it, or "
            f"keep it as an assembly of its own."
        )
    first, *others = (np.asarray(values).item() for _, values in parts)
    if any(other != first and not (other != other and first != first) for other in others):  # nan is nan, too
        raise ResponsesError(
            f"A scalar coordinate must be the same in all assemblies, or it would be lost; {name} is "
            f"{', '.join(map(repr, (first, *others)))}. Put it on {DIMS[0]} or {DIMS[1]}, or drop it."
        )
    # an array: xarray takes a tuple, such as the limits of a time bin that was selected, for dimensions and values
    return parts[0]
