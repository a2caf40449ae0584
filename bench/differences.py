"""How large each difference from the published numbers is, on simulated data, where the truth is known.

    python bench/differences.py DATASET [--json FILE] [--only SECTION ...]
    python bench/differences.py --table FILE

DATASET is a folder of simulated data; one that does not exist is made first, at `SHARED_SCALE`, in half a minute. What
depends on the number of images is measured on the small scale, too, in the folder beside it whose name ends in ``-small``.
METHODS.md quotes the output, and ``--table`` shows a JSON file of it as one number a line. ``SECTIONS`` at the end lists what
is measured; each is independent of the others. All of them take about 17 minutes of one processor.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import inference
import numpy as np
import pandas as pd
import partition as two_models
from PIL import Image
from scipy.stats import rankdata

from brainscore_vision.benchmark_helpers.stimulus_kernels import (
    EngineOptions,
    NoiseCeiling,
    Responses,
    kernel_from_features,
    partition,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.compute import Compute
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge import fit as ridge
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge.banded import banded_fits
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics import similarity
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.bootstrap import (
    percentile_interval,
    resampled_counts,
    ridge_draws,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.ceilings import (
    ExplainableVariance,
    SumsOfDraws,
    normalize_correlations,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.rsa_ceilings import (
    Halves,
    rdm_reliability,
    split_half_reliability,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.tasks import pearson_per_neuroid
from brainscore_vision.benchmarks.laion_fmri_7t import LAIONfMRICKA, LAIONfMRIRSA, compare, score_model
from brainscore_vision.benchmarks.laion_fmri_7t.benchmark import RegionResponses
from brainscore_vision.benchmarks.laion_fmri_7t.checks.shuffled_labels import PIXELS
from brainscore_vision.benchmarks.laion_fmri_7t.identifiers import DEFAULT_THRESHOLD
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import partition_all, score_all
from brainscore_vision.data.laion_fmri_7t.constants import N_FOLDS
from brainscore_vision.data.laion_fmri_7t.ids import ood_type
from brainscore_vision.data.laion_fmri_7t.simulation import SCALES, Scale, Truth, simulate
from brainscore_vision.data.laion_fmri_7t.simulation.scales import LostTrials
from brainscore_vision.data.laion_fmri_7t.source import Dataset, open_dataset
from brainscore_vision.models.laion_fmri_7t import EmbeddingModel, StimulusFeatureModel

REGIONS = ("V1", "V2", "V4", "IT")

SHARED_SCALE = Scale(
    name="shared",
    shared_laion=641,
    shared_things_plus=240,
    shared_nsd=240,
    ood=(82, 72, 64, 60, 30, 24, 21, 10, 8),
    unique_laion=8,
    unique_things=1,
    unique_things_plus=1,
    voxels=(130, 125, 100, 100, 200),
    voxel_spread=0.0,
    sessions=8,
    lost=(LostTrials(1, 0, 3),) * 5,
    image_size=64,
)
"""The release's shared and out-of-distribution images with their repetitions, in a tenth of its voxels."""


def responses_of(dataset: Dataset, subject: str, region: str, threshold: float = DEFAULT_THRESHOLD) -> Responses:
    return RegionResponses(dataset, subject, region, threshold)()


def true_signal(dataset: Dataset, subject: str, region: str, responses: Responses) -> np.ndarray:
    """The true signal behind responses, in units of their trials; float64, shape (n, voxels)."""
    signal = Truth(dataset.root).signal(subject, region).select(responses.stimulus_ids)
    position = {index: i for i, index in enumerate(signal.voxel_index_in_brain_mask.tolist())}
    columns = [position[index] for index in responses.neuroids["voxel_index_in_brain_mask"]]
    return signal.values[:, columns].astype(float) * np.sqrt(responses.noise_variance)


