"""The figures of the explanations, drawn from the functions that scores are computed with, on made-up voxels."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from brainscore_vision.benchmark_helpers.stimulus_kernels import NoiseCeiling
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics import bootstrap
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.ceilings import (
    ExplainableVariance,
    SumsOfDraws,
    normalize_correlations,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.tasks import pearson_per_neuroid

VOXELS = 60
NCSNR = 0.6
"""Of every voxel: the signal's standard deviation is 0.6 of that of one trial's noise."""


def measure(rng: np.random.Generator, n_images: int, n_repetitions: int, signal_sd: float = NCSNR):
    """True signal and averages over repetitions, both (n_images, VOXELS); a single trial's noise has the variance 1."""
    signal = signal_sd * rng.standard_normal((n_images, VOXELS))
    noise = rng.standard_normal((n_images, n_repetitions, VOXELS)).mean(axis=1)
    return signal, signal + noise


def ceiling(path: Path) -> None:
    """How well the true signal correlates with averages over more and more trials, beside √NC."""
    rng = np.random.default_rng(0)
    counts = np.arange(1, 13)
    figure, axes = _figure()
    for count in counts:
        signal, average = measure(rng, 300, count)
        r = pearson_per_neuroid(signal, average, "made up")
        axes.plot(np.full(VOXELS, count) + rng.uniform(-0.25, 0.25, VOXELS), r, ".", color="C0", markersize=2)
    known = NoiseCeiling.from_ncsnr(np.array([NCSNR]), 1.0)
    axes.plot(counts, [np.sqrt(known.at(np.array([count])).fraction[0]) for count in counts], color="black")
    axes.set(xlabel="repetitions that are averaged", ylabel="correlation of the true signal", ylim=(0, 1))
    _save(figure, path)


def explained_variance(path: Path) -> None:
    """The true signal's score where test images vary less or more than those that the published ceiling is from."""
    rng = np.random.default_rng(1)
    repetitions = np.full(300, 4)
    published = NoiseCeiling.from_ncsnr(np.full(VOXELS, NCSNR), 1 / 12)
    spreads = np.linspace(0.5, 1.6, 12)  # of the test images' signal, relative to the others'
    scores = {"published": [], "explained_variance": [], "correlation": []}
    for spread in spreads:
        signal, average = measure(rng, len(repetitions), repetitions[0], spread * NCSNR)
        at_test = ExplainableVariance.of(average, repetitions, np.ones(VOXELS))
        values = normalize_correlations(pearson_per_neuroid(signal, average, "made up"), published, at_test)
        for name in scores:
            scores[name].append(values[name].value)
    figure, axes = _figure()
    for (name, values), line in zip(scores.items(), (":", "-", "--"), strict=True):
        axes.plot(spreads, values, line, label=name)
    axes.axhline(1, color="black", linewidth=0.5)
    axes.set(xlabel="spread of the test images, relative", ylabel="score of the true signal", ylim=(0, 1.3))
    axes.legend(frameon=False, loc="lower right")
    _save(figure, path)


def interval(path: Path) -> None:
    """Intervals of 40 experiments with other test images; the line is what infinitely many images would give."""
    rng = np.random.default_rng(2)
    n_images, strength = 100, 0.7  # correlation of prediction and true signal
    repetitions = np.full(n_images, 4)
    reference = NoiseCeiling.from_ncsnr(np.full(VOXELS, NCSNR), 1 / 4)
    figure, axes = _figure()
    mixing = rng.standard_normal((20, VOXELS)) / np.sqrt(20)  # voxels share 20 dimensions, as those of a brain do
    for experiment in range(40):
        signal = NCSNR * rng.standard_normal((n_images, 20)) @ mixing
        error = NCSNR * rng.standard_normal((n_images, 20)) @ mixing
        average = signal + rng.standard_normal(signal.shape) / 2
        prediction = strength * signal + np.sqrt(1 - strength**2) * error
        r = pearson_per_neuroid(prediction, average, "made up")
        at_test = ExplainableVariance.of(average, repetitions, np.ones(VOXELS))
        value = normalize_correlations(r, reference, at_test)["explained_variance"].value
        counts = bootstrap.resampled_counts([f"image {experiment} {i}" for i in range(n_images)], 400)
        sums = SumsOfDraws(r, reference, at_test)
        draws = bootstrap.ridge_draws(prediction, average, repetitions, sums, counts)["explained_variance"]
        low, high = bootstrap.percentile_interval(draws)
        colour = "C0" if low <= strength**2 <= high else "C3"
        axes.plot([experiment, experiment], [low, high], color=colour, linewidth=1.5)
        axes.plot(experiment, value, ".", color=colour, markersize=4)
    axes.axhline(strength**2, color="black", linewidth=0.8)
    axes.set(xlabel="experiment, each with 100 other test images", ylabel="explained variance", ylim=(0.3, 0.7))
    _save(figure, path)


FIGURES = {"ceiling": ceiling, "explained_variance": explained_variance, "interval": interval}
"""Name of the file -> function that draws it."""


def _figure():
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    with matplotlib.rc_context({"svg.hashsalt": path.stem}):  # the same file from every run
        figure.savefig(path, metadata={"Date": None})
