"""Memory: what is forecast, what a limit does, and that it never changes a number."""

import numpy as np
import pytest
from plugin_testing.models import small_network
from plugin_testing.small_benchmark import make_benchmark, make_images

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StimulusKernelError
from brainscore_vision.benchmark_helpers.stimulus_kernels.memory import ResidentPeak, forecast

N_TRAIN = 24
SQUARE = (N_TRAIN - 1) ** 2 * 8
"""Bytes of one matrix of a decomposition."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_images(tmp_path_factory.mktemp("images"), 44)


@pytest.fixture(scope="module")
def unlimited(folder):
    return make_benchmark(folder, store=False)(small_network({"V1": "conv"}))


@pytest.mark.parametrize("matrices", [2, 2.5, 3, 1000])
def test_no_limit_changes_a_score(matrices, folder, unlimited):
    limited = make_benchmark(folder, store=False, max_memory=int(matrices * SQUARE))(small_network({"V1": "conv"}))
    assert limited.item() == pytest.approx(unlimited.item(), rel=0, abs=1e-9)
    for subject in ("A", "B"):
        found, expected = limited.attrs[subject], unlimited.attrs[subject]
        assert found.attrs["alpha"] == expected.attrs["alpha"]
        np.testing.assert_allclose(found.attrs["raw"].attrs["raw"], expected.attrs["raw"].attrs["raw"], atol=1e-9)
        np.testing.assert_allclose(found.attrs["bootstrap"], expected.attrs["bootstrap"], rtol=0, atol=1e-9)


def test_a_limit_that_is_too_low_is_said_before_an_image_is_shown(folder):
    shown = []
    model = small_network({"V1": "conv"}, misbehave=lambda batch: shown.append(1) or batch)
    with pytest.raises(StimulusKernelError, match=f"24 training stimuli needs at least {2 * SQUARE:,} bytes"):
        make_benchmark(folder, max_memory=2 * SQUARE - 1)(model)
    assert shown == []


def test_what_a_block_held_and_gave_back_is_noticed():
    with ResidentPeak() as peak:
        held = np.ones(50_000_000)
        del held
    assert 0.9 * 4e8 < peak.transient < 1.5 * 4e8


def test_the_forecast_grows_with_the_batches_of_the_model(folder, monkeypatch):
    def recording(transient, batch_size):
        monkeypatch.setattr(ResidentPeak, "__exit__", lambda self, *_: setattr(self, "transient", transient))
        benchmark = make_benchmark(folder, store=False)
        model = small_network({"V1": "conv"}, batch_size=batch_size)
        return forecast(model, benchmark.resolve().tasks, benchmark.options).recording

    assert recording(1000, 8) == 1000
    assert recording(1000, 32) == 4000


def test_a_run_that_does_not_fit_is_refused_with_its_sizes(folder, monkeypatch):
    benchmark = make_benchmark(folder, store=False)
    monkeypatch.setattr(f"{forecast.__module__}.available_memory_gb", lambda: 1e-9)
    with pytest.raises(MemoryError, match=r"small-ridge needs .* GiB at the peak.* GiB more are available"):
        benchmark.preallocate_memory(small_network({"V1": "conv"}))
    assert benchmark.preallocate_memory(small_network({"V1": "conv"}), raise_if_oom=False).available == 1
