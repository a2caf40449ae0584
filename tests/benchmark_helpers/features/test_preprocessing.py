"""What prepares images counts with all its settings, and not with what changes while it is used."""

import argparse
import array
import collections
import configparser
import datetime
import decimal
import enum
import functools
import importlib.util
import linecache
import logging
import operator
import pathlib
import re
import string
import sys
import threading
import types
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from brainscore_vision.model_helpers.brain_transformation import STANDARD_REGION_BENCHMARKS, ModelCommitment
from brainscore_vision.utils import LazyLoad
from plugin_testing.layer_networks import committed
from plugin_testing.models import FeatureModel, pixel_features, small_network
from plugin_testing.small_benchmark import N_IMAGES, make_benchmark, make_images
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeRegressor
from torch.nn import functional as F
from torchvision import transforms as v1
from torchvision.transforms import v2

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ModelOutputError
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.held_state import held_state
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.preprocessing import (
    noticing_changes,
    preprocessing_digest,
    structure_digest,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.source_text import is_own

MEAN, OTHER = (0.5, 0.5, 0.5), (0.5, 0.5, 0.48)


class Mode(enum.Enum):
    FAST, EXACT = 1, 2


@dataclass
class Options:
    mean: tuple = MEAN
    extra: dict = field(default_factory=dict)


class Slotted:
    __slots__ = ("mean",)

    def __init__(self, mean):
        self.mean = mean


class Processor:
    """As processors of transformers: settings in attributes, a __call__."""

    def __init__(self, image_mean, crop=True):
        self.image_mean, self.size, self.do_crop = list(image_mean), {"height": 32, "width": 32}, crop

    def __call__(self, paths):
        return np.zeros((len(paths), 3, 32, 32), np.float32) - self.image_mean[0]


class Stateful(Processor):
    """As transforms of albumentations: what was drawn last stays in an attribute; with counters and caches."""

    def __init__(self, image_mean):
        super().__init__(image_mean)
        self.params, self.count, self.seen, self.cache, self.lazy = {}, 0, [], {}, None
        self.random = np.random.default_rng(0)
        self.queue, self.inner = collections.deque(maxlen=3), Slotted(0)

    def __call__(self, paths):
        self.params = {"angle": self.random.random()}
        self.count += len(paths)
        self.inner.mean += 1
        self.seen += list(paths)
        self.queue.extend(paths)
        self.lazy = self.lazy or Options()
        self.cache.update(dict.fromkeys(paths, 1))
        return super().__call__(paths)


def closure(mean, compose):
    chain = compose(mean)
    return lambda paths: torch.stack([chain(path) for path in paths])


def plain(mean):
    return v1.Compose([v1.Resize(32), v1.ToTensor(), v1.Normalize(mean, MEAN)])


def second(mean):
    return v2.Compose([v2.Resize(32), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, MEAN)])


class Keeper:
    """A function of an object that holds the network too."""

    def __init__(self, mean):
        self.network, self.normalize = torch.nn.Linear(3, 3), v1.Normalize(mean, MEAN)

    def prepare(self, paths):
        return self.normalize(torch.zeros(len(paths), 3, 32, 32))


class Buffered(torch.nn.Module):
    def __init__(self, mean):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))


WAYS = {
    "torchvision": lambda mean: functools.partial(closure(mean, plain)),
    "torchvision v2": lambda mean: closure(mean, second),
    "sequential": lambda mean: torch.nn.Sequential(v2.Resize(8), v2.Normalize(mean, MEAN)),
    "random apply": lambda mean: v1.RandomApply(torch.nn.ModuleList([v1.Normalize(mean, MEAN)])),
    "lambda in a chain": lambda mean: v1.Compose([v1.Lambda(lambda x: x - mean[2])]),
    "processor": Processor,
    "stateful": Stateful,
    "partial of a processor": lambda mean: functools.partial(lambda paths, processor: paths, processor=Processor(mean)),
    "method": lambda mean: Keeper(mean).prepare,
    "buffer": lambda mean: functools.partial(Keeper.prepare, Buffered(mean)),
    "array": lambda mean: functools.partial(np.subtract, np.array(mean, np.float32)),
    "tensor in a list": lambda mean: functools.partial(sum, [torch.tensor(mean)]),
    "object array aside": lambda mean: functools.partial(sum, np.array([object()]), {"mean": {"of": [mean]}}),
    "dataclass": lambda mean: functools.partial(sum, Options(mean)),
    "namespace": lambda mean: functools.partial(sum, types.SimpleNamespace(mean=mean)),
    "slots": lambda mean: functools.partial(sum, Slotted(mean)),
    "enumeration": lambda mean: functools.partial(sum, Mode.FAST if mean == MEAN else Mode.EXACT),
    "precision": lambda mean: functools.partial(sum, torch.float16 if mean == MEAN else torch.bfloat16),
    "kept": lambda mean: functools.lru_cache(functools.partial(sum, mean)),
    "wrapped": lambda mean: functools.lru_cache(closure(mean, plain)),
    "set": lambda mean: functools.partial(sum, {".png", ".gif" if mean == MEAN else ".tif"}),
    "named tuple": lambda mean: functools.partial(sum, collections.namedtuple("Size", "mean")(mean)),
}


