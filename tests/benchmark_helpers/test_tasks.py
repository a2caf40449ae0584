"""What people say of a dataset of their own: tasks, pools of stimuli and who provides these, metrics and benchmarks."""

import dataclasses
from collections import namedtuple

import numpy as np
import pandas as pd
import pytest
from plugin_testing.models import FeatureModel, pixel_features
from plugin_testing.small_benchmark import N_IMAGES, Images, make_benchmark, make_images
from plugin_testing.small_responses import IDS, task

from brainscore_vision.benchmark_helpers.stimulus_kernels import (
    CKAMetric,
    MultiSubjectNeuralBenchmark,
    RDMMetric,
    RidgeMetric,
    StimulusPart,
    StimulusPool,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.engine import evaluate
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StimulusKernelError


def test_training_stimuli_are_no_test_stimuli():
    with pytest.raises(
        StimulusKernelError, match="2 of 4 test stimuli of ann are training stimuli too, the first: 'image 6'"
    ):
        task(IDS[:8], IDS[6:])
    assert task((), IDS).test_ids == IDS  # metrics that fit nothing


def test_stimuli_may_be_listed():
    listed, wanted = task(list(IDS[:7]), list(IDS[7:])), task(IDS[:7], IDS[7:])
    assert (listed.train_ids, listed.test_ids) == (wanted.train_ids, wanted.test_ids)
    pools = [StimulusPool("all", kind([StimulusPart("all", kind(IDS))]), 8, None) for kind in (list, tuple)]
    assert hash(pools[0]) == hash(pools[1])
    assert pools[0] == pools[1]


@dataclasses.dataclass(frozen=True)
class Holds:
    """A loader or a provider that holds what has no hash."""

    held: object

    def __call__(self):
        raise AssertionError("asked")


@pytest.mark.parametrize("field", ["load_responses", "load_halves", "pool"])
@pytest.mark.parametrize("held", [np.ones(3), {"a": "b"}], ids=["array", "dictionary"])
def test_what_makes_a_task_has_a_hash(field, held):
    what = StimulusPool("all", (StimulusPart("all", IDS),), 8, Holds(held)) if field == "pool" else Holds(held)
    said = f"{'the provider of its pool' if field == 'pool' else field} of ann is a Holds without .*eq=False"
    with pytest.raises(StimulusKernelError, match=said):
        dataclasses.replace(task(IDS[:7], IDS[7:]), **{field: what})
    without = dataclasses.make_dataclass("Without", ["held"], eq=False, namespace={"__call__": Holds.__call__})(held)
    assert dataclasses.replace(task(IDS[:7], IDS[7:]), load_responses=without).load_responses is without


@pytest.mark.parametrize("field", ["load_responses", "load_halves", "pool"])
def test_what_makes_a_task_equals_nothing_of_another_class(field):
    """Named tuples of two classes with one content are equal: one's responses would be taken for the other's."""
    kind = type("Raw", (namedtuple("Raw", ["subject"]),), {"__call__": Holds.__call__})
    what = StimulusPool("all", (StimulusPart("all", IDS),), 8, kind("ann")) if field == "pool" else kind("ann")
    with pytest.raises(StimulusKernelError, match="of ann is a Raw, which equals any tuple of the same content"):
        dataclasses.replace(task(IDS[:7], IDS[7:]), **{field: what})


def test_a_subject_is_a_name():
    with pytest.raises(StimulusKernelError, match="A subject is a name; received 1. Give '1'"):
        dataclasses.replace(task(IDS[:7], IDS[7:]), subject=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: {"load_responses": lambda: [t.load_responses()]}, "Responses; that of A in V1 gives a list"),
        (
            lambda t: {"test_ids": (*t.test_ids, "image 99")},
            "1 of 33 training and test stimuli of A are not in pool A, the first: 'image 99'",
        ),
    ],
    ids=["a list", "another stimulus"],
)
def test_what_is_wrong_with_a_task_is_said_before_a_model_sees_images(tmp_path, change, message):
    benchmark = make_benchmark(make_images(tmp_path / "images", N_IMAGES), store=False)
    first = benchmark.resolve().tasks[0]
    model = FeatureModel(pixel_features, visual_degrees=8.0, identifier="a")
    with pytest.raises(StimulusKernelError, match=message):
        list(evaluate(model, [dataclasses.replace(first, **change(first))], benchmark.options))
    assert model.looks == []


