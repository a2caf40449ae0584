"""Feature spaces side by side, and what two of them explain alone and together."""

import numpy as np
import pandas as pd
import pytest
import torch
from plugin_testing.models import CountingModel, FeatureModel, random_features
from sklearn.linear_model import RidgeCV

from brainscore_vision.benchmark_helpers.stimulus_kernels import RELATIVE_ALPHAS, EngineOptions
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import (
    ModelOutputError,
    ResponsesError,
    StimulusKernelError,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.partition import PARTS, partition
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge.banded import WEIGHTS
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.ceilings import ExplainableVariance
from brainscore_vision.benchmarks.laion_fmri_7t import as_brain_model, benchmark, score_model
from brainscore_vision.benchmarks.laion_fmri_7t.identifiers import IdentifierError
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import partition as partition_models
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import score_all
from brainscore_vision.data.laion_fmri_7t.simulation import Truth
from brainscore_vision.data.laion_fmri_7t.source import open_dataset
from brainscore_vision.models.laion_fmri_7t import EmbeddingModel, NounModel, StimulusFeatureModel, combine

CELL = "LAION_fMRI.IT-tau-ridgecv"
ENGINE = EngineOptions(store=False, progress=False)


@pytest.fixture(scope="module")
def shared(tiny_dataset):
    return open_dataset(tiny_dataset).pool_stimuli("shared")


def lookup(features: dict, name: str, **options) -> StimulusFeatureModel:
    return StimulusFeatureModel.from_arrays(np.stack(list(features.values())), list(features), name, **options)


def test_combined_features_are_side_by_side(tiny_dataset, shared):
    clip, dino = EmbeddingModel("CLIP", tiny_dataset), EmbeddingModel("DINOv2", tiny_dataset)
    both = combine([clip, dino], weights=[1, 0.25])
    assert both.identifier == "LAION_fMRI-CLIP+0.25*LAION_fMRI-DINOv2"
    expected = np.concatenate([clip.features_for(shared), 0.25 * dino.features_for(shared).astype(float)], axis=1)
    np.testing.assert_allclose(both.features_for(shared), expected, rtol=1e-6)
    plain = FeatureModel(dict(zip(shared, expected, strict=True)))
    found, wanted = (score_model(model, CELL, dataset=tiny_dataset).item() for model in (both, plain))
    assert found == pytest.approx(wanted, abs=1e-6)


def test_order_does_not_matter_and_weights_do(tiny_dataset):
    names = ("CLIP", "SigLIP2")
    a, b = (combine([EmbeddingModel(n) for n in order]) for order in (names, names[::-1]))
    heavy = combine([EmbeddingModel(n) for n in names], weights=[1, 100])
    scores = [score_model(model, CELL, dataset=tiny_dataset).item() for model in (a, b, heavy)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-9)
    assert scores[2] != pytest.approx(scores[0], abs=1e-6)
    assert a.bind(tiny_dataset).features_version != heavy.bind(tiny_dataset).features_version


def test_a_model_that_sees_images_beside_a_table(tiny_dataset, shared):
    """Recorded through the interface, with images; the table is not shown any."""
    seeing = CountingModel()
    both = combine([seeing, EmbeddingModel("CLIP", tiny_dataset)], identifier="both")
    assert both.identifier == "both"
    assert both.visual_degrees() == seeing.visual_degrees()
    found = score_model(both, CELL, dataset=tiny_dataset).item()
    assert set(seeing.shown) == set(shared)
    assert found not in (score_model(m, CELL, dataset=tiny_dataset).item() for m in (seeing, "LAION_fMRI-CLIP"))


def test_a_changed_table_or_weight_beside_images_is_another_model(tiny_dataset, shared):
    """A few rows that the fingerprint of some stimuli does not see, and a factor that hardly changes it."""
    torch.manual_seed(4)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 9, stride=9)).eval()
    features = random_features(shared, 12, seed=2)
    changed = features | random_features(shared[1:6], 12, seed=3, offset=5)
    for seeing in (CountingModel(), as_brain_model(network, "small", layers={"IT": "0"}, image_size=32)):
        name, digests = f"{seeing.identifier}-both", []
        for values, weight in ((features, 1), (changed, 1), (changed, 1.003), (features, 1)):
            both = combine([seeing, lookup(values, "table")], weights=[1, weight], identifier=name)
            kept, new = (
                dict(score_all(both, [CELL], tiny_dataset, engine))[CELL] for engine in (EngineOptions(), ENGINE)
            )
            assert kept.item() == pytest.approx(new.item(), abs=1e-12)
            digests.append(kept.attrs.get("network_digest"))
        assert len(set(digests)) == (1 if None in digests else 3)  # without a network there is none


