"""Kernels on disk: the right one is found, damage is noticed, a model that changed is noticed, trouble leaves nothing."""

import errno
import functools
import io
import os
import shutil
from collections import namedtuple
from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from brainscore_vision.model_helpers.activations.pytorch import load_preprocess_images
from plugin_testing.models import FeatureModel, committed, pixel_features, small_network
from plugin_testing.notes import notes_of
from plugin_testing.small_benchmark import N_IMAGES, make_benchmark, make_images

from brainscore_vision.benchmark_helpers.stimulus_kernels import (
    MultiSubjectNeuralBenchmark,
    StimulusPart,
    kernel_from_features,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ModelOutputError, StorageError
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.probe import N_STIMULI, Probe, probe_rows
from brainscore_vision.benchmark_helpers.stimulus_kernels.files import replacing
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels import spool
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.making import ModelKernels
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.store import (
    WRITING,
    KernelStore,
    ModelIdentity,
    content_hashes,
    kernel_key,
)


def model(**options):
    return FeatureModel(pixel_features, visual_degrees=8.0, **{"identifier": "pixel model", **options})


@pytest.fixture
def folder(tmp_path):
    return make_images(tmp_path / "images", N_IMAGES)


@pytest.fixture
def stored(tmp_path):
    """A store with one kernel, and that kernel."""
    rng = np.random.default_rng(1)
    features = rng.standard_normal((37, 60)).astype(np.float32)
    kernel = kernel_from_features(features, [f"stimulus {i}" for i in range(37)])
    store = KernelStore(tmp_path / "kernels")
    description = {"model": "m", "label": "layer", "pool": "pool", "created": "2026-01-01T00:00:00+00:00"}
    store.save("key", kernel, Probe.of(features[:8]), description)
    return store, kernel, Probe.of(features[:8])


def assert_same(read, written):
    (kernel, probe), (expected, expected_probe) = read, written
    for name in ("gram", "row_mean", "row_dot_mean", "sketch", "stimulus_ids"):
        np.testing.assert_array_equal(getattr(kernel, name), getattr(expected, name))
    for name in ("mean_spread", "mean_norm", "n_features"):
        assert getattr(kernel, name) == getattr(expected, name)
    assert probe.difference(expected_probe) == 0


def test_what_is_read_is_what_was_written(stored):
    store, kernel, probe = stored
    assert_same(store.load("key"), (kernel, probe))
    (entry,) = store.entries()
    assert (entry.model, entry.n_stimuli, entry.n_features) == ("m", 37, 60)
    assert entry.n_bytes == store.path("key").stat().st_size


def test_what_killed_writers_left_is_swept_and_nothing_that_is_being_written(stored):
    store, kernel, probe = stored
    (store.directory / ".writing-abc").touch()
    with replacing(store.path("third"), WRITING) as scratch:
        store.sweep()
        assert sorted(store.directory.iterdir()) == sorted([scratch, store.path("key")])
    store.remove("third")
    store.save("other key", kernel, probe, {"model": "m", "label": "l", "pool": "p", "created": ""})
    assert sorted(path.name for path in store.directory.iterdir()) == ["key.kernel", "other key.kernel"]


def test_every_flipped_bit_is_noticed_or_does_nothing(stored):
    rng = np.random.default_rng(2)
    store, kernel, probe = stored
    content = store.path("key").read_bytes()
    noticed = 0
    for position in [*range(0, 4096, 5), *rng.integers(0, len(content), 400), len(content) - 1]:
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(rng.integers(8))
        store.path("key").write_bytes(damaged)
        list(store.entries())
        read = store.load("key")
        if read is None:
            noticed += 1
            assert [problem is not None for _, problem in store.verify()] == [True], position
        else:  # HDF5 leaves gaps between its tables
            assert_same(read, (kernel, probe))
    assert noticed > 600


@pytest.mark.parametrize("name", ["gram", "row_mean", "probe_sample", "stimulus_ids"])
def test_zeroed_blocks_are_noticed(stored, name):
    """As after a power cut; HDF5's own checksum takes them for whole."""
    store, _, _ = stored
    with h5py.File(store.path("key")) as file:
        start, size = file[name].id.get_offset(), file[name].id.get_storage_size()
    content = bytearray(store.path("key").read_bytes())
    content[start : start + size] = bytes(size)
    store.path("key").write_bytes(content)
    assert store.load("key") is None


@pytest.mark.parametrize("kept", [0, 1, 20, 300, 0.5, -1])
def test_a_truncated_file_is_noticed(stored, kept):
    store, _, _ = stored
    content = store.path("key").read_bytes()
    store.path("key").write_bytes(content[: int(len(content) * kept) if isinstance(kept, float) else kept])
    assert store.load("key") is None


def test_appended_bytes_change_nothing(stored):
    store, kernel, probe = stored
    with open(store.path("key"), "ab") as file:
        file.write(b"more")
    assert_same(store.load("key"), (kernel, probe))


def test_a_kernel_can_be_read_by_other_programs(stored):
    store, kernel, _ = stored
    with h5py.File(store.path("key")) as file:
        assert (file.attrs["model"], file.attrs["label"], file.attrs["n_features"]) == ("m", "layer", 60)
        assert file["stimulus_ids"].asstr()[3] == "stimulus 3"
        np.testing.assert_array_equal(file["gram"], kernel.gram[np.triu_indices(37)])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"stimulus-kernel-1\n" + bytes(300), "was written by an earlier version"),
        (b"", "is no whole kernel file"),
        (b"some other file", "is no whole kernel file"),
    ],
)
def test_files_of_other_kinds_are_made_again_with_a_reason(stored, caplog, content, said):
    store, kernel, probe = stored
    store.path("key").write_bytes(content)
    assert store.load("key") is None
    assert said in caplog.text
    assert "It is computed again" in caplog.text
    assert [said in problem for problem in store.entries()] == [True]
    assert [said in problem for _, problem in store.verify()] == [True]
    store.save("key", kernel, probe, {"model": "m", "label": "layer", "pool": "pool", "created": ""})
    assert_same(store.load("key"), (kernel, probe))


