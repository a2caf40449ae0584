"""How often p values are wrong where nothing differs, and how often intervals are right, on made-up predictions.

    python bench/inference.py [--part NAME] [--repetitions N] [--json FILE]

METHODS.md quotes the output with the default number of repetitions. Needs no dataset: models whose predictions could be
swapped are made up, so that the truth (no difference) is known. Each part has its own seed.

The made-up world: images have 30 latent features with a spectrum of 1/k; each subject's voxels mix them; averages over
repetitions are signal with noise (ceiling 0.4). A model's prediction is the signal times ``strength`` plus an error of its own
in the same features, which all voxels and subjects share, as they share a model's features.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import xarray as xr
from brainscore_core.metrics import Score
from scipy.stats import norm, rankdata

from brainscore_vision.benchmark_helpers.stimulus_kernels import NoiseCeiling, compare
from brainscore_vision.benchmark_helpers.stimulus_kernels.plan import standard_error
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics import bootstrap, similarity
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.bootstrap import (
    count_significant,
    p_values,
    t_interval,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.ceilings import (
    ExplainableVariance,
    SumsOfDraws,
    normalize_correlations,
    scaled_similarity,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.tasks import pearson_per_neuroid

LATENTS, CEILING, SUBJECTS, DRAWS = 30, 0.4, 5, 400
STRENGTHS = {"good models": 1.0, "weak models": 0.1, "unrelated models": 0.0}
SPECTRUM = np.arange(1, LATENTS + 1) ** -0.5


class World:
    """Images, voxels and pairs of models that could be swapped."""

    def __init__(self, rng: np.random.Generator, n: int, voxels: int, family: int = 1, alike: float = 0.8):
        self.rng, self.n, self.family, self.alike = rng, n, family, alike
        self.mixing = []
        for _ in range(SUBJECTS):
            mixing = SPECTRUM[:, None] * rng.standard_normal((LATENTS, voxels))
            self.mixing.append(mixing / np.linalg.norm(mixing, axis=0))

    def latents(self) -> np.ndarray:
        own = self.rng.standard_normal((self.n, LATENTS))
        if self.family == 1:
            return own
        common = np.repeat(self.rng.standard_normal((self.n // self.family, LATENTS)), self.family, axis=0)
        return np.sqrt(self.alike) * common + np.sqrt(1 - self.alike) * own

    def experiment(self, strength: float):
        """Measurements per subject, and predictions per model and subject."""
        images, errors = self.latents(), (self.latents(), self.latents())
        signals = [images @ mixing for mixing in self.mixing]
        noise = np.sqrt(1 - CEILING)
        measured = [np.sqrt(CEILING) * s + noise * self.rng.standard_normal(s.shape) for s in signals]
        return measured, [[strength * s + e @ m for s, m in zip(signals, self.mixing, strict=True)] for e in errors]


def progress(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def draws_of_mean(a: Score, b: Score, subjects) -> np.ndarray:
    """Draws of the mean difference."""
    return np.mean(
        [a.attrs[s].attrs["bootstrap"].values - b.attrs[s].attrs["bootstrap"].values for s in subjects], axis=0
    )


def holds_0(draws: np.ndarray) -> bool:
    low, high = bootstrap.percentile_interval(draws)
    return low <= 0 <= high


def shares_of_draws(a: Score, b: Score, subjects) -> float:
    """p value as it was: twice the share of draws of the mean difference on the other side of zero."""
    draws = draws_of_mean(a, b, subjects)
    below, above = (draws <= 0).sum() + 1, (draws >= 0).sum() + 1
    return min(1.0, 2 * min(below, above) / (len(draws) + 1))


def score_of(values: list[dict], name: str) -> Score:
    """A Score as compare() takes it; per subject the normalised value, its draws, those of the median, and the groups."""
    subjects = {}
    for number, of_subject in enumerate(values):
        unit = Score(of_subject["normalized"][name].value)
        unit.attrs.update(
            raw=Score(of_subject["normalized"][name].raw),
            ceiling=Score(of_subject["normalized"][name].ceiling),
            bootstrap=xr.DataArray(of_subject["draws"][name], dims=["draw"]),
            bootstrap_stimuli="",
            n_stimulus_groups=of_subject["n_groups"],
        )
        if name == "published" and of_subject["medians"] is not None:
            unit.attrs["bootstrap_median"] = xr.DataArray(of_subject["medians"], dims=["draw"])
        subjects[f"sub-{number}"] = unit
    score = Score(float(np.mean([unit.item() for unit in subjects.values()])))
    score.attrs.update(subjects, normalization=name, benchmark_identifier="made up")
    score.attrs["raw_subjects"] = xr.DataArray(
        [unit.item() for unit in subjects.values()], dims=["subject"], coords={"subject": list(subjects)}
    )
    return score


def ridge_units(measured, predictions, counts: np.ndarray, groups) -> list[dict]:
    reference = NoiseCeiling(np.full(measured[0].shape[1], CEILING), 0.25)
    repetitions = np.full(len(measured[0]), 4)
    units = []
    for number, (y, p) in enumerate(zip(measured, predictions, strict=True)):
        r = pearson_per_neuroid(p, y, f"sub-{number}")
        at_test = ExplainableVariance.of(y, repetitions, np.full(y.shape[1], 4 * (1 - CEILING)))
        draws = bootstrap.ridge_draws(p, y, repetitions, SumsOfDraws(r, reference, at_test), counts)
        units.append(
            {
                "normalized": normalize_correlations(r, reference, at_test),
                "draws": draws,
                "medians": bootstrap.median_draws(p, y, r, counts, groups),
                "n_groups": bootstrap.count_groups(repetitions, groups),
            }
        )
    return units


def null_rates(world: World, strength: float, repetitions: int, groups, seed: str) -> dict:
    """Shares of experiments without a difference in which each test says that there is one."""
    found: dict = {}
    drawn = "" if groups is None else f", drawn in {len(set(groups))} families"
    progress(f"{repetitions} experiments with {world.n} images{drawn}, {seed}, strength {strength:g}")
    for repetition in range(repetitions):
        measured, models = world.experiment(strength)
        ids = [f"{seed} {repetition} {i}" for i in range(world.n)]
        counts = bootstrap.resampled_counts(ids, DRAWS, groups)
        units = [ridge_units(measured, predictions, counts, groups) for predictions in models]
        for name in units[0][0]["normalized"]:
            a, b = (score_of(of_model, name) for of_model in units)
            outcome = compare(a, b)
            one = next(iter(outcome.subjects.values()))
            rates = found.setdefault(name, [])
            rates.append(
                {
                    "share of draws < 0.05": shares_of_draws(a, b, outcome.subjects) < 0.05,
                    "middle of draws without 0": not holds_0(draws_of_mean(a, b, outcome.subjects)),
                    "p < 0.05": outcome.mean.p_value < 0.05,
                    "p < 0.01": outcome.mean.p_value < 0.01,
                    "interval without 0": not outcome.mean.interval[0] <= 0 <= outcome.mean.interval[1],
                    "p < 0.05, one subject": one.p_value < 0.05,
                    "all subjects agree": max(outcome.n_positive, outcome.n_negative) == SUBJECTS,
                    "p < 0.05, over subjects": outcome.over_subjects.p_value < 0.05,
                    "p < 0.05, both": outcome.p_of_both < 0.05,
                }
            )
    return {name: {key: float(np.mean([r[key] for r in rates])) for key in rates[0]} for name, rates in found.items()}


def compare_part(repetitions: int) -> dict:
    """Independent images, by how good the models are."""
    return {
        name: null_rates(World(np.random.default_rng(1), 224, 40), strength, repetitions, None, "independent")
        for name, strength in STRENGTHS.items()
    }


def small_part(repetitions: int) -> dict:
    """Good models on few images, and on few voxels."""
    return {
        f"{n} images, {voxels} voxels": null_rates(
            World(np.random.default_rng(8), n, voxels), STRENGTHS["good models"], repetitions, None, "small"
        )
        for n, voxels in ((60, 40), (224, 15))
    }


def families_part(repetitions: int) -> dict:
    """Images in families of four, drawn one by one and in families; and few families."""
    report = {}
    for strength_name in ("good models", "weak models"):
        for label, groups in (("one by one", None), ("in families", [str(i // 4) for i in range(224)])):
            world = World(np.random.default_rng(2), 224, 30, family=4)
            key = f"{strength_name}, 56 families of 4, {label}"
            report[key] = null_rates(world, STRENGTHS[strength_name], repetitions, groups, "families")
    for n, size in ((84, 12), (120, 15)):
        for label, groups in (("one by one", None), ("in families", [str(i // size) for i in range(n)])):
            world = World(np.random.default_rng(3), n, 30, family=size)
            key = f"good models, {n // size} families of {size}, {label}"
            report[key] = null_rates(world, 1.0, repetitions, groups, "few families")
    return report


def intervals_part(repetitions: int) -> dict:
    """One subject's values and intervals, where all images would give 0.5: how often these hold it, and the middle of draws."""
    truth = {"published": 0.5 * np.sqrt(CEILING), "explained_variance": 0.5, "correlation": np.sqrt(0.5)}
    report = {}
    for n, family in ((224, 1), (224, 4), (240, 12), (84, 12), (21, 3)):
        label = f"{n} images" if family == 1 else f"{n // family} families of {family}"
        progress(f"{repetitions} experiments with {label}")
        world, held, values = World(np.random.default_rng(9), n, 40, family=family), [], []
        groups = None if family == 1 else [str(i // family) for i in range(n)]
        for repetition in range(repetitions):
            measured, (model, _) = world.experiment(1.0)
            counts = bootstrap.resampled_counts([f"interval {repetition} {i}" for i in range(n)], DRAWS, groups)
            (unit,) = ridge_units(measured[:1], model[:1], counts, groups)
            values.append({name: unit["normalized"][name].value / truth[name] for name in truth})
            held.append({})
            for name, draws in unit["draws"].items():
                limits = {name: bootstrap.interval_of(unit["normalized"][name].value, draws, n, unit["n_groups"])}
                limits[f"{name}, middle of draws"] = bootstrap.percentile_interval(draws)
                held[-1] |= {which: low <= truth[name] <= high for which, (low, high) in limits.items()}
        report[label] = {name: float(np.mean([one[name] for one in held])) for name in held[0]}
        report[label] |= {f"{name} over truth": float(np.mean([one[name] for one in values])) for name in truth}
    return report


def subjects_part(repetitions: int) -> dict:
    """The error of a mean over five subjects, and how often intervals around it hold the truth."""
    rng = np.random.default_rng(4)
    values = rng.standard_normal((10 * repetitions, SUBJECTS))
    means = values.mean(axis=1)
    errors = np.array([standard_error(row, "subject") for row in values[:repetitions]])
    within = np.abs(means[:repetitions]) < norm.ppf(0.975) * errors
    t_limits = np.array([t_interval(row) for row in values])
    return {
        "error over true error": float(np.sqrt(np.mean(errors**2)) * np.sqrt(SUBJECTS)),
        "mean error over true error": float(errors.mean() * np.sqrt(SUBJECTS)),
        "coverage of 1.96 errors": float(within.mean()),
        "coverage of t": float(((t_limits[:, 0] < 0) & (t_limits[:, 1] > 0)).mean()),
    }


def voxels_part(repetitions: int) -> dict:
    """p values per voxel: of voxels that nothing predicts, with independent images and with families; against permutation."""
    report: dict = {}
    cases = (
        ("independent", 1, False),
        ("56 families of 4, as if independent", 4, False),
        ("56 families of 4", 4, True),
    )
    for label, family, told in cases:
        progress(label)
        world, p, called = World(np.random.default_rng(5), 224, 60, family=family), [], []
        groups = [str(i // family) for i in range(world.n)] if told else None
        for _ in range(repetitions):
            measured, (prediction, _) = world.experiment(0.0)
            r = pearson_per_neuroid(prediction[0], measured[0], "sub-0")
            p.append(p_values(prediction[0], measured[0], r, groups))
            called.append(count_significant(p[-1]) > 0)
        p = np.array(p)
        report[label] = {
            "p < 0.05": float((p < 0.05).mean()),
            "p < 0.001": float((p < 0.001).mean()),
            "any significant voxel": float(np.mean(called)),
        }
    world = World(np.random.default_rng(6), 224, 20)
    measured, (prediction, _) = world.experiment(0.15)
    y, x = rankdata(measured[0], axis=0), rankdata(prediction[0], axis=0)  # any marginal distribution
    r = pearson_per_neuroid(x, y, "sub-0")
    permuted = np.array([pearson_per_neuroid(x[world.rng.permutation(world.n)], y, "sub-0") for _ in range(20_000)])
    by_permutation = ((permuted >= r).sum(axis=0) + 1) / (len(permuted) + 1)
    report["largest difference to 20,000 permutations"] = float(np.abs(by_permutation - p_values(x, y, r)).max())
    return report


def rdm_part(repetitions: int) -> dict:
    """RDM correlations of two models that could be swapped, one subject; and how wide draws of one are."""
    world, outcomes, spreads = World(np.random.default_rng(7), 100, 60), [], []
    progress(f"{repetitions} experiments with 100 images")
    for repetition in range(repetitions):
        measured, models = world.experiment(1.0)
        ids = [f"rdm {repetition} {i}" for i in range(world.n)]
        counts = bootstrap.resampled_counts(ids, DRAWS)
        ranks = similarity.response_ranks(measured[0])
        unit, classes, units = similarity.unit_ranks(ranks), bootstrap.rank_classes(ranks), []
        for prediction in models:
            own = similarity.response_ranks(prediction[0])
            value = float(similarity.unit_ranks(own) @ unit)
            drawn = bootstrap.rdm_draws(bootstrap.rank_classes(own), classes, counts)
            spreads.append((value, drawn.std()))
            units.append({"normalized": {"published": scaled_similarity(value, 1.0)}, "draws": {"published": drawn}})
            units[-1].update(medians=None, n_groups=world.n)
        a, b = (score_of([unit], "published") for unit in units)
        outcome = compare(a, b)
        outcomes.append((shares_of_draws(a, b, outcome.subjects) < 0.05, outcome.mean.p_value < 0.05))
    before, now = np.mean(outcomes, axis=0)
    values, widths = np.transpose(spreads)
    wide = float(widths.mean() / values.std())
    return {"share of draws < 0.05": float(before), "p < 0.05": float(now), "spread of draws over that of values": wide}


PARTS = {
    "compare": (compare_part, 300),
    "small": (small_part, 300),
    "families": (families_part, 400),
    "intervals": (intervals_part, 400),
    "subjects": (subjects_part, 2000),
    "voxels": (voxels_part, 400),
    "rdm": (rdm_part, 400),
}


def measure(name: str, repetitions: int | None = None) -> dict:
    """A part, with its own number of repetitions if none is given."""
    part, own = PARTS[name]
    return part(repetitions or own)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, action="append", help="May be repeated. Default: all.")
    parser.add_argument("--repetitions", type=int, help="Instead of each part's own number.")
    parser.add_argument("--json", type=Path, help="Write the numbers here as well.")
    arguments = parser.parse_args()
    report = {}
    for name in arguments.part or PARTS:
        started = time.perf_counter()
        report[name] = measure(name, arguments.repetitions)
        print(json.dumps({name: report[name]}, indent=2), f"# {time.perf_counter() - started:.0f} s", flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