def with_preprocessing(prepare):
    model = small_network({"V1": "conv"})
    model.activations_model._extractor.preprocess = prepare
    return model


@pytest.mark.parametrize("way", WAYS)
def test_settings_count_wherever_they_are(way):
    digests = [preprocessing_digest(with_preprocessing(WAYS[way](mean))) for mean in (MEAN, MEAN, OTHER)]
    assert digests[0] == digests[1] != digests[2]


def test_a_setting_that_is_changed_later_counts():
    model = with_preprocessing(Processor(MEAN))
    before = preprocessing_digest(model)
    model.activations_model._extractor.preprocess.image_mean[2] = OTHER[2]
    assert preprocessing_digest(model) != before


def test_what_changes_while_it_is_used_does_not_count():
    def use(model, *paths):
        with noticing_changes(model):
            model.activations_model._extractor.preprocess(list(paths))
        return preprocessing_digest(model)

    model, other = with_preprocessing(Stateful(MEAN)), with_preprocessing(Stateful(MEAN))
    assert use(model, "a", "b") == use(model, "c", "d", "e") == use(model, "c") == use(other, "f")
    assert use(with_preprocessing(Stateful(OTHER)), "a", "b") != use(other, "a")
    processor = other.activations_model._extractor.preprocess
    processor.size["height"] = 33
    assert use(other, "a") != use(model, "a")


def test_networks_and_what_holds_them_are_left_alone():
    digests = set()
    for seed in range(2):
        torch.manual_seed(seed)
        digests.add(preprocessing_digest(with_preprocessing(Keeper(MEAN).prepare)))
    assert len(digests) == 1
    model = with_preprocessing(None)
    model.activations_model.prepare = types.MethodType(lambda self, paths: paths, model.activations_model)
    model.activations_model._extractor.preprocess = model.activations_model.prepare  # in a circle
    before = preprocessing_digest(model)
    model.activations_model.count = 3
    assert preprocessing_digest(model) == before is not None


HOLDERS = {
    "argparse": lambda value: argparse.Namespace(gain=value),
    "namespace in a dictionary": lambda value: {"options": types.SimpleNamespace(gain=value)},
    "deque": lambda value: collections.deque([value]),
    "configuration": lambda value: configured(value),
    "pattern": lambda value: re.compile(f"layer{value}"),
    "decimal": lambda value: decimal.Decimal(value),
    "date": lambda value: datetime.date(2020 + value, 1, 1),
    "range": lambda value: range(value),
    "getter": lambda value: operator.itemgetter(value),
    "template": lambda value: string.Template(f"layer{value}"),
    "buffer": lambda value: array.array("d", [value]),
    "pure path": lambda value: pathlib.PurePosixPath(str(value)),
}


def configured(value):
    parser = configparser.ConfigParser()
    parser["network"] = {"gain": str(value)}
    return parser


@pytest.mark.parametrize("holder", HOLDERS)
def test_settings_of_a_network_count_in_objects_of_the_standard_library(holder):
    def digest(value):
        model = small_network({"V1": "conv"})
        model.activations_model._model.args = HOLDERS[holder](value)
        return structure_digest(model)

    assert digest(1) == digest(1) != digest(2)


def double(x):
    return 2 * x


def treble(x):
    return 3 * x


TABLE = {"double": double, "treble": treble, "list": [1, 2], "other list": [2, 1], "relu": F.relu, "elu": F.elu}


class Choosing(torch.nn.Module):
    """Chooses from a table that its code names, so that all in the table is known before the choice is."""

    def __init__(self, name):
        super().__init__()
        self.conv, self.nonlin = torch.nn.Conv2d(3, 2, 3), TABLE[name]

    def forward(self, x):
        return self.nonlin(self.conv(x)) if callable(self.nonlin) else TABLE["double"](self.conv(x))