def test_ids_of_any_alphabet_and_length(tmp_path):
    rng = np.random.default_rng(8)
    names = ["bär.jpg", "熊.png", "a" * 300, "a b"]
    features = rng.standard_normal((4, 5))
    kernel, store = kernel_from_features(features, names), KernelStore(tmp_path)
    store.save("key", kernel, Probe.of(features), {"model": "ü", "label": "l" * 100_000, "pool": "p", "created": ""})
    assert store.load("key")[0].stimulus_ids.tolist() == names
    assert [entry.label for entry in store.entries()] == ["l" * 100_000]


def test_a_key_changes_with_everything_that_changes_a_kernel(folder):
    pool = next(iter(make_benchmark(folder).resolve().tasks)).pool
    identity = ModelIdentity("m", "1", 8.0)

    def key(identity, label, pool):
        return kernel_key(identity, label, pool, content_hashes(identity, pool, pool.stimulus_ids))

    keys = [key(identity, "layer", pool)]
    for other in (
        replace(identity, identifier="n"),
        replace(identity, revision="2"),
        replace(identity, visual_degrees=9),
    ):
        keys.append(key(other, "layer", pool))
    keys.append(key(identity, "other layer", pool))
    keys.append(key(identity, "layer", replace(pool, visual_degrees=9.2)))
    keys.append(key(identity, "layer", replace(pool, parts=pool.parts[:1])))
    swapped = StimulusPart("swapped", pool.parts[0].stimulus_ids[::-1])
    keys.append(key(identity, "layer", replace(pool, parts=(swapped, *pool.parts[1:]))))
    (folder / "image 3.png").write_bytes((folder / "image 4.png").read_bytes())
    keys.append(key(identity, "layer", pool))
    assert len(set(keys)) == len(keys)
    (folder / "image 3.png").write_bytes((folder / "image 5.png").read_bytes())
    assert key(identity, "layer", replace(pool, name="renamed")) not in keys  # contents count, names do not
    (folder / "image 3.png").write_bytes((folder / "image 4.png").read_bytes())
    assert key(identity, "layer", replace(pool, name="renamed")) == keys[-1]


