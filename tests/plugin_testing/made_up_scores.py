"""Scores of as many models as wanted, made of seeded numbers instead of features: for what is done with many results."""

import functools
import zlib

import numpy as np
import xarray as xr
from brainscore_core.metrics import Score
from brainscore_vision.metric_helpers.bootstrap_error import declare_no_error

from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.bootstrap import percentile_interval
from brainscore_vision.benchmarks.laion_fmri_7t.identifiers import STORED_REGIONS, parse
from brainscore_vision.data.laion_fmri_7t.constants import SUBJECTS

N_DRAWS, N_STIMULI = 100, 371
FINGERPRINT = "0123456789abcdef"
CEILINGS = dict(zip(STORED_REGIONS, (0.72, 0.70, 0.66, 0.62, 0.64, 0.63), strict=True))
"""Correlations, before what differs between subjects."""


def made_up_score(model: str, benchmark: str, share: float, simulated: bool = True) -> Score:
    """A score with five subjects and paired draws.

    Parameters
    ----------
    model, benchmark : str
    share : float
        Of the ceiling that the median correlation reaches, before what differs between subjects.
    """
    cell = parse(benchmark)
    subjects = {}
    for number, subject in enumerate(SUBJECTS):
        rng = np.random.default_rng([number, zlib.crc32(f"{model} {benchmark}".encode())])
        ceiling = CEILINGS[cell.region] - 0.03 * number
        median = share * ceiling * (1 - 0.05 * number) + rng.normal(0, 0.004)
        medians = median + _shared_draws(benchmark)[number] + rng.normal(0, 0.006, N_DRAWS)
        subjects[subject] = _subject_score(cell, median, medians, ceiling, f"{cell.region} {cell.split} {cell.pool}")
    score = _mean(subjects)
    score.attrs.update(
        subjects,
        raw=_mean({subject: unit.attrs["raw"] for subject, unit in subjects.items()}),
        ceiling=_mean({subject: unit.attrs["ceiling"] for subject, unit in subjects.items()}),
        normalizations={
            name: float(np.mean([unit.attrs["normalizations"][name] for unit in subjects.values()]))
            for name in subjects[SUBJECTS[0]].attrs["normalizations"]
        },
        model_identifier=model,
        benchmark_identifier=benchmark,
        normalization="published",
        layers={cell.region: f"block{zlib.crc32(model.encode()) % 12}"},
        dataset={
            "name": "simulated" if simulated else "measured",
            "root": "/data",
            "fingerprint": FINGERPRINT,
            "simulated": simulated,
            "subjects": list(SUBJECTS),
        },
    )
    return score


def _mean(units: dict[str, Score]) -> Score:
    """With the textbook's standard error: Brain-Score's bootstrap takes a tenth of a second, which adds up."""
    values = np.array([unit.item() for unit in units.values()])
    score = Score(float(values.mean()))
    score.attrs["raw_subjects"] = xr.DataArray(values, dims=["subject"], coords={"subject": list(units)})
    score.attrs.update(error=float(values.std(ddof=1) / np.sqrt(len(values))), error_over=["subject"], n_bootstrap=0)
    return score


@functools.cache
def _shared_draws(benchmark: str) -> np.ndarray:
    """What some stimuli add for every model; shape (subjects, draws)."""
    return np.random.default_rng(zlib.crc32(benchmark.encode())).normal(0, 0.012, (len(SUBJECTS), N_DRAWS))


def _subject_score(cell, median: float, medians: np.ndarray, ceiling: float, stimuli: str) -> Score:
    squared = cell.metric.startswith("ridge")
    value, draws = (median**2 / ceiling, medians**2 / ceiling) if squared else (median / ceiling, medians / ceiling)
    score, raw, top = Score(value), Score(median), Score(ceiling)
    for part in (score, raw, top):
        declare_no_error(part, reason="one subject")
    explained = (median / ceiling) ** 2
    score.attrs.update(
        raw=raw,
        ceiling=top,
        normalizations={"published": value, "explained_variance": explained, "correlation": median / ceiling},
        n_train=1000,
        n_test=N_STIMULI,
        n_neuroids=400,
        n_features=4096,
        n_significant_voxels=round(400 * min(1.0, explained + 0.3)),
        interval=percentile_interval(draws),
        bootstrap=xr.DataArray(draws, dims=["draw"]),
        bootstrap_stimuli=stimuli,
        n_stimulus_groups=N_STIMULI,
    )
    if squared:
        score.attrs.update(alpha=1e3, bootstrap_median=xr.DataArray(medians, dims=["draw"]))
    return score
