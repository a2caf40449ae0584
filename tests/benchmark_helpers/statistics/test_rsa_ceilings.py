"""Ceilings of RDM scores besides the published one: bounds from other subjects, reliability of each subject's RDM."""

import numpy as np
import pytest
from plugin_testing.models import FeatureModel, random_features
from scipy.stats import rankdata, spearmanr

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ResponsesError
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics import similarity
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.differences import compare
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.rsa_ceilings import (
    Halves,
    cka_reliability,
    nili_bounds,
    rdm_reliability,
    split_half_reliability,
)
from brainscore_vision.benchmarks.laion_fmri_7t import LAIONfMRICKA, LAIONfMRIRSA, score_model
from brainscore_vision.data.laion_fmri_7t.source import open_dataset
from brainscore_vision.models.laion_fmri_7t import StimulusFeatureModel

SUBJECTS = ("sub-01", "sub-03", "sub-07")


@pytest.fixture
def responses():
    """Of four subjects that share part of their geometry."""
    rng = np.random.default_rng(1)
    latent = rng.standard_normal((25, 4))
    return [latent @ rng.standard_normal((4, 15)) + 2 * rng.standard_normal((25, 15)) for _ in range(4)]


@pytest.fixture
def all_ranks(responses):
    return [similarity.response_ranks(values) for values in responses]


def test_bounds_are_those_of_nili_and_colleagues(responses, all_ranks):
    lower, higher = nili_bounds(all_ranks)
    ranks = np.array([rankdata(-np.corrcoef(values)[np.triu_indices(25, k=1)]) for values in responses])
    for i in range(4):
        others = ranks[np.arange(4) != i]
        assert lower[i] == pytest.approx(spearmanr(ranks[i], others.mean(axis=0))[0], abs=1e-9)
        assert higher[i] == pytest.approx(spearmanr(ranks[i], ranks.mean(axis=0))[0], abs=1e-9)
    assert (lower < higher).all()


def test_no_rdm_correlates_better_with_the_subjects_than_the_upper_bound(all_ranks):
    rng = np.random.default_rng(2)
    bound = nili_bounds(all_ranks)[1].mean()
    near = [np.mean(all_ranks, axis=0) + size * rng.standard_normal(300) for size in (1, 10, 50) for _ in range(20)]
    assert max(np.mean([spearmanr(other, own)[0] for own in all_ranks]) for other in [*all_ranks, *near]) < bound


def test_subjects_without_anything_in_common_have_a_lower_bound_of_zero():
    rng = np.random.default_rng(3)
    ranks = [similarity.response_ranks(rng.standard_normal((60, 20))) for _ in range(4)]
    assert abs(nili_bounds(ranks)[0].mean()) < 0.05


def test_equal_subjects_are_their_own_ceiling(all_ranks):
    ranks = all_ranks[0]
    np.testing.assert_allclose(nili_bounds([ranks, ranks, ranks]), 1.0)
    assert split_half_reliability(ranks, ranks) == pytest.approx(1.0)


def test_spearman_brown(all_ranks):
    a, b = all_ranks[:2]
    r = spearmanr(a, b)[0]
    assert split_half_reliability(a, b) == pytest.approx(2 * r / (1 + r))


def test_too_little_to_compare(all_ranks):
    ranks = all_ranks[0]
    with pytest.raises(ResponsesError, match="at least two subjects; received 1"):
        nili_bounds([ranks])
    with pytest.raises(ResponsesError, match="as many pairs"):
        nili_bounds([ranks, ranks[1:]])


def test_halves_are_even_and_odd_repetitions(tiny_dataset):
    dataset = open_dataset(tiny_dataset)
    wanted = dataset.pool_stimuli("shared")[:20]
    first, second = dataset.half_responses("sub-05", "V1", wanted, noise_ceiling_threshold=30)
    assembly = dataset.assembly("sub-05").load()
    kept = (assembly["region"] == "V1").values & (assembly["nc_12rep"] > 30).values
    stimuli, repetition = assembly["stimulus_id"].values.astype(str), assembly["repetition"].values
    assert first.stimulus_ids.tolist() == sorted(wanted)
    for row in (0, 7, 19):
        own = np.flatnonzero(stimuli == first.stimulus_ids[row])
        own = own[np.argsort(repetition[own])]
        for half, trials in ((first, own[::2]), (second, own[1::2])):
            assert half.n_repetitions[row] == len(trials)
            np.testing.assert_allclose(half.values[row], assembly.values[trials][:, kept].mean(axis=0), atol=1e-6)
    whole = dataset.responses("sub-05", "V1", noise_ceiling_threshold=30).select(first.stimulus_ids)
    counts = first.n_repetitions, second.n_repetitions
    together = (first.values * counts[0][:, None] + second.values * counts[1][:, None]) / sum(counts)[:, None]
    np.testing.assert_allclose(together, whole.values, atol=1e-6)
    np.testing.assert_array_equal(sum(counts), whole.n_repetitions)


