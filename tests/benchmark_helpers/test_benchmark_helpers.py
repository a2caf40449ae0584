"""The helpers on a dataset that is not LAION-fMRI: aggregation, sharing of work, assemblies of several subjects."""

import dataclasses
import functools
import os
import threading
from collections import Counter

import numpy as np
import pytest
import xarray as xr
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.benchmark_helpers.validate_error import assert_valid_uncertainty
from brainscore_vision.metric_helpers.bootstrap_error import bootstrap_error
from plugin_testing.models import CountingModel, FeatureModel, random_features, small_network
from plugin_testing.second_dataset import DEGREES, METRICS, N_COMMON, N_FOLDS, N_OWN, QUIET, SITES
from plugin_testing.small_benchmark import N_IMAGES, make_benchmark, make_images
from scipy.stats import spearmanr
from sklearn.linear_model import RidgeCV

from brainscore_vision.benchmark_helpers.stimulus_kernels import (
    DEFAULT_ALPHAS,
    EngineOptions,
    KFoldNeuralBenchmark,
    MultiSubjectNeuralBenchmark,
    RDMMetric,
    RidgeMetric,
    StimulusPart,
    StimulusPool,
    score_benchmarks,
    score_plans,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.comparisons import ridge as ridge_metric
from brainscore_vision.benchmark_helpers.stimulus_kernels.comparisons import rsa as rdm_metric
from brainscore_vision.benchmark_helpers.stimulus_kernels.engine import evaluate
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ResponsesError, StimulusKernelError
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.probe import probe_ids
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels import making as records
from brainscore_vision.benchmark_helpers.stimulus_kernels.plan import N_BOOTSTRAP, TAKEN, FoldsPlan, Plan
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge import fit as ridge
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics import similarity


@pytest.fixture(scope="module")
def scores(study):
    """One Score per metric, of the same model."""
    benchmarks = {name: study.benchmark(metric, options=QUIET) for name, metric in METRICS.items()}
    return {name: benchmark(CountingModel(visual_degrees=DEGREES)) for name, benchmark in benchmarks.items()}


# Values


def features_of(study, names):
    return np.stack([study.features[name] for name in names])


def test_ridge_equals_scikit_learn(study, scores):
    train, test = study.fold(0)
    for subject in SITES:
        responses = study.responses[subject]
        reference = RidgeCV(alphas=DEFAULT_ALPHAS).fit(features_of(study, train), responses.select(train).values)
        predicted = reference.predict(features_of(study, test))
        measured = responses.select(test).values
        expected = [np.corrcoef(predicted[:, i], measured[:, i])[0, 1] for i in range(SITES[subject])]
        own = scores["ridgecv"].attrs[subject]
        np.testing.assert_allclose(own.attrs["raw"].attrs["raw"].values, expected, atol=1e-6)
        assert own.attrs["alpha"] == reference.alpha_
        assert own.attrs["raw"].item() == pytest.approx(np.median(expected), abs=1e-6)


def test_rdm_equals_numpy_and_scipy(study, scores):
    upper = np.triu_indices(N_COMMON, k=1)
    of_model = np.corrcoef(features_of(study, study.common))[upper]
    for subject in SITES:
        responses = study.responses[subject].select(study.common)
        raw = spearmanr(of_model, np.corrcoef(responses.values.astype(float))[upper]).statistic
        ceiling = np.sqrt(responses.noise_ceiling.fraction).mean()
        own = scores["rdm"].attrs[subject]
        assert own.attrs["raw"].item() == pytest.approx(raw, abs=1e-9)
        assert own.attrs["ceiling"].item() == pytest.approx(ceiling)
        assert own.item() == pytest.approx(raw / ceiling)


def test_cka_is_divided_by_the_agreement_with_the_other_subjects(study, scores):
    def centred(values):
        values = values.astype(float) - values.mean(axis=0, dtype=float)
        return values @ values.T

    kernels = {subject: centred(study.responses[subject].select(study.common).values) for subject in SITES}
    of_model = centred(features_of(study, study.common))
    for subject, kernel in kernels.items():
        agreements = [similarity.unbiased_cka(kernel, other) for name, other in kernels.items() if name != subject]
        own = scores["cka"].attrs[subject]
        assert own.attrs["raw"].item() == pytest.approx(similarity.unbiased_cka(of_model, kernel))
        assert own.attrs["ceiling"].item() == pytest.approx(np.mean(agreements))


def test_a_good_model_is_told_from_a_bad_one(study, scores):
    names = study.pool().stimulus_ids
    for name, metric in METRICS.items():
        unrelated = study.benchmark(metric, options=QUIET)(
            FeatureModel(random_features(names, 108), visual_degrees=DEGREES)
        )
        assert scores[name].item() > unrelated.item() + 0.2


# Aggregation


def check_mean(score, parts, over):
    """The Score is the mean of its parts, with the spread of that mean."""
    for whole, values in (
        (score, [part.item() for part in parts]),
        (score.attrs["raw"], [part.attrs["raw"].item() for part in parts]),
        (score.attrs["ceiling"], [part.attrs["ceiling"].item() for part in parts]),
    ):
        assert whole.item() == pytest.approx(np.mean(values), rel=1e-14)
        expected = bootstrap_error(xr.DataArray(values, dims=[over]), over=[over], n_bootstrap=200)
        assert whole.attrs["error"] == pytest.approx(expected, rel=1e-12)
        assert (whole.attrs["error_over"], whole.attrs["n_bootstrap"]) == ([over], N_BOOTSTRAP)
    np.testing.assert_array_equal(score.attrs[f"raw_{over}s"].values, [part.item() for part in parts])
    for name, value in score.attrs["normalizations"].items():
        assert value == pytest.approx(np.mean([part.attrs["normalizations"][name] for part in parts]))
    assert_valid_uncertainty(score)


@pytest.mark.parametrize("name", METRICS)
def test_mean_over_subjects(scores, name):
    score = scores[name]
    parts = [score.attrs[subject] for subject in SITES]
    check_mean(score, parts, "subject")
    assert score.attrs["raw_subjects"]["subject"].values.tolist() == list(SITES)
    assert len({part.item() for part in parts}) == len(SITES)  # fault 1: all divided by the first one's ceiling
    for part in parts:
        assert np.isnan(part.attrs["error"])
        assert part.attrs["error_nan_reason"]
        assert_valid_uncertainty(part)


@pytest.mark.parametrize("name", ["ridge", "ridgecv"])
def test_mean_over_folds(study, model, name):
    benchmark = study.folds(METRICS[name], options=QUIET)
    score = benchmark(model)
    parts = [score.attrs[f"fold_{k}"] for k in range(N_FOLDS)]
    check_mean(score, parts, "fold")
    for k, part in enumerate(parts):
        alone = study.benchmark(METRICS[name], k=k, options=QUIET)(CountingModel(visual_degrees=DEGREES))
        assert part.item() == alone.item()
        check_mean(part, [part.attrs[subject] for subject in SITES], "subject")
    assert parts[0].item() != parts[1].item()
    assert benchmark.ceiling.item() == pytest.approx(score.attrs["ceiling"].item(), rel=1e-12)


def test_values_per_neuroid_keep_the_datasets_own_coordinates(study, scores):
    for subject, n_sites in SITES.items():
        neuroids = study.responses[subject].neuroids
        own = scores["ridgecv"].attrs[subject]
        for part in (own.attrs["raw"].attrs["raw"], own.attrs["ceiling"].attrs["raw"]):
            assert part.dims == ("neuroid",)
            assert part.sizes["neuroid"] == n_sites
            for column in ("voxel", "site"):
                np.testing.assert_array_equal(part[column].values, neuroids[column])


def test_ceilings_are_each_subjects_own(study, scores):
    for name, metric in METRICS.items():
        benchmark = study.benchmark(metric)
        assert benchmark.ceiling.item() == pytest.approx(scores[name].attrs["ceiling"].item(), rel=1e-12)
        assert benchmark.ceiling.attrs["error"] == pytest.approx(scores[name].attrs["ceiling"].attrs["error"])


@pytest.mark.parametrize("normalization", ["published", "explained_variance", "correlation"])
def test_folds_say_their_normalization(study, model, normalization):
    score = study.folds(METRICS["ridge"], normalization, options=QUIET)(model)
    assert score.attrs["normalization"] == normalization
    assert score.item() == pytest.approx(score.attrs["normalizations"][normalization])


def test_a_single_unit_has_no_error_and_says_why(study, model):
    one = study.benchmark(METRICS["ridge"], subjects=("ben",), options=QUIET)
    folds = KFoldNeuralBenchmark(one.info, [one], QUIET)
    for benchmark, over in ((one, "subject"), (folds, "fold")):
        score = benchmark(model)
        for part in (score, score.attrs["raw"], score.attrs["ceiling"], benchmark.ceiling):
            assert np.isnan(part.attrs["error"])
            assert f"a single {over}" in part.attrs["error_nan_reason"]
            assert not {"error_over", "n_bootstrap"} & set(part.attrs)
        assert_valid_uncertainty(score)


# Work is done once


def shown_once(model, study, names):
    """Each image once; a few of the first part twice, because a model has to answer alike to them."""
    counts = Counter(model.shown)
    probe = set(probe_ids(study.pool().parts[0]))
    return counts == {name: 2 if name in probe else 1 for name in names}


def test_each_image_is_shown_once_however_many_ask_for_it(study, model, monkeypatch):
    kernels, decompositions = [], []
    build, decompose = records.build_kernel, ridge.decompose
    monkeypatch.setattr(records, "build_kernel", lambda *a, **k: kernels.append(1) or build(*a, **k))
    monkeypatch.setattr(ridge, "decompose", lambda *a, **k: decompositions.append(1) or decompose(*a, **k))
    benchmarks = [
        study.benchmark(METRICS["ridgecv"]),
        study.benchmark(METRICS["ridgecv"]),
        study.benchmark(METRICS["ridgecv"], "explained_variance"),
        study.folds(METRICS["ridgecv"]),
        study.benchmark(METRICS["rdm"]),
        study.benchmark(METRICS["cka"]),
        study.benchmark(METRICS["ridgecv"], own_pool=True),
    ]
    results = dict(score_benchmarks(model, benchmarks, QUIET))
    assert set(results) == set(benchmarks)
    own = [name for names in study.own.values() for name in names]
    assert shown_once(model, study, [*study.common, *own])
    assert len(kernels) == 1 + len(SITES)  # the common pool's, and one for each own pool
    assert len(decompositions) == N_FOLDS + len(SITES)  # one for each training set
    # and nothing was mixed up
    for benchmark, score in results.items():
        alone = dict(score_benchmarks(CountingModel(visual_degrees=DEGREES), [benchmark], QUIET))[benchmark]
        assert score.item() == alone.item()
    assert results[benchmarks[0]].item() == results[benchmarks[1]].item() != results[benchmarks[2]].item()


@pytest.mark.parametrize("apart", ["images", "widths"])
@pytest.mark.parametrize("store", [False, True], ids=["not kept", "kept"])
def test_stimuli_of_one_name_are_other_ones_where_they_are_shown_otherwise(tmp_path, apart, store):
    """Each person saw images of their own, called alike, or the same ones at another distance."""
    folders = [make_images(tmp_path / name, N_IMAGES, seed) for name, seed in (("anna", 0), ("ben", 1))]
    tasks = [make_benchmark(folder).resolve().tasks[i] for i, folder in enumerate(folders)]
    first, second = tasks[0].pool, tasks[1].pool
    ids = first.stimulus_ids
    part = StimulusPart("all", ids)
    if apart == "widths":
        second = dataclasses.replace(first, visual_degrees=np.float32(4))  # JSON knows no such number
    tasks = [
        dataclasses.replace(
            task,
            pool=StimulusPool("all", (part,), pool.visual_degrees, pool.provider),
            train_ids=ids[:22],
            test_ids=ids[22:],
            load_responses=dataclasses.replace(task.load_responses, stimulus_ids=ids),
        )
        for task, pool in zip(tasks, (first, second), strict=True)
    ]

    def scores(chosen):
        model = small_network({"V1": "conv"}, identifier="of two")
        options = EngineOptions(progress=False, store=store)
        return {result.subject: float(result.correlations.mean()) for _, result in evaluate(model, chosen, options)}

    assert scores(tasks) == scores(tasks[1:]) | scores(tasks[:1])


@pytest.mark.parametrize(
    ("degrees", "problem"), [([DEGREES] * 2, None), ([DEGREES, 16.0], "1 of 2, the first: 16 of b")]
)
def test_images_of_other_widths_than_their_pool_are_refused(degrees, problem):
    class Wide:
        def load_stimuli(self, stimulus_ids):
            stimuli = StimulusSet({"stimulus_id": list(stimulus_ids), "degrees": degrees})
            stimuli.stimulus_paths, stimuli.identifier = dict.fromkeys(stimulus_ids, "image.png"), None
            return stimuli

    pool = StimulusPool("mine", (StimulusPart("all", ("a", "b")),), DEGREES, Wide())
    if problem is None:
        assert len(pool.load_stimuli(["a", "b"])) == 2
        return
    with pytest.raises(StimulusKernelError, match=f"Images of mine are 5 degrees wide.* {problem}"):
        pool.load_stimuli(["a", "b"])


def test_own_pools_hold_the_common_images_and_the_subjects(study, model):
    score = study.benchmark(METRICS["ridge"], own_pool=True, options=QUIET)(model)
    for subject in SITES:
        assert score.attrs[subject].attrs["n_train"] == (N_COMMON + N_OWN) // 2
    assert shown_once(model, study, [name for subject in SITES for name in study.pool(subject).stimulus_ids])


def test_regions_with_features_of_their_own_are_recorded_one_by_one(study):
    names = study.pool().stimulus_ids
    features = {"V1": random_features(names, 5), "IT": random_features(names, 9, seed=1)}
    model = FeatureModel(None, regions=features, visual_degrees=DEGREES)
    benchmarks = [study.benchmark(METRICS["ridge"], region=region) for region in features]
    results = dict(score_benchmarks(model, benchmarks, QUIET))
    n_features = [results[benchmark].attrs["anna"].attrs["n_features"] for benchmark in benchmarks]
    assert n_features == [5, 9]
    for region in features:
        counts = Counter(name for recorded, ids in model.looks if recorded == region for name in ids)
        assert set(counts) == set(names)
        assert max(counts.values()) <= 2


def test_responses_are_asked_for_once_per_subject_and_use(study, model):
    study.asked.clear()
    list(score_benchmarks(model, [study.benchmark(METRICS["ridge"]), study.benchmark(METRICS["ridge"])], QUIET))
    assert set(study.asked) == set(SITES)
    assert max(study.asked.values()) <= 2  # to be checked, and to be compared with


def test_a_score_names_model_and_benchmark(scores):
    for score in scores.values():
        assert score.attrs["benchmark_identifier"] == "Second2026.IT"
        assert score.attrs["model_identifier"] == CountingModel(visual_degrees=DEGREES).identifier


@pytest.mark.parametrize("name", ["ridgecv", "rdm"])
def test_more_processors_change_no_number(study, scores, model, name, monkeypatch):
    """They compute statistics beside the fits."""
    threads = set()

    def bootstrapped(*arguments):
        threads.add(threading.current_thread())
        return counts(*arguments)

    module = {"ridgecv": ridge_metric, "rdm": rdm_metric}[name]
    function = {"ridgecv": "ridge_draws", "rdm": "rdm_draws"}[name]
    counts = getattr(module, function)
    monkeypatch.setattr(module, function, bootstrapped)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    benchmark = study.benchmark(METRICS[name], options=QUIET)
    found, expected = benchmark(model), scores[name]
    assert threading.main_thread() not in threads
    assert found.item() == expected.item()
    for subject in SITES:
        own, other = found.attrs[subject], expected.attrs[subject]
        assert own.attrs["interval"] == other.attrs["interval"]
        np.testing.assert_array_equal(own.attrs["bootstrap"], other.attrs["bootstrap"])
    few = benchmark.preallocate_memory(model, raise_if_oom=False).evaluation
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    more = few - benchmark.preallocate_memory(model, raise_if_oom=False).evaluation
    assert (more > 0) == (name == "ridgecv")


def test_no_subject_is_called_as_something_else_in_a_score(study, scores, model):
    """It would replace it, or be replaced."""
    folds = KFoldNeuralBenchmark(
        study.benchmark(METRICS["ridge"]).info, [study.benchmark(METRICS["ridge"], options=QUIET)]
    )
    for score in (*scores.values(), folds(model)):
        names = set(score.attrs).union(*(score.attrs[subject].attrs for subject in SITES if subject in score.attrs))
        assert {"raw", "error", "device"} <= names - set(SITES) - {"fold_0"} <= TAKEN
    (task, *_) = study.benchmark(METRICS["ridge"]).resolve().tasks
    with pytest.raises(StimulusKernelError, match="where 'raw' is something else. Give the subject of x another name"):
        Plan("x", (dataclasses.replace(task, subject="raw"),), "published")
    with pytest.raises(StimulusKernelError, match="no slash, .* received 'site/ann'.*such as 'site-ann'"):
        Plan("x", (dataclasses.replace(task, subject="site/ann"),), "published")


def test_regions_are_not_averaged(study):
    (first, second, *_) = study.benchmark(METRICS["ridge"]).resolve().tasks
    other = dataclasses.replace(second, region="V1")
    with pytest.raises(StimulusKernelError, match="scored alike; those of x have 2 regions: inferior temporal and V1"):
        Plan("x", (first, other), "published")
    folds = tuple(Plan("x", (dataclasses.replace(first, region=region),), "published") for region in ("IT", "V1"))
    with pytest.raises(
        StimulusKernelError, match="differ in their stimuli alone; those of x have 2 regions: IT and V1"
    ):
        FoldsPlan("x", folds)
    other = dataclasses.replace(first, model_region="IT (a)", test_ids=first.test_ids[1:])
    asked = tuple(Plan("x", (task,), "published") for task in (first, other))
    assert len(FoldsPlan("x", asked).folds) == 2  # layers that are chosen for each fold


# What cannot be scored


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda s: s.benchmark(METRICS["ridge"], subjects=()), "at least one subject .* received \\[\\]"),
        (
            lambda s: s.benchmark(METRICS["ridge"], subjects=("ben", "ben")),
            "each of them once; received .*'ben', 'ben'",
        ),
        (
            lambda s: s.benchmark(METRICS["rdm"], "correlation"),
            "that its metric has, published, reliability; received 'correlation'",
        ),
        (lambda s: s.benchmark(METRICS["ridge"], "best"), "normalization is one of .* received 'best'"),
        (lambda s: KFoldNeuralBenchmark(s.benchmark(METRICS["ridge"]).info, []), "at least one fold"),
        (
            lambda s: KFoldNeuralBenchmark(s.benchmark(METRICS["ridge"]).info, {0: s.benchmark(METRICS["ridge"])}),
            "folds of Second2026.IT are a list of MultiSubjectNeuralBenchmark; received dict. Give a list",
        ),
        (
            lambda s: KFoldNeuralBenchmark(
                s.benchmark(METRICS["ridge"]).info,
                [s.benchmark(METRICS["ridge"]), s.benchmark(METRICS["ridge"], "correlation")],
            ),
            "one normalization; .* have published, correlation",
        ),
        (
            lambda s: KFoldNeuralBenchmark(
                s.benchmark(METRICS["ridge"]).info,
                [s.benchmark(METRICS["ridge"]), s.benchmark(METRICS["ridge"], subjects=tuple(SITES)[::-1])],
            ),
            "the same subjects in one order; .* have anna, ben, cleo and cleo, ben, anna",
        ),
        *(
            (
                lambda s, folds=folds: KFoldNeuralBenchmark(
                    s.benchmark(METRICS["ridge"]).info, [s.benchmark(metric, region=r) for metric, r in folds]
                ).resolve(),
                f"differ in their stimuli alone; those of Second2026.IT have 2 {said}",
            )
            for folds, said in (
                (((RidgeMetric((1.0,)), "IT"), (RidgeMetric((2.0,)), "IT")), "metrics"),
                (((RidgeMetric((1.0,)), "IT"), (RDMMetric(), "IT")), "metrics"),
            )
        ),
        (lambda s: RidgeMetric(()), "alphas are positive numbers, at least one"),
        (lambda s: RidgeMetric((1.0, -1.0)), "alphas are positive numbers"),
    ],
    ids=[
        "no subject",
        "subject twice",
        "normalization of another metric",
        "unknown normalization",
        "no fold",
        "folds by name",
    ]
    + ["folds of two normalizations", "folds of two orders", "folds of other penalties", "folds of other metrics"]
    + ["no alpha", "negative alpha"],
)
def test_a_benchmark_that_makes_no_sense(study, model, make, message):
    with pytest.raises(StimulusKernelError, match=f"(?s){message}"):
        make(study)(model)
    assert model.looks == []


