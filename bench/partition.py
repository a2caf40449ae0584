"""Whether the parts of two models' explained variance are true, and how often their intervals hold the truth.

    python bench/partition.py [--runs N] [--draws N] [--json FILE]

Two models share 15 of their 30 features, and the signal is made of the shared ones and of each model's own. The models are
fitted once, on 400 training stimuli; what each fit really explains is known from 20,000 stimuli without noise. Then test sets
are drawn again and again, and parted: as the package does it, and with r·|r| / NC, neither corrected for the number of stimuli
nor related to the variance of these. METHODS.md quotes the output.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from brainscore_vision.benchmark_helpers.stimulus_kernels import (
    RELATIVE_ALPHAS,
    NoiseCeiling,
    Responses,
    RidgeMetric,
    SubjectTask,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.partition import PARTS, commonality, parts_of
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge.banded import Target, WeightedFit, banded_fits
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.bootstrap import (
    correlation_draws,
    percentile_interval,
    resampled_counts,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.tasks import pearson_per_neuroid

N_TEST = (24, 82, 224, 371)
EXPLAINABLE = (0.3, 0.5)
RUNS, DRAWS = 300, 400
N_TRAIN, N_TRUTH, N_NEUROIDS, N_LATENT, REPETITIONS = 400, 20_000, 40, 15, 4
STRENGTHS = {"shared": 0.7, "a": 0.7, "b": 0.5}


def _linear(x: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """The weights of features behind their predictions."""
    return np.linalg.lstsq(x - x.mean(axis=0), prediction - prediction.mean(axis=0), rcond=None)[0]


@dataclass
class World:
    """Stimuli, their signal, and two models' predictions of it; the fits stay, stimuli are drawn anew."""

    explainable: float
    seed: int = 0

    def __post_init__(self):
        self.rng = np.random.default_rng(self.seed)
        self.maps = [
            strength * self.rng.standard_normal((N_LATENT, N_NEUROIDS)) / np.sqrt(N_LATENT)
            for strength in STRENGTHS.values()
        ]
        features, signal = self.stimuli(N_TRAIN + N_TRUTH)
        train, rest = np.arange(N_TRAIN), np.arange(N_TRAIN, N_TRAIN + N_TRUTH)
        # variance of averages over repetitions is signal / explainable
        self.noise_variance = np.full(N_NEUROIDS, REPETITIONS * signal.var(axis=0).mean() * (1 / self.explainable - 1))
        measured = self.measured(signal[train])
        grams = tuple(x[train] @ x[train].T for x in features)
        fits = banded_fits(grams, train, [Target(lambda: measured, train, RELATIVE_ALPHAS)])[0]
        both = np.concatenate(features, axis=1)
        inputs = (features[0], features[1], both)
        self.coefficients = [_linear(x[train], fit.prediction) for x, fit in zip(inputs, fits, strict=True)]
        r = [
            pearson_per_neuroid(x[rest] @ c, signal[rest], "truth")
            for x, c in zip(inputs, self.coefficients, strict=True)
        ]
        v = signal[rest].var(axis=0)
        self.truth = commonality(*(float((one * np.abs(one) * v).sum() / v.sum()) for one in r))

    def stimuli(self, n: int):
        """Both models' features, and the signal."""
        latent = [self.rng.standard_normal((n, N_LATENT)) for _ in STRENGTHS]
        signal = sum(x @ m for x, m in zip(latent, self.maps, strict=True))
        return [np.concatenate([latent[0], latent[own]], axis=1) for own in (1, 2)], signal

    def measured(self, signal: np.ndarray) -> np.ndarray:
        return signal + np.sqrt(self.noise_variance / REPETITIONS) * self.rng.standard_normal(signal.shape)

    def parted(self, n: int, draws: int):
        """The parts on a new test set of n stimuli."""
        (a, b), signal = self.stimuli(n)
        inputs = (a, b, np.concatenate([a, b], axis=1))
        fits = [WeightedFit(0.5, 1.0, 0.0, x @ c) for x, c in zip(inputs, self.coefficients, strict=True)]
        ids = np.array([f"{self.rng.integers(2**60)}" for _ in range(n)])
        responses = Responses(
            subject="sub-01",
            stimulus_ids=ids,
            values=self.measured(signal),
            n_repetitions=np.full(n, REPETITIONS),
            neuroids=pd.DataFrame(index=range(N_NEUROIDS)),
            noise_ceiling=NoiseCeiling(np.full(N_NEUROIDS, self.explainable), 1 / REPETITIONS),
            noise_variance=self.noise_variance,
        )
        task = SubjectTask("sub-01", "IT", "IT", None, (), tuple(ids), RidgeMetric(), lambda: responses)
        counts = resampled_counts(ids, draws)
        parts = parts_of(task, tuple(fits), counts, ("a", "b"))
        return parts, uncorrected(fits, responses.values, self.explainable, counts)


def uncorrected(fits, measured: np.ndarray, ceiling: float, counts: np.ndarray) -> tuple[dict, dict]:
    """Values and draws of r·|r| / NC, mean over neuroids."""
    values, draws = [], []
    for fit in fits:
        r = pearson_per_neuroid(fit.prediction, measured, "sub-01")
        r_drawn = correlation_draws(fit.prediction, measured, counts)
        values.append(np.mean(r * np.abs(r)) / ceiling)
        draws.append(np.mean(r_drawn * np.abs(r_drawn), axis=1) / ceiling)
    return commonality(*values), commonality(*draws)


def measured_errors(explainable: float, n: int, runs: int, draws: int, seed: int = 0) -> dict:
    """Per part: the truth, the mean error of its estimate, and in how many percent of runs the interval holds the truth."""
    world = World(explainable, seed)
    found = [world.parted(n, draws) for _ in range(runs)]
    report = {}
    for part in PARTS:
        truth = world.truth[part]
        report[part] = {"truth": truth}
        ours = [(parts.values[part], parts.interval(part)) for parts, _ in found]
        other = [(values[part], percentile_interval(drawn[part])) for _, (values, drawn) in found]
        for name, estimates in (("", ours), ("uncorrected_", other)):
            report[part][f"{name}error"] = float(np.mean([value for value, _ in estimates]) - truth)
            covered = [low <= truth <= high for _, (low, high) in estimates]
            report[part][f"{name}covered_percent"] = float(100 * np.mean(covered))
    return report


def all_errors(runs: int = RUNS, draws: int = DRAWS) -> dict:
    """:func:`measured_errors` of each explainable fraction and number of test stimuli."""
    report = {}
    for explainable in EXPLAINABLE:
        for n in N_TEST:
            name = f"{100 * explainable:g} % explainable, {n} test stimuli"
            print(f"  {name}", file=sys.stderr, flush=True)
            report[name] = measured_errors(explainable, n, runs, draws)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--json", type=Path, help="Write the numbers here as well.")
    arguments = parser.parse_args()
    report = all_errors(arguments.runs, arguments.draws)
    print(json.dumps(report, indent=2))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
