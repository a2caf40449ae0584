"""Values per voxel and per subject as tables and arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set

import numpy as np
import pandas as pd
import xarray as xr
from brainscore_core.metrics import Score

from .errors import ResultsError
from .packing import COUNTS, Node, pack
from .result import Result
from .schema import FOLD, SUBJECT

ABOUT = ("result", "model", "benchmark", "dataset", "dataset_fingerprint")
VALUES = ("correlation", "noise_ceiling", "p_value")
SUBJECT_OF, VOXEL = "subject", "voxel"
_UNITS = (SUBJECT_OF, VOXEL)
_NUMBERS = ("value", "raw", "ceiling", "interval_low", "interval_high", "alpha", *COUNTS)


def score_to_frame(score: Score, per: str = VOXEL) -> pd.DataFrame:
    """A Score's values per voxel or per subject.

    Parameters
    ----------
    score : Score
        As ``score_model`` returns it, or ``ResultsDatabase.score``.
    per : {"voxel", "subject"}

    Returns
    -------
    pandas.DataFrame
        Columns ``model``, ``benchmark``, ``fold`` (missing where there are none) and ``subject``; per voxel ``correlation``,
        ``noise_ceiling``, ``p_value`` and the voxel's coordinates, as in :func:`voxel_frames` (a coordinate that is called as
        one of these columns has ``neuroid_`` before its name, twice where that is another coordinate's); per subject
        ``score``, ``raw``, ``ceiling`` and what else the Score says of each.

    Raises
    ------
    ResultsError
        Another ``per``; or per voxel, a Score that compares regions as wholes (rdm-pearson, cka).
    """
    if per not in _UNITS:
        raise ResultsError(f"per is one of {', '.join(_UNITS)}; received {per!r}.")
    about = {name: score.attrs.get(f"{name}_identifier") for name in ("model", "benchmark")}
    root = pack(score)
    if per == SUBJECT_OF:
        rows = []
        for place, node in root.walk():
            if node.level == SUBJECT:
                numbers = {name: node.columns.get(name) for name in _NUMBERS}
                rows.append({**about, **_place(place), "score": numbers.pop("value"), **numbers})
        return pd.DataFrame(rows)
    frame = _voxels_below(root, about)
    if frame is None:
        raise ResultsError(
            f"Values per voxel are those of ridge benchmarks; {about['benchmark']} compares regions as wholes. Ask for "
            f"per='subject'."
        )
    return frame


def voxel_frames(database, results: Iterable[Result]) -> Iterator[pd.DataFrame]:
    """Values per voxel, a table per result of a ResultsDatabase that has such.

    Yields
    ------
    pandas.DataFrame
        A row per voxel (and fold): result, model, benchmark, dataset and its fingerprint, fold, subject, ``correlation`` on the
        test stimuli,
        ``noise_ceiling`` estimated from these stimuli (fraction of variance; may be below 0 for a voxel with little signal),
        ``p_value`` of the correlation (one-sided, before any correction; missing in results of earlier versions), and the
        voxel's coordinates in the dataset.
    """
    for result in results:
        about = {
            "result": result.id,
            "model": result.model,
            "benchmark": result.benchmark,
            "dataset": result.dataset.get("name"),
            "dataset_fingerprint": result.dataset_fingerprint,
        }
        frame = _voxels_below(database.tree(result.id), about)
        if frame is not None:
            yield frame


def voxels_to_xarray(frame: pd.DataFrame) -> xr.Dataset:
    """Values per voxel as arrays over models, benchmarks and voxels.

    Parameters
    ----------
    frame : pandas.DataFrame
        Of :meth:`~.database.ResultsDatabase.voxels`.

    Returns
    -------
    xarray.Dataset
        ``correlation``, ``noise_ceiling`` and ``p_value``, float64 over (model, benchmark, neuroid); nan where a benchmark has
        no such voxel. Each fold of a benchmark with folds is a benchmark, ``... fold_0``. Coordinates of ``neuroid`` are those
        of the voxels.

    Raises
    ------
    ResultsError
        Several results of one model on one benchmark.
    """
    if "dataset_fingerprint" in frame and frame["dataset_fingerprint"].nunique() > 1:
        raise ResultsError(
            f"Arrays are of one dataset; the table is of {', '.join(map(str, frame['dataset'].unique()))}, of "
            f"{frame['dataset_fingerprint'].nunique()} fingerprints. Choose the rows of one (dataset_fingerprint)."
        )
    own = [name for name in frame.columns if name not in (*ABOUT, "fold", *VALUES)]
    label = frame["benchmark"] + frame["fold"].map(lambda fold: "" if pd.isna(fold) else f" {fold}")
    voxels = frame[own].drop_duplicates(ignore_index=True)
    numbered = voxels.reset_index(names="/")  # no coordinate has a slash in its name
    positions = frame[own].merge(numbered, on=own, how="left")["/"].to_numpy()
    models, benchmarks = frame["model"].unique().tolist(), label.unique().tolist()
    place = (
        pd.Index(models).get_indexer(frame["model"]),
        pd.Index(benchmarks).get_indexer(label),
        positions,
    )
    shape = (len(models), len(benchmarks), len(voxels))
    if len(np.unique(np.ravel_multi_index(place, shape))) < len(frame):
        raise ResultsError(
            "Arrays have one value per model, benchmark and voxel; received several. Ask for the latest results of one "
            "dataset, or use the table."
        )
    dims = ("model", "benchmark", "neuroid")
    arrays = {}
    for name in VALUES:
        values = np.full(shape, np.nan)
        values[place] = frame[name]
        arrays[name] = (dims, values)
    coords = {name: ("neuroid", voxels[name].to_numpy()) for name in own}
    return xr.Dataset(arrays, {"model": models, "benchmark": benchmarks, **coords})


def _voxels_below(root: Node, about: dict) -> pd.DataFrame | None:
    nodes = [(place, node) for place, node in root.walk() if node.correlations is not None]
    if not nodes:
        return None
    names = _names_in_table({str(name) for _, node in nodes for name in node.correlations.coords})
    parts = []
    for place, node in nodes:
        coords = {names[str(name)]: coord.values for name, coord in node.correlations.coords.items()}
        p_values = np.full(len(node.correlations), np.nan) if node.p_values is None else node.p_values.values
        values = (node.correlations.values, node.ceilings.values, p_values)
        parts.append(pd.DataFrame({**dict(zip(VALUES, values, strict=True)), **coords}).assign(**_place(place)))
    frame = pd.concat(parts, ignore_index=True)
    first = pd.DataFrame({**about, "fold": frame.pop("fold"), "subject": frame.pop("subject")})
    return pd.concat([first, frame], axis=1)


def _names_in_table(coordinates: Set[str]) -> dict[str, str]:
    """Of each coordinate of neuroids the column; one that is called as a column of the table gets a name of its own."""
    names = {}
    for name in coordinates:
        column = name
        while column in (*ABOUT, *VALUES, FOLD, SUBJECT_OF) or (column != name and column in coordinates):
            column = f"neuroid_{column}"
        names[name] = column
    return names


def _place(place: str) -> dict[str, str | None]:
    *fold, subject = place.split("/")
    return {"fold": fold[0] if fold else None, "subject": subject}


def chosen_subjects(frame: pd.DataFrame, subjects: Sequence[str]) -> pd.DataFrame:
    """Rows of some subjects; of all if none is named."""
    return frame[frame["subject"].isin(subjects)].reset_index(drop=True) if subjects else frame
