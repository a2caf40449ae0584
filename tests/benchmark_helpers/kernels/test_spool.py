"""Features on disk: what an interrupted run left is taken up by the same model, as far as it is whole, and by no other."""

import json
import threading

import numpy as np
import pytest
from plugin_testing.models import FeatureModel, pixel_features
from plugin_testing.small_benchmark import N_IMAGES, make_benchmark, make_images

from brainscore_vision.benchmark_helpers.stimulus_kernels.engine import evaluate
from brainscore_vision.benchmark_helpers.stimulus_kernels.features import recording
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.probe import N_STIMULI, Probe
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.kernel import COLUMN_BLOCK
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.spool import FeatureSpool

N, WIDTH, BATCH = 12, COLUMN_BLOCK + 3, 3


@pytest.fixture
def features():
    rng = np.random.default_rng(11)
    return rng.standard_normal((N, WIDTH)).astype(np.float32)


def left_behind(path, features, n_batches) -> FeatureSpool:
    """A spool as a killed run leaves it."""
    spool = FeatureSpool(path, N, "layer", Probe.of(features[:N_STIMULI, :5]))
    for start in range(0, n_batches * BATCH, BATCH):
        spool.append(features[start : start + BATCH])
    spool.close()
    return spool


def resumed(path, features) -> FeatureSpool:
    spool = FeatureSpool(path, N, "layer", Probe.of(features[:N_STIMULI, :5]))
    spool.resume()
    return spool


def test_a_journal_that_is_cut_anywhere_is_taken_up_to_its_last_whole_line(tmp_path, features):
    path = tmp_path / "a.features"
    journal = left_behind(path, features, 3).journal
    whole = journal.read_bytes()
    ends = np.cumsum([len(line) for line in whole.splitlines(keepends=True)])
    for length in range(len(whole) + 1):
        journal.write_bytes(whole[:length])
        spool = resumed(path, features)
        # a line whose end mark alone is missing says all that it has to
        lines = int(np.sum(ends - 1 <= length))
        assert spool.n_written == max(0, lines - 1) * BATCH, length
        for start in range(spool.n_written, N, BATCH) if length % 97 == 0 else ():
            spool.append(features[start : start + BATCH])
            if start + BATCH == N:
                np.testing.assert_array_equal(spool.read_columns(0, COLUMN_BLOCK), features[:, :COLUMN_BLOCK])
                np.testing.assert_array_equal(spool.read_columns(COLUMN_BLOCK, WIDTH), features[:, COLUMN_BLOCK:])
        spool.close()
        left_behind(path, features, 3)


@pytest.mark.parametrize(
    "tail",
    [bytes(40), b"\xff\xfe\n", b"{}garbage\n", b'{"rows": 3, "checksum": 1}\n', b'{"rows": 99999999, "checksum": 1}\n'],
)
def test_a_journal_that_ends_in_nonsense_is_taken_up_before_it(tmp_path, features, tail):
    path = tmp_path / "a.features"
    journal = left_behind(path, features, 2).journal
    journal.write_bytes(journal.read_bytes() + tail)
    assert resumed(path, features).n_written == 2 * BATCH


