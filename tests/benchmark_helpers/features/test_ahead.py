"""Images prepared ahead: the same bits and errors as the wrapper's own way, which is kept where anybody could tell."""

import cProfile
import functools
import itertools
import random
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.model_helpers.activations.pytorch import load_images, load_preprocess_images
from PIL import Image
from plugin_testing.layer_networks import Own, conv, record
from plugin_testing.models import committed
from torchvision import transforms
from torchvision.transforms import v2

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ModelOutputError
from brainscore_vision.benchmark_helpers.stimulus_kernels.features import ahead, recording
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.ahead import Ahead
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.preprocessing import noticing_changes
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.recording import CommitmentRecorder
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.shown import ShownImages
from brainscore_vision.benchmarks.laion_fmri_7t import as_brain_model

N = 43
SIZE = 24
prepared = functools.partial(load_preprocess_images, image_size=SIZE)


@pytest.fixture(scope="module")
def stimuli(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    pixels = np.random.default_rng(5).integers(0, 256, (N, 6, 6, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        Image.fromarray(image).resize((40, 40)).save(folder / f"{i:02d}.jpg")
    return of_paths(sorted(map(str, folder.iterdir())))


def of_paths(paths) -> StimulusSet:
    stimuli = StimulusSet({"stimulus_id": [f"s{i}" for i in range(len(paths))]})
    stimuli.stimulus_paths = {f"s{i}": path for i, path in enumerate(paths)}
    stimuli.identifier = None
    return stimuli


def paths_of(stimuli) -> list[str]:
    return [stimuli.get_stimulus(name) for name in stimuli["stimulus_id"]]


def model_of(preprocessing, batch_size=7, forward=None):
    network = Own(forward or (lambda self, x: self.conv(x)), conv=conv).eval()
    model = committed(network, {"V1": "conv"}, batch_size=batch_size)
    model.activations_model._extractor.preprocess = preprocessing
    return model


def recorder_of(preprocessing, said=None, **options) -> CommitmentRecorder:
    recorder = CommitmentRecorder(model_of(preprocessing, **options), ["V1"])
    recorder._reader.images._say = print if said is None else said.append
    return recorder


def features(preprocessing, stimuli, said=None, **options):
    recorder = recorder_of(preprocessing, said, **options)
    return record(recorder, stimuli)[0]["V1"], recorder._reader.images.one_by_one


@pytest.fixture
def in_turn(monkeypatch):
    """Features as they are without any thread."""

    def features_in_turn(preprocessing, stimuli, **options):
        with monkeypatch.context() as patch:
            patch.setattr(ShownImages, "_compare", lambda *_: None)
            return features(preprocessing, stimuli, **options)[0]

    return features_in_turn


def by_function(paths):
    """From files to tensors, one by one, with Pillow alone."""
    images = []
    for path in paths:
        with Image.open(path) as image:
            images.append(torch.from_numpy(np.array(image.convert("RGB").resize((SIZE, SIZE)), np.float32) / 255))
    return torch.stack(images).permute(0, 3, 1, 2)


def of_transform(transform):
    return lambda paths: torch.stack([transform(image) for image in load_images(paths)])


class Scale:
    def __init__(self, factor):
        self.factor = factor


def with_objects_of_its_own(paths):
    """Items and attributes of what nobody else has."""
    images, named = prepared(paths), {}
    named["scale"] = Scale(2)
    images[:, 0] *= named["scale"].factor
    return images


lock = threading.Lock()
slot: dict = {}


def one_at_a_time(paths):
    with lock:
        slot["locked"] = prepared(paths)
        return slot.pop("locked")


SAFE = {
    "a lock": one_at_a_time,
    "objects of its own": with_objects_of_its_own,
    "Brain-Score's": prepared,
    "Pillow": by_function,
    "torchvision": of_transform(
        transforms.Compose([transforms.Resize(30), transforms.CenterCrop(SIZE), transforms.ToTensor()])
    ),
    "torchvision v2": of_transform(
        v2.Compose([v2.PILToTensor(), v2.Resize((SIZE, SIZE), antialias=True), v2.ToDtype(torch.float32, scale=True)])
    ),
    "a weight's": of_transform(torchvision.models.AlexNet_Weights.DEFAULT.transforms(crop_size=SIZE, resize_size=28)),
    "a list of arrays": lambda paths: list(prepared(paths)),
    "a mapping": lambda paths: {"pixel_values": prepared(paths)},
    "float64": lambda paths: prepared(paths).astype(np.float64),
    "read-only": lambda paths: np.broadcast_to(prepared(paths), (len(paths), 3, SIZE, SIZE)),
}


@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("preprocessing", SAFE.values(), ids=SAFE)
def test_features_are_the_same_to_the_last_bit(preprocessing, batch_size, stimuli, in_turn):
    found, one_by_one = features(preprocessing, stimuli, batch_size=batch_size)
    assert one_by_one is (True if batch_size > 1 else None)
    expected = in_turn(preprocessing, stimuli, batch_size=batch_size)
    assert found.dtype == expected.dtype
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("on", [lambda: cProfile.Profile(), lambda: torch.profiler.profile(with_stack=True)])
def test_a_profiler_may_watch(on, stimuli):
    with on():
        found, one_by_one = features(of_a_users_own, stimuli)
    assert one_by_one is True
    np.testing.assert_array_equal(found, features(of_a_users_own, stimuli)[0])


def of_a_users_own(paths):
    return prepared(paths) * 2


def test_networks_made_here_prepare_ahead(stimuli):
    network = Own(lambda self, x: self.conv(x), conv=conv).eval()
    for options in ({}, {"preprocessing": transforms.Compose([transforms.Resize(SIZE), transforms.ToTensor()])}):
        recorder = CommitmentRecorder(as_brain_model(network, layers={"V1": "conv"}, **options), ["V1"])
        record(recorder, stimuli)
        assert recorder._reader.images.one_by_one is True


# Where anybody could tell


class Counting:
    def __init__(self):
        self.shown = 0

    def __call__(self, paths):
        self.shown += len(paths)
        return prepared(paths)


def of_batch(paths):
    images = prepared(paths)
    return images - images.mean(axis=0)


def of_position(paths):
    return prepared(paths) * np.arange(1, len(paths) + 1, dtype=np.float32)[:, None, None, None]


def at_random(paths):
    return prepared(paths) + np.float32(torch.rand(1).item() * 1e-9)  # nothing that a float32 shows


def seeded_at_random(paths):
    torch.manual_seed(0)
    return prepared(paths) * torch.rand(len(paths), 1, 1, 1).numpy()


last = None


def through_one_place(paths):
    images = []
    for path in paths:
        slot["path"] = path
        time.sleep(2e-3)
        images.append(prepared([slot["path"]])[0])
    slot.clear()
    return images


def through_a_global(paths):
    global last
    last = paths
    return prepared(last)


def through_a_buffer():
    buffer = np.zeros((64, 3, SIZE, SIZE), np.float32)

    def prepare(paths):
        buffer[: len(paths)] = prepared(paths)
        return buffer[: len(paths)]

    return prepare


class Privately:
    """Other images from the hundredth on, counted in an attribute that is not public."""

    def __init__(self):
        self._shown = 0

    def __call__(self, paths):
        self._shown += len(paths)
        return prepared(paths) * (2 if self._shown > 100 else 1)


def drawing(draw):
    return lambda paths: np.stack([image * (2 if draw() > 1 - 1e-9 else 1) for image in prepared(paths)])


def drawn(generator):
    return torch.rand(1, generator=generator).item()


def counting(counter):
    return lambda paths: np.stack([image * (2 if next(counter) > 100 else 1) for image in prepared(paths)])


def seeding(seed, draw):
    """As if it never drew lots: the same numbers for each image."""

    def prepare(paths):
        images = []
        for image in prepared(paths):
            seed(0)
            time.sleep(2e-4)
            images.append(image * (1 + 1e-3 * draw()))
        return np.stack(images).astype(np.float32)

    return prepare


def own_seeds(kind):
    if kind is np.random.Generator:
        own = np.random.default_rng(1)
        start = own.bit_generator.state
        return seeding(lambda _: setattr(own.bit_generator, "state", start), own.random)
    own = kind()
    if kind is random.Random:
        return seeding(own.seed, own.random)
    if kind is torch.Generator:
        return seeding(own.manual_seed, functools.partial(drawn, own))
    return seeding(own.seed, own.random_sample)


def forking(paths):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return prepared(paths) * (1 + torch.rand(1).numpy())


def putting_back(paths):
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    lots = np.random.random_sample()  # noqa: NPY002
    np.random.set_state(state)  # noqa: NPY002
    return prepared(paths) * np.float32(1 + lots)


class Clearing:
    """What it keeps of an image is gone when it is done."""

    mean = None

    def __call__(self, paths):
        images = prepared(paths)
        self.mean = images.mean(axis=(1, 2, 3), keepdims=True)
        images = images - self.mean
        self.mean = None
        return images


def through_an_item(paths):
    slot["images"] = prepared(paths)
    return slot.pop("images")


def through_a_buffer_that_is_copied():
    buffer = torch.zeros(3, SIZE, SIZE)

    def prepare(paths):
        images = []
        for path in paths:
            buffer.copy_(torch.from_numpy(prepared([path])[0]))
            buffer.mul_(2)
            images.append(buffer.clone())
        buffer.zero_()
        return torch.stack(images)

    return prepare


def through_an_output():
    buffer = np.zeros((3, SIZE, SIZE), np.float32)

    def prepare(paths):
        images = []
        for path in paths:
            np.multiply(prepared([path])[0], 2, out=buffer)
            images.append(buffer.copy())
        buffer.fill(0)
        return np.stack(images)

    return prepare


def through_a_list(paths):
    images = []
    for path in paths:
        items.clear()
        items.append(prepared([path])[0])
        images.append(items[0] - 1)
    items.clear()
    return np.stack(images)


class Hooked:
    """A frozen network in front, whose layer a hook puts into a list."""

    def __init__(self):
        torch.manual_seed(0)
        self.front = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3, padding=1), torch.nn.ReLU())
        self.taken = []
        self.front[0].register_forward_hook(lambda module, inputs, output: self.taken.append(output))

    def __call__(self, paths):
        with torch.no_grad():
            self.front(torch.from_numpy(prepared(paths)))
        return self.taken.pop()


def by_name(paths):
    slot.update(images=prepared(paths))
    slot.update(mean=slot["images"].mean())
    images = slot["images"] - slot["mean"]
    slot.clear()
    return images


items: list = []
AS_BEFORE = {
    "a buffer": through_a_buffer_that_is_copied,
    "an output": through_an_output,
    "a list": lambda: through_a_list,
    "a hook's list": Hooked,
    "names": lambda: by_name,
    "torch's, put back": lambda: forking,
    "numpy's older, put back": lambda: putting_back,
    "an attribute, taken away": Clearing,
    "an item, taken away": lambda: through_an_item,
    "torch's": lambda: seeding(torch.manual_seed, lambda: torch.rand(1).item()),
    "numpy's older": lambda: seeding(np.random.seed, np.random.random_sample),
    "Python's": lambda: seeding(random.seed, random.random),
    "an own one of torch": lambda: own_seeds(torch.Generator),
    "an own older one of numpy": lambda: own_seeds(np.random.RandomState),
    "an own one of numpy": lambda: own_seeds(np.random.Generator),
    "an own one of Python": lambda: own_seeds(random.Random),
}


def in_the_main_thread(paths):
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("not here")
    return prepared(paths)


TELLING = {
    "counts": Counting,
    "batch": lambda: of_batch,
    "position": lambda: of_position,
    "random": lambda: at_random,
    "seeded": lambda: seeded_at_random,
    "transform": lambda: of_transform(v2.Compose([v2.RandomHorizontalFlip(0.01), v2.ToTensor(), v2.Resize(SIZE)])),
    "one place": lambda: through_one_place,
    "global": lambda: through_a_global,
    "buffer": through_a_buffer,
    "thread": lambda: in_the_main_thread,
    "private count": Privately,
    "numpy's generator": lambda: drawing(np.random.default_rng(0).random),
    "numpy's older generator": lambda: drawing(np.random.RandomState(0).random_sample),
    "Python's generator": lambda: drawing(random.Random(0).random),
    "torch's generator": lambda: drawing(functools.partial(drawn, torch.Generator().manual_seed(0))),
    "counter": lambda: counting(itertools.count()),
    "the system's generator": lambda: drawing(random.SystemRandom().random),
}


@pytest.mark.filterwarnings("ignore:The transform `ToTensor")
@pytest.mark.parametrize("make", TELLING.values(), ids=TELLING)
def test_other_preprocessings_stay_in_turn_and_say_so_once(make, stimuli, in_turn):
    torch.manual_seed(3)
    said = []
    found, one_by_one = features(make(), stimuli, said)
    assert one_by_one is False
    assert len(said) == 1
    assert "one processor prepares them, batch by batch, which is slower" in said[0]
    if make not in (TELLING["random"], TELLING["transform"]):
        np.testing.assert_array_equal(found, in_turn(make(), stimuli))


@pytest.mark.parametrize("make", AS_BEFORE.values(), ids=AS_BEFORE)
def test_what_each_image_leaves_as_it_was_is_no_threads_own(make, stimuli, in_turn, monkeypatch):
    """Each image is the same each time, one after the other; threads would use one generator, or one place, in turns."""
    monkeypatch.setattr(Ahead, "take", in_this_thread)  # a race that goes well by chance
    prepare = make()
    prepare(paths_of(stimuli)[:1])  # a pass before: the generator stands where the last image left it
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
    said = []
    recorder = recorder_of(prepare, said)
    recorder._reader.images._compare = spied = Spied(recorder._reader.images._compare)
    found = record(recorder, stimuli)[0]["V1"]
    assert recorder._reader.images.one_by_one is False
    assert len(said) == 1
    assert spied.n_calls == 1
    np.testing.assert_array_equal(found, in_turn(make(), stimuli))
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
    assert after == before


class Spied:
    def __init__(self, function):
        self.function, self.n_calls = function, 0

    def __call__(self, *arguments):
        self.n_calls += 1
        return self.function(*arguments)


def in_this_thread(self, paths, go_on=True):
    return [torch.as_tensor(self._prepare([path])[0]) for path in paths]


def test_no_thread_prepares_any_more_when_images_are_prepared_in_turn(stimuli):
    """One image fails in a thread while others are still being prepared there: they may use what the next batch uses."""
    paths, running, beside = paths_of(stimuli), set(), []

    def prepare(asked):
        if threading.current_thread() is threading.main_thread():
            beside.append(len(running))
            return prepared(asked)
        if asked == paths[:1]:
            raise RuntimeError("not here")
        running.add(asked[0])
        time.sleep(0.05)
        running.remove(asked[0])
        return prepared(asked)

    _, one_by_one = features(prepare, stimuli, [])
    assert one_by_one is False
    assert beside == [0] * 7


DRAWING = {name: make for name, make in TELLING.items() if name in ("random", "transform") or "generator" in name}


@pytest.mark.filterwarnings("ignore:The transform `ToTensor")
@pytest.mark.parametrize("make", [*TELLING.values(), *AS_BEFORE.values()], ids=[*TELLING, *AS_BEFORE])
def test_scores_say_who_draws_lots_for_an_image(make, stimuli):
    """Of an augmentation that hardly ever does anything, a few images show nothing."""
    torch.manual_seed(3)
    _, notes = record(recorder_of(make(), []), stimuli)
    lots = [note for note in notes["V1"] if "draws random numbers: where they decide something" in note]
    assert len(lots) == (make in DRAWING.values())
    _, notes = record(recorder_of(make(), [], batch_size=1), of_paths(paths_of(stimuli)[:3]))
    assert len([note for note in notes["V1"] if note in lots]) == len(lots)


@pytest.fixture
def others_draw():
    """Another thread draws from Python's generator all the time, as those of a scheduler do every few milliseconds."""
    done = threading.Event()

    def draw():
        while not done.wait(0.0005):
            random.random()

    thread = threading.Thread(target=draw)
    thread.start()
    yield
    done.set()
    thread.join()


@pytest.mark.usefixtures("others_draw")
@pytest.mark.parametrize("batch_size", [1, 7])
def test_another_thread_may_draw_lots_meanwhile(stimuli, in_turn, batch_size):
    said = []
    recorder = recorder_of(prepared, said, batch_size=batch_size)
    found, notes = record(recorder, stimuli)
    assert (recorder._reader.images.one_by_one, said, notes["V1"]) == (True if batch_size > 1 else None, [], [])
    np.testing.assert_array_equal(found["V1"], in_turn(prepared, stimuli, batch_size=batch_size))
    # and a preprocessing that draws, hardly ever with an effect, is found beside it
    few = functools.partial(random.gauss, 0, 1e-9)  # keeps every second number for the next time
    for draw in (random.random, functools.partial(random.randint, 0, 0), few):
        _, notes = record(recorder_of(drawing(draw), said, batch_size=batch_size), stimuli)
        assert [note for note in notes["V1"] if "draws random numbers: where they decide something" in note]


def test_what_draws_lots_is_found_in_a_profiler(stimuli):
    """Which sees calls in place of ours."""
    said = []
    with cProfile.Profile():
        _, notes = record(recorder_of(prepared, said), stimuli)
        assert notes["V1"] == []
        _, notes = record(recorder_of(drawing(random.random), said), stimuli)
    assert [note for note in notes["V1"] if "draws random numbers: where they decide something" in note]


def test_a_preprocessing_that_was_seen_to_change_stays_in_turn(stimuli):
    said, kept = [], []

    def prepare(paths):
        kept[:] = kept or [len(paths)]  # from the first call on the same
        return prepared(paths)

    recorder = recorder_of(prepare, said)
    with noticing_changes(recorder.model):
        record(recorder, stimuli)
    record(recorder, stimuli)
    assert recorder._reader.images.one_by_one is False
    assert len(said) == 1


# Order, repetition, errors


def test_repeated_files_are_dealt_out(stimuli, in_turn, monkeypatch):
    monkeypatch.setattr(recording, "HOOKED_BLOCK", 14)
    paths = paths_of(stimuli)
    repeated = of_paths([*paths[:9], *paths[:20], paths[3], *paths[30:], *paths[:12], paths[42], paths[42]])
    found, one_by_one = features(prepared, repeated)
    assert one_by_one is True
    np.testing.assert_array_equal(found, in_turn(prepared, repeated))
    np.testing.assert_array_equal(found[:9], found[9:18])


def test_stimuli_that_the_extractor_exchanges_are_the_ones_shown(stimuli, in_turn):
    paths = paths_of(stimuli)

    def exchanged(preprocessing):
        recorder = recorder_of(preprocessing)
        hook = lambda block: of_paths(paths[: len(block)])
        recorder.model.activations_model._extractor.register_stimulus_set_hook(hook)
        return recorder

    other = of_paths(paths[::-1])
    found = record(exchanged(prepared), other)[0]["V1"]
    recorder = exchanged(prepared)
    recorder._reader.images.one_by_one = False
    np.testing.assert_array_equal(found, record(recorder, other)[0]["V1"])


def test_a_broken_image_in_the_middle_is_named(stimuli, tmp_path, in_turn):
    paths = paths_of(stimuli)
    broken = tmp_path / "broken.jpg"
    with open(paths[0], "rb") as file:
        broken.write_bytes(file.read()[:300])
    stimuli = of_paths([*paths[:30], str(broken), *paths[30:]])
    seen = []
    recorder = recorder_of(prepared)
    with pytest.raises(ModelOutputError, match=r"fails with OSError: .*[Tt]runcated.* for .*broken\.jpg") as error:
        recorder.record(stimuli, ["conv"], lambda batch: seen.append(len(batch["conv"])))
    assert sum(seen) == 28  # four batches of 7
    with pytest.raises(ModelOutputError) as expected:
        in_turn(prepared, stimuli)
    assert str(error.value) == str(expected.value)
    assert not alive()


def test_a_damaged_copy_that_is_fitted_to_the_field_of_view_is_to_be_deleted(stimuli, tmp_path):
    """The original is whole; the copy would be made again."""
    paths = paths_of(stimuli)
    copy = tmp_path / "source8.0-target4.0" / "ab" / "abcd.png"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(Path(paths[0]).read_bytes()[:300])
    with pytest.raises(ModelOutputError, match="abcd.png is a damaged copy, fitted to the field of view: delete it"):
        features(prepared, of_paths([*paths[:3], str(copy)]))
    elsewhere = shutil.copy(copy, tmp_path / "abcd.png")
    with pytest.raises(ModelOutputError, match="abcd.png") as error:
        features(prepared, of_paths([*paths[:3], str(elsewhere)]))
    assert "delete" not in str(error.value)


def alive() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("images")]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_ends_a_recording_ends_the_threads(error, stimuli):
    def stop(self, x):
        if len(shown) > 2:
            raise error("enough")
        shown.append(len(x))
        return self.conv(x)

    shown: list[int] = []
    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else ModelOutputError, match="enough"):
        features(prepared, stimuli, forward=stop)
    assert not alive()


