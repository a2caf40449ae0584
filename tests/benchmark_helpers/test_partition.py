"""Parts of explained variance whose truth is known: without bias on few test stimuli, in intervals that hold it."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from plugin_testing.models import FeatureModel, pixel_features
from plugin_testing.small_benchmark import N_IMAGES, make_benchmark, make_images

from brainscore_vision.benchmark_helpers.stimulus_kernels import (
    EngineOptions,
    NoiseCeiling,
    Responses,
    RidgeMetric,
    SubjectTask,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.comparisons import RELATIVE_ALPHAS
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ResponsesError, StimulusKernelError
from brainscore_vision.benchmark_helpers.stimulus_kernels.partition import PARTS, MeanPartition, partition, parts_of
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge.banded import WeightedFit
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.bootstrap import resampled_counts

SHARES = {"shared": 0.4, "unique_a": 0.35, "unique_b": 0.25}
TRUTH = {**SHARES, "total": 1.0, "a": 0.75, "b": 0.65}
N_NEUROIDS, REPETITIONS = 30, 4
NOISE = 6.0
"""Variance of a single trial beside a signal of 1: 40 % of the variance of averages are explainable."""


@pytest.fixture
def parted():
    """Parts of n new test stimuli; a and b predict all of the signal that is in their features."""
    rng = np.random.default_rng(20)
    maps = [rng.standard_normal((12, N_NEUROIDS)) for _ in SHARES]
    maps = [np.sqrt(share) * m / np.linalg.norm(m, axis=0) for share, m in zip(SHARES.values(), maps, strict=True)]

    def parted(n, draws=300):
        shared, a, b = (rng.standard_normal((n, 12)) @ m for m in maps)
        ids = tuple(f"{rng.integers(2**60)}" for _ in range(n))
        responses = Responses(
            subject="sub-01",
            stimulus_ids=np.array(ids),
            values=shared + a + b + np.sqrt(NOISE / REPETITIONS) * rng.standard_normal(a.shape) + 5,
            n_repetitions=np.full(n, REPETITIONS),
            neuroids=pd.DataFrame(index=range(N_NEUROIDS)),
            noise_ceiling=NoiseCeiling(np.full(N_NEUROIDS, 0.4), 1 / REPETITIONS),
            noise_variance=np.full(N_NEUROIDS, NOISE),
        )
        task = SubjectTask("sub-01", "IT", "IT", None, (), ids, RidgeMetric(), lambda: responses)
        predictions = (shared + a, shared + b, shared + a + b)
        fits = tuple(WeightedFit(0.5, 1.0, 0.0, 3 * prediction - 1) for prediction in predictions)
        return parts_of(task, fits, resampled_counts(ids, draws), ("a", "b"))

    return parted


def test_parts_are_true_in_the_mean_on_24_stimuli(parted):
    """Without a correction, total, a, b and shared would each be 0.07 too large."""
    found = [parted(24, draws=3) for _ in range(300)]
    for part in PARTS:
        values = np.array([one.values[part] for one in found])
        error = values.std() / np.sqrt(len(values))
        assert error < 0.01
        assert values.mean() == pytest.approx(TRUTH[part], abs=0.02 + 2 * error)


@pytest.mark.parametrize("n", [82, 224])
def test_intervals_hold_the_truth_in_95_percent(parted, n):
    found = [parted(n) for _ in range(200)]
    for part in PARTS:
        limits = np.array([one.interval(part) for one in found])
        covered = np.mean((limits[:, 0] <= TRUTH[part]) & (TRUTH[part] <= limits[:, 1]))
        assert 0.91 <= covered <= 0.99  # 200 runs of 95 %: ± 0.03


def test_parts_of_neuroids_and_of_subjects_are_means(parted):
    one, other = parted(50), parted(50)
    for part in PARTS:
        assert one.per_neuroid[part].mean() == pytest.approx(one.values[part])
        assert MeanPartition.of([one, other]).values[part] == pytest.approx((one.values[part] + other.values[part]) / 2)
        assert one.draws[part].mean() == pytest.approx(one.values[part])


def test_a_model_that_says_nothing_of_the_test_stimuli_explains_nothing(tmp_path):
    """Labels, each of one image: all that differs between predictions is rounding."""
    (task, _) = make_benchmark(make_images(tmp_path / "images", N_IMAGES)).resolve().tasks
    ids = task.pool.stimulus_ids
    labels = dict(zip(ids, np.eye(len(ids)), strict=True))
    models = [
        FeatureModel(pixel_features, visual_degrees=8.0, identifier="pixels"),
        FeatureModel(labels, visual_degrees=8.0, identifier="labels"),
    ]
    ((_, found),) = partition(*models, [task], EngineOptions(store=False, progress=False))
    assert (found.values["b"], found.values["shared"] + found.values["unique_b"]) == (0.0, 0.0)
    assert found.values["a"] > 0.3
    assert found.interval("b") == (0.0, 0.0)
    with pytest.raises(ResponsesError, match="predictions of 4 of 4 neuroids of A are constant over the 8 test"):
        make_benchmark(tmp_path / "images", store=False)(models[1])


def test_what_a_score_would_note_a_partition_notes(tmp_path):
    (task, other) = make_benchmark(make_images(tmp_path / "images", N_IMAGES)).resolve().tasks
    ids = list(dict.fromkeys((*task.pool.stimulus_ids, *other.pool.stimulus_ids)))
    noise = dict(zip(ids, np.random.default_rng(4).standard_normal((len(ids), 4)), strict=True))
    models = [
        FeatureModel(pixel_features, visual_degrees=8.0, identifier="pixels"),
        FeatureModel(noise, visual_degrees=8.0, identifier="noise"),
    ]
    models[1].fitted_stimuli = task.test_ids[:3]
    found = dict(partition(*models, [task, other], EngineOptions(store=False, progress=False)))
    assert any(
        f"noise was fitted to responses to 3 of the {len(task.test_ids)} test stimuli" in n for n in found[0].notes
    )
    at_edge = [n for n in found[0].notes if n.startswith("The penalty of the fit of noise to A in V1 is ")]
    assert bool(at_edge) == (found[0].alphas[1] in (min(RELATIVE_ALPHAS), max(RELATIVE_ALPHAS)))
    assert not any("same numbers" in note for note in found[0].notes)
    turned = dataclasses.replace(task, test_ids=task.test_ids[::-1])
    ((_, again),) = partition(*models, [turned], EngineOptions(store=False, progress=False))
    np.testing.assert_allclose(again.draws["shared"], found[0].draws["shared"], rtol=1e-6, atol=1e-9)
    first = task.load_responses()
    same = dataclasses.replace(other, test_ids=task.test_ids, train_ids=task.train_ids, pool=task.pool)
    same = dataclasses.replace(same, load_responses=lambda: dataclasses.replace(first, subject=other.subject))
    for part in dict(partition(*models, [task, same], EngineOptions(store=False, progress=False))).values():
        assert any(note.startswith(f"Responses of {task.subject} in V1 and of {other.subject}") for note in part.notes)
    assert set(MeanPartition.of(list(found.values())).notes) == {note for one in found.values() for note in one.notes}


def test_penalties_that_are_absolute_are_refused(tmp_path):
    """A joint fit has features on two scales: its penalties count mean eigenvalues, as do those of each model alone."""
    folder = make_images(tmp_path / "images", N_IMAGES)
    models = [FeatureModel(pixel_features, visual_degrees=8.0, identifier=name) for name in ("a", "b", "a")]
    (*tasks,) = make_benchmark(folder).resolve().tasks
    for alphas, said in (((1.0,), r"V1 asks for penalties as they are \(1\)"), ((1.0, 30.0), r"\(1, 30\)")):
        absolute = [dataclasses.replace(task, metric=RidgeMetric(alphas)) for task in tasks]
        with pytest.raises(StimulusKernelError, match=said):
            list(partition(*models[:2], absolute))
    with pytest.raises(StimulusKernelError, match="both of these are called a. If they are two"):
        list(partition(models[0], models[2], tasks))
