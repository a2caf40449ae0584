"""Three normalisations, against independent computations and against a truth that is known."""

import json
from dataclasses import replace

import netCDF4
import numpy as np
import pandas as pd
import pytest
from plugin_testing.models import FeatureModel, random_features
from scipy.stats import pearsonr
from sklearn.linear_model import Ridge, RidgeCV

from brainscore_vision.benchmark_helpers.stimulus_kernels import (
    NORMALIZATIONS,
    NoiseCeiling,
    Responses,
    RidgeMetric,
    SubjectTask,
    kernel_from_features,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ResponsesError, StimulusKernelError
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.compute import Compute
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.ceilings import (
    ExplainableVariance,
    ceiling_of,
    check_normalization,
    normalize_correlations,
    scaled_similarity,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.tasks import pearson_per_neuroid
from brainscore_vision.benchmarks.laion_fmri_7t import DEFAULT_SUBJECTS, benchmark, score_model
from brainscore_vision.data.laion_fmri_7t.simulation import SCALES, Truth, simulate
from brainscore_vision.data.laion_fmri_7t.simulation.scales import LostTrials, Scale
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

SEEDS = (0, 1)
MANY_OOD = Scale(
    name="many-ood",
    shared_laion=16,
    shared_things_plus=4,
    shared_nsd=20,
    ood=(60, 50, 50, 40, 20, 20, 20, 10, 8),
    unique_laion=8,
    unique_things=1,
    unique_things_plus=1,
    voxels=(24, 20, 16, 16, 40),
    voxel_spread=0.1,
    sessions=4,
    lost=(LostTrials(1, 0, 1),) * len(DEFAULT_SUBJECTS),
    image_size=48,
)
"""Enough test images for a correlation to tell a few percent, and little else."""


@pytest.fixture(scope="module")
def many_ood(tmp_path_factory):
    """Folders of simulated datasets of scale MANY_OOD, one per seed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SCALES, MANY_OOD.name, MANY_OOD)
        folder = tmp_path_factory.mktemp("many-ood")
        return [simulate(folder / str(seed), scale=MANY_OOD.name, seed=seed, progress=False) for seed in SEEDS]


# What a Score says, computed again with scikit-learn, scipy and plain numpy.


def averages(root, subject, region):
    """Responses per stimulus, counts, nc_12rep as a fraction, noise variance, of the voxels above 30 percent."""
    with netCDF4.Dataset(root / "assemblies" / f"{subject}.nc") as file:
        ceiling = file["nc_12rep"][:].data.astype(float)
        kept = (file["region"][:] == region) & (ceiling > 30)
        trials = pd.DataFrame(file["data"][:].data[:, kept].astype(float), index=file["stimulus_id"][:])
    groups = trials.groupby(level=0)
    noise = ((trials - groups.transform("mean")) ** 2).sum() / (len(trials) - groups.ngroups)
    return groups.mean(), groups.size(), ceiling[kept] / 100, noise.to_numpy()


def split_file(root, pool, split):
    variant = json.loads((root / "splits" / pool / f"{split}.json").read_text())["variants"][0]
    return variant["train_ids"], variant["test_ids"]


def expected_normalizations(root, subject, region, pool, split, features, regression):
    """The three numbers of one subject, and the alpha."""
    train, test = split_file(root, pool, split)
    values, counts, reference, noise = averages(root, subject, region)
    regression.fit(np.stack([features[s] for s in train]), values.loc[train].to_numpy())
    predicted = regression.predict(np.stack([features[s] for s in test]))
    measured = values.loc[test].to_numpy()
    r = np.array([pearsonr(predicted[:, i], measured[:, i]).statistic for i in range(measured.shape[1])])
    n, variance = len(test), measured.var(axis=0, ddof=1)
    explainable = (variance - noise * (1 / counts.loc[test]).mean()).sum()
    adjusted = 1 - (1 - r**2) * (n - 1) / (n - 2)  # scikit-learn and statsmodels write adjusted R² so
    weights = np.sqrt(reference / (1 - reference) / 12 * noise)
    return {
        "published": np.median(r) ** 2 / np.median(np.sqrt(reference)),
        "explained_variance": (np.sign(r) * adjusted * variance).sum() / explainable,
        "correlation": (weights * r * np.sqrt(variance)).sum() / np.sqrt((weights**2).sum() * explainable),
    }, getattr(regression, "alpha_", 1.0)


@pytest.fixture(scope="module")
def informed_features(tiny_dataset):
    """Features that know something: mixtures of the true signal of whoever saw the image, with noise."""
    mixing = np.random.default_rng(0).standard_normal((200, 25))
    features = random_features([], 25)
    for subject in DEFAULT_SUBJECTS:
        signal = Truth(tiny_dataset).signal(subject)
        noise = random_features(signal.stimulus_ids, 25)
        mixed = signal.values @ mixing[: signal.values.shape[1]]
        for stimulus_id, row in zip(signal.stimulus_ids, mixed, strict=True):
            features.setdefault(stimulus_id, row + noise[stimulus_id])
    return features


@pytest.mark.parametrize(
    ("identifier", "region", "split", "regression"),
    [
        ("LAION_fMRI.V4-tau-ridgecv", "V4", "tau", lambda: RidgeCV(alphas=np.logspace(-10, 10, 21))),
        ("LAION_fMRI.V1-ood-ridge", "V1", "ood", lambda: Ridge(alpha=1)),
        ("LAION_fMRI_persubject.IT-ood-ridgecv", "IT", "ood", lambda: RidgeCV(alphas=np.logspace(-10, 10, 21))),
        ("LAION_fMRI_persubject.V2-tau-ridgecv[alphas=0.5;50.0]", "V2", "tau", lambda: RidgeCV(alphas=(0.5, 50))),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_score_equals_scikit_learn(tiny_dataset, informed_features, identifier, region, split, regression):
    score = score_model(FeatureModel(informed_features), identifier, dataset=tiny_dataset)
    expected = {}
    for subject in DEFAULT_SUBJECTS:
        pool = subject if "persubject" in identifier else "shared"
        values, alpha = expected_normalizations(
            tiny_dataset, subject, region, pool, split, informed_features, regression()
        )
        own = score.attrs[subject].attrs
        assert own["normalizations"] == pytest.approx(values, rel=1e-6, abs=1e-6)
        assert own["alpha"] == alpha
        expected[subject] = values
    means = pd.DataFrame(expected).mean(axis=1).to_dict()
    assert score.attrs["normalizations"] == pytest.approx(means, rel=1e-6, abs=1e-6)
    assert score.item() == pytest.approx(means["published"], rel=1e-6, abs=1e-6)
    assert means["explained_variance"] > 0.1  # the features say something, so that equality does as well


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_all_three_are_there_and_the_chosen_one_is_the_value(tiny_dataset, informed_features, normalization):
    chosen = benchmark("LAION_fMRI.IT-ood-ridgecv", normalization=normalization, dataset=tiny_dataset)
    score = chosen(FeatureModel(informed_features))
    assert score.attrs["normalization"] == normalization
    for part in (score, *(score.attrs[subject] for subject in DEFAULT_SUBJECTS)):
        assert part.attrs["normalizations"].keys() == set(NORMALIZATIONS)
        assert part.item() == part.attrs["normalizations"][normalization]
    assert score.attrs["ceiling"].item() == pytest.approx(chosen.ceiling.item(), rel=1e-12)


# Against a known truth.


def prediction_of_the_truth(root, subject, region, noise_of=None):
    """Normalisations of the true signal, taken as the prediction of the OOD images; with another variance of the noise."""
    dataset = open_dataset(root)
    _, test = dataset.split_ids("shared", "ood")
    measured = dataset.responses(subject, region, noise_ceiling_threshold=30).select(test)
    truth = Truth(root).signal(subject, region).select(test)
    column = {voxel: i for i, voxel in enumerate(truth.voxel_index_in_brain_mask)}
    columns = [column[voxel] for voxel in measured.neuroids["voxel_index_in_brain_mask"]]
    r = pearson_per_neuroid(truth.values[:, columns].astype(float), measured.values, subject)
    if noise_of is not None:
        measured = replace(measured, noise_variance=noise_of(measured))
    parts = normalize_correlations(r, measured.noise_ceiling, measured.explainable())
    explainable = measured.explainable()
    expected = np.median(explainable.explainable / explainable.variance) / np.median(
        np.sqrt(measured.noise_ceiling.fraction)
    )
    return {name: part.value for name, part in parts.items()} | {"published of the truth": expected}


def mean_over_everything(many_ood, **options):
    cells = [
        prediction_of_the_truth(root, subject, region, **options)
        for root in many_ood
        for subject in DEFAULT_SUBJECTS
        for region in ("V1", "V2", "V4", "IT")
    ]
    return pd.DataFrame(cells).mean()


def test_the_true_signal_scores_one(many_ood):
    scores = mean_over_everything(many_ood)
    assert scores["explained_variance"] == pytest.approx(1, abs=0.03)
    assert scores["correlation"] == pytest.approx(1, abs=0.03)
    # fault 2 of the bundled plugin: a variance over a correlation does not reach 1, however good the model; how far it
    # gets depends on how much the test images vary
    assert scores["published"] == pytest.approx(scores["published of the truth"], abs=0.03)
    assert scores["published"] < 0.8


def test_the_ceiling_of_twelve_repetitions_would_hide_a_third_of_it(many_ood):
    """Fault 3 of the bundled plugin: OOD images were shown four times, and have three times the noise."""
    scores = mean_over_everything(many_ood, noise_of=lambda measured: measured.noise_variance / 3)
    assert scores["explained_variance"] < 0.7


def test_an_unrelated_model_scores_nothing(many_ood):
    for root, seed in zip(many_ood, SEEDS, strict=True):
        ids = open_dataset(root).pool_stimuli("shared")
        model = FeatureModel(random_features(ids, 30, seed))
        score = score_model(model, "LAION_fMRI.IT-ood-ridgecv[normalization=explained_variance]", dataset=root)
        assert score.item() == pytest.approx(0, abs=0.05)
        assert score.attrs["normalizations"]["correlation"] == pytest.approx(0, abs=0.05)


def in_memory(rng, n_train, n_test, features, signal, ncsnr, n_repetitions):
    """A subject whose responses are a signal with noise of a known size, and the task of predicting them."""
    ids = tuple(f"s{i}" for i in range(len(features)))
    noise = rng.standard_normal(signal.shape) / np.sqrt(n_repetitions)[:, None]
    responses = Responses(
        subject="someone",
        stimulus_ids=np.array(ids),
        values=signal * ncsnr + noise,
        n_repetitions=n_repetitions,
        neuroids=pd.DataFrame({"voxel": range(signal.shape[1])}),
        noise_ceiling=NoiseCeiling.from_ncsnr(ncsnr, 1 / 12),
    )
    task = SubjectTask(
        subject="someone",
        region="V1",
        model_region="V1",
        pool=None,
        train_ids=ids[:n_train],
        test_ids=ids[-n_test:],
        metric=RidgeMetric(),
        load_responses=lambda: responses,
    )
    kernel = kernel_from_features(features, ids)
    ((_, result),) = task.metric.evaluate(kernel, [task], Compute())
    return {name: part.value for name, part in task.metric.normalize([result])[0].items()}


def test_features_that_span_the_signal_approach_one():
    rng = np.random.default_rng(1)
    n_test, width = 1000, 6
    features = rng.standard_normal((1000 + n_test, width))
    weights = rng.standard_normal((width, 80)) / np.sqrt(width)
    signal = features @ weights
    signal /= signal.std(axis=0)
    ncsnr = rng.uniform(0.3, 0.8, size=80)
    repetitions = rng.choice([4, 12], size=len(features))
    scores = [
        in_memory(rng, n_train, n_test, features, signal, ncsnr, repetitions)["explained_variance"]
        for n_train in (12, 40, 1000)
    ]
    assert scores[0] < scores[1] < scores[2]
    assert scores[0] < 0.8
    assert scores[2] == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("width", [10, 600], ids="{} features".format)
def test_unrelated_features_score_nothing(width):
    """Squares without their sign would give (1 - NC) / n / NC on average, and more with few test images."""
    rng = np.random.default_rng(2)
    signal = rng.standard_normal((400, 200))
    features = rng.standard_normal((400, width))
    ncsnr = np.full(200, 0.3)
    scores = in_memory(rng, 300, 100, features, signal, ncsnr, np.full(400, 4))
    assert scores["explained_variance"] == pytest.approx(0, abs=0.05)
    assert scores["correlation"] == pytest.approx(0, abs=0.05)


# The formulas alone.


def explainable(variance, noise_variance, n_stimuli, n_repetitions=4):
    return ExplainableVariance(np.asarray(variance), np.asarray(noise_variance), 1 / n_repetitions, n_stimuli)


def test_a_perfect_model_at_half_the_variance():
    """Fault 2: where NC is 50 %, a perfect model correlates by √0.5, and the published formula gives it 0.71."""
    half, at_test = NoiseCeiling(np.full(5, 0.5), 1 / 4), explainable(np.full(5, 2.0), np.full(5, 4.0), 10**9)
    values = {k: v.value for k, v in normalize_correlations(np.full(5, np.sqrt(0.5)), half, at_test).items()}
    assert values == pytest.approx({"published": np.sqrt(0.5), "explained_variance": 1.0, "correlation": 1.0})


def test_raw_and_ceiling_are_the_same_aggregates():
    r, v, noise = np.array([0.1, -0.4, 0.5, 0.6]), np.array([1.0, 2.0, 1.0, 4.0]), np.array([2.0, 4.0, 1.0, 8.0])
    reference, at_test = NoiseCeiling(np.array([0.4, 0.5, 0.6, 0.9]), 1 / 12), explainable(v, noise, 22)
    parts = normalize_correlations(r, reference, at_test)
    assert parts["published"].raw == np.median(r)
    assert parts["published"].ceiling == np.median(np.sqrt(reference.fraction))
    adjusted = np.sign(r) * (r**2 - (1 - r**2) / 20)
    assert parts["explained_variance"].raw == pytest.approx(adjusted @ v / 8)
    assert parts["explained_variance"].ceiling == pytest.approx((8 - 15 / 4) / 8)
    assert parts["explained_variance"].value == pytest.approx(adjusted @ v / (8 - 15 / 4))
    a = np.sqrt(noise * reference.fraction / (1 - reference.fraction) / 12)
    assert parts["correlation"].raw == pytest.approx((a * np.sqrt(v)) @ r / (a @ np.sqrt(v)))
    assert parts["correlation"].value == pytest.approx((a * np.sqrt(v)) @ r / np.sqrt((a @ a) * (8 - 15 / 4)))
    for part in parts.values():
        if part is not parts["published"]:
            assert part.value == pytest.approx(part.raw / part.ceiling)
    assert {name: part.ceiling for name, part in parts.items()} == ceiling_of(reference, at_test)


def test_the_sign_is_kept():
    ceiling, at_test = NoiseCeiling(np.full(3, 0.5), 1 / 4), explainable(np.full(3, 2.0), np.full(3, 4.0), 10**9)
    values = normalize_correlations(np.full(3, -0.5), ceiling, at_test)
    assert values["explained_variance"].value == pytest.approx(-0.5)
    assert values["correlation"].value == pytest.approx(-np.sqrt(0.5))


def test_signal_without_noise_is_its_own_ceiling():
    reference, at_test = NoiseCeiling(np.ones(3), 1 / 4), explainable([1.0, 2.0, 3.0], np.zeros(3), 50)
    values = normalize_correlations(np.ones(3), reference, at_test)
    assert [values[name].value for name in ("explained_variance", "correlation")] == pytest.approx([1, 1])


def test_a_ceiling_of_nothing_cannot_be_divided_by():
    nothing, at_test = NoiseCeiling(np.array([0.5, 0.0, 0.0]), 1 / 4), explainable(np.ones(3), np.ones(3), 10)
    for divide in (lambda: normalize_correlations(np.zeros(3), nothing, at_test), lambda: ceiling_of(nothing, at_test)):
        with pytest.raises(ResponsesError, match="above 0; 2 of 3 neuroids have none .*neuroid 1.*Leave them out"):
            divide()
    with pytest.raises(StimulusKernelError, match="must be positive.*received -0.1"):
        scaled_similarity(0.5, -0.1)


def test_test_stimuli_without_explainable_variance_have_published_alone():
    reference = NoiseCeiling(np.full(3, 0.5), 1 / 4)
    at_test = explainable(np.full(3, 0.9), np.full(3, 4.0), 10)  # averages over four trials whose noise has 4
    assert ceiling_of(reference, at_test).keys() == {"published"}
    assert normalize_correlations(np.full(3, 0.4), reference, at_test).keys() == {"published"}


def test_explainable_variance_has_a_standard_error():
    """That of other stimuli of the same kind: the spread of Σ (v - σ²m) over 300 experiments."""
    rng, sums, errors = np.random.default_rng(13), [], []
    loading = rng.standard_normal((5, 40)) / 4
    for _ in range(300):
        values = rng.standard_normal((60, 5)) @ loading + rng.standard_normal((60, 40)) / 2
        found = ExplainableVariance.of(values, np.full(60, 4), np.ones(40))
        sums.append(found.explainable.sum())
        errors.append(found.standard_error)
    assert np.mean(sums) == pytest.approx(np.square(loading).sum(), rel=0.02)
    assert np.mean(errors) == pytest.approx(np.std(sums), rel=0.1)
    assert found.is_known
    assert found.is_precise
    for times, known, precise in ((1.9, False, False), (2.1, True, False), (4.9, True, False), (5.1, True, True)):
        rough = replace(found, standard_error=found.explainable.sum() / times)
        assert (rough.is_known, rough.is_precise) == (known, precise)


# Few stimuli, and stimuli that vary more or less than those of the published ceiling.


@pytest.mark.parametrize("n", [10, 24, 224])
@pytest.mark.parametrize("power", [0.5, 2.0], ids="{} times the signal".format)
def test_the_true_signal_scores_one_and_noise_nothing(n, power):
    """In the mean over 400 experiments of 60 voxels; the goal is 0.2 with 10 to 24 images, and 0.02 for noise."""
    rng = np.random.default_rng(11)
    ncsnr = rng.uniform(0.25, 0.7, 60)
    reference = NoiseCeiling.from_ncsnr(ncsnr, 1 / 12)
    found = {"truth": [], "opposite": [], "unrelated": []}
    for _ in range(400 if n < 100 else 60):
        signal = rng.standard_normal((n, 60)) * ncsnr * np.sqrt(power)
        values = signal + rng.standard_normal((n, 60)) / 2  # four trials
        at_test = ExplainableVariance.of(values, np.full(n, 4), np.ones(60))
        for name, prediction in zip(found, (signal, -signal, rng.standard_normal((n, 60))), strict=True):
            parts = normalize_correlations(pearson_per_neuroid(prediction, values, "someone"), reference, at_test)
            if at_test.is_known:
                found[name].append([parts[one].value for one in ("explained_variance", "correlation")])
    means = {name: np.mean(values, axis=0) for name, values in found.items()}
    near = 0.05 if n > 100 else 0.12
    assert means["truth"] == pytest.approx(1, abs=near)
    np.testing.assert_allclose(means["opposite"], -means["truth"], atol=1e-9)
    assert means["unrelated"] == pytest.approx(0, abs=0.02)


def test_names():
    names = (*NORMALIZATIONS, "reliability")
    assert tuple(check_normalization(name) for name in names) == names
    with pytest.raises(
        StimulusKernelError, match="published, explained_variance, correlation, reliability; received 'r2'"
    ):
        check_normalization("r2")


@pytest.mark.parametrize(
    ("prediction", "measured", "message"),
    [
        (np.eye(4)[:, :2], np.array([[1, 2], [1, 3], [1, 5], [1, 4]]), "measured responses of 1 of 2 .*neuroid 0"),
        (np.ones((4, 2)), np.eye(4)[:, :2], "predictions of 2 of 2 .*the model's features"),
        (0.1 * (1 + 1e-15 * np.eye(4)[:, :2]), np.eye(4)[:, :2], "predictions of 2 of 2 .*the model's features"),
        (np.eye(2), np.eye(2), "at least 3 test stimuli, someone has 2"),
    ],
    ids=["constant responses", "constant predictions", "equal but for rounding", "two stimuli"],
)
def test_correlations_that_do_not_exist(prediction, measured, message):
    with pytest.raises(ResponsesError, match=message):
        pearson_per_neuroid(prediction, measured, "someone")


def test_a_small_spread_is_a_spread():
    prediction = 1 + 1e-9 * np.eye(4)[:, :2]
    np.testing.assert_allclose(pearson_per_neuroid(prediction, np.eye(4)[:, :2], "someone"), 1.0, rtol=1e-6)