def test_tasks_are_made_by_a_function(tmp_path):
    benchmark = make_benchmark(tmp_path)
    with pytest.raises(
        StimulusKernelError,
        match="a function that returns tasks, called when scoring starts; received a list. Give lambda: tasks",
    ):
        MultiSubjectNeuralBenchmark(benchmark.info, [])


@pytest.mark.parametrize("alphas", [[1.0, 10.0], np.array([1.0, 10.0]), (1.0, 10.0)], ids=["list", "array", "tuple"])
def test_penalties_may_be_listed(alphas):
    metric = RidgeMetric(alphas)
    assert (metric, hash(metric)) == (RidgeMetric((1.0, 10.0)), hash(RidgeMetric((1.0, 10.0))))
    assert RidgeMetric(1.0) == RidgeMetric((1.0,))


def test_a_pool_may_have_one_part():
    part = StimulusPart("all", IDS)
    assert StimulusPool("all", part, 8, None) == StimulusPool("all", (part,), 8, None)


@pytest.mark.parametrize(
    ("groups", "found"),
    [
        (["a", "b"], "2 labels"),
        (["a", None, "b"], "3 labels, 1 of them missing"),
        (np.array([0, np.nan, np.nan]), "3 labels, 2 of them missing"),
        (pd.Series(["a", pd.NA, "b"], dtype="string"), "3 labels, 1 of them missing"),
        ([{"a"}, {"a"}, {"b"}], "3 labels"),
        ({IDS[0]: "a", IDS[1]: "a", IDS[2]: "b"}, "a dict"),
        ("aab", "a str"),
        (np.zeros((3, 2)), "a ndarray"),
    ],
    ids=["too few", "None", "nan", "NA", "sets", "dict", "text", "two columns"],
)
def test_each_test_stimulus_has_a_label(groups, found):
    with pytest.raises(StimulusKernelError, match=f"for the 3 of ann received {found}. Give a list of as many labels"):
        task(IDS[3:], IDS[:3], bootstrap_groups=groups)


@pytest.mark.parametrize("degrees", [0, -1, 400, np.nan, "8", None, True], ids=str)
def test_the_width_of_a_pool_is_an_angle(degrees):
    with pytest.raises(StimulusKernelError, match="above 0 and below 180; that of all is .* as people saw it"):
        StimulusPool("all", StimulusPart("all", IDS), degrees, None)


@pytest.mark.parametrize("metric", [RidgeMetric, RDMMetric, CKAMetric])
@pytest.mark.parametrize("draws", [0, 1, -5, 2.5, True], ids=str)
def test_draws_are_some(metric, draws):
    with pytest.raises(StimulusKernelError, match=f"bootstrap_draws is a whole number, at least 2 .* received {draws}"):
        metric(bootstrap_draws=draws)


@pytest.mark.parametrize("hashes", [lambda ids: {}, list], ids=["none", "a list"])
def test_every_image_has_a_hash(tmp_path, monkeypatch, hashes):
    benchmark = make_benchmark(make_images(tmp_path / "images", N_IMAGES), store=False)
    monkeypatch.setattr(Images, "content_hashes", lambda self, ids: hashes(ids))
    model = FeatureModel(pixel_features, visual_degrees=8.0, identifier="a")
    with pytest.raises(
        StimulusKernelError,
        match="content_hashes of its provider in pool A is a .* that lacks 32 of 32, the first: 'image ",
    ):
        benchmark(model)
    assert model.looks == []


def test_every_stimulus_has_an_image(tmp_path, monkeypatch):
    def load(provider, stimulus_ids, original=Images.load_stimuli):
        stimuli = original(provider, stimulus_ids)
        del stimuli.stimulus_paths["image 3"]
        return stimuli

    benchmark = make_benchmark(make_images(tmp_path / "images", N_IMAGES), store=False)
    monkeypatch.setattr(Images, "load_stimuli", load)
    model = FeatureModel(pixel_features, visual_degrees=8.0, identifier="a")
    with pytest.raises(
        StimulusKernelError, match="stimulus_paths .* in pool A is a dict that lacks 1 of 32, the first: 'image 3'"
    ):
        benchmark(model)
    assert model.looks == []


