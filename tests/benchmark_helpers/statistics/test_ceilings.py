"""Noise ceilings: the formula, its inversion, and the repetitions that images really have."""

import numpy as np
import pytest

from brainscore_vision.benchmark_helpers.stimulus_kernels import NoiseCeiling
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ResponsesError
from brainscore_vision.benchmark_helpers.stimulus_kernels.statistics.ceilings import mean_inverse_repetitions

NCSNR = np.array([0.05, 0.2, 0.5, 1.0, 3.0])


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
