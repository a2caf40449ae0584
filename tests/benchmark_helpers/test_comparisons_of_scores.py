"""Scores of two models on one's own data: what folds and subjects have in common, and what cannot be compared."""

import dataclasses
import functools
import re

import numpy as np
import pytest
import scipy.stats
import xarray as xr
from plugin_testing.models import FeatureModel, pixel_features
from plugin_testing.second_dataset import DEGREES, METRICS, QUIET, SITES

from brainscore_vision.benchmark_helpers.stimulus_kernels import (
    compare,
    score_plans,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.plan import FoldsPlan
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.differences import ComparisonError


def folds_of(plan, *parts, leaving_out=False):
    """The plan of folds that test parts of the stimuli: (positions, labels of groups or None).

    Training stimuli are the same in all of them, or all but one, another one in each fold.
    """
    tasks = [
        tuple(
            dataclasses.replace(
                t,
                test_ids=[t.test_ids[i] for i in positions],
                bootstrap_groups=labels,
                train_ids=t.train_ids[:k] + t.train_ids[k + 1 :] if leaving_out else t.train_ids,
            )
            for t in plan.tasks
        )
        for k, (positions, labels) in enumerate(parts)
    ]
    return FoldsPlan("x", tuple(dataclasses.replace(plan, tasks=of_fold) for of_fold in tasks))


def compared(model, plan):
    """Half widths of intervals of the differences to another model by subject, without t's factor; and notes."""
    other = FeatureModel(functools.partial(pixel_features, size=2), visual_degrees=DEGREES, identifier="other")
    ((_, a),), ((_, b),) = (list(score_plans(m, [plan], QUIET)) for m in (model, other))
    return {s: d.interval[1] - d.value for s, d in compare(a, b).subjects.items()}, " ".join(a.attrs.get("notes", ()))


def t_factor(df):
    return scipy.stats.t.ppf(0.975, df)


def test_folds_with_test_stimuli_in_common_vary_together(study, model):
    """As of ShuffleSplit: many of them would otherwise give intervals as narrow as one likes."""
    plan = study.benchmark(METRICS["ridge"], options=QUIET).resolve()
    first, second, last = ((range(*ends), None) for ends in ((0, 12), (6, 18), (12, 18)))
    alone = {}
    for name, part in (("first", first), ("second", second), ("last", last)):
        widths, said = compared(model, folds_of(plan, part))
        assert "in common" not in said
        alone[name] = {s: width / t_factor(len(part[0]) - 1) for s, width in widths.items()}
    both, said = compared(model, folds_of(plan, first, second))
    assert "Folds have test stimuli, or groups of them, in common: their mean varies 22% more" in said
    apart, said = compared(model, folds_of(plan, first, last))
    assert "in common" not in said
    for subject in SITES:
        a, b, c = (alone[name][subject] for name in ("first", "second", "last"))
        expected = np.sqrt(a**2 + b**2 + 2 * 0.5 * a * b) / 2  # half of each fold's stimuli are in the other
        assert both[subject] == pytest.approx(expected * t_factor(22 / 1.5))
        assert apart[subject] == pytest.approx(np.sqrt(a**2 + c**2) / 2 * t_factor(16), rel=0.2)  # by draws


def test_the_same_test_stimuli_have_the_same_draws_in_any_order(study, model):
    """A fixed test set in ten folds, such as those of a learning curve, tells no more than once."""
    plan = study.benchmark(METRICS["ridge"], options=QUIET).resolve()
    rng = np.random.default_rng(8)
    ordered = list(range(18))
    orders = [ordered, *(rng.permutation(ordered).tolist() for _ in range(4))]
    once, _ = compared(model, folds_of(plan, (ordered, None)))
    found = []
    for parts in ([(ordered, None)] * 5, [(order, None) for order in orders]):
        five, said = compared(model, folds_of(plan, *parts, leaving_out=True))
        assert "in common" not in said
        assert "the error over folds is about training alone there" in said
        found.append(five)
        assert five == pytest.approx(once, rel=0.25)  # √5 times narrower, if they were independent
    assert found[0] == pytest.approx(found[1])
    of_subjects = [
        dataclasses.replace(t, test_ids=[t.test_ids[i] for i in order])
        for t, order in zip(plan.tasks, orders, strict=False)
    ]
    shuffled = dataclasses.replace(plan, tasks=tuple(of_subjects))
    assert [t.test_ids for t in shuffled.tasks] == [tuple(sorted(of_subjects[0].test_ids))] * len(of_subjects)


@pytest.mark.parametrize("folds", [False, True])
def test_means_over_models_are_no_scores_of_one(study, model, folds):
    """Their attributes are those of the first, or none: seeds are compared one by one."""
    other = FeatureModel(functools.partial(pixel_features, size=2), visual_degrees=DEGREES, identifier="other")
    benchmark = (
        study.folds(METRICS["ridge"], options=QUIET) if folds else study.benchmark(METRICS["ridge"], options=QUIET)
    )
    seeds = [benchmark(model), benchmark(other)]
    compare(*seeds)
    stacked = xr.concat(seeds, dim="seed")
    with xr.set_options(keep_attrs=True):
        summed = (seeds[0] + seeds[1]) / 2
    one_by_one = "Compare model by model .seed by seed., and average the differences"
    for what, said in (
        (stacked.mean("seed", keep_attrs=True), "is not the mean of its subjects'"),
        (summed, "is not the mean of its subjects'"),
        (stacked, "received an array of 2"),
        (seeds, "received a list"),
        (seeds[0].item(), "received a float"),
    ):
        for pair in ((what, seeds[1]), (seeds[1], what)):
            with pytest.raises(ComparisonError, match=f"{said}.*{one_by_one}"):
                compare(*pair)
    for without in (stacked.mean("seed"), sum(seeds) / 2):
        with pytest.raises(ComparisonError, match="goes subject by subject"):
            compare(without, seeds[1])


@pytest.mark.parametrize("metric", METRICS)
def test_scores_of_stimuli_in_two_orders_are_compared(study, model, metric):
    """``set(ids) - set(train)`` has another order in each process."""
    plan = study.benchmark(METRICS[metric], options=QUIET).resolve()
    rng, tasks = np.random.default_rng(21), []
    for task in plan.tasks:
        order = rng.permutation(len(task.test_ids))
        groups = [str(i // 2) for i in order]
        ids = [task.test_ids[i] for i in order]
        train = rng.permutation(task.train_ids).tolist()
        tasks.append(dataclasses.replace(task, train_ids=train, test_ids=ids, bootstrap_groups=groups))
    grouped = [str(i // 2) for i in range(len(plan.tasks[0].test_ids))]
    plan = dataclasses.replace(plan, tasks=[dataclasses.replace(t, bootstrap_groups=grouped) for t in plan.tasks])
    other = FeatureModel(functools.partial(pixel_features, size=2), visual_degrees=DEGREES, identifier="other")
    scores = [
        score
        for one in (plan, dataclasses.replace(plan, tasks=tasks))
        for scored in (model, other)
        for _, score in score_plans(scored, [one], QUIET)
    ]
    expected = compare(scores[0], scores[1]).mean
    for first, second in ((0, 3), (2, 1), (2, 3)):
        found = compare(scores[first], scores[second]).mean
        assert (found.value, *found.interval) == pytest.approx((expected.value, *expected.interval), abs=1e-9)


def test_a_mean_over_subjects_with_other_test_stimuli_says_so(study, model):
    """Draws of 17 of 18 common stimuli are not those of 17 others of them; of all 18 they are the same."""
    plan = study.benchmark(METRICS["ridge"], options=QUIET).resolve()
    other = FeatureModel(functools.partial(pixel_features, size=2), visual_degrees=DEGREES, identifier="other")

    def too_small(tasks):
        """Of means of independent stimuli, alike in all subjects: by draws of them as they are drawn, and by new stimuli."""
        every = list(dict.fromkeys(name for task in tasks for name in task.test_ids))
        rng = np.random.default_rng(11)
        weights = np.mean([np.isin(every, task.test_ids) / len(task.test_ids) for task in tasks], axis=0)
        new = (rng.standard_normal((40_000, len(every))) @ weights).std()
        drawn = {task.test_ids: rng.standard_normal((40_000, len(task.test_ids))).mean(axis=1) for task in tasks}
        return 1 - np.mean([drawn[task.test_ids] for task in tasks], axis=0).std() / new

    def notes(tasks):
        of_tasks = dataclasses.replace(plan, tasks=tuple(tasks))
        ((_, a),), ((_, b),) = (list(score_plans(m, [of_tasks], QUIET)) for m in (model, other))
        said = " ".join(compare(a, b).notes)
        assert said == " ".join(compare(a, b).notes)
        return said

    assert "subjects" not in notes(plan.tasks)
    without_one = [
        dataclasses.replace(t, test_ids=t.test_ids[:k] + t.test_ids[k + 1 :]) for k, t in enumerate(plan.tasks)
    ]
    one_lacks = [*plan.tasks[:2], without_one[2]]  # two of them have the same draws
    for tasks in (without_one, one_lacks):
        said = re.search(r"standard error may be up to (\d+)% too small", notes(tasks))
        assert int(said[1]) == pytest.approx(100 * too_small(tasks), abs=1)
    assert too_small(one_lacks) < too_small(without_one) - 0.1
    apart = [dataclasses.replace(t, test_ids=t.test_ids[5 * k : 5 * k + 5]) for k, t in enumerate(plan.tasks)]
    assert "subjects" not in notes(apart)


def test_groups_that_are_in_several_folds_are_drawn_once(study, model):
    """Images that come in series, one of each in each fold."""
    plan = study.benchmark(METRICS["ridge"], options=QUIET).resolve()
    series = [f"series {i}" for i in range(6)]
    parts = [(range(6 * k, 6 * k + 6), series) for k in range(3)]
    alone = [compared(model, folds_of(plan, part))[0] for part in parts]
    together, said = compared(model, folds_of(plan, *parts))
    assert "their mean varies 73% more" in said  # the root of 3
    reordered, _ = compared(model, folds_of(plan, parts[0], (parts[1][0], series[::-1]), parts[2]))
    for subject in SITES:
        assert together[subject] == pytest.approx(np.mean([one[subject] for one in alone]))
        assert reordered[subject] > 0.8 * together[subject]


@pytest.mark.parametrize("name", METRICS)
def test_scores_of_other_responses_are_not_compared(study, model, name, monkeypatch):
    """Nothing else tells them apart: a dataset of one's own has no fingerprint, and published ceilings come with the data."""
    own = study.benchmark(METRICS[name], options=QUIET)
    before, kept = own(model), study.responses
    rng = np.random.default_rng(3)

    def scored_with(change):
        monkeypatch.setattr(study, "responses", {subject: change(r) for subject, r in kept.items()})
        return own(model)

    def noisier(responses):
        return dataclasses.replace(
            responses, values=responses.values + rng.standard_normal(responses.values.shape), noise_variance=None
        )

    def in_another_order(responses):
        neuroids = rng.permutation(responses.values.shape[1])
        shuffled = responses.select(rng.permutation(responses.stimulus_ids))
        return dataclasses.replace(
            shuffled,
            values=shuffled.values[:, neuroids] * (1 + 1e-12),
            neuroids=shuffled.neuroids.iloc[neuroids].reset_index(drop=True),
            noise_ceiling=dataclasses.replace(
                shuffled.noise_ceiling, fraction=shuffled.noise_ceiling.fraction[neuroids]
            ),
            noise_variance=shuffled.noise_variance[neuroids],
        )

    assert compare(before, scored_with(lambda responses: responses)).mean.value == 0
    assert compare(before, scored_with(in_another_order)).mean.value == pytest.approx(0, abs=1e-9)
    other = scored_with(noisier)
    with pytest.raises(
        ComparisonError, match="the same responses; on Second2026.IT those of the two .* other responses"
    ):
        compare(before, other)
    for score in (before, other):  # as earlier versions wrote them
        for subject in SITES:
            del score.attrs[subject].attrs["responses_sketch"]
    if name == "rdm":  # other ceilings are made of the test responses
        compare(before, other)
        return
    with pytest.raises(ComparisonError, match="of the two .* other noise ceilings"):
        compare(before, other)


def test_scores_of_other_training_responses_are_not_compared(study, model, monkeypatch):
    own, other_model = (
        study.benchmark(METRICS["ridge"], options=QUIET),
        FeatureModel(functools.partial(pixel_features, size=2), visual_degrees=DEGREES, identifier="other"),
    )
    before, kept = own(model), study.responses
    test = {stimulus_id for task in own.resolve().tasks for stimulus_id in task.test_ids}

    def other_training(responses):
        trained = ~np.isin(responses.stimulus_ids, [*test])
        values = responses.values.copy()
        values[trained] = values[trained][::-1]
        return dataclasses.replace(responses, values=values)

    assert compare(before, own(other_model)).mean.value != 0
    monkeypatch.setattr(study, "responses", {subject: other_training(r) for subject, r in kept.items()})
    with pytest.raises(ComparisonError, match="of the two models have other responses to training stimuli, so that"):
        compare(before, own(other_model))


def test_folds_of_earlier_versions_are_taken_for_one(study, model):
    plan = study.benchmark(METRICS["ridge"], options=QUIET).resolve()
    parts = [(range(0, 12), None), (range(6, 18), None)]
    other = FeatureModel(functools.partial(pixel_features, size=2), visual_degrees=DEGREES, identifier="other")
    ((_, a),), ((_, b),) = (list(score_plans(m, [folds_of(plan, *parts)], QUIET)) for m in (model, other))
    a.attrs["folds_overlap"] = b.attrs["folds_overlap"] = True
    alone = [compared(model, folds_of(plan, part))[0] for part in parts]
    for subject, difference in compare(a, b).subjects.items():
        assert difference.interval[1] - difference.value == pytest.approx(np.mean([one[subject] for one in alone]))