def perfect_model(dataset: Dataset, split: str) -> dict:
    """Means over subjects and regions, of a model that knows the true signal, under each normalisation."""
    _, test_ids = dataset.split_ids("shared", split)
    values: dict = {"median_r_squared": [], "nc_12rep": [], "nc_at_test": []}
    for subject in dataset.subjects:
        for region in REGIONS:
            test = responses_of(dataset, subject, region).select(test_ids)
            r = pearson_per_neuroid(true_signal(dataset, subject, region, test), test.values, subject)
            published, at_test = test.noise_ceiling, test.test_ceiling()
            for name, normalized in normalize_correlations(r, published, test.explainable()).items():
                values.setdefault(name, []).append(normalized.value)
            signed_square = r * np.abs(r)
            values.setdefault("explained_variance_by_nc_12rep", []).append(
                np.median(signed_square / published.fraction)
            )
            values["median_r_squared"].append(np.median(signed_square))
            values["nc_12rep"].append(np.median(published.fraction))
            values["nc_at_test"].append(np.median(at_test.fraction))
    return {name: float(np.mean(found)) for name, found in values.items()}


def others_ceiling(dataset: Dataset) -> dict:
    """Largest and mean relative error of a subject's score if the first subject's ceiling divides it."""
    errors = []
    for region in REGIONS:
        ceilings = [
            np.median(np.sqrt(responses_of(dataset, subject, region).noise_ceiling.fraction))
            for subject in dataset.subjects
        ]
        errors += [own / ceilings[0] - 1 for own in ceilings[1:]]
    return {"mean_absolute": float(np.mean(np.abs(errors))), "largest": float(np.max(np.abs(errors)))}


def biased_variance(dataset: Dataset) -> dict:
    """Median nc_12rep (percent) over all voxels of a region: published, recovered, recovered with ddof = 0."""
    medians: dict = {}
    for region in REGIONS:
        found: dict = {"published": [], "ddof_1": [], "ddof_0": []}
        for subject in dataset.subjects:
            moments = dataset.trial_moments(subject, region, noise_ceiling_threshold=0)
            rows = moments.n_repetitions == 12
            sums, counts = moments.sums[rows], moments.n_repetitions[rows]
            within = moments.squares[12] - (sums**2 / counts[:, None]).sum(axis=0)
            found["published"].append(moments.neuroids["nc_12rep"].to_numpy(dtype=float))
            for ddof in (0, 1):
                noise = within / (counts - ddof).sum()
                ncsnr = np.sqrt(np.maximum(0, 1 - noise) / noise)
                found[f"ddof_{ddof}"].append(100 * NoiseCeiling.from_ncsnr(ncsnr, 1 / 12).fraction)
        medians[region] = {name: float(np.median(np.concatenate(parts))) for name, parts in found.items()}
    return medians


def dropped_alpha(dataset: Dataset) -> dict:
    """Mean r of coarse pixels on the OOD images, as displayed and with the alpha channel dropped; mean over subjects."""
    train, test = dataset.split_ids("shared", "ood")
    shown = dataset.stimulus_set([*train, *test])
    table = dataset.stimulus_set()
    originals = dict(zip(table["stimulus_id"], table["filename"], strict=True))
    folder = dataset.root / "stimuli" / "images"
    features: dict = {"displayed": [], "alpha_dropped": []}
    for stimulus_id in [*train, *test]:
        for name, path in (
            ("displayed", shown.get_stimulus(stimulus_id)),
            ("alpha_dropped", folder / originals[stimulus_id]),
        ):
            with Image.open(path) as image:
                small = image.convert("RGB").resize((PIXELS, PIXELS), Image.Resampling.BOX)
            features[name].append(np.asarray(small, dtype=float).ravel() / 255)
    changed = [
        i for i in range(len(features["displayed"])) if np.any(features["displayed"][i] != features["alpha_dropped"][i])
    ]
    result: dict = {"images_that_differ": len(changed), "test_images": len(test)}
    for name, rows in features.items():
        kernel = np.array(rows) @ np.array(rows).T
        decomposition = ridge.decompose(kernel, np.arange(len(train)))
        cross, alpha = kernel[len(train) :, : len(train)], decomposition.mean_eigenvalue
        for region in REGIONS:
            means = []
            for subject in dataset.subjects:
                responses = responses_of(dataset, subject, region)
                coordinates, mean = decomposition.coordinates(responses.select(train).values)
                dual = decomposition.dual_coefficients(coordinates, alpha)
                prediction = ridge.predict(decomposition, cross, dual, mean)
                means.append(pearson_per_neuroid(prediction, responses.select(test).values, subject).mean())
            result.setdefault(region, {})[name] = float(np.mean(means))
    return result