def test_scores_and_benchmarks_carry_them(tiny_dataset):
    benchmark = LAIONfMRIRSA("IT", subjects=SUBJECTS, dataset=tiny_dataset)
    ids = open_dataset(tiny_dataset).pool_stimuli("shared")
    score = score_model(FeatureModel(random_features(ids, 30)), benchmark)
    for ceiling in (score.attrs["ceiling"], benchmark.ceiling):
        lower, higher = (ceiling.attrs[name] for name in ("nili_lower", "nili_upper"))
        assert tuple(lower) == tuple(higher) == tuple(ceiling.attrs["split_half_reliability"]) == SUBJECTS
        assert all(lower[s] < higher[s] <= 1 for s in SUBJECTS)
        assert tuple(ceiling.attrs["reliability"]) == SUBJECTS
    for name in ("nili_lower", "nili_upper", "split_half_reliability", "reliability"):
        assert score.attrs["ceiling"].attrs[name] == benchmark.ceiling.attrs[name]
    assert score.attrs["ceiling"].item() == benchmark.ceiling.item()  # they stand beside what divides


def measured(rng, nc, dims, n=250, neuroids=150):
    """A signal whose patterns differ in size, and averages over all trials (12 of most stimuli, 4 of others) and halves."""
    signal = rng.standard_normal((n, dims)) @ rng.standard_normal((dims, neuroids)) / np.sqrt(dims)
    signal *= np.exp(0.2 * rng.standard_normal((n, 1))) * np.sqrt(nc / (1 - nc) / 12)
    counts = np.where(rng.random(n) < 0.8, 12, 4)
    halves = [signal + rng.standard_normal(signal.shape) / np.sqrt(counts / 2)[:, None] for _ in "ab"]
    return signal, Halves(np.arange(n), sum(halves) / 2, *halves, counts, counts // 2, counts // 2)


@pytest.mark.parametrize("nc", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("dims", [10, 40])
def test_the_true_signal_reaches_the_reliability(nc, dims):
    """Root of Spearman and Brown's estimate is too low where noise times noise is most of the noise."""
    rng = np.random.default_rng(6)
    ratios: dict = {"rdm": [], "cka": [], "spearman_brown": []}
    for _ in range(4):
        signal, halves = measured(rng, nc, dims)
        true, whole, a, b = map(similarity.response_ranks, (signal, halves.whole, halves.first, halves.second))
        correlation = similarity.unit_ranks(true) @ similarity.unit_ranks(whole)
        ratios["rdm"].append(correlation / rdm_reliability(halves).value)
        ratios["spearman_brown"].append(correlation / np.sqrt(split_half_reliability(a, b)))
        centred = [x - x.mean(axis=0) for x in (signal, halves.whole)]
        ratios["cka"].append(similarity.unbiased_cka(*(x @ x.T for x in centred)) / cka_reliability(halves).value)
    means = {name: np.mean(values) for name, values in ratios.items()}
    assert means["rdm"] == pytest.approx(1, abs=0.05)
    assert means["cka"] == pytest.approx(1, abs=0.03)
    if (nc, dims) == (0.25, 40):
        assert means["spearman_brown"] > 1.05


def test_halves_that_do_not_agree_have_no_reliability():
    rng = np.random.default_rng(7)
    first, second = rng.standard_normal((2, 30, 20))
    counts = np.full(30, 2)
    noise = Halves(np.arange(30), (first + second) / 2, first, second, counts, counts // 2, counts // 2)
    for reliability in (rdm_reliability(noise), cka_reliability(noise)):
        assert reliability is None or not reliability.is_known


@pytest.mark.parametrize("metric", [LAIONfMRIRSA, LAIONfMRICKA], ids=["rdm", "cka"])
def test_reliability_is_a_normalization_with_an_interval(tiny_dataset, metric):
    benchmark = metric("IT", subjects=SUBJECTS, dataset=tiny_dataset, normalization="reliability")
    ids = open_dataset(tiny_dataset).pool_stimuli("shared")
    score = score_model(FeatureModel(random_features(ids, 30)), benchmark)
    assert benchmark.identifier.endswith(
        f"[subjects=sub-01+sub-03+sub-07,normalization=reliability,dataset=simulated:{tiny_dataset}]"
    )
    assert score.attrs["normalizations"].keys() == {"published", "reliability"}
    assert score.attrs["ceiling"].item() == benchmark.ceiling.item()
    for subject in SUBJECTS:
        own = score.attrs[subject]
        assert own.item() == own.attrs["normalizations"]["reliability"]
        assert own.attrs["ceiling"].item() == score.attrs["ceiling"].attrs["reliability"][subject]
        assert own.item() == pytest.approx(own.attrs["raw"].item() / own.attrs["ceiling"].item())
        low, high = own.attrs["interval"]
        assert low < own.item() < high
        assert len(own.attrs["bootstrap"]) == 1000


def test_cka_keeps_the_pairs_of_its_ceiling(tiny_dataset):
    benchmark = LAIONfMRICKA("IT", subjects=SUBJECTS, dataset=tiny_dataset)
    ids = open_dataset(tiny_dataset).pool_stimuli("shared")
    scores = [score_model(FeatureModel(random_features(ids, 30, seed)), benchmark) for seed in (0, 1)]
    pairs = scores[0].attrs["ceiling"].attrs["agreement"]
    assert pairs == benchmark.ceiling.attrs["agreement"]
    for subject, others in pairs.items():
        assert set(others) == set(SUBJECTS) - {subject}
        assert all(pairs[other][subject] == value for other, value in others.items())
        assert scores[0].attrs[subject].attrs["ceiling"].item() == np.mean(list(others.values()))
    comparison = compare(*scores)  # cka has draws over stimuli, as ridge and rdm-pearson have
    assert comparison.mean.interval[0] < comparison.mean.value < comparison.mean.interval[1]


def test_ceilings_do_not_depend_on_the_units_of_responses():
    """Two neuroids: all correlations are 1 or -1, and rounding makes them unequal."""
    rng = np.random.default_rng(4)
    responses = [rng.integers(-50, 50, (40, 2)) / 8 + [0, 1 / 64] for _ in range(3)]
    expected = nili_bounds([similarity.response_ranks(values) for values in responses])
    for scale, offset in ((0.7, 0.1), (1e-6, 0.0), (3.0, -7.7)):
        ranks = [similarity.response_ranks(scale * values + offset) for values in responses]
        np.testing.assert_allclose(nili_bounds(ranks), expected, atol=1e-12)
        assert set(ranks[0]) == set(similarity.response_ranks(responses[0]))
        assert len(set(ranks[0])) == 2


def test_reliability_is_that_of_the_stimuli_that_were_scored(tiny_dataset):
    """A model that knows some of the stimuli: its Score's details are those of a benchmark of these."""
    ids = open_dataset(tiny_dataset).pool_stimuli("shared")
    known = [s for i, s in enumerate(ids) if i % 3]
    rng = np.random.default_rng(5)
    model = StimulusFeatureModel.from_arrays(rng.standard_normal((len(known), 9)), known, "some", missing="drop")
    benchmark = LAIONfMRIRSA("V2", subjects=SUBJECTS, dataset=tiny_dataset)
    score = score_model(model, benchmark)
    dropped = score.attrs["dropped_stimuli"]
    assert dropped
    tasks = [task.without(dropped) for task in benchmark.resolve().tasks]
    found = score.attrs["ceiling"].attrs
    for name, values in tasks[0].metric.ceiling_details(tasks).items():
        assert found[name] == pytest.approx(values, abs=1e-12)
        assert found[name] != pytest.approx(benchmark.ceiling.attrs[name], abs=1e-6)


def test_split_half_follows_reliability(tiny_dataset):
    """Voxels that are more reliable give a more reliable RDM."""
    reliability = {
        threshold: LAIONfMRIRSA("IT", dataset=tiny_dataset, noise_ceiling_threshold=threshold).ceiling.attrs[
            "split_half_reliability"
        ]
        for threshold in (0, 50)
    }
    assert np.mean(list(reliability[50].values())) > np.mean(list(reliability[0].values()))


def test_one_subject_has_no_bounds_from_others(tiny_dataset):
    ceiling = LAIONfMRIRSA("V1", subjects=("sub-06",), dataset=tiny_dataset).ceiling
    assert "nili_lower" not in ceiling.attrs
    assert set(ceiling.attrs["split_half_reliability"]) == {"sub-06"}


def test_ridge_has_none_of_this(tiny_dataset):
    from brainscore_vision.benchmarks.laion_fmri_7t import benchmark

    ceiling = benchmark("LAION_fMRI.V1-tau-ridgecv", dataset=tiny_dataset).ceiling
    assert not {"nili_lower", "nili_upper", "split_half_reliability"} & set(ceiling.attrs)
