"""How large each difference from the published numbers is, on simulated data, where the truth is known.

    python bench/differences.py DATASET [--json FILE]

DATASET is a folder that ``laion-score simulate`` wrote. METHODS.md quotes the output.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions, NoiseCeiling, Responses, partition
from brainscore_vision.benchmark_helpers.stimulus_kernels.responses import pearson_per_neuroid
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge import fit as ridge
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge.banded import banded_fits
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.normalizations import normalize_correlations
from brainscore_vision.benchmarks.laion_fmri_7t import compare
from brainscore_vision.benchmarks.laion_fmri_7t.benchmark import RegionResponses
from brainscore_vision.benchmarks.laion_fmri_7t.checks.shuffled_labels import PIXELS
from brainscore_vision.benchmarks.laion_fmri_7t.identifiers import DEFAULT_THRESHOLD
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import partition_all, score_all
from brainscore_vision.data.laion_fmri_7t.dataset import Dataset
from brainscore_vision.data.laion_fmri_7t.simulation import Truth
from brainscore_vision.data.laion_fmri_7t.source import open_dataset
from brainscore_vision.models.laion_fmri_7t import EmbeddingModel, StimulusFeatureModel

REGIONS = ("V1", "V2", "V4", "IT")


def responses_of(dataset: Dataset, subject: str, region: str, threshold: float = DEFAULT_THRESHOLD) -> Responses:
    return RegionResponses(dataset, subject, region, threshold)()


def true_correlations(dataset: Dataset, subject: str, region: str, test: Responses) -> np.ndarray:
    """Per voxel, of the true signal with the measured averages: what a model that knows the truth gets."""
    signal = Truth(dataset.root).signal(subject, region).select(test.stimulus_ids)
    position = {index: i for i, index in enumerate(signal.voxel_index_in_brain_mask.tolist())}
    columns = [position[index] for index in test.neuroids["voxel_index_in_brain_mask"]]
    return pearson_per_neuroid(signal.values[:, columns].astype(float), test.values, subject)


def perfect_model(dataset: Dataset, split: str) -> dict:
    """Means over subjects and regions, of a model that knows the true signal, under each normalisation."""
    _, test_ids = dataset.split_ids("shared", split)
    values: dict = {"median_r_squared": [], "nc_12rep": [], "nc_at_test": []}
    for subject in dataset.subjects:
        for region in REGIONS:
            test = responses_of(dataset, subject, region).select(test_ids)
            r = true_correlations(dataset, subject, region, test)
            published, at_test = test.noise_ceiling, test.test_ceiling()
            for name, normalized in normalize_correlations(r, published, at_test).items():
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
            with patch.object(partition, "banded_fits", fits):
                done = partition_all(*models, PARTED_CELLS, dataset, EngineOptions(progress=False))
                for cell, parts in done:
                    report.setdefault(f"{' and '.join(models)}, {cell}", {})[name] = dict(parts["mean"].values)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--json", type=Path, help="Write the numbers here as well.")
    arguments = parser.parse_args()
    dataset = open_dataset(arguments.dataset)
    report = {
        "perfect model, tau": perfect_model(dataset, "tau"),
        "perfect model, ood": perfect_model(dataset, "ood"),
        "unrelated model, ood": unrelated_model(dataset),
        "the first subject's ceiling for all": others_ceiling(dataset),
        "variance within images with ddof 0": biased_variance(dataset),
        "alpha channel dropped": dropped_alpha(dataset),
        "unit of the features": unit_of_features(dataset),
        "two models, weights": weights_of_two_models(dataset),
    }
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.json is not None:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
