"""Memory: what is forecast, what a limit does, and that it never changes a number."""

import inspect
import json
import re

import numpy as np
import pytest
from plugin_testing.models import small_network
from plugin_testing.second_dataset import Images
from plugin_testing.small_benchmark import make_benchmark, make_images

from brainscore_vision.benchmark_helpers import memory
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StimulusKernelError
from brainscore_vision.benchmark_helpers.stimulus_kernels.features import recording as features_recording
from brainscore_vision.benchmark_helpers.stimulus_kernels.memory import MemoryForecast, ResidentPeak, forecast

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


def test_the_forecast_counts_images_that_wait_and_batches_are_small_whatever_the_model_asks_for(folder, monkeypatch):
    def recording(transient, batch_size):
        monkeypatch.setattr(ResidentPeak, "__exit__", lambda self, *_: setattr(self, "transient", transient))
        benchmark = make_benchmark(folder, store=False)
        model = small_network({"V1": "conv"}, batch_size=batch_size)
        return forecast(model, benchmark.resolve().tasks, benchmark.options).recording

    monkeypatch.setattr(features_recording, "WAITING_BYTES", 7)
    assert recording(1000, 8) == 1000 + 7
    assert recording(1000, 32) == 1000 + 7


def test_a_run_that_does_not_fit_is_refused_with_its_sizes(folder, monkeypatch, caplog):
    benchmark = make_benchmark(folder, store=False)
    monkeypatch.setattr(f"{forecast.__module__}.available_bytes", lambda: 1)
    with pytest.raises(
        MemoryError, match=r"small-ridge needs .* GiB at the peak.* GiB more are available.*Free memory"
    ):
        benchmark.preallocate_memory(small_network({"V1": "conv"}))
    assert benchmark.preallocate_memory(small_network({"V1": "conv"}), raise_if_oom=False).available == 1
    assert "small-ridge needs" in caplog.text


def test_what_is_free_is_asked_before_anything_is_read(folder, monkeypatch):
    """Reading fills memory: what is asked afterwards has it counted twice."""
    held, size = [], 200 * 2**20

    def load(provider, stimulus_ids, original=Images.load_stimuli):
        held.append("images")
        return original(provider, stimulus_ids)

    monkeypatch.setattr(Images, "load_stimuli", load)
    # of a long process, resident memory may shrink meanwhile
    monkeypatch.setattr(f"{forecast.__module__}.resident_bytes", lambda: 2**30 + size * bool(held))
    monkeypatch.setattr(f"{forecast.__module__}.available_bytes", lambda: 1000 - 999 * bool(held))
    benchmark = make_benchmark(folder, store=False)
    expected = benchmark.preallocate_memory(small_network({"V1": "conv"}), raise_if_oom=False)
    assert expected.available == 1000
    assert expected.data == size
    assert expected.additional >= expected.data


@pytest.mark.parametrize(
    ("stage", "said"), [("recording", "smaller batch size"), ("decomposition", "max_memory=BYTES"), ("kernel", None)]
)
def test_advice_is_about_the_largest_stage_and_names_no_option_that_brain_score_lacks(stage, said):
    sizes = dict.fromkeys(("recording", "kernel", "decomposition", "evaluation"), 1)
    expected = MemoryForecast(resident=0, data=0, available=1, n_features=1, n_stimuli=1, **{**sizes, stage: 2})
    assert expected.will_oom
    assert "--" not in expected.remedy
    assert "BRAINSCORE_SKIP_MEMORY_CHECK=1" in expected.remedy
    assert [words for words in ("batch size", "max_memory") if words in expected.remedy] == (
        [] if said is None else [w for w in ("batch size", "max_memory") if w in said]
    )


class TestPreflightLine:
    """What Brain-Score's orchestrator reads, beside what its own check prints."""

    @staticmethod
    def line(text: str) -> dict:
        (found,) = (line for line in text.splitlines() if line.startswith("BRAINSCORE_PREFLIGHT "))
        return json.loads(found.removeprefix("BRAINSCORE_PREFLIGHT "))

    def test_of_a_check(self, folder, capsys):
        model = small_network({"V1": "conv"})
        benchmark = make_benchmark(folder, store=False)
        expected = benchmark.preallocate_memory(model)
        ours = self.line(capsys.readouterr().out)
        upstream = inspect.getsource(memory.preallocate_memory).split("BRAINSCORE_PREFLIGHT {json.dumps(")[1]
        assert list(ours) == re.findall(r"'(\w+)':", upstream.split("})}")[0])
        assert ours["will_oom"] is False
        assert ours["estimate_gb"] == round(expected.additional / 2**30, 3)
        assert ours["available_gb"] == round(expected.available / 2**30, 1)
        assert ours["num_stimuli"] == 44
        assert ours["num_features"] == expected.n_features > 0

    def test_of_a_run_that_does_not_fit(self, folder, capsys, monkeypatch):
        monkeypatch.setattr(f"{forecast.__module__}.available_bytes", lambda: 1)
        with pytest.raises(MemoryError):
            make_benchmark(folder, store=False).preallocate_memory(small_network({"V1": "conv"}))
        assert self.line(capsys.readouterr().out)["will_oom"] is True

    def test_when_it_is_skipped_nothing_is_read(self, folder, capsys, monkeypatch):
        monkeypatch.setenv("BRAINSCORE_SKIP_MEMORY_CHECK", "1")
        benchmark = make_benchmark(folder, store=False)
        assert memory.preallocate_memory(None, benchmark) is None  # Brain-Score's own
        theirs = self.line(capsys.readouterr().out)
        monkeypatch.setattr(benchmark, "resolve", None)
        assert benchmark.preallocate_memory(None) is None
        assert self.line(capsys.readouterr().out) == theirs

    def test_any_other_value_skips_nothing(self, folder, monkeypatch):
        monkeypatch.setenv("BRAINSCORE_SKIP_MEMORY_CHECK", "0")
        assert make_benchmark(folder, store=False).preallocate_memory(small_network({"V1": "conv"})) is not None