def test_features_of_a_combination_have_the_names_that_its_tables_have():
    ids = ["a", "b", "c"]
    tables = {
        name: StimulusFeatureModel.from_arrays(pd.DataFrame(np.eye(3)[:, :2], ids, columns), ids, identifier=name)
        for name, columns in (("one", ["f0", "f1"]), ("two", ["g0", "g1"]), ("three", ["f0", "h0"]), ("four", None))
    }
    assert combine([tables["one"], tables["two"]]).feature_names == ["f0", "f1", "g0", "g1"]
    assert combine([tables["one"], tables["two"]], [1, 0.5]).feature_names == ["f0", "f1", "0.5*g0", "0.5*g1"]
    for other in ("three", "four"):  # a name twice, and no names
        assert not combine([tables["one"], tables[other]]).feature_names


def test_what_cannot_be_combined():
    clip = EmbeddingModel("CLIP")
    with pytest.raises(
        StimulusKernelError, match="at least two models, each once; received LAION_fMRI-CLIP, LAION_fMRI-CLIP"
    ):
        combine([clip, clip])
    with pytest.raises(StimulusKernelError, match="at least two models"):
        combine([clip])
    with pytest.raises(StimulusKernelError, match="one positive weight"):
        combine([clip, EmbeddingModel("DINOv2")], weights=[1, -1])
    with pytest.raises(StimulusKernelError, match="8, 9.2 degrees"):
        combine([CountingModel(identifier="a"), CountingModel(identifier="b", visual_degrees=8)])


def test_a_combination_knows_what_all_its_parts_know(tiny_dataset, shared):
    known = random_features(shared[1:], 5)
    both = combine([EmbeddingModel("CLIP"), lookup(known, "mine", missing="drop")])
    with pytest.raises(ModelOutputError, match=r"1 have none.*mine lacks 1 of them"):
        score_model(both, "LAION_fMRI.IT-rdm-pearson", dataset=tiny_dataset)
    dropping = combine([EmbeddingModel("CLIP", missing="drop"), lookup(known, "mine", missing="drop")])
    found = score_model(dropping, "LAION_fMRI.IT-rdm-pearson", dataset=tiny_dataset)
    assert found.attrs["dropped_stimuli"] == [shared[0]]
    with pytest.raises(ModelOutputError, match="subject's own"):
        score_model(
            combine([EmbeddingModel("CLIP"), NounModel()]), "LAION_fMRI_persubject.V1-ood-ridge", dataset=tiny_dataset
        )


# Variance partitioning


def own_units(features: dict, train_ids) -> dict:
    """Features whose centred training kernel has a mean eigenvalue of 1."""
    x = np.stack([features[s] for s in train_ids]).astype(float)
    unit = np.sqrt(((x - x.mean(axis=0)) ** 2).sum() / len(x))
    return {s: (values - x.mean(axis=0)) / unit for s, values in features.items()}


def fitted_by_sklearn(features, task):
    """Leave-one-out error and explained part per voxel, fitted on features themselves, by somebody else's ridge."""
    responses = task.load_responses()
    train, test = responses.select(task.train_ids), responses.select(task.test_ids)
    x, x_test = (np.stack([features[s] for s in ids]) for ids in (task.train_ids, task.test_ids))
    fit = RidgeCV(alphas=RELATIVE_ALPHAS, store_cv_results=True).fit(x, train.values.astype(float))
    predicted = fit.predict(x_test)
    r = np.array([np.corrcoef(predicted[:, i], test.values[:, i])[0, 1] for i in range(test.values.shape[1])])
    v, n = test.values.var(axis=0, ddof=1), len(x_test)
    noise = test.noise_variance * np.mean(1 / test.n_repetitions)
    return fit.cv_results_.mean(axis=(0, 1)).min(), np.sign(r) * v * (r**2 - (1 - r**2) / (n - 2)) / (v - noise).mean()