def test_a_choice_from_a_table_counts():
    def digest(name):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return structure_digest(committed(Choosing(name), {"V1": "conv"}))

    digests = {name: digest(name) for name in TABLE}
    assert len(set(digests.values())) == len(TABLE)
    assert {name: digest(name) for name in TABLE} == digests


def test_the_order_of_steps_counts():
    steps = {"blur": v1.GaussianBlur(3), "crop": v1.CenterCrop(16)}
    turned = dict(reversed(steps.items()))

    def digest(chosen):
        return preprocessing_digest(with_preprocessing(functools.partial(Processor(MEAN), chosen)))

    assert digest(steps) == digest(dict(steps)) != digest(turned)


def test_the_order_of_modules_counts():
    def digest(names):
        model = small_network({"V1": "conv"})
        model.activations_model._model.steps = torch.nn.ModuleDict({name: torch.nn.ReLU() for name in names})
        return structure_digest(model)

    assert digest("ab") == digest("ab") != digest("ba")


OWN_CODE = """
import functools

def twice(function):
    @functools.wraps(function)
    def wrapper(paths):
        return 2 * function(paths)
    return wrapper

@twice
def prepare(paths):
    return len(paths) * 1.0
"""


def test_code_is_that_which_was_imported_and_not_what_its_file_says_since(tmp_path, monkeypatch):
    def digest(source, edited=None):
        path = tmp_path / "own_code.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location("own_code", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "own_code", module)
        spec.loader.exec_module(module)
        if edited is not None:
            path.write_text(edited)
        linecache.checkcache()
        return preprocessing_digest(with_preprocessing(module.prepare))

    changed = OWN_CODE.replace("1.0", "1.003")
    assert digest(OWN_CODE, edited=changed) != digest(changed)
    assert digest(OWN_CODE.replace("2 *", "3 *")) != digest(OWN_CODE)  # of what wraps it
    moved = OWN_CODE.replace("@twice", "# a line more\n\n@twice")
    assert digest(OWN_CODE, edited=moved) == digest(moved) == digest(OWN_CODE)


def test_locks_and_loggers_are_no_settings():
    def digest(number):
        model = small_network({"V1": "conv"})
        model.activations_model._model.args = [threading.Lock(), logging.getLogger(f"run {number}")]
        return structure_digest(model)

    assert digest(1) == digest(2)


class OfNumpy(FeatureModel):
    """A model without torch, whose weights matter for dark images alone."""

    def __init__(self, weights):
        self._weights, self.seen = {"dark": np.array(weights)}, {}
        super().__init__(self.answer, identifier="of numpy")

    def answer(self, path):
        self.seen[path] = pixels = pixel_features(path)
        return pixels * self._weights["dark"] if pixels.mean() < 0 else pixels


def by_rows(values):
    return pd.DataFrame(values, index=[f"image-{row.sum():.3f}" for row in values])


def exec_made(values):
    """A class that was typed in, where a nested function has the number in it."""
    names = {"FeatureModel": FeatureModel, "__name__": "a notebook"}
    text = f"class Typed(FeatureModel):\n    def answer(self, path):\n        return (lambda: {values[0, 0]})()"
    exec(text, names)
    return names["Typed"](len, identifier="of numpy")


HELD = {
    "table": by_rows,
    "table of several types": lambda values: by_rows(values).assign(name="a"),
    "names of rows": lambda values: pd.DataFrame(np.ones((3, 1)), index=values[:, 0]),
    "column": lambda values: pd.Series(list(values)),
    "objects": lambda values: np.array([*values, None], object),
    "lists": lambda values: values.tolist(),
    "long list": lambda values: np.resize(values, 1000).tolist(),
    "named array": lambda values: xr.DataArray(np.ones(3), dims="s", coords={"s": values[:, 0]}),
    "more than 64 MB": lambda values: np.resize(values, 9_000_000),
    "neighbours": lambda values: KNeighborsRegressor(1).fit(np.arange(3)[:, None], values),
    "tree": lambda values: DecisionTreeRegressor(random_state=0).fit(np.arange(3)[:, None], values),
    "typed in": exec_made,
}


@pytest.mark.parametrize("how", HELD)
def test_what_a_model_without_torch_looks_up_in_counts(how):
    def digest(last):
        values = np.arange(12.0).reshape(3, 4) + 1
        values[0, 0] = last
        model = FeatureModel(pixel_features, identifier="of numpy")
        model.held = HELD[how](values)
        return structure_digest(model)

    assert digest(1.0) == digest(1.0) != digest(1.001)


class OwnCommitment(ModelCommitment):
    """With a method that names what Brain-Score loads, by a download, as soon as anything is asked of it."""

    def choose_layers(self):
        return STANDARD_REGION_BENCHMARKS