@pytest.mark.parametrize("parts", [IDS, None, 7])
def test_a_pool_is_made_of_parts(parts):
    with pytest.raises(StimulusKernelError, match=r"those of mine have .* Give StimulusPart\('all', stimulus_ids\)"):
        StimulusPool("mine", parts, 8, None)


@pytest.mark.parametrize("alphas", [None, (1.0, None), ("1",)])
def test_penalties_are_numbers(alphas):
    with pytest.raises(StimulusKernelError, match="alphas are positive numbers, at least one, or 'relative'; received"):
        RidgeMetric(alphas)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda tasks: tasks[0], r"returns a list of SubjectTasks, .* received a SubjectTask. Give lambda: \[task\]"),
        (lambda tasks: None, "received a NoneType"),
        (lambda tasks: ["A"], "Tasks of small-ridge are SubjectTasks; received a str"),
        (
            lambda tasks: [dataclasses.replace(tasks[0], metric=RidgeMetric)],
            r"such as RidgeMetric\(\).* Call the class",
        ),
        (
            lambda tasks: [dataclasses.replace(tasks[0], metric="ridgecv")],
            r"such as RidgeMetric\(\).* received 'ridgecv'",
        ),
        (lambda tasks: [dataclasses.replace(tasks[0], pool=None)], "pool of A is a StimulusPool; received a NoneType"),
        (lambda tasks: [dataclasses.replace(tasks[0], pool=list(IDS))], "pool of A is a StimulusPool; received a list"),
    ],
)
def test_what_tasks_are_made_of_is_said(tmp_path, made, message):
    benchmark = make_benchmark(tmp_path)
    tasks = list(benchmark._make_tasks())
    with pytest.raises(StimulusKernelError, match=message):
        MultiSubjectNeuralBenchmark(benchmark.info, lambda: made(tasks)).resolve()


def test_what_a_benchmark_is_called_is_its_info(tmp_path):
    with pytest.raises(StimulusKernelError, match="info is a BenchmarkInfo; received 'mine'"):
        MultiSubjectNeuralBenchmark("mine", list)


def test_reliability_needs_halves(tmp_path):
    benchmark = make_benchmark(tmp_path)
    tasks = [dataclasses.replace(t, metric=RDMMetric(), train_ids=()) for t in benchmark.resolve().tasks]
    with pytest.raises(StimulusKernelError, match="for A, B have no load_halves. Give it, or choose published"):
        MultiSubjectNeuralBenchmark(benchmark.info, lambda: tasks, "reliability").resolve()


@pytest.mark.parametrize(
    ("provider", "message"),
    [
        (None, "that of pool A is a NoneType without content_hashes"),
        (lambda stimuli: pd.DataFrame(stimuli), "stimulus_paths .* is a NoneType that lacks 32 of 32"),
        (lambda stimuli: list(stimuli["stimulus_id"]), "stimulus_paths .* is a NoneType that lacks 32 of 32"),
        (
            lambda stimuli: stimuli.rename(columns={"stimulus_id": "image_id"}),
            "stimulus_id; that of pool A has image_id",
        ),
    ],
    ids=["none", "a table", "a list", "another column"],
)
def test_what_a_provider_is_to_answer_is_said(tmp_path, monkeypatch, provider, message):
    benchmark = make_benchmark(make_images(tmp_path / "images", N_IMAGES), store=False)
    if provider is None:
        tasks = [
            dataclasses.replace(t, pool=dataclasses.replace(t.pool, provider=None)) for t in benchmark.resolve().tasks
        ]
        benchmark = MultiSubjectNeuralBenchmark(benchmark.info, lambda: tasks, options=benchmark.options)
    else:

        def load(own, stimulus_ids, original=Images.load_stimuli):
            stimuli = original(own, stimulus_ids)
            answer = provider(stimuli)
            if "image_id" in answer:
                answer.stimulus_paths = stimuli.stimulus_paths
            return answer

        monkeypatch.setattr(Images, "load_stimuli", load)
    model = FeatureModel(pixel_features, visual_degrees=8.0, identifier="a")
    with pytest.raises(StimulusKernelError, match=message):
        benchmark(model)
    assert model.looks == []
