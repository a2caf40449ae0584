"""Noise ceilings: the formula, its inversion, repetitions as images really have them, and ceilings from single trials."""

import netCDF4
import numpy as np
import pandas as pd
import pytest

from brainscore_vision.benchmark_helpers.stimulus_kernels import (
    NoiseCeiling,
    Reliability,
    reliability_from_sums,
    reliability_from_trials,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ResponsesError
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.ceilings import mean_inverse_repetitions
from brainscore_vision.benchmarks.laion_fmri_7t.checks.ceilings import (
    ceiling_picture,
    ceiling_record,
    ceiling_row,
    region_ceilings,
)
from brainscore_vision.data.laion_fmri_7t.simulation import Truth
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

NCSNR = np.array([0.05, 0.2, 0.5, 1.0, 3.0])

LEVELS = (0.25, 0.4, 0.55, 0.7, 0.9)
N_VOXELS = 200
SEED = 1
SESSION = 1000  # trials, as in the release; z-scoring short sessions takes signal with it
DESIGNS = {
    "12 repetitions": np.full(500, 12),
    "4 repetitions": np.full(1500, 4),
    "mixed repetitions": np.r_[np.full(200, 12), np.full(900, 4), np.full(5, 11), np.full(10, 3)],
}


@pytest.mark.parametrize("repetitions", [1, 4, 12])
def test_equal_repetitions(repetitions):
    """NC = 100 ncsnr² / (ncsnr² + 1/n), as the NSD data manual has it for n repetitions."""
    ceiling = NoiseCeiling.from_ncsnr(NCSNR, 1 / repetitions)
    np.testing.assert_allclose(ceiling.fraction, NCSNR**2 / (NCSNR**2 + 1 / repetitions))
    assert ceiling.mean_inverse_repetitions == 1 / repetitions


def test_mixed_repetitions_follow_the_nsd_rule():
    """For A, B, C images with three, two and one repetitions, m = (A/3 + B/2 + C) / (A + B + C)."""
    counts = np.array([3] * 7 + [2] * 5 + [1] * 2)
    m = (7 / 3 + 5 / 2 + 2) / 14
    assert mean_inverse_repetitions(counts) == pytest.approx(m, rel=1e-15)
    at_one = NoiseCeiling.from_ncsnr(NCSNR, 1.0)
    np.testing.assert_allclose(at_one.at(counts).fraction, NCSNR**2 / (NCSNR**2 + m), rtol=1e-12)
    assert at_one.at(counts).mean_inverse_repetitions == pytest.approx(m)


@pytest.mark.parametrize("m", [1.0, 0.25, 1 / 12, 0.2263])
def test_inversion(m):
    ceiling = NoiseCeiling.from_ncsnr(NCSNR, m)
    np.testing.assert_allclose(ceiling.ncsnr, NCSNR, rtol=1e-12)
    np.testing.assert_allclose(NoiseCeiling.from_ncsnr(ceiling.ncsnr, m).fraction, ceiling.fraction, rtol=1e-12)


def test_moving_there_and_back_changes_nothing():
    ceiling = NoiseCeiling.from_ncsnr(NCSNR, 1 / 12)
    there = ceiling.at(np.full(20, 4))
    np.testing.assert_allclose(there.fraction, NoiseCeiling.from_ncsnr(NCSNR, 1 / 4).fraction, rtol=1e-12)
    np.testing.assert_allclose(there.at(np.full(3, 12)).fraction, ceiling.fraction, rtol=1e-12)
    assert (there.fraction < ceiling.fraction).all()  # fewer repetitions, less to explain


def test_twelve_repetitions_are_not_four():
    """The bundled plugin divides by nc_12rep where images were shown four times: half of the variance is not there."""
    ceiling = NoiseCeiling(np.array([0.5]), 1 / 12).at(np.full(10, 4))
    assert ceiling.fraction.item() == pytest.approx(0.25)


def test_extremes_stay_where_they_are():
    ceiling = NoiseCeiling(np.array([0.0, 1.0]), 1 / 12)
    np.testing.assert_array_equal(ceiling.at(np.array([1, 4, 4])).fraction, [0.0, 1.0])
    np.testing.assert_array_equal(ceiling.ncsnr, [0.0, np.inf])


def test_it_is_the_variance_that_the_signal_explains():
    """Recovered from simulated averages over mixed repetitions: correlation² with the true signal is NC."""
    rng = np.random.default_rng(1)
    n_stimuli, ncsnr = 20_000, 0.6
    counts = rng.choice([1, 2, 4, 12], size=n_stimuli)
    signal = ncsnr * rng.standard_normal((n_stimuli, 6))
    measured = signal + rng.standard_normal(signal.shape) / np.sqrt(counts)[:, None]
    explained = [np.corrcoef(signal[:, i], measured[:, i])[0, 1] ** 2 for i in range(6)]
    expected = NoiseCeiling.from_ncsnr(np.array([ncsnr]), 1.0).at(counts).fraction.item()
    assert np.mean(explained) == pytest.approx(expected, abs=0.01)


def test_selection_and_counts():
    ceiling = NoiseCeiling.from_ncsnr(NCSNR, 0.25)
    np.testing.assert_array_equal(ceiling.select([3, 1]).fraction, ceiling.fraction[[3, 1]])
    assert ceiling.select([0]).mean_inverse_repetitions == 0.25


@pytest.mark.parametrize(
    ("fraction", "received"),
    [
        ([0.5, 34.2], "values from 0.5 to 34.2, 0 nan"),
        ([-0.1, 0.5], "values from -0.1 to 0.5, 0 nan"),
        ([0.5, np.nan], "values from 0.5 to 0.5, 1 nan"),
        ([np.nan, np.nan], "no values, 2 nan"),
    ],
    ids=["percent", "negative", "nan", "nothing but nan"],
)
def test_values_that_are_no_fraction(fraction, received):
    with pytest.raises(ResponsesError, match=f"between 0 and 1; received {received}.*Divide percent by 100"):
        NoiseCeiling(np.array(fraction), 0.25)


@pytest.mark.parametrize("m", [0.0, -0.25, np.nan, 1.5])
def test_repetitions_that_cannot_be(m):
    with pytest.raises(ResponsesError, match="1/n_repetitions"):
        NoiseCeiling(np.array([0.5]), m)


@pytest.mark.parametrize(
    ("counts", "received"), [([], "0 counts"), ([4, 0, 4], "3 counts with a minimum of 0")], ids=["none", "zero"]
)
def test_an_average_has_trials(counts, received):
    with pytest.raises(ResponsesError, match=f"at least once; received {received}"):
        mean_inverse_repetitions(np.array(counts, dtype=int))


def simulated_trials(rng, ncsnr, repetitions, n_voxels=N_VOXELS):
    """Trials z-scored per session, and the stimulus of each; the signal has standard deviation ``ncsnr`` exactly."""
    stimulus = rng.permutation(np.repeat(np.arange(len(repetitions)), repetitions))
    signal = rng.standard_normal((len(repetitions), n_voxels))
    signal = ncsnr * (signal - signal.mean(axis=0)) / signal.std(axis=0)
    trials = signal[stimulus] + rng.standard_normal((len(stimulus), n_voxels))
    for session in np.array_split(np.arange(len(stimulus)), max(1, len(stimulus) // SESSION)):
        own = trials[session]
        trials[session] = (own - own.mean(axis=0)) / own.std(axis=0)
    return trials, stimulus


def within_two_standard_errors(errors):
    return abs(errors.mean()) < 2 * errors.std(ddof=1) / np.sqrt(len(errors))


def noise_variance_per_stimulus(trials, stimulus, ddof):
    """Brute force: the variance of each stimulus's trials, pooled by degrees of freedom."""
    groups = [trials[stimulus == s] for s in np.unique(stimulus)]
    return sum(len(g) * g.var(axis=0) for g in groups) / sum(len(g) - ddof for g in groups)


@pytest.mark.parametrize("ncsnr", LEVELS)
@pytest.mark.parametrize("design", DESIGNS)
def test_recovery_is_unbiased_and_the_biased_variance_is_not(design, ncsnr):
    """Two standard errors are exceeded by chance in one of twenty; the seed is one where none of the fifteen is."""
    rng = np.random.default_rng([SEED, int(100 * ncsnr)])
    trials, stimulus = simulated_trials(rng, ncsnr, DESIGNS[design])
    assert within_two_standard_errors(reliability_from_trials(trials, stimulus).ncsnr - ncsnr)
    noise = noise_variance_per_stimulus(trials, stimulus, ddof=0)
    biased = np.sqrt((1 - noise) / noise)
    assert not within_two_standard_errors(biased - ncsnr)
    assert biased.mean() > ncsnr  # it takes noise for signal


@pytest.mark.parametrize("ncsnr", LEVELS)
@pytest.mark.parametrize("design", DESIGNS)
def test_bias_is_below_one_percent(design, ncsnr):
    """z-scoring within sessions takes a little of the signal: the ncsnr comes out 0.1 to 0.5 % low (12 repetitions)."""
    rng = np.random.default_rng(2)
    errors = [
        reliability_from_trials(*simulated_trials(rng, ncsnr, DESIGNS[design])).ncsnr.mean() - ncsnr for _ in range(4)
    ]
    assert abs(np.mean(errors)) < 0.01 * ncsnr


def test_biased_variance_explains_the_bundled_plugins_medians():
    """ddof = 0 with 12 repetitions turns the published 34.2 % of V1 into the 62.4 % that the bundled notes report."""
    unbiased_noise = 1 / (1 + 0.342 / (1 - 0.342) / 12)
    noise = unbiased_noise * 11 / 12
    ncsnr2 = (1 - noise) / noise
    assert 100 * ncsnr2 / (ncsnr2 + 1 / 12) == pytest.approx(62.4, abs=0.5)


def test_against_brute_force():
    rng = np.random.default_rng(2)
    trials, stimulus = simulated_trials(rng, 0.5, np.array([1, 2, 3, 4, 12, 12]), n_voxels=7)
    found = reliability_from_trials(trials, stimulus)
    np.testing.assert_allclose(found.noise_variance, noise_variance_per_stimulus(trials, stimulus, 1), rtol=1e-12)
    assert found.degrees_of_freedom == 34 - 6


def test_one_pass_sums_give_the_same():
    rng = np.random.default_rng(3)
    trials, stimulus = simulated_trials(rng, 0.5, np.array([3, 4, 12, 12, 4]), n_voxels=6)
    sums = np.array([trials[stimulus == s].sum(axis=0) for s in range(5)])
    found = reliability_from_sums(sums, (trials**2).sum(axis=0), np.array([3, 4, 12, 12, 4]))
    np.testing.assert_allclose(found.ncsnr, reliability_from_trials(trials, stimulus).ncsnr, rtol=1e-12)


def test_sums_of_trials_that_are_not_z_scored_or_lack_numbers():
    """As trials themselves; neuroids that lack a session have fewer trials than n_repetitions says."""
    trials, stimulus = simulated_trials(np.random.default_rng(3), 0.5, np.full(300, 6), n_voxels=6)
    frame = pd.DataFrame((trials - trials.mean(axis=0)) / trials.std(axis=0))
    counts = frame.groupby(stimulus).size()

    def of(table):
        return reliability_from_sums(table.groupby(stimulus).sum(), (table**2).sum(), counts)

    few = stimulus < 40  # of all that are z-scored
    part = frame[few].groupby(stimulus[few]).sum() * 1.2, (frame[few] ** 2).sum() * 1.44, counts.iloc[:40]
    with pytest.raises(ResponsesError, match="of some of the stimuli of trials that are, use Reliability.of_sums"):
        reliability_from_sums(*part)
    assert (Reliability.of_sums(*part).noise_variance > 0).all()
    np.testing.assert_allclose(of(frame).ncsnr, reliability_from_trials(frame, stimulus).ncsnr, rtol=1e-12)
    with pytest.raises(ResponsesError, match="must be z-scored; 6 of 6 neuroids have another variance"):
        of(frame * 3)
    lost = frame.copy()
    lost.iloc[::2, 2] = np.nan  # which pandas leaves out of sums
    with pytest.raises(ResponsesError, match="1 of 6 neuroids .* count for each neuroid the trials that it has"):
        of(lost)
    sums = frame.groupby(stimulus).sum()
    sums.iloc[0, 1] = np.nan
    with pytest.raises(ResponsesError, match=r"finite numbers; those of 1 of 6 neuroids .*neuroid 1\)"):
        reliability_from_sums(sums, (frame**2).sum(), counts)


def test_sums_and_counts_of_a_table_are_in_one_order():
    """groupby().sum() is sorted by stimulus, value_counts() by count."""
    trials, stimulus = simulated_trials(np.random.default_rng(3), 0.5, np.array([3, 4, 12, 12, 4]), n_voxels=6)
    frame, labels = pd.DataFrame(trials).add_prefix("voxel"), pd.Series(stimulus).map("stimulus {}".format)
    sums, squares, counts = frame.groupby(labels).sum(), (frame**2).sum(), labels.value_counts()
    expected = reliability_from_trials(trials, stimulus).ncsnr
    for of_stimuli in (counts.loc[sums.index], counts.sort_index().to_numpy()):
        np.testing.assert_allclose(reliability_from_sums(sums, squares, of_stimuli).ncsnr, expected, rtol=1e-12)
    with pytest.raises(ResponsesError, match="n_repetitions has the names of sums in another .* as value_counts"):
        reliability_from_sums(sums, squares, counts)
    with pytest.raises(ResponsesError, match="squares has the names of sums in another"):
        reliability_from_sums(sums, squares[::-1], counts.sort_index())
    for wrong in ((sums, squares[:5], counts), (sums, squares, counts[:4]), (sums["voxel0"], squares, counts)):
        with pytest.raises(ResponsesError, match=r"stimuli × neuroids, .* received the shapes \(5"):
            reliability_from_sums(*wrong)


def test_ceiling_at_any_mix_of_repetitions():
    rng = np.random.default_rng(4)
    trials, stimulus = simulated_trials(rng, 0.6, np.full(100, 4), n_voxels=5)
    found = reliability_from_trials(trials, stimulus)
    counts = np.array([12, 4, 4, 1])
    m = (1 / 12 + 1 / 4 + 1 / 4 + 1) / 4
    np.testing.assert_allclose(found.at(counts).fraction, found.ncsnr**2 / (found.ncsnr**2 + m), rtol=1e-12)


def test_noise_alone_has_no_negative_signal():
    rng = np.random.default_rng(5)
    trials, stimulus = simulated_trials(rng, 0.0, np.full(50, 4))
    found = reliability_from_trials(trials, stimulus)
    assert (found.signal_variance >= 0).all()
    assert (found.ncsnr == 0).sum() > N_VOXELS / 4


def test_errors():
    rng = np.random.default_rng(6)
    trials, stimulus = simulated_trials(rng, 0.5, np.full(20, 4), n_voxels=3)
    with pytest.raises(ResponsesError, match="must be z-scored; 3 of 3 neuroids have another variance"):
        reliability_from_trials(5 * trials, stimulus)
    with pytest.raises(ResponsesError, match="80 trials, 79 stimulus ids"):
        reliability_from_trials(trials, stimulus[1:])
    with pytest.raises(ResponsesError, match="shown more than once; received 80 stimuli and 80 trials"):
        reliability_from_trials(trials, np.arange(80))
    exact = np.repeat([[-1.0], [1.0]], 4, axis=0)
    with pytest.raises(ResponsesError, match="repeat themselves exactly"):
        reliability_from_trials(exact, np.repeat([0, 1], 4))


def test_moments_of_a_file_are_those_of_its_trials(tiny_dataset):
    dataset = open_dataset(tiny_dataset)
    moments = dataset.trial_moments("sub-03", "V2", noise_ceiling_threshold=30)
    assembly = dataset.assembly("sub-03").load()
    kept = (assembly["region"] == "V2").values & (assembly["nc_12rep"] > 30).values
    trials, stimuli = assembly.values[:, kept].astype(float), assembly["stimulus_id"].values.astype(str)
    for i in (0, 17, len(moments.stimulus_ids) - 1):
        own = trials[stimuli == moments.stimulus_ids[i]]
        assert moments.n_repetitions[i] == len(own)
        np.testing.assert_allclose(moments.sums[i], own.sum(axis=0), rtol=1e-9)
    total = sum(moments.squares.values())
    np.testing.assert_allclose(total, (trials**2).sum(axis=0), rtol=1e-9)
    assert set(moments.squares) == set(moments.n_repetitions.tolist())


def test_recovered_ceilings_of_a_dataset_follow_its_truth(tiny_dataset):
    dataset = open_dataset(tiny_dataset)
    subjects, differences = ("sub-01", "sub-05"), []
    rows = list(region_ceilings(dataset, subjects, 0))
    for row in rows:
        truth = Truth(tiny_dataset).signal(row.subject, row.region)
        # trials have variance 1 over all images, also over those that vary more than the published ceilings suppose
        with netCDF4.Dataset(tiny_dataset / "assemblies" / f"{row.subject}.nc") as file:
            power = truth.select(file["stimulus_id"][:].astype(str)).values.astype(float).var(axis=0)
        differences.append(row.recovered["nc_12rep"] - 100 * power / (power + 1 / 12))
    # 26 images: the mean of 60 voxels is known no better
    assert abs(np.median(np.concatenate(differences))) < 8
    truth = Truth(tiny_dataset).signal("sub-01", "IT").ncsnr
    expected = 100 * truth**2 / (truth**2 + 1 / 12)
    np.testing.assert_allclose(next(r for r in rows if r.region == "IT").published["nc_12rep"], expected, rtol=1e-3)
    v1 = rows[0]
    np.testing.assert_allclose(v1.moved["shared ood"], v1.published["nc_4rep"], rtol=1e-4)  # OOD is shown four times
    assert (v1.moved["shared tau"] > v1.moved["persubject ood"]).all()
    for pool, split in (("shared", "tau"), ("shared", "ood")):
        test = dataset.responses("sub-01", "V1", noise_ceiling_threshold=0).select(dataset.split_ids(pool, split)[1])
        v = test.values.astype(float).var(axis=0, ddof=1)
        explainable = v - test.noise_variance * (1 / test.n_repetitions).mean()
        assert v1.used[f"{pool} {split}"] == pytest.approx(100 * explainable.sum() / v.sum(), rel=1e-4)


def test_report_and_picture(tiny_dataset, tmp_path):
    rows = list(region_ceilings(open_dataset(tiny_dataset), ("sub-01",), 30))
    record = ceiling_record(rows[0])
    cells = ceiling_row(record)
    assert cells["12rep published"] == f"{record['published']['nc_12rep']:.1f}"
    assert cells["used shared ood"] == f"{record['used']['shared ood']:.1f}"
    assert ceiling_row(record | {"recovered": {}})["4rep recovered"] == "-"
    assert record["region"] == "V1"
    assert set(record["used"]) == {"shared tau", "shared ood", "persubject tau", "persubject ood"}
    for suffix in (".svg", ".png"):
        ceiling_picture(rows, tmp_path / f"ceilings{suffix}")
    assert (tmp_path / "ceilings.svg").read_text().lstrip().startswith("<?xml")
    assert (tmp_path / "ceilings.png").read_bytes().startswith(b"\x89PNG")


def test_rows_of_trials_are_those_of_their_stimuli():
    rng = np.random.default_rng(12)
    trials = rng.standard_normal((60, 4))
    trials = (trials - trials.mean(axis=0)) / trials.std(axis=0)
    ids = np.repeat([f"image {i}" for i in range(20)], 3)
    expected = reliability_from_trials(trials, ids).noise_variance
    np.testing.assert_array_equal(
        reliability_from_trials(pd.DataFrame(trials, index=ids), ids).noise_variance, expected
    )
    with pytest.raises(ResponsesError, match="Rows of trials are those of stimulus_ids, in their order"):
        reliability_from_trials(pd.DataFrame(trials, index=ids), ids[::-1])
    trials[7, 2] = np.nan
    with pytest.raises(ResponsesError, match="1 of 60 hold nan or infinity"):
        reliability_from_trials(trials, ids)


def test_a_ratio_below_zero_is_none():
    """A usual mark of what is missing."""
    for values in ([-1.0, 0.5], [np.nan, 0.5]):
        with pytest.raises(ResponsesError, match="0 or more; received 1 of 2 that are below 0, nan or masked"):
            NoiseCeiling.from_ncsnr(values, 1 / 12)