@pytest.mark.parametrize("identifier", [CELL, "LAION_fMRI_persubject.V4-ood-ridgecv"])
def test_partition_equals_fits_on_features(tiny_dataset, identifier):
    bench = benchmark(identifier, dataset=tiny_dataset)
    models = [EmbeddingModel("CLIP", tiny_dataset), EmbeddingModel("DINOv2", tiny_dataset)]
    tasks = bench.resolve().tasks
    for position, parts in partition(*models, tasks, ENGINE):
        task = tasks[position]
        stimuli = task.pool.stimulus_ids
        tables = (dict(zip(stimuli, m.features_for(stimuli), strict=True)) for m in models)
        a, b = (own_units(table, task.train_ids) for table in tables)
        fits = {1.0: fitted_by_sklearn(a, task), 0.0: fitted_by_sklearn(b, task)}
        for w in WEIGHTS:
            both = {s: np.concatenate([np.sqrt(w) * a[s], np.sqrt(1 - w) * b[s]]) for s in stimuli}
            fits[w] = fitted_by_sklearn(both, task)
        weight = min(fits, key=lambda w: fits[w][0])
        assert parts.weight == weight
        a, b, ab = fits[1.0][1], fits[0.0][1], fits[weight][1]
        expected = {"a": a, "b": b, "total": ab, "unique_a": ab - b, "unique_b": ab - a, "shared": a + b - ab}
        for part in PARTS:
            np.testing.assert_allclose(parts.per_neuroid[part], expected[part], atol=2e-5)
            assert parts.values[part] == pytest.approx(expected[part].mean(), abs=1e-5)
        assert parts.n_neuroids == len(a)


@pytest.mark.parametrize("split", ["tau", "ood"])  # independent images, and some in families
def test_each_model_alone_has_its_score_and_interval(tiny_dataset, split):
    names, cell = ("LAION_fMRI-CLIP", "LAION_fMRI-nouns"), f"LAION_fMRI.IT-{split}-ridgecv"
    found = partition_models(*names, cell, dataset=tiny_dataset)
    for name, part in zip(names, ("a", "b"), strict=True):
        score = score_model(name, f"{cell}[normalization=explained_variance,alphas=relative]", dataset=tiny_dataset)
        assert found["mean"].values[part] == pytest.approx(score.item(), abs=1e-6)
        for subject in score.attrs["raw_subjects"]["subject"].values:
            unit, parts = score.attrs[subject], found[subject]
            assert parts.values[part] == pytest.approx(unit.item(), abs=1e-6)
            np.testing.assert_allclose(parts.interval(part), unit.attrs["interval"], atol=1e-6)


def test_the_unit_of_features_changes_nothing(tiny_dataset, shared):
    tables = [
        dict(zip(shared, EmbeddingModel(n, tiny_dataset).features_for(shared), strict=True)) for n in ("CLIP", "DINOv2")
    ]
    bench = benchmark("LAION_fMRI.IT-ood-ridgecv[subjects=sub-01]", dataset=tiny_dataset)
    values = []
    for scales in ((1, 1), (300, 0.01)):
        models = [
            lookup({s: scale * x.astype(float) for s, x in table.items()}, name)
            for name, table, scale in zip("ab", tables, scales, strict=True)
        ]
        ((_, parts),) = partition(*models, bench.resolve().tasks, ENGINE)
        values.append([parts.values[part] for part in PARTS])
    np.testing.assert_allclose(values[1], values[0], atol=1e-9)


def test_parts_add_up_and_lie_in_their_intervals(tiny_dataset):
    found = partition_models("LAION_fMRI-CLIP", "LAION_fMRI-nouns", CELL, dataset=tiny_dataset)
    assert list(found) == [*open_dataset(tiny_dataset).subjects, "mean"]
    for parts in found.values():
        v = parts.values
        assert v["unique_a"] + v["unique_b"] + v["shared"] == pytest.approx(v["total"], abs=1e-9)
        assert v["unique_a"] + v["shared"] == pytest.approx(v["a"], abs=1e-9)
        for part in PARTS:
            low, high = parts.interval(part)
            # of a model that the joint fit leaves out, nothing is unique
            left_out = (part, getattr(parts, "weight", 0.5)) in (("unique_a", 0), ("unique_b", 1))
            assert low == high == parts.values[part] == 0 if left_out else low < high
    mean = found.pop("mean")
    for part in PARTS:
        assert mean.values[part] == pytest.approx(np.mean([parts.values[part] for parts in found.values()]))


