"""What responses of one's own data may be in a benchmark, which are refused, and what a Score says of them."""

import dataclasses
import functools
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from plugin_testing.second_dataset import METRICS, QUIET, SITES, Study

from brainscore_vision.benchmark_helpers.stimulus_kernels import (
    NoiseCeiling,
    kernel_from_features,
    score_plans,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ResponsesError, StimulusKernelError
from brainscore_vision.benchmark_helpers.stimulus_kernels.plan import Plan


def halved(study, subject, change=lambda half: half):
    """Of the responses, with noise of their own; the second one changed."""

    def load(stimulus_ids):
        whole = study.responses[subject].select(stimulus_ids)
        noise = np.random.default_rng(5).standard_normal((2, *whole.values.shape)) / 4
        first, second = (
            dataclasses.replace(whole, values=whole.values + one, n_repetitions=whole.n_repetitions // 2)
            for one in noise
        )
        return first, change(second)

    return load


WRONG_HALVES = {
    "of other stimuli": (
        lambda half: half.select(half.stimulus_ids[:-5]),
        "the same of the test stimuli .* 44 and 39 .*'common-39'",
    ),
    "of another subject": (lambda half: dataclasses.replace(half, subject="ben"), "a half of ben"),
    "of other neuroids": (lambda half: neuroids_of(half, slice(1, None)), "neuroids"),
    "of neuroids in another order": (
        lambda half: neuroids_of(half, slice(None, None, -1)),
        "which are others or in another order by their 'voxel'",
    ),
}


def neuroids_of(half, columns):
    return dataclasses.replace(
        half,
        values=half.values[:, columns],
        neuroids=half.neuroids.iloc[columns],
        noise_ceiling=dataclasses.replace(half.noise_ceiling, fraction=half.noise_ceiling.fraction[columns]),
        noise_variance=half.noise_variance[columns],
    )


def with_halves(study, metric, change):
    benchmark = study.benchmark(METRICS[metric])
    tasks = benchmark.resolve().tasks
    benchmark._make_tasks = lambda: [
        dataclasses.replace(t, load_halves=halved(study, t.subject, change if t.subject == "anna" else lambda h: h))
        for t in tasks
    ]
    return benchmark


@pytest.mark.parametrize("metric", ["rdm", "cka"])
def test_halves_are_paired_by_their_stimuli(study, metric):
    right = with_halves(study, metric, lambda half: half).ceiling.attrs["reliability"]
    turned = with_halves(study, metric, lambda half: half.select(half.stimulus_ids[::-1])).ceiling.attrs["reliability"]
    assert turned == right
    assert min(right.values()) > 0.8


@pytest.mark.parametrize("wrong", WRONG_HALVES)
def test_halves_are_of_the_same_stimuli_and_neuroids_of_the_subject(study, wrong):
    change, message = WRONG_HALVES[wrong]
    with pytest.raises(ResponsesError, match=f"halves.*{message}.*load_halves"):
        with_halves(study, "rdm", change).ceiling  # noqa: B018 - asking for it is what fails


def test_one_half_is_not_both(study):
    benchmark = study.benchmark(METRICS["rdm"])
    tasks = benchmark.resolve().tasks

    def twice(task):
        (half, _) = halved(study, task.subject, lambda h: h)(task.test_ids)
        return half, half

    benchmark._make_tasks = lambda: [
        dataclasses.replace(t, load_halves=functools.partial(lambda t, _: twice(t), t)) for t in tasks
    ]
    with pytest.raises(
        ResponsesError, match="Halves are averages over different trials; those of anna .* the same numbers"
    ):
        benchmark.ceiling  # noqa: B018 - asking for it is what fails


def test_numbers_behind_a_mask_are_meant_for_nobody(study):
    masked = np.ma.masked_greater(np.linspace(0.1, 0.9, 8), 0.5)
    with pytest.raises(ResponsesError, match="4 nan or masked"):
        NoiseCeiling(masked, 0.25)
    with pytest.raises(ResponsesError, match="4 of 8 that are below 0, nan or masked"):
        NoiseCeiling.from_ncsnr(masked, 0.25)
    kept = study.responses["anna"]
    for name in ("noise_variance", "n_repetitions"):
        values = np.ma.masked_array(getattr(kept, name))
        assert getattr(dataclasses.replace(kept, **{name: values}), name).tolist() == getattr(kept, name).tolist()
        values[1] = np.ma.masked
        with pytest.raises(ResponsesError, match=name):
            dataclasses.replace(kept, **{name: values})
    features = np.random.default_rng(2).standard_normal((8, 3))
    kernel_from_features(np.ma.masked_array(features), list("abcdefgh"))
    with pytest.raises(StimulusKernelError, match="of 24 are masked"):
        kernel_from_features(np.ma.masked_greater(features, 0), list("abcdefgh"))


def test_one_regions_responses_for_another_are_said(study, model):
    """A function that is made in a loop over regions loads the last one's."""
    plans = [study.benchmark(METRICS["ridge"]).resolve()]
    tasks = tuple(dataclasses.replace(task, region="V4") for task in plans[0].tasks)
    plans.append(dataclasses.replace(plans[0], tasks=tasks))
    said = "Responses of anna in V4 and of anna in inferior temporal are the same numbers"
    for _, score in score_plans(model, plans, QUIET):
        assert any(note.startswith(said) for note in score.attrs["notes"])
    ((_, alone),) = score_plans(model, plans[:1], QUIET)
    assert not any("same numbers" in note for note in alone.attrs.get("notes", ()))


@pytest.mark.parametrize(("noise", "is_known"), [(0.1, True), (1.6, False)])
def test_an_agreement_that_may_be_zero_is_said(study, model, noise, is_known):
    """CKA divides by it: of responses that are mostly noise, a small number of either sign."""
    plan = study.benchmark(METRICS["cka"]).resolve()

    def noisy(task, seed):
        whole = task.load_responses()
        values = whole.values + noise * np.random.default_rng(seed).standard_normal(whole.values.shape)
        return dataclasses.replace(task, load_responses=lambda: dataclasses.replace(whole, values=values))

    tasks = tuple(noisy(task, seed) for seed, task in enumerate(plan.tasks))
    ((_, score),) = score_plans(model, [dataclasses.replace(plan, tasks=tasks)], QUIET)
    said = [note for note in score.attrs.get("notes", ()) if "by which the score is divided" in note]
    assert bool(said) != is_known
    assert np.ptp([score.attrs[subject].item() for subject in SITES]) < 0.5 or not is_known


def test_a_matrix_of_pairs_is_said_to_be_compared_as_responses(study, model):
    plan = study.benchmark(METRICS["rdm"]).resolve()
    whole = plan.tasks[0].load_responses()
    n = len(whole.stimulus_ids)
    for values, is_said in (
        (1 - np.corrcoef(whole.values), True),
        (np.random.default_rng(1).standard_normal((n, n)), False),
    ):
        pairs = dataclasses.replace(
            whole,
            values=values,
            neuroids=pd.DataFrame({"voxel": range(n)}),
            noise_ceiling=NoiseCeiling(np.full(n, 0.5), 0.5),
            noise_variance=None,
        )
        tasks = (dataclasses.replace(plan.tasks[0], load_responses=lambda pairs=pairs: pairs),)
        ((_, score),) = score_plans(model, [dataclasses.replace(plan, tasks=tasks)], QUIET)
        said = [note for note in score.attrs.get("notes", ()) if "symmetric matrix of stimuli × stimuli" in note]
        assert len(said) == is_said


def test_rdms_of_neuroids_without_a_ceiling_are_refused(study, model):
    plan = study.benchmark(METRICS["rdm"]).resolve()
    whole = plan.tasks[0].load_responses()
    nothing = dataclasses.replace(whole.noise_ceiling, fraction=np.zeros(len(whole.noise_ceiling.fraction)))
    task = dataclasses.replace(plan.tasks[0], load_responses=lambda: dataclasses.replace(whole, noise_ceiling=nothing))
    with pytest.raises(ResponsesError, match="mean √NC of neuroids, which is 0 for anna"):
        list(score_plans(model, [dataclasses.replace(plan, tasks=(task,))], QUIET))


def test_copies_of_images_are_said(model, tmp_path):
    """Under other names: of training images among test images, and of test images."""
    study = Study(tmp_path)
    plan = study.benchmark(METRICS["ridge"]).resolve()
    train, test = plan.tasks[0].train_ids, plan.tasks[0].test_ids
    for copy, name in ((test[1], train[2]), (test[4], test[3]), (train[5], train[4])):
        shutil.copyfile(tmp_path / f"{name}.png", tmp_path / f"{copy}.png")
    ((_, score),) = score_plans(model, [plan], QUIET)
    groups = tuple("two" if name in test[3:5] else name for name in test)
    together = dataclasses.replace(plan, tasks=(dataclasses.replace(plan.tasks[0], bootstrap_groups=groups),))
    ((_, in_groups),) = score_plans(model, [together], QUIET)
    said = [note for note in score.attrs["notes"] if "copies" in note]
    assert [note for note in in_groups.attrs["notes"] if "copies" in note] == said[:1]
    rdms = dataclasses.replace(plan, tasks=(dataclasses.replace(plan.tasks[0], metric=METRICS["rdm"]),))
    ((_, of_rdms),) = score_plans(model, [dataclasses.replace(rdms, normalization="published")], QUIET)
    assert [note for note in of_rdms.attrs["notes"] if "copies" in note] == said[1:]
    assert said == [
        f"1 of {len(test)} test images are copies of {kind} images under another name (the first: {copy} of {name}): {harm}. "
        f"Leave them out."
        for kind, copy, name, harm in (
            ("training", test[1], train[2], "responses to them were fitted"),
            ("other test", test[4], test[3], "they count as independent"),
        )
    ]


def test_one_subjects_responses_for_anothers_are_said(study, model):
    """A loader that ignores its argument, or a file that was copied."""

    def notes(*plans):
        found = [score.attrs.get("notes", ()) for _, score in score_plans(model, plans, QUIET)]
        return [[note for note in one if "same" in note] for one in found]

    anna = study.responses["anna"]
    copied = dataclasses.replace(study.responses["anna"], subject="ben", neuroids=anna.neuroids)
    first, second, third = study.benchmark(METRICS["ridge"]).resolve().tasks
    tasks = first, dataclasses.replace(second, subject="ben", load_responses=lambda: copied), third
    (found,) = notes(Plan("x", tasks, "published"))
    sparse = np.where(np.arange(len(copied.values))[:, None] % 5 == 0, copied.values, 0.5)
    rates = dataclasses.replace(copied, values=sparse, noise_variance=None)
    other = dataclasses.replace(rates, values=sparse.copy())
    other.values[7] += 1.0  # and else the same, as rates of few units are by chance
    tasks = (
        dataclasses.replace(first, load_responses=lambda: dataclasses.replace(rates, subject="anna")),
        dataclasses.replace(second, subject="ben", load_responses=lambda: other),
        third,
    )
    assert notes(Plan("x", tasks, "published")) == [[]]
    assert found == [
        "Responses of anna in inferior temporal and of ben in inferior temporal are the same numbers: check what loads them, "
        "unless these are the same neuroids."
    ]


def test_a_noise_variance_in_another_unit_is_said(study, model, monkeypatch):
    """Reliability's is a part of the variance of z-scored trials; spike counts have another one."""
    plan = study.benchmark(METRICS["ridge"]).resolve()

    def notes():
        ((_, score),) = score_plans(model, [plan], QUIET)
        return [note for note in score.attrs.get("notes", ()) if "of other trials, or in another unit" in note]

    assert notes() == []
    for unit in (0.1, 20.0):
        for subject, own in list(study.responses.items()):
            monkeypatch.setitem(study.responses, subject, dataclasses.replace(own, values=own.values * unit))
        assert len(notes()) == len(SITES)
        assert re.match(r"The noise_variance of anna in inferior temporal is [0-9.e+]+ times what", notes()[0])
        for subject, own in list(study.responses.items()):
            monkeypatch.setitem(study.responses, subject, dataclasses.replace(own, noise_variance=None))
        assert notes() == []


@pytest.mark.parametrize("metric", ["ridge", "rdm"])
def test_responses_that_are_yes_and_no_or_small_integers(study, model, metric, monkeypatch):
    """numpy subtracts no booleans, and integers without a sign wrap; half precision loses digits in sums."""

    def scored(change):
        changed = {name: dataclasses.replace(r, values=change(r.values)) for name, r in responses.items()}
        monkeypatch.setattr(study, "responses", changed)
        return study.benchmark(METRICS[metric], options=QUIET)(model).item()

    responses = study.responses
    assert scored(lambda v: v > 0) == pytest.approx(scored(lambda v: (v > 0).astype(float)), abs=1e-12)
    counts = scored(lambda v: np.clip(10 * v + 100, 0, 250).round())
    assert scored(lambda v: np.clip(10 * v + 100, 0, 250).round().astype(np.uint8)) == pytest.approx(counts, abs=1e-12)
    halves = scored(lambda v: v.astype(np.float16).astype(float))
    assert scored(lambda v: v.astype(np.float16)) == pytest.approx(halves, abs=1e-12)


def test_a_stimulus_that_no_neuroid_answers_has_no_pattern(study, model, monkeypatch):
    """Counts of spikes are often 0."""
    kept = study.responses["anna"]
    benchmark = study.benchmark(METRICS["rdm"], options=QUIET)
    test = benchmark.resolve().tasks[0].test_ids[5]
    values = np.where((kept.stimulus_ids == test)[:, None], 0, kept.values)
    monkeypatch.setattr(study, "responses", {**study.responses, "anna": dataclasses.replace(kept, values=values)})
    with pytest.raises(ResponsesError, match=f"anna has the same response .* to 1 of 44 stimuli, the first: '{test}'"):
        benchmark(model)


@pytest.mark.parametrize("metric", ["rdm", "cka"])
def test_stimuli_without_halves_are_said_not_to_be_in_the_reliability(study, model, metric):
    benchmark = with_halves(study, metric, lambda half: half)
    notes = benchmark(model).attrs.get("notes", [])
    assert not any("halves" in note for note in notes)
    halves = {task.subject: task.load_halves for task in benchmark.resolve().tasks}
    tasks = [
        dataclasses.replace(task, load_halves=lambda ids, of=halves[task.subject]: of(ids[:-9]))
        for task in benchmark.resolve().tasks
    ]
    benchmark._make_tasks = lambda: tasks
    notes = benchmark(model).attrs["notes"]
    assert sum("9 of 44 test stimuli of" in note and "too low there" in note for note in notes) == len(tasks)


def test_subjects_that_do_not_agree_have_no_score_of_cka(study, model, monkeypatch):
    """Such as one whose rows were shuffled."""
    benchmark = study.benchmark(METRICS["cka"], subjects=("anna", "ben"), options=QUIET)
    rng, kept = np.random.default_rng(1), study.responses
    for _ in range(20):  # two of three times, chance gives less than no agreement
        noise = rng.standard_normal(kept["ben"].values.shape)
        other = dataclasses.replace(kept["ben"], values=noise, noise_variance=None)
        monkeypatch.setattr(study, "responses", {**kept, "ben": other})
        agreement = benchmark.resolve().tasks[0].metric.ceiling_details(benchmark.resolve().tasks)["agreement"]
        if agreement["anna"]["ben"] < 0:
            break
    with pytest.raises(ResponsesError, match=r"agreement, which is -0.* for anna: .* or use rdm-pearson"):
        benchmark(model)
    # halves of trials are a ceiling that asks nobody else
    tasks = [dataclasses.replace(t, load_halves=halved(study, t.subject)) for t in benchmark.resolve().tasks]
    benchmark._make_tasks = lambda: tasks
    benchmark.normalization = "reliability"
    assert set(benchmark(model).attrs["anna"].attrs["normalizations"]) == {"reliability"}
    benchmark.normalization = "published"
    with pytest.raises(
        StimulusKernelError, match="'published' does not exist for anna, which has reliability: .*, or not above 0"
    ):
        benchmark(model)