def unrelated_model(dataset: Dataset, seed: int = 0) -> dict:
    """Means over subjects and regions for predictions that are noise, by whether the sign of r is kept."""
    rng = np.random.default_rng(seed)
    _, test_ids = dataset.split_ids("shared", "ood")
    kept, lost = [], []
    for subject in dataset.subjects:
        for region in REGIONS:
            test = responses_of(dataset, subject, region).select(test_ids)
            r = pearson_per_neuroid(rng.standard_normal(test.values.shape), test.values, subject)
            at_test = test.test_ceiling().fraction
            kept.append(np.median(r * np.abs(r) / at_test))
            lost.append(np.median(r**2 / at_test))
    return {"sign_kept": float(np.mean(kept)), "sign_lost": float(np.mean(lost))}


UNIT_MODELS = ("CLIP", "DINOv2", "PEcore")
UNIT_CELLS = tuple(f"LAION_fMRI.{region}-{split}-ridgecv" for region in REGIONS for split in ("tau", "ood"))
UNIT_SCALES = (1.0, 10**0.125, 10**0.25, 10**0.375)
"""Features times these move the penalties of a grid of decades by a quarter decade each: 1 to 2.37; the third is 1.78."""


def progress(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def unit_of_features(dataset: Dataset) -> dict:
    """Features times 1 to 2.37, with the published penalties and with ``relative``.

    By model and cell: by how much the score moves (largest minus smallest, in percent of the mean), and the p value of
    ``compare`` for the model against itself times 1.78.
    """
    engine, stimuli = EngineOptions(store=False, progress=False), dataset.pool_stimuli("shared")
    report: dict = {"published": {}, "relative": {}}
    for name in UNIT_MODELS:
        features = EmbeddingModel(name, dataset.root).features_for(stimuli).astype(float)
        scores: dict = {}
        for scale in UNIT_SCALES:
            progress(f"{name} times {scale:.2f}")
            model = StimulusFeatureModel.from_arrays(features * scale, stimuli, name)
            cells = [f"{cell}{grid}" for cell in UNIT_CELLS for grid in ("", "[alphas=relative]")]
            for cell, score in score_all(model, cells, dataset=dataset, engine=engine):
                scores.setdefault(cell, []).append(score)
        for cell, found in scores.items():
            values = [score.item() for score in found]
            report["relative" if cell.endswith("]") else "published"][f"{name} {cell.partition('[')[0]}"] = {
                "moves_percent": float(100 * np.ptp(values) / np.mean(values)),
                "p_against_itself": compare(found[2], found[0]).mean.p_value,
            }
    for grid, cells in list(report.items()):
        moves = [cell["moves_percent"] for cell in cells.values()]
        below = sum(cell["p_against_itself"] < 0.05 for cell in cells.values())
        report[f"{grid}, all cells"] = {
            "moves_percent": [min(moves), float(np.median(moves)), max(moves)],
            "p_below_0.05": f"{below} of {len(cells)}",
        }
    return report


PARTED = (
    ("LAION_fMRI-CLIP", "pixels"),
    ("LAION_fMRI-CLIP", "LAION_fMRI-nouns"),
    ("LAION_fMRI-CLIP", "LAION_fMRI-DINOv2"),
)
PARTED_CELLS = tuple(f"LAION_fMRI.{region}-{split}-ridgecv" for region in ("V2", "IT") for split in ("tau", "ood"))


def weights_of_two_models(dataset: Dataset) -> dict:
    """Parts of two models if both kernels have one weight, and with weights of their own; means over subjects.

    ``subjects_below_0`` counts unique parts, two for each subject.
    """
    report: dict = {}
    for name, fits in (("one weight", fits_of_one_weight), ("own weights", banded_fits)):
        n_below, n_parts = 0, 0
        for models in PARTED:
            progress(f"{' and '.join(models)}, {name}")
            with patch.object(partition, "banded_fits", fits):
                done = partition_all(*models, PARTED_CELLS, dataset, EngineOptions(progress=False))
                for cell, parts in done:
                    shown = report.setdefault(f"{' and '.join(models)}, {cell}", {})
                    shown[name] = dict(parts["mean"].values)
                    shown[f"{name}, unique_b interval"] = parts["mean"].interval("unique_b")
                    uniques = [p.values[u] for s, p in parts.items() if s != "mean" for u in ("unique_a", "unique_b")]
                    n_below, n_parts = n_below + sum(u < 0 for u in uniques), n_parts + len(uniques)
        report[f"{name}, subjects_below_0"] = f"{n_below} of {n_parts}"
    return report


def fits_of_one_weight(grams, train, targets, compute=None, n_features=(None, None)) -> list:
    """As :func:`banded_fits`, but the joint fit is on the sum of both kernels, each over its mean eigenvalue."""
    alone = banded_fits(grams, train, targets, compute, n_features, weights=())
    units = [
        ridge.decompose(gram, train, compute, p).mean_eigenvalue for gram, p in zip(grams, n_features, strict=True)
    ]
    both = grams[0] / units[0] + grams[1] / units[1]
    joint = banded_fits((both, grams[1]), train, targets, compute, (sum(n_features), n_features[1]), weights=())
    return [(a, b, together) for (a, b, _), (together, _, _) in zip(alone, joint, strict=True)]


def sets_of_test_images(dataset: Dataset) -> dict[str, list[str]]:
    """Splits and kinds of out-of-distribution images -> their test images, of the shared pool."""
    names = ["tau", "ood", *(f"{family}_{k}" for family in ("random", "cluster_k5") for k in range(N_FOLDS))]
    sets = {name: list(dataset.split_ids("shared", name)[1]) for name in names}
    for stimulus_id in sets["ood"]:
        sets.setdefault(f"ood_{ood_type(stimulus_id)}", []).append(stimulus_id)
    return sets


def ceilings_of_test_images(dataset: Dataset, n_unrelated: int = 5, seed: int = 0) -> dict:
    """The true signal and unrelated noise as predictions, by set of test images; before: the published ceiling at their m.

    Means over subjects and regions, and the least and largest mean of a region. ``with new noise``: what other measurements
    of fewer than 100 images would give, by region (:func:`with_new_noise`).
    """
    rng, found = np.random.default_rng(seed), {}
    for name, test_ids in sets_of_test_images(dataset).items():
        progress(name)
        rows = []
        for region in REGIONS:
            for subject in dataset.subjects:
                test = responses_of(dataset, subject, region).select(test_ids)
                at_test, moved = test.explainable(), test.test_ceiling().fraction
                r = pearson_per_neuroid(true_signal(dataset, subject, region, test), test.values, subject)
                row = {"region": region, "explainable": at_test.explainable.sum() / at_test.variance.sum()}
                row |= {
                    "variance before": np.median(r * np.abs(r) / moved),
                    "correlation before": np.mean(r / np.sqrt(moved)),
                }
                values = normalize_correlations(r, test.noise_ceiling, at_test)
                row |= {"variance": values["explained_variance"].value, "correlation": values["correlation"].value}
                unrelated = []
                for _ in range(n_unrelated):
                    r = pearson_per_neuroid(rng.standard_normal(test.values.shape), test.values, subject)
                    parts = normalize_correlations(r, test.noise_ceiling, at_test)
                    unrelated.append([parts[one].value for one in ("explained_variance", "correlation")])
                row["unrelated variance"], row["unrelated correlation"] = np.mean(unrelated, axis=0)
                rows.append(row)
        table = pd.DataFrame(rows)
        regions = table.groupby("region").mean()
        found[name] = {"images": len(test_ids), **table.drop(columns="region").mean().round(4).to_dict()}
        for column in ("variance before", "variance", "correlation"):
            found[name][f"{column}, regions"] = [round(regions[column].min(), 3), round(regions[column].max(), 3)]
        if len(test_ids) < 100:
            found[name]["with new noise"] = {region: with_new_noise(dataset, region, test_ids) for region in REGIONS}
    return found


def with_new_noise(dataset: Dataset, region: str, test_ids: list[str], seed: int = 0, experiments: int = 200) -> dict:
    """Explained variance of the true signal if the test images were measured again and again, with independent noise.

    Mean over subjects and experiments; its standard deviation over experiments for one subject, and for the mean of all.
    """
    rng, values = np.random.default_rng(seed), []
    for subject in dataset.subjects:
        test = responses_of(dataset, subject, region).select(test_ids)
        signal = true_signal(dataset, subject, region, test)
        noise, values_of_subject = np.sqrt(np.outer(1 / test.n_repetitions, test.noise_variance)), []
        for _ in range(experiments):
            measured = signal + noise * rng.standard_normal(signal.shape)
            at_test = ExplainableVariance.of(measured, test.n_repetitions, test.noise_variance)
            r = pearson_per_neuroid(signal, measured, subject)
            parts = normalize_correlations(r, test.noise_ceiling, at_test)
            values_of_subject.append(parts["explained_variance"].value if at_test.is_positive else np.nan)
        values.append(values_of_subject)
    values = np.array(values)
    return {
        "mean": round(float(np.nanmean(values)), 3),
        "sd of one subject": round(float(np.nanstd(values, axis=1).mean()), 3),
        "sd of the mean": round(float(np.nanmean(values, axis=0).std()), 3),
    }


def sources_of_noise_variance(dataset: Dataset, n: int = 60, seed: int = 0, experiments: int = 300) -> dict:
    """Mean and spread of the explained variance of the true signal, by where σ² comes from; made-up responses, 100 voxels.

    ``published``: 1/(1 + ncsnr²), of trials with variance 1; ``pooled``: within stimuli, all of the subject's (taken as exact);
    ``own``: within the test stimuli. Three cases: all as published; the other stimuli vary 1.5 times as much as those of the
    published ceiling (trials are z-scored over all); the trials of test stimuli have 1.2 times the noise.
    """
    rng, found = np.random.default_rng(seed), {}
    ncsnr = rng.uniform(0.25, 0.7, 100)
    latent = rng.standard_normal((8, 100)) / np.sqrt(8)
    for case, others, noisy in (("as published", 1.0, 1.0), ("other stimuli vary more", 1.5, 1.0), ("noisy", 1.0, 1.2)):
        sd = np.sqrt(1 / (1 + others * ncsnr**2))  # of a trial's noise, where the variance over all trials is 1
        values: dict = {"published": [], "pooled": [], "own": []}
        for _ in range(experiments):
            signal = rng.standard_normal((n, 8)) @ latent * ncsnr * sd
            trials = signal + sd * np.sqrt(noisy) * rng.standard_normal((4, n, 100))
            measured = trials.mean(axis=0)
            r = pearson_per_neuroid(signal, measured, "someone")
            for source, variance in (
                ("published", 1 / (1 + ncsnr**2)),
                ("pooled", sd**2),
                ("own", trials.var(axis=0, ddof=1).mean(axis=0)),
            ):
                at_test = ExplainableVariance.of(measured, np.full(n, 4), variance)
                parts = normalize_correlations(r, NoiseCeiling.from_ncsnr(ncsnr, 1 / 12), at_test)
                values[source].append(parts["explained_variance"].value)
        found[case] = {source: [round(np.mean(v), 3), round(np.std(v), 3)] for source, v in values.items()}
    return found


def coverage_of_intervals(dataset: Dataset, seed: int = 0, experiments: int = 300) -> dict:
    """How often 95 % intervals over test images hold the population's number: made-up responses of 60 voxels, four trials."""
    rng, found = np.random.default_rng(seed), {}
    ncsnr, rho = rng.uniform(0.25, 0.7, 60), 0.5
    reference, latent = NoiseCeiling.from_ncsnr(ncsnr, 1 / 12), rng.standard_normal((8, 60)) / np.sqrt(8)
    power = np.square(latent).sum(axis=0) * ncsnr**2
    truth = {"explained_variance": rho**2}
    truth["correlation"] = rho * (ncsnr @ np.sqrt(power)) / np.sqrt((ncsnr @ ncsnr) * power.sum())
    for n in (10, 24, 60, 224, 371):
        counts, covered = resampled_counts([f"image {i}" for i in range(n)], 400), dict.fromkeys(truth, 0)
        for _ in range(experiments):
            common, other = rng.standard_normal((2, n, 8)) @ latent
            signal = common * ncsnr
            prediction = rho * common + np.sqrt(1 - rho**2) * other
            measured = signal + rng.standard_normal((n, 60)) / 2
            at_test = ExplainableVariance.of(measured, np.full(n, 4), np.ones(60))
            r = pearson_per_neuroid(prediction, measured, "someone")
            sums = SumsOfDraws(r, reference, at_test)
            draws = ridge_draws(prediction, measured, np.full(n, 4), sums, counts)
            for name, value in truth.items():
                low, high = percentile_interval(draws[name]) if name in draws else (-np.inf, np.inf)
                covered[name] += low <= value <= high
        found[f"{n} images"] = {name: round(times / experiments, 3) for name, times in covered.items()}
    return found


def similarity_ceilings(dataset: Dataset) -> dict:
    """The true signal as the features of a model, under both normalisations of RDM and CKA: mean, least, largest subject."""
    found: dict = {}
    for make in (LAIONfMRIRSA, LAIONfMRICKA):
        for region in REGIONS:
            tasks, results = make(region, dataset=dataset).resolve().tasks, []
            for task in tasks:
                task = replace(
                    task, metric=replace(task.metric, bootstrap_draws=2)
                )  # of intervals, which are not looked at
                responses = task.load_responses().select(task.test_ids)
                features = kernel_from_features(true_signal(dataset, task.subject, region, responses), task.test_ids)
                results += [result for _, result in task.metric.evaluate(features, [task], Compute())]
            for name in task.metric.normalizations:
                values = [of_subject[name].value for of_subject in task.metric.normalize(results)]
                metric = type(task.metric).__name__
                found.setdefault(f"{metric} {name}", {})[region] = [round(f(values), 3) for f in (np.mean, min, max)]
    return found


def reliability_by_noise_ceiling(dataset: Dataset, seed: int = 0, experiments: int = 25) -> dict:
    """Correlation of the true RDM with the measured one, and its estimates; 400 made-up stimuli, 150 voxels.

    By NC, dimensions of the signal, the share of the noise that lies in 8 patterns of voxels, and how unequal the sizes of the
    stimuli's patterns are: the standard deviation of their logarithm. Means over experiments, the spread of the estimate over
    them, and in how many there is none.
    """
    rng, found = np.random.default_rng(seed), {}
    cases = [(nc, 40, 0.0, 0.0) for nc in (0.2, 0.35, 0.5, 0.75)]
    cases += [(nc, *others) for others in ((3, 0.0, 0.0), (40, 0.3, 0.0), (40, 0.0, 0.5)) for nc in (0.2, 0.5)]
    for nc, dimensions, shared, unequal in cases:
        case = f"NC {nc:.0%}, {dimensions} dimensions, {shared:.0%} shared noise, sizes {unequal:g}"
        progress(case)
        rows = []
        for _ in range(experiments):
            signal = (
                rng.standard_normal((400, dimensions)) @ rng.standard_normal((dimensions, 150)) / np.sqrt(dimensions)
            )
            if unequal:
                signal *= np.exp(unequal * rng.standard_normal((400, 1)) - unequal**2)  # with a mean square of 1
            signal *= np.sqrt(nc / (1 - nc) / 12)
            counts, patterns = np.where(rng.random(400) < 0.8, 12, 4), rng.standard_normal((8, 150)) / np.sqrt(8)
            halves = []
            for _ in "ab":
                noise = np.sqrt(1 - shared) * rng.standard_normal(signal.shape)
                noise += np.sqrt(shared) * rng.standard_normal((400, 8)) @ patterns
                halves.append(signal + noise / np.sqrt(counts / 2)[:, None])
            whole = (halves[0] + halves[1]) / 2
            true, measured, *ranks = map(similarity.response_ranks, (signal, whole, *halves))
            brown = split_half_reliability(*ranks)
            parts = Halves(np.arange(400), whole, *halves, counts, counts // 2, counts // 2)
            estimate = rdm_reliability(parts)
            value = np.nan if estimate is None else estimate.value
            rows.append([similarity.unit_ranks(true) @ similarity.unit_ranks(measured), value, brown, np.sqrt(brown)])
        names = ("true", "reliability", "spearman_brown", "root_of_spearman_brown")
        found[case] = dict(zip(names, np.nanmean(rows, axis=0).round(3).tolist(), strict=True))
        estimates = np.array(rows)[:, 1]
        found[case] |= {"spread": round(float(np.nanstd(estimates)), 3), "without": int(np.isnan(estimates).sum())}
    return found


def ties_of_labels(dataset: Dataset) -> dict:
    """RDM correlation of the images' clusters with the first subject's IT, by the labels' unit: as they come, with ties."""
    task = LAIONfMRIRSA("IT", dataset=dataset).resolve().tasks[0]
    measured = similarity.response_ranks(task.load_responses().select(task.test_ids).values)
    folds = [set(dataset.split_ids("shared", f"cluster_k5_{k}")[1]) for k in range(N_FOLDS)]
    labels = np.array([[float(one in fold) for fold in folds] for one in task.test_ids])
    found: dict = {"as they come": {}, "with ties": {}}
    for unit in (1.0, 0.7, 1 / 3, 0.1):
        features, pairs = unit * labels + 0.1, np.triu_indices(len(labels), k=1)
        ranks = {
            "as they come": rankdata(1 - np.corrcoef(features)[pairs]),
            "with ties": similarity.rdm_ranks(kernel_from_features(features, task.test_ids), task.test_ids),
        }
        for name, own in ranks.items():
            found[name][f"times {unit:.2f}"] = float(similarity.unit_ranks(own) @ similarity.unit_ranks(measured))
    return found


def means_of_cka(dataset: Dataset) -> dict:
    """``cka`` as the mean of the subjects' ratios, and as the ratio of the means."""
    found = {}
    cells = [f"LAION_fMRI.{region}-cka" for region in ("V1", "IT")]
    for model in ("LAION_fMRI-CLIP", "LAION_fMRI-nouns", "pixels"):
        for cell in cells:
            score = score_model(model, cell, dataset=dataset.root)
            ratio = score.raw.item() / score.ceiling.item()
            found[f"{model}, {cell}"] = {"mean of ratios": score.item(), "ratio of means": ratio}
    return found


SECTIONS = {
    "perfect model, tau": lambda dataset: perfect_model(dataset, "tau"),
    "perfect model, ood": lambda dataset: perfect_model(dataset, "ood"),
    "unrelated model, ood": unrelated_model,
    "the first subject's ceiling for all": others_ceiling,
    "variance within images with ddof 0": biased_variance,
    "alpha channel dropped": dropped_alpha,
    "ceilings of test images": ceilings_of_test_images,
    "sources of the noise variance": sources_of_noise_variance,
    "coverage of intervals": coverage_of_intervals,
    "ceilings of RDM and CKA": similarity_ceilings,
    "reliability by noise ceiling": reliability_by_noise_ceiling,
    "ties of labels": ties_of_labels,
    "means of CKA": means_of_cka,
    "unit of the features": unit_of_features,
    "two models, weights": weights_of_two_models,
    "two models, errors and coverage": lambda dataset: two_models.all_errors(),
    **{f"inference, {name}": lambda dataset, name=name: inference.measure(name) for name in inference.PARTS},
}
"""What is measured -> function of the dataset; the last ones, which need none, are programs of their own as well."""

SMALL_TOO = (
    "unrelated model, ood",
    "the first subject's ceiling for all",
    "unit of the features",
    "two models, weights",
)
SECTIONS |= {f"{name}, small scale": SECTIONS[name] for name in SMALL_TOO}


def folder_of(section: str, folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-small") if section.endswith(", small scale") else folder


def lines(report, name: str = "") -> Iterator[str]:
    """One line a number, with the names that lead to it."""
    if isinstance(report, dict):
        for key, value in report.items():
            yield from lines(value, f"{name} / {key}" if name else key)
    else:
        numbers = report if isinstance(report, list) else [report]
        yield f"{name}: {', '.join(f'{n:.4g}' if isinstance(n, float) else str(n) for n in numbers)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path, nargs="?")
    parser.add_argument("--json", type=Path, help="Write the numbers here as well, after each section.")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, metavar="SECTION", help=f"Of {'; '.join(SECTIONS)}.")
    parser.add_argument(
        "--table", type=Path, metavar="FILE", help="Measure nothing: show such a file, one number a line."
    )
    arguments = parser.parse_args()
    if arguments.table is not None:
        print(*lines(json.loads(arguments.table.read_text())), sep="\n")
        return
    if arguments.dataset is None:
        parser.error("DATASET, a folder of simulated data or a new one, is missing.")
    SCALES[SHARED_SCALE.name] = SHARED_SCALE
    report, sections = {}, arguments.only or list(SECTIONS)
    for number, name in enumerate(sections, start=1):
        print(f"{number} of {len(sections)}: {name}", file=sys.stderr, flush=True)
        started, folder = time.process_time(), folder_of(name, arguments.dataset)
        if not folder.exists():
            progress(f"simulating {folder}")
            simulate(folder, scale=SHARED_SCALE.name if folder == arguments.dataset else "small")
        report[name] = SECTIONS[name](open_dataset(folder))
        progress(f"{time.process_time() - started:.0f} s of processor time")
        print(json.dumps({name: report[name]}, indent=2), flush=True)
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