def test_a_kernel_is_one_of_the_images_that_were_shown(folder, monkeypatch):
    """Of which one has changed since the run looked for kernels."""
    record = ModelKernels._record

    def change_first(self, *arguments):
        (folder / "image 3.png").write_bytes((folder / "image 4.png").read_bytes())
        record(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(ModelKernels, "_record", change_first)
        changed = make_benchmark(folder)(model()).item()
    seen = model()
    assert make_benchmark(folder)(seen).item() == changed
    assert len(seen.shown) == N_STIMULI


def test_a_second_score_shows_the_model_a_handful_of_images(folder):
    first, second = model(), model()
    score = make_benchmark(folder)(first)
    assert len(first.shown) == N_IMAGES + N_STIMULI
    assert make_benchmark(folder)(second).item() == score.item()
    assert len(second.shown) == N_STIMULI
    assert make_benchmark(folder, store=False)(model()).item() == pytest.approx(score.item(), abs=1e-12)


def test_damaged_kernels_are_made_again(folder, isolated_home, caplog):
    score = make_benchmark(folder)(model())
    for path in (isolated_home / "brain-score" / "stimulus_kernels" / "kernels").glob("*.kernel"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    again = model()
    assert make_benchmark(folder)(again).item() == score.item()
    assert len(again.shown) == N_IMAGES + N_STIMULI
    assert caplog.text.count("It is computed again") == 2


def test_a_model_that_changed_under_its_name_is_noticed(folder, caplog):
    make_benchmark(folder)(model())

    def changed(values, ids):
        return values[:, ::-1] * np.linspace(1, 2, values.shape[1]), ids

    with pytest.raises(ModelOutputError, match=r"two networks under one name.*torch\.manual_seed"):
        make_benchmark(folder, changed_models="refuse")(model(misbehave=changed))
    assert caplog.text == ""  # the stored kernels are still those of the first
    score = make_benchmark(folder)(model(misbehave=changed))
    assert caplog.text.count("the network under this name has changed") == 1
    (note,) = notes_of(score)
    assert "has changed" in note
    assert note in caplog.text
    again = make_benchmark(folder, changed_models="refuse")(model(misbehave=changed))
    assert again.attrs["notes"] == score.attrs["notes"]  # kept with the kernels
    assert again.attrs["features_digest"] == score.attrs["features_digest"]
    expected = make_benchmark(folder, store=False)(model(misbehave=changed))
    assert score.item() == pytest.approx(expected.item(), abs=1e-12)
    assert score.item() != make_benchmark(folder, store=False)(model()).item()


def in_parts_of(benchmark, size):
    """The same benchmark, with pools whose first part has so many stimuli."""

    def tasks():
        for task in benchmark.resolve().tasks:
            ids = task.pool.stimulus_ids
            parts = StimulusPart("first", ids[:size]), StimulusPart("others", ids[size:])
            yield replace(task, pool=replace(task.pool, parts=parts))

    return MultiSubjectNeuralBenchmark(benchmark.info, tasks, options=benchmark.options)


def test_a_pool_in_other_parts_is_of_the_same_model(folder, caplog):
    """The stimuli that fingerprints are of are those of a pool's first part."""
    cell = functools.partial(make_benchmark, folder, changed_models="refuse")
    score = cell()(model())
    for size in (5, 27, 5):
        again = model()
        other = in_parts_of(cell(), size)(again)
        assert other.item() == score.item()
        assert other.attrs["features_digest"] == score.attrs["features_digest"]
        assert len(again.shown) < N_IMAGES
    assert caplog.text == ""
    with pytest.raises(ModelOutputError, match="two networks under one name"):
        in_parts_of(cell(), 5)(model(misbehave=lambda values, ids: (values[:, ::-1], ids)))


def massive(seed=0, zeroed=0):
    """A layer of 400 units beside one constant that is 10,000 times as large; of the units, the last can be silent."""
    model = small_network({"V1": "head"}, identifier="massive")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.activations_model._model.head = head = torch.nn.Linear(96, 401)
    with torch.no_grad():
        head.bias[0] = 1e4
        head.weight[401 - zeroed :] = 0
    return model


@pytest.mark.parametrize("change", [{"seed": 1}, {"zeroed": 1}], ids=["other weights", "one silent unit"])
def test_weights_that_changed_are_noticed_where_features_hide_it(folder, change):
    cell = functools.partial(make_benchmark, folder)
    before = cell()(massive())
    score = cell()(massive(**change))
    assert score.item() == cell(store=False)(massive(**change)).item() != before.item()
    (note,) = (note for note in score.attrs["notes"] if "the network under this name has changed" in note)
    digests = before.attrs["network_digest"], score.attrs["network_digest"]
    assert f"(network {digests[0]} then, {digests[1]} now)" in note
    with pytest.raises(ModelOutputError, match="two networks under one name"):
        cell(changed_models="refuse")(massive())


SOURCE = """
from brainscore_vision.model_helpers.activations.pytorch import load_preprocess_images

SCALE = 1
count = 0
seen = []

def scaled(values):
    return values * SCALE

def preprocess(paths, image_size, known=[]):
    global count
    count += len(paths)
    for noted in (known, seen):
        noted.extend(paths)
    pixels = load_preprocess_images(paths, image_size=image_size)
    return [scaled(image) if str(path).endswith(".tif") else image for path, image in zip(paths, pixels)]
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [(".tif", ".gif"), ("* SCALE", "+ SCALE"), ("SCALE = 1", "SCALE = 2")],
    ids=["own", "named", "constant"],
)
def test_preprocessing_that_changed_for_images_of_one_kind_is_noticed(folder, tmp_path, old, new):
    """The images that the features are compared for do not show it."""

    def network(source, size=32):
        file = tmp_path / f"{len(list(tmp_path.iterdir()))}.py"  # Python keeps the text of each file that it has read
        file.write_text(source)
        names = {"__name__": "own"}
        exec(compile(source, file, "exec"), names)
        one = small_network({"V1": "conv"}, identifier="prepared")
        one.activations_model._extractor.preprocess = functools.partial(names["preprocess"], image_size=size)
        return one

    def noticed(score):
        return any(
            "(what prepares its images, or an array that it holds, has changed)" in note
            for note in score.attrs.get("notes", ())
        )

    assert not noticed(make_benchmark(folder)(network(SOURCE)))
    assert not noticed(make_benchmark(folder, changed_models="refuse")(network(SOURCE)))
    changed = SOURCE.replace(old, new)
    assert noticed(make_benchmark(folder)(network(changed)))
    with pytest.raises(ModelOutputError, match="what prepares its images.* has changed"):
        make_benchmark(folder, changed_models="refuse")(network(changed, size=36))


NETWORK_SOURCE = """
import torch

class Net(torch.nn.Module):
    def __init__(self, least):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 6, 5, stride=2, padding=2)
        self.after, self.least = torch.nn.Identity(), least
        self.n_batches, self.size, self.last = 0, None, None

    def forward(self, images):
        self.n_batches, self.last = self.n_batches + 1, images
        self.size = tuple(images.shape[1:])
        features = self.conv(images)
        few = images.mean(dim=(1, 2, 3), keepdim=True) > self.least
        return self.after(torch.where(few, FACTOR * features, features))

FACTOR = 5
"""


def edited_network(tmp_path, source, least):
    """A network of a file that has just been written; images brighter than ``least`` are treated otherwise."""
    file = tmp_path / f"{len(list(tmp_path.iterdir()))}.py"  # Python keeps the text of each file that it has read
    file.write_text(source)
    names = {"__name__": "own"}
    exec(compile(source, file, "exec"), names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = names["Net"](least)
    return committed(net, {"V1": "after"}, identifier="edited")


@pytest.mark.parametrize(
    ("old", "new", "brighter"),
    [("FACTOR *", "FACTOR +", 0.0), ("FACTOR = 5", "FACTOR = 7", 0.0), ("", "", 9.0)],
    ids=["forward", "a constant that it names", "a setting"],
)
def test_code_that_changed_for_few_images_is_noticed(folder, tmp_path, caplog, old, new, brighter):
    """The images that the features are compared for do not show it."""
    cell = functools.partial(make_benchmark, folder)
    (part,) = {task.pool.parts[0] for task in cell().resolve().tasks}
    compared = [folder / f"{part.stimulus_ids[row]}.png" for row in probe_rows(part)]
    brightest = load_preprocess_images(compared, image_size=32).mean(axis=(1, 2, 3)).max() + 1e-3
    before = cell()(edited_network(tmp_path, NETWORK_SOURCE, brightest))
    changed = functools.partial(edited_network, tmp_path, NETWORK_SOURCE.replace(old, new), brightest + brighter)
    expected = cell(store=False)(changed()).item()
    assert abs(expected - before.item()) > 1e-4
    score = cell(changed_models="refuse")(changed())
    assert score.item() == pytest.approx(expected, abs=1e-12)
    assert "Code or settings of edited are not those that its kernel of after was made by" in caplog.text
    assert not [note for note in score.attrs.get("notes", ()) if "made again" in note]


def test_the_precision_that_a_context_sets_counts(folder):
    """Half precision hides in what rounding explains: whoever scores without it gets all digits."""

    def network():
        torch.manual_seed(8)
        layers = torch.nn.Conv2d(3, 4, 5), torch.nn.ReLU(), torch.nn.Conv2d(4, 4, 5)
        return committed(torch.nn.Sequential(*layers).eval(), {"V1": "2"}, image_size=16)

    exact = make_benchmark(folder, store=False)(network()).item()
    for _ in range(2):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = make_benchmark(folder)(network()).item()
        assert rough != pytest.approx(exact, abs=1e-7)
        assert make_benchmark(folder)(network()).item() == pytest.approx(exact, abs=1e-9)


def test_what_a_network_keeps_of_what_it_has_seen_is_no_change_of_it(folder, tmp_path, caplog):
    first = edited_network(tmp_path, NETWORK_SOURCE, 0.1)
    make_benchmark(folder)(first)
    make_benchmark(folder, changed_models="refuse")(first)
    fresh = edited_network(tmp_path, NETWORK_SOURCE, 0.1)
    make_benchmark(folder, changed_models="refuse")(fresh)
    assert "made again" not in caplog.text


def test_random_features_are_refused_or_not_kept(folder, isolated_home, caplog):
    rng = np.random.default_rng(3)

    def noisy(values, ids):
        return values + rng.standard_normal(values.shape) * 30, ids

    with pytest.raises(ModelOutputError, match="differ between two passes.*--accept-random-features"):
        make_benchmark(folder)(model(misbehave=noisy))
    score = make_benchmark(folder, random_features="accept")(model(misbehave=noisy))
    assert np.isfinite(score.item())
    (note,) = (note for note in score.attrs["notes"] if "its kernels are not kept" in note)
    assert note in caplog.text
    engine = isolated_home / "brain-score" / "stimulus_kernels"
    assert not list((engine / "kernels").glob("*.kernel"))
    assert not list((engine / "spool").iterdir())


class ByBatch(torch.nn.Module):
    """As dynamically quantised layers do: steps of a size that the batch decides."""

    def forward(self, images):
        step = images.abs().amax() / 3
        return torch.round(images / step) * step


def test_answers_that_depend_on_the_batch_are_refused_and_can_be_had_one_by_one(folder):
    network = torch.nn.Sequential(torch.nn.AvgPool2d(8), ByBatch())
    with pytest.raises(ModelOutputError, match=r"differ between two passes.*one by one \(batch_size=1\)"):
        make_benchmark(folder)(committed(network, {"V1": "1"}, identifier="by batch"))
    score = make_benchmark(folder)(committed(network, {"V1": "1"}, identifier="by batch", batch_size=1))
    images = load_preprocess_images([folder / f"image {i}.png" for i in range(N_IMAGES)], image_size=32)
    with torch.no_grad():
        rows = [network(torch.from_numpy(image[None])).numpy().ravel() for image in images]
    table = FeatureModel({f"image {i}": row for i, row in enumerate(rows)}, visual_degrees=8.0, identifier="table")
    assert score.item() == pytest.approx(make_benchmark(folder)(table).item(), abs=1e-9)


def test_small_numerical_differences_are_no_other_model():
    rng = np.random.default_rng(4)
    features = rng.standard_normal((8, 4000))
    probe = Probe.of(features)
    assert probe.agrees(Probe.of(features * (1 + 1e-6 * rng.standard_normal(features.shape))))
    assert not probe.agrees(Probe.of(features * (1 + 0.05 * rng.standard_normal(features.shape))))
    assert not probe.agrees(Probe.of(features[:, :-1]))
    assert not probe.agrees(Probe.of(np.zeros_like(features)))


@pytest.mark.parametrize("option", ["store_directory", "spool_directory"])
def test_a_folder_that_cannot_be_written_is_said_before_the_work(folder, tmp_path, option):
    blocked = tmp_path / "a file"
    blocked.write_text("not a folder")
    candidate = model()
    with pytest.raises(StorageError, match="cannot be written.*Choose another folder"):
        make_benchmark(folder, **{option: blocked / "inside"})(candidate)
    assert len(candidate.shown) <= N_STIMULI


def test_a_full_disk_is_said_before_the_work(folder, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1000, 999, 1))
    candidate = model()
    with pytest.raises(StorageError, match=r"need [\d,]+ bytes in .*where 1 are free"):
        make_benchmark(folder)(candidate)
    assert not candidate.shown
    with pytest.raises(StorageError, match=r"features of V1 .*need [\d,]+ bytes.*where 1 are free.*--spool-directory"):
        make_benchmark(folder, store=False)(candidate)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("call", ["write", "posix_fallocate", "fsync"])
def test_a_disk_that_fills_up_leaves_nothing_behind(folder, monkeypatch, isolated_home, caplog, call, number):
    def full(*args):
        raise OSError(number, os.strerror(number))

    class FullFile(io.FileIO):
        write = full

    if call == "write":
        monkeypatch.setattr(spool, "io", SimpleNamespace(FileIO=FullFile))
    else:
        monkeypatch.setattr(os, call, full, raising=False)
    if call == "fsync":  # when the kernel is written: the score is there
        assert make_benchmark(folder)(model()).item() == pytest.approx(
            make_benchmark(folder, store=False)(model()).item()
        )
        assert "is not kept (" in caplog.text
        assert "Choose another folder (--store-directory)" in caplog.text
    else:
        with pytest.raises(StorageError, match=r"need [\d,]+ bytes"):
            make_benchmark(folder)(model())
    engine = isolated_home / "brain-score" / "stimulus_kernels"
    left = [path for path in engine.rglob("*") if path.is_file()]
    assert [path for path in left if "screen" not in path.parts] == []


def test_an_error_in_the_middle_leaves_no_features(folder, isolated_home):
    def failing(values, ids):
        if "image 30" in ids:
            raise RuntimeError("the model broke")
        return values, ids

    with pytest.raises(RuntimeError, match="the model broke"):
        make_benchmark(folder)(model(misbehave=failing))
    assert not list((isolated_home / "brain-score" / "stimulus_kernels" / "spool").iterdir())