def test_nothing_is_loaded_that_nobody_asked_for(monkeypatch):
    def load():
        raise AssertionError("loaded")

    lazy = {"IT": LazyLoad(load)}
    monkeypatch.setitem(globals(), "STANDARD_REGION_BENCHMARKS", lazy)
    own = small_network("a")
    model = OwnCommitment("own", own.activations_model, ["conv"], region_layer_map={"IT": "conv"})
    model.benchmarks = lazy
    assert structure_digest(model)
    assert preprocessing_digest(model)


def test_brain_score_is_not_the_users_where_it_is_a_checkout(monkeypatch):
    for name in ("brainscore_vision.utils", "brainscore_vision.models.alexnet", "brainscore_core.metrics"):
        monkeypatch.setitem(
            sys.modules, name, types.SimpleNamespace(__file__=f"/a checkout/{name.replace('.', '/')}.py")
        )
    assert [is_own(name) for name in ("brainscore_vision.utils", "brainscore_core.metrics")] == [False, False]
    assert is_own("brainscore_vision.models.alexnet")


def test_arrays_of_models_without_torch_count(tmp_path):
    folder = make_images(tmp_path / "images", N_IMAGES)

    def changed(score):
        return any("an array that it holds, has changed" in note for note in score.attrs.get("notes", ()))

    first = OfNumpy([1.0, 2, 3] * 36)
    make_benchmark(folder)(first)
    for same in (first, OfNumpy([1.0, 2, 3] * 36)):
        assert not changed(make_benchmark(folder)(same))
    assert changed(make_benchmark(folder)(OfNumpy([1.0, 2, 3.001] * 36)))


class ByKind:
    """Normalises images of one kind otherwise."""

    def __init__(self, mean):
        self.usual, self.rare, self.shown = v1.Normalize(MEAN, MEAN), v1.Normalize(mean, MEAN), 0

    def __call__(self, paths):
        from brainscore_vision.model_helpers.activations.pytorch import load_preprocess_images

        self.shown += len(paths)
        pixels = torch.from_numpy(load_preprocess_images(paths, image_size=32))
        kinds = [self.rare if str(path).endswith(".tif") else self.usual for path in paths]
        return torch.stack([kind(image) for kind, image in zip(kinds, pixels, strict=True)])


def test_a_kernel_is_made_again_where_a_transform_changed(tmp_path):
    folder = make_images(tmp_path / "images", N_IMAGES)

    def model(mean):
        one = small_network({"V1": "conv"}, identifier="by kind")
        one.activations_model._extractor.preprocess = ByKind(mean)
        return one

    first = model(MEAN)
    make_benchmark(folder)(first)
    for same in (first, model(MEAN)):
        assert not any("has changed" in n for n in make_benchmark(folder)(same).attrs.get("notes", ()))
    assert any("what prepares its images, or" in n for n in make_benchmark(folder)(model(OTHER)).attrs["notes"])
    with pytest.raises(ModelOutputError, match="what prepares its images, or an array"):
        make_benchmark(folder, changed_models="refuse")(model(MEAN))


HELPERS = """
FACTOR = 1

def scaled(values):
    return values * FACTOR

class Scaling:
    def __call__(self, values):
        return scaled(values)

transform = Scaling()
"""
USING = {
    "function": "from helpers import scaled\ndef prepare(paths):\n    return scaled(paths)",
    "class": "from helpers import Scaling\ndef prepare(paths):\n    return Scaling()(paths)",
    "object": "from helpers import transform\ndef prepare(paths):\n    return transform(paths)",
    "module": "import helpers\ndef prepare(paths):\n    return helpers.scaled(paths)",
}


@pytest.mark.parametrize("way", USING)
def test_other_files_of_the_user_count_and_where_they_lie_does_not(tmp_path, monkeypatch, way):
    def digest(number, helpers):
        for name, source in (("helpers", helpers), (f"prepare_{number}", USING[way])):
            path = tmp_path / str(number) / f"{name}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(source)
            module = importlib.util.module_from_spec(importlib.util.spec_from_file_location(name, path))
            monkeypatch.setitem(sys.modules, name, module)
            module.__spec__.loader.exec_module(module)
        return preprocessing_digest(with_preprocessing(module.prepare))

    digests = [digest(i, helpers) for i, helpers in enumerate((HELPERS, HELPERS, HELPERS.replace("= 1", "= 2")))]
    assert digests[0] == digests[1] != digests[2]

    # the same in a folder that packages were installed into (pip's --target, a cluster's modules): no file of the user's
    installed = [digest(i, helpers) for i, helpers in ((3, HELPERS), (4, HELPERS.replace("= 1", "= 2")))]
    assert installed[0] != installed[1]
    for i in (5, 6):
        record = tmp_path / str(i) / "helpers-1.0.dist-info" / "RECORD"
        record.parent.mkdir(parents=True)
        record.write_text("helpers.py,,\n")
    installed = [digest(i, helpers) for i, helpers in ((5, HELPERS), (6, HELPERS.replace("= 1", "= 2")))]
    assert installed[0] == installed[1]