def test_images_that_fail_once_are_prepared_in_turn_from_then_on(stimuli, in_turn):
    failed, lock = set(), threading.Lock()
    unlucky = paths_of(stimuli)[25]

    def moody(paths):
        with lock:
            if unlucky in paths and not failed:
                failed.add(unlucky)
                raise OSError("the network drive is asleep")
        return prepared(paths)

    said: list[str] = []
    found, one_by_one = features(moody, stimuli, said)
    assert one_by_one is False
    assert len(said) == 1
    np.testing.assert_array_equal(found, in_turn(prepared, stimuli))


# Bounds


def test_few_images_wait(monkeypatch):
    monkeypatch.setattr(ahead, "WAITING_BYTES", 10 * 4 * 3 * 8 * 8)  # ten images
    under_way, most = [], []

    def prepare(paths):
        under_way.append(paths[0])
        return np.full((1, 3, 8, 8), int(paths[0]), np.float32)

    paths = [str(i) for i in range(100)]
    with Ahead(prepare, paths) as images:
        for start in range(0, 100, 5):
            taken = images.take(paths[start : start + 5])
            assert [int(image[0, 0, 0]) for image in taken] == list(range(start, start + 5))
            time.sleep(2e-3)
            most.append(len(under_way) - start - 5)
    assert max(most) == 10
    assert len(under_way) == len(set(under_way)) == 100


def test_threads_leave_the_network_its_processors(stimuli):
    threads = {}

    def prepare(paths):
        threads[threading.get_ident()] = torch.get_num_threads()
        return prepared(paths)

    before = torch.get_num_threads()
    with Ahead(prepare, paths_of(stimuli)) as images:
        images.take(paths_of(stimuli))
    assert threads.pop(threading.get_ident(), 1) == 1
    assert set(threads.values()) == {1}
    assert torch.get_num_threads() == before
    assert not alive()