@pytest.mark.parametrize("position", [0, 5 * BATCH * 4 * WIDTH // 10, N * COLUMN_BLOCK * 4 + 5])
def test_features_that_are_not_what_was_written_are_recorded_again(tmp_path, features, position):
    path = tmp_path / "a.features"
    left_behind(path, features, 3)
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    assert resumed(path, features).n_written < 3 * BATCH


@pytest.mark.parametrize("noise", [0.0, 1e-7, 1e-5, 1e-4])
@pytest.mark.parametrize("seed", range(20))
def test_the_same_model_always_takes_up_its_features(tmp_path, features, noise, seed):
    """Other threads and batch sizes give features that differ in their last digits."""
    rng = np.random.default_rng(seed)
    path = tmp_path / "a.features"
    left_behind(path, features, 3)
    again = features + noise * np.abs(features).max() * rng.standard_normal(features.shape)
    assert resumed(path, again).n_written == 3 * BATCH


@pytest.mark.parametrize("noise", [1e-2, 0.1, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_another_model_never_does(tmp_path, features, noise, seed, caplog):
    rng = np.random.default_rng(seed)
    path = tmp_path / "a.features"
    left_behind(path, features, 3)
    other = features + noise * np.abs(features).max() * rng.standard_normal(features.shape)
    spool = resumed(path, other)
    assert spool.n_written == 0
    assert "another model" in caplog.text
    for start in range(0, N, BATCH):
        spool.append(other[start : start + BATCH].astype(np.float32))
    np.testing.assert_array_equal(spool.read_columns(0, COLUMN_BLOCK), other[:, :COLUMN_BLOCK].astype(np.float32))


def test_a_width_that_changed_is_another_model(tmp_path, features):
    path = tmp_path / "a.features"
    left_behind(path, features, 3)
    spool = FeatureSpool(path, N, "layer", Probe.of(features[:N_STIMULI, :4]))
    spool.resume()
    spool.append(features[:, :4])
    np.testing.assert_array_equal(spool.read_columns(0, 4), features[:, :4])


def test_a_journal_without_a_fingerprint_is_not_taken_up(tmp_path, features):
    path = tmp_path / "a.features"
    journal = left_behind(path, features, 2).journal
    header, *batches = journal.read_text().splitlines()
    header = {key: value for key, value in json.loads(header).items() if key != "probe"}
    journal.write_text("\n".join([json.dumps(header), *batches]) + "\n")
    assert resumed(path, features).n_written == 0


@pytest.fixture
def scoring(tmp_path, monkeypatch):
    """A benchmark and a model that ends with an exception after some images: a state, and no setting of the model's."""
    monkeypatch.setattr(recording, "LOOK_AT_BLOCK", 4)
    folder = make_images(tmp_path / "images", N_IMAGES)
    seen, now = [], threading.local()

    def misbehave(values, ids):
        seen.extend(ids)
        if now.stop is not None and len(seen) > N_STIMULI + 16:
            raise now.stop
        return values * now.scale + now.noise * np.abs(values).max() * now.rng.standard_normal(values.shape), ids

    def model(scale=1.0, noise=0.0, stop=None):
        now.scale, now.noise, now.stop, now.rng = scale, noise, stop, np.random.default_rng(5)
        seen.clear()
        return FeatureModel(pixel_features, visual_degrees=8.0, misbehave=misbehave, identifier="m")

    return make_benchmark(folder), model, seen


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(1)])
@pytest.mark.parametrize("noise", [0.0, 1e-5, 1e-4])
def test_an_interrupted_run_goes_on_in_spite_of_small_noise(scoring, stop, noise):
    benchmark, model, seen = scoring
    with pytest.raises(type(stop)):
        benchmark(model(stop=stop))
    benchmark(model(noise=noise))
    assert len(seen) == N_IMAGES + N_STIMULI - 16


def test_a_lock_whose_holder_was_killed_at_its_end_is_removed_by_the_next_run(scoring, isolated_home):
    benchmark, model, _ = scoring
    with pytest.raises(KeyboardInterrupt):
        benchmark(model(stop=KeyboardInterrupt()))
    spool = isolated_home / "brain-score" / "stimulus_kernels" / "spool"
    (features,) = spool.iterdir()
    benchmark(model())
    assert not list(spool.iterdir())
    (spool / f".lock-{features.name}").touch()
    benchmark(model())
    assert not list(spool.iterdir())


def test_an_interrupted_run_of_another_model_is_not_taken_up(scoring):
    benchmark, model, seen = scoring
    with pytest.raises(KeyboardInterrupt):
        benchmark(model(stop=KeyboardInterrupt()))
    score = benchmark(model(scale=1.1))
    assert len(seen) == N_IMAGES + N_STIMULI
    assert score.item() == pytest.approx(benchmark(model(scale=1.1)).item(), abs=1e-12)


def test_results_that_nobody_wants_leave_no_features_behind(scoring, isolated_home):
    benchmark, model, _ = scoring
    results = evaluate(model(), benchmark.resolve().tasks, benchmark.options)
    next(results)
    spool = isolated_home / "brain-score" / "stimulus_kernels" / "spool"
    assert list(spool.rglob("*.features"))
    results.close()
    assert not list(spool.iterdir())


@pytest.mark.parametrize("stop", [GeneratorExit(), RuntimeError(), MemoryError()])
def test_nothing_else_leaves_features_behind(scoring, isolated_home, stop):
    benchmark, model, _ = scoring
    with pytest.raises(type(stop)):
        benchmark(model(stop=stop))
    assert not list((isolated_home / "brain-score" / "stimulus_kernels" / "spool").iterdir())