def test_subjects_of_one_benchmark_are_scored_alike(study, model):
    mixed = study.benchmark(METRICS["ridge"])
    tasks = mixed.resolve().tasks
    mixed._make_tasks = lambda: [tasks[0], dataclasses.replace(tasks[1], metric=METRICS["ridgecv"])]
    with pytest.raises(StimulusKernelError, match="scored alike; those of Second2026.IT have 2 metrics"):
        mixed(model)
    assert model.looks == []


def test_cka_needs_company(study, model):
    with pytest.raises(ResponsesError, match="at least two of them; received \\['ben'\\].*rdm-pearson"):
        study.benchmark(METRICS["cka"], subjects=("ben",))(model)
    assert model.looks == []


def test_cka_compares_subjects_on_the_same_stimuli(study, model):
    apart = study.benchmark(METRICS["cka"])
    first, second, third = apart.resolve().tasks
    expected = apart(CountingModel(visual_degrees=DEGREES)).raw.item()
    apart._make_tasks = lambda: [first, dataclasses.replace(second, test_ids=second.test_ids[:-1]), third]
    for use in (lambda: apart(model), lambda: apart.ceiling):
        with pytest.raises(ResponsesError, match="the same stimuli, in one order; .* 44 of anna and 43 of ben"):
            use()
    assert model.looks == []
    apart._make_tasks = lambda: [first, dataclasses.replace(second, test_ids=second.test_ids[::-1]), third]
    assert apart(model).raw.item() == pytest.approx(expected, rel=1e-12)  # another order is no other stimuli