class Unfinished(dict):
    """As a configuration of omegaconf's with a value that is still to be given."""

    def __getitem__(self, key):
        if super().__getitem__(key) == "???":
            raise KeyError(f"Missing mandatory value: {key}")
        return super().__getitem__(key)

    def values(self):
        return [self[key] for key in self]

    def items(self):
        return [(key, self[key]) for key in self]


class Holding(torch.nn.Module):
    def __init__(self, made, held=None):
        super().__init__()
        self.backbone, self.out = made, torch.nn.Identity()
        if isinstance(held, torch.Tensor):
            self.register_buffer("buffer", held)
        self.held = held

    def forward(self, images):
        return self.out(self.backbone(images))


def numbers(first=1.0):
    return torch.tensor([[first, 0.0], [0.0, 3.0]])


IN_NETWORKS = {
    "sparse": lambda first: numbers(first).to_sparse(),
    "sparse rows": lambda first: numbers(first).to_sparse_csr(),
    "nested": lambda first: torch.nested.nested_tensor([numbers(first)[0], numbers()[1, :1]]),
    "jagged": lambda first: torch.nested.nested_tensor([numbers(first)[0], numbers()[1, :1]], layout=torch.jagged),
    "unfinished": lambda first: Unfinished(width=first, checkpoint="???"),
}
BACKBONES = {
    "traced": lambda network: torch.jit.trace(network, torch.zeros(2, 3, 32, 32)),
    "scripted": torch.jit.script,
    "frozen": lambda network: torch.jit.freeze(torch.jit.script(network)),
}


@pytest.fixture(scope="module")
def plain_score(tmp_path_factory):
    folder = make_images(tmp_path_factory.mktemp("held"), N_IMAGES)
    return folder, make_benchmark(folder, store=False)(holding()).item()


def holding(make=lambda network: network, held=None):
    network = small_network({}).activations_model._model.eval()
    return committed(Holding(make(network), held).eval(), {"V1": "out"}, "holding")


@pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:.*[Ss]parse.*beta", "ignore:.*nested tensors.*prototype")
@pytest.mark.parametrize("way", [*IN_NETWORKS, *BACKBONES])
def test_what_a_network_holds_changes_no_score(plain_score, way):
    folder, score = plain_score
    model = holding(BACKBONES[way]) if way in BACKBONES else holding(held=IN_NETWORKS[way](1.0))
    assert make_benchmark(folder, store=False)(model).item() == pytest.approx(score, rel=1e-5)


@pytest.mark.filterwarnings("ignore:.*[Ss]parse.*beta", "ignore:.*nested tensors.*prototype")
@pytest.mark.parametrize("way", IN_NETWORKS)
def test_what_a_network_holds_counts(way):
    digests = [structure_digest(holding(held=IN_NETWORKS[way](first))) for first in (1.0, 1.0, 2.0)]
    assert digests[0] == digests[1] != digests[2]


class OfItems(dict):
    __getattr__ = dict.__getitem__


class OfAny(dict):
    __getattr__ = dict.get


class Stubborn:
    __slots__ = ("empty", "gain")

    def __init__(self, gain):
        self.gain = gain

    def __getattr__(self, name):
        raise RuntimeError(name)


def stubborn(gain):
    return Stubborn(gain)


@pytest.mark.parametrize("make", [OfItems, OfAny, stubborn])
def test_attributes_are_asked_of_objects_that_answer_in_their_own_way(make):
    """Attribute dictionaries of many a laboratory raise KeyError for what they lack, or say None."""

    def network(gain):
        model = small_network({"V1": "conv"})
        model.options = model.activations_model._model.options = make(gain=gain)
        return model

    first, same, other = network(1.0), network(1.0), network(2.0)
    with noticing_changes(first):
        pass
    assert structure_digest(first) == structure_digest(same) != structure_digest(other)
    assert held_state(first.activations_model._model)

    def prepared(gain):
        model = FeatureModel(pixel_features)
        model.options = make(gain=np.array([gain]))
        return preprocessing_digest(model)

    assert prepared(1.0) == prepared(1.0) != prepared(2.0)