@pytest.fixture(scope="module")
def true_halves(tiny_dataset, shared):
    """Two spaces that hold the true signal of one half of sub-01's IT voxels each."""
    signal = Truth(tiny_dataset).signal("sub-01", "IT").select(shared).values.astype(float)
    half = signal.shape[1] // 2
    return [dict(zip(shared, part, strict=True)) for part in (signal[:, :half], signal[:, half:])]


def test_unique_variance_is_found_where_it_is(tiny_dataset, true_halves):
    """A space that is noise has nothing of its own, and takes nothing; one with the signal has all."""
    rng = np.random.default_rng(1)
    signal = {
        s: np.concatenate([a, b]) for (s, a), b in zip(true_halves[0].items(), true_halves[1].values(), strict=True)
    }
    bench = benchmark("LAION_fMRI.IT-ood-ridgecv[subjects=sub-01]", dataset=tiny_dataset)
    tasks = bench.resolve().tasks
    # what noise takes by chance from one draw of it to the next is larger than the bound: the mean of ten
    values = []
    for i in range(10):
        noise = {s: rng.standard_normal(4) for s in signal}
        ((_, parts),) = partition(lookup(signal, "signal"), lookup(noise, f"noise {i}"), tasks, ENGINE)
        values.append(parts.values)
        assert parts.values["unique_a"] > 0.5
        assert parts.interval("unique_a")[0] > 0
    mean = {part: np.mean([one[part] for one in values]) for part in PARTS}
    assert abs(mean["unique_b"]) < 0.2
    assert abs(mean["shared"]) < 0.2


def test_copies_share_everything(tiny_dataset, true_halves):
    """The same features under two names, one rotated and rescaled: nothing is unique."""
    rng = np.random.default_rng(2)
    signal = {
        s: np.concatenate([a, b]) for (s, a), b in zip(true_halves[0].items(), true_halves[1].values(), strict=True)
    }
    width = len(next(iter(signal.values())))
    rotation = 7 * np.linalg.qr(rng.standard_normal((width, width)))[0]
    turned = {s: x @ rotation for s, x in signal.items()}
    bench = benchmark("LAION_fMRI.IT-ood-ridgecv[subjects=sub-01]", dataset=tiny_dataset)
    ((_, parts),) = partition(lookup(signal, "signal"), lookup(turned, "turned"), bench.resolve().tasks, ENGINE)
    assert parts.values["a"] == pytest.approx(parts.values["b"], abs=1e-6)
    assert parts.values["shared"] == pytest.approx(parts.values["total"], abs=0.1)
    assert abs(parts.values["unique_a"]) < 0.05


def test_what_cannot_be_partitioned(tiny_dataset, monkeypatch):
    with pytest.raises(StimulusKernelError, match="ridge benchmarks; received RDMMetric"):
        partition_models("LAION_fMRI-CLIP", "LAION_fMRI-nouns", "LAION_fMRI.V1-rdm-pearson", dataset=tiny_dataset)
    with pytest.raises(StimulusKernelError, match="both of these are called LAION_fMRI-CLIP"):
        partition_models("LAION_fMRI-CLIP", "LAION_fMRI-CLIP", CELL, dataset=tiny_dataset)
    with pytest.raises(IdentifierError, match="is a mean over folds"):
        partition_models("LAION_fMRI-CLIP", "LAION_fMRI-nouns", "LAION_fMRI.V1-cluster_k5-ridge", dataset=tiny_dataset)
    # said before a model is asked for features
    monkeypatch.setattr(ExplainableVariance, "is_positive", False)
    with pytest.raises(ResponsesError, match="has to be above 0; that of .* in IT of sub-01 .*more test stimuli"):
        partition_models("LAION_fMRI-CLIP", "LAION_fMRI-nouns", CELL, dataset=tiny_dataset)