def test_benchmarks_and_folds_may_come_from_a_generator(study, model):
    ridge = [study.benchmark(METRICS["ridge"], options=QUIET, k=k) for k in range(2)]
    folds = KFoldNeuralBenchmark(ridge[0].info, (one for one in ridge), QUIET)
    values = [score.item() for _, score in score_benchmarks(model, (one for one in ridge), QUIET)]
    assert folds(model).item() == pytest.approx(np.mean(values))
    with pytest.raises(StimulusKernelError, match="benchmarks are a list of KernelBenchmark; received str"):
        list(score_benchmarks(model, ["Second2026.IT"], QUIET))


def test_folds_that_a_loop_makes_all_alike(study, model):
    """A function that is made in a loop sees the variables of the loop's end."""
    info, folds = study.benchmark(METRICS["ridge"]).info, []
    for k in range(2):
        folds.append(MultiSubjectNeuralBenchmark(info, lambda: study.tasks(METRICS["ridge"], k)))  # noqa: B023 - see above
    said = "folds 0 and 1 of Second2026.IT have the same ones.* lambda train=train"
    with pytest.raises(StimulusKernelError, match=said):
        KFoldNeuralBenchmark(info, folds).resolve()
    plan = study.benchmark(METRICS["ridge"], options=QUIET).resolve()

    def fold(change):  # another function each time
        responses = [change(task.load_responses()) for task in plan.tasks]
        tasks = (
            dataclasses.replace(task, load_responses=functools.partial(lambda r: r, own))
            for task, own in zip(plan.tasks, responses, strict=True)
        )
        return dataclasses.replace(plan, tasks=tuple(tasks))

    def score(*folds):
        ((_, found),) = score_plans(model, [FoldsPlan("x", folds)], QUIET)
        return found

    with pytest.raises(StimulusKernelError, match="folds 0 and 1 of x have the same ones"):
        score(fold(lambda r: r), fold(lambda r: r))
    rng = np.random.default_rng(1)  # another session, with the same stimuli
    other = fold(lambda r: dataclasses.replace(r, values=r.values + rng.standard_normal(r.values.shape)))
    assert len(set(score(fold(lambda r: r), other).attrs["raw_folds"].values.tolist())) == 2
