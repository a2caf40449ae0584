"""Scoring from Python: what stands for a model, a benchmark and a dataset, and responses for metrics of one's own."""

import functools
import importlib
import json
import pickle
import sys

import netCDF4
import numpy as np
import pandas as pd
import pytest
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from PIL import Image
from plugin_testing.install_check import REPOSITORY
from plugin_testing.models import CountingModel, FeatureModel, pixel_features, small_network
from plugin_testing.small_benchmark import make_benchmark, make_images

from brainscore_vision import load_benchmark, load_model
from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions, KFoldNeuralBenchmark
from brainscore_vision.benchmark_helpers.stimulus_kernels.partition import partition as partition_tasks
from brainscore_vision.benchmarks.laion_fmri_7t import (
    DEFAULT_SUBJECTS,
    LAIONfMRI,
    LAIONfMRIRSA,
    benchmark,
    find_model,
    load_assembly,
    score_model,
)
from brainscore_vision.benchmarks.laion_fmri_7t.identifiers import IdentifierError
from brainscore_vision.benchmarks.laion_fmri_7t.networks.finding import code_revision
from brainscore_vision.benchmarks.laion_fmri_7t.networks.sources import (
    ModelImportError,
    ModelSourceError,
    locate_model,
    untrained_alexnet,
)
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import partition, partition_all, score_all
from brainscore_vision.data.laion_fmri_7t.errors import MissingDataError
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

NAME = "LAION_fMRI.V1-ood-ridge"
SIDES = ("train", "test")
PLUGIN = "brainscore_vision/benchmarks/laion_fmri_7t"


@pytest.fixture(scope="module")
def expected(tiny_dataset):
    """The score that every way of asking for it has to give."""
    return benchmark(NAME, dataset=str(tiny_dataset))(CountingModel()).item()


# What is scored on what


@pytest.mark.parametrize(
    "ask",
    [
        lambda model, root: score_model(model, NAME, dataset=root),
        lambda model, root: score_model(model, NAME, dataset=str(root)),
        lambda model, root: score_model(model, NAME, dataset=open_dataset(root)),
        lambda model, root: score_model(model, f"{NAME}[dataset={root}]"),
        lambda model, root: score_model(model, f"{NAME}[dataset={root}]", dataset=root),
        lambda model, root: score_model(model, benchmark(NAME, dataset=root)),
        lambda model, root: score_model(model, LAIONfMRI("V1", "ood", "ridge", dataset=root)),
        lambda model, root: LAIONfMRI("V1", "ood", "ridge", dataset=open_dataset(root))(model),
        lambda model, root: dict(score_all(model, [NAME], dataset=root))[NAME],
    ],
    ids=["path", "text", "open", "in the name", "twice", "object", "factory", "called", "among several"],
)
def test_every_way_gives_the_same(tiny_dataset, expected, ask):
    assert ask(CountingModel(), tiny_dataset).item() == expected


@pytest.mark.parametrize("split", ["tau", "cluster_k5"])
def test_benchmarks_go_to_other_processes(tiny_dataset, split):
    """As multiprocessing hands them over, with their settings."""
    one = benchmark(f"LAION_fMRI.V1-{split}-ridge", subjects=("sub-01",), dataset=tiny_dataset)
    other = pickle.loads(pickle.dumps(one))
    assert (other.identifier, other.cell, other.options) == (one.identifier, one.cell, one.options)
    model = FeatureModel(pixel_features)
    assert score_model(model, other).item() == score_model(model, one).item()


def test_the_environment_names_the_dataset(tiny_dataset, expected, monkeypatch):
    built = benchmark(NAME)  # built before, decided when it is used
    monkeypatch.setenv("LAION_FMRI_DATASET", str(tiny_dataset))
    assert score_model(CountingModel(), built).item() == expected
    assert (
        score_model(CountingModel(), NAME).attrs["benchmark_identifier"] == f"{NAME}[dataset=simulated:{tiny_dataset}]"
    )


def test_simulated_data_stand_in_the_name_of_a_benchmark(tiny_dataset, tmp_path, monkeypatch):
    """Whoever chose them, and before anything is scored; measured ones and none do not."""
    marked = f"{NAME}[dataset=simulated:{tiny_dataset}]"
    assert benchmark(NAME, dataset=tiny_dataset).identifier == benchmark(marked).identifier == marked
    assert benchmark(NAME, dataset="simulated").identifier == f"{NAME}[dataset=simulated]"
    assert benchmark(NAME, dataset="published").identifier == f"{NAME}[dataset=published]"
    for chosen, name in (
        ("published", NAME),
        (tmp_path / "nowhere", NAME),
        ("simulated", f"{NAME}[dataset=simulated]"),
        (tiny_dataset, marked),
    ):
        monkeypatch.setenv("LAION_FMRI_DATASET", str(chosen))
        assert benchmark(NAME).identifier == name


def test_what_is_not_registered_is_built_from_the_same_name(tiny_dataset):
    """Brain-Score's search ends before this plugin is imported: what it says is told in the README."""
    name = "LAION_fMRI.V1-cka"
    with pytest.raises(AssertionError, match=f"^No registrations found for {name}$"):
        load_benchmark(name)
    assert score_model(CountingModel(), name, dataset=tiny_dataset).item() > 0
    assert benchmark(name).identifier == name
    assert f"`No registrations found for {name}`" in (REPOSITORY / PLUGIN / "README.md").read_text(encoding="utf-8")


def test_a_name_and_an_argument_may_not_contradict_each_other(tiny_dataset):
    model = CountingModel()
    with pytest.raises(IdentifierError, match="A setting has one value.*dataset='simulated'.*Give it in one place"):
        score_model(model, f"{NAME}[dataset=simulated]", dataset=tiny_dataset)
    with pytest.raises(ValueError, match=f"brings its own dataset; received .* besides {NAME}.*pass the identifier"):
        score_model(model, benchmark(NAME), dataset=tiny_dataset)
    assert model.looks == []


def test_several_keep_the_names_they_were_asked_by(tiny_dataset):
    names = [NAME, f"{NAME}[threshold=30]", "LAION_fMRI.V1-rdm-pearson", NAME]
    results = list(score_all(CountingModel(), names, dataset=tiny_dataset))
    assert sorted(name for name, _ in results) == sorted(set(names))
    scores = dict(results)
    assert scores[NAME].item() == scores[f"{NAME}[threshold=30]"].item()
    assert list(score_all(CountingModel(), [], dataset=tiny_dataset)) == []


def test_all_cells_share_one_look_at_the_images(tiny_dataset):
    model = CountingModel()
    names = [NAME, "LAION_fMRI.V1-tau-ridgecv", "LAION_fMRI.V1-random-ridge", "LAION_fMRI.V1-rdm-pearson"]
    list(score_all(model, names, dataset=tiny_dataset))
    pool = open_dataset(tiny_dataset).pool_stimuli("shared")
    assert set(model.shown) == set(pool)
    assert len(model.shown) <= len(pool) + 8  # a few are shown twice: a model has to answer alike
    again = CountingModel()
    list(score_all(again, names, dataset=tiny_dataset))
    assert len(again.shown) <= 8  # the kernel is kept


def test_a_smaller_threshold_or_fewer_subjects_are_other_numbers(tiny_dataset, expected):
    for option in ({"noise_ceiling_threshold": 0}, {"subjects": ("sub-01", "sub-03")}, {"alphas": (1e4,)}):
        assert benchmark(NAME, dataset=tiny_dataset, **option)(CountingModel()).item() != expected


# Which model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("no-such-model", "registered Brain-Score identifier .* received 'no-such-model'"),
        ("no_such_module:function", "There is no module 'no_such_module'"),
        ("no/such/file.py:function", "There is no file no/such/file.py"),
        ("json:no_such_function", "json has no function 'no_such_function'"),
        ("json:dumps", r"can be called without arguments; dumps\(obj.* in 'json:dumps' cannot.*'obj'"),
        ("json:__name__", "a function that returns a model; __name__ in 'json:__name__' is a str"),
        ("json:dump_s", "no function 'dump_s'.*Did you mean dumps or dump"),
        ("Alexnet", r"received 'Alexnet' .*The nearest registered names are alexnet,"),
        ("pixel", "The nearest registered names are pixels"),
        ("LAION_fMRI-clip", "The nearest registered names are LAION_fMRI-CLIP"),
        ("xyzzy", "None of the [0-9]+ registered names is near it"),
        (np.zeros(3), "received a ndarray, which has no identifier, visual_degrees, start_recording, look_at"),
        (None, "received a NoneType"),
    ],
    ids=str,
)
def test_something_that_is_no_model(tiny_dataset, model, message):
    with pytest.raises(ModelSourceError, match=message):
        score_model(model, NAME, dataset=tiny_dataset)


@pytest.fixture
def expensive(monkeypatch):
    """Registered models raise when they are loaded."""

    def load(identifier):
        raise AssertionError("weights were loaded")

    monkeypatch.setattr("brainscore_vision.benchmarks.laion_fmri_7t.networks.sources.load_model", load)


@pytest.mark.parametrize(
    ("name", "dataset", "error"),
    [
        ("LAION_fMRI.V1-ood-rigde", None, IdentifierError),
        (NAME, "no/such/folder", MissingDataError),
        (f"{NAME}[dataset=no/such/folder]", None, MissingDataError),
    ],
    ids=["identifier", "argument", "in the name"],
)
def test_what_is_wrong_is_found_before_a_model_is_loaded(expensive, name, dataset, error):
    with pytest.raises(error):
        score_model("pixels", name, dataset=dataset)
    with pytest.raises(error):
        list(score_all("pixels", ["LAION_fMRI.V1-tau-ridge", name], dataset=dataset))


def test_variance_is_partitioned_on_a_benchmark_of_ones_own(tiny_dataset, tmp_path):
    own = make_benchmark(make_images(tmp_path / "images", 100), 60, 20)
    models = [
        FeatureModel(functools.partial(pixel_features, size=size), visual_degrees=8, identifier=f"size {size}")
        for size in (2, 1)
    ]
    parts = partition(*models, own)
    tasks = own.resolve().tasks
    expected = dict(partition_tasks(*models, tasks, EngineOptions(store=False, progress=False)))
    assert list(parts) == [*(task.subject for task in tasks), "mean"]
    for i, task in enumerate(tasks):
        assert parts[task.subject].values == pytest.approx(expected[i].values)
    folds = KFoldNeuralBenchmark(own.info, [own])
    with pytest.raises(IdentifierError, match="small-ridge is a mean over folds. Give one of its folds"):
        partition(*models, folds)
    for one in (own, benchmark(NAME, dataset=tiny_dataset)):
        with pytest.raises(ValueError, match="A benchmark object brings its own dataset"):
            partition(*models, one, "simulated")


def test_two_networks_of_one_name_are_not_partitioned(tiny_dataset):
    a, b = (small_network({"V1": "conv"}, seed=seed, identifier="net") for seed in (1, 2))
    with pytest.raises(ModelSourceError, match=r"both of these say 'net'.*torch\.manual_seed"):
        next(partition_all(a, b, [NAME], tiny_dataset))


def test_an_error_of_the_models_own_is_not_hidden(expensive, tiny_dataset):
    with pytest.raises(AssertionError, match="weights were loaded"):
        score_model("pixels", NAME, dataset=tiny_dataset)


def test_models_from_a_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from plugin_testing import models\n\ndef make():\n    return models.CountingModel(identifier='mine')\n"
    )
    assert locate_model(f"{file}:make")().identifier == "mine"
    assert locate_model("plugin_testing.models:CountingModel")().identifier.startswith("features-")


def test_files_are_modules_of_their_own(tmp_path):
    files = [tmp_path / folder / "same_name.py" for folder in ("one", "two")]
    for number, file in enumerate(files):
        file.parent.mkdir()
        file.write_text(
            "from __future__ import annotations\n"
            "from dataclasses import dataclass\n"
            "@dataclass\n"
            "class Options:\n"
            f"    number: int = {number}\n"
            "def make():\n"
            "    return Options()\n"
        )
    made = [locate_model(f"{file}:make")() for file in files]
    assert [options.number for options in made] == [0, 1]
    assert [pickle.loads(pickle.dumps(options)) for options in made] == made
    files[0].write_text("number = 5\nraise RuntimeError('half of it ran')\n")
    with pytest.raises(RuntimeError, match="half of it ran"):
        locate_model(f"{files[0]}:make")
    assert type(made[0]).__module__ not in sys.modules
    assert type(made[1]).__module__ in sys.modules


@pytest.mark.parametrize("name", ["broken_module", "absent_library_zoo"])
def test_a_module_that_needs_something_else_says_so(tmp_path, monkeypatch, name):
    (tmp_path / f"{name}.py").write_text("import absent_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ModelImportError, match=f"{name}.py, line 1: .*No module named 'absent_library'.*Install absent"
    ):
        locate_model(f"{name}:make")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = (\ndef make(): ...\n", r"cannot read .*mine\.py, line 1: '\(' was never closed"),
        ("\nimport absent_library\n", r"mine\.py, line 2: ModuleNotFoundError: No module named 'absent_library'"),
        ("from json import nothing\n", r"mine\.py, line 1: ImportError: cannot import name 'nothing' from 'json'"),
        ("from . import helper\n", r"mine\.py, line 1: ImportError: attempted relative import"),
        ("import broken\n", r"broken\.py, line 1: ModuleNotFoundError: No module named 'absent_library'"),
        ("def make():\n    import absent_library\n", r"mine\.py, line 2: ModuleNotFoundError.*Install absent_library"),
        ("x = 1\0\n", r"cannot read \S+mine\.py: source code string cannot contain null bytes; .*Write the file again"),
        ("\nimport nulls\n", r"cannot read what is imported in \S+mine\.py, line 2: .* null bytes"),
        ("import sys\nsys.exit(3)\n", r"mine\.py:make' ends the program in \S+mine\.py, line 2 \(SystemExit\(3\)\)"),
        ("def make():\n    raise SystemExit\n", r"ends the program in \S+mine\.py, line 2 .*Keep .* __name__"),
        ("import argparse\nargparse.ArgumentParser().parse_args(['x'])\n", r"ends the program in \S+mine\.py, line 2 "),
    ],
    ids=[
        "syntax",
        "import",
        "name",
        "relative",
        "neighbour's import",
        "import when called",
        "null bytes",
        "neighbour's null bytes",
        "exit",
        "exit when called",
        "arguments",
    ],
)
def test_a_file_that_python_cannot_use_is_one_line(tmp_path, content, message):
    (tmp_path / "broken.py").write_text("import absent_library\n")
    (tmp_path / "nulls.py").write_text("x = 1\0\n")
    (tmp_path / "mine.py").write_text(content)
    with pytest.raises(ModelImportError, match=message) as error:
        locate_model(f"{tmp_path / 'mine.py'}:make")()
    assert "\n" not in str(error.value)
    assert str(tmp_path) not in sys.path


def test_an_error_in_a_users_function_keeps_its_traceback(tmp_path):
    (tmp_path / "mine.py").write_text("import helper\n\ndef make():\n    return helper.fail()\n")
    (tmp_path / "helper.py").write_text("def fail():\n    raise RuntimeError('own fault')\n")
    with pytest.raises(RuntimeError, match="own fault") as error:
        locate_model(f"{tmp_path / 'mine.py'}:make")()
    assert [str(entry.path) for entry in error.traceback[-2:]] == [str(tmp_path / n) for n in ("mine.py", "helper.py")]


def test_a_file_may_import_its_neighbours(tmp_path, monkeypatch):
    """Two folders use the same names, and an imported module of one of these names comes from a third place."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "neighbour_of_model.py").write_text("number = 'elsewhere'\n")
    monkeypatch.syspath_prepend(elsewhere)
    before = importlib.import_module("neighbour_of_model")
    for number in (1, 2):
        folder = tmp_path / str(number)
        (folder / "nets").mkdir(parents=True)
        (folder / "model.py").write_text(
            "import neighbour_of_model\nfrom nets.inner import Net\n\ndef make():\n    import neighbour_when_made\n"
            "    return neighbour_of_model.number, neighbour_when_made.number, Net()\n"
        )
        (folder / "neighbour_of_model.py").write_text(f"number = {number}\n")
        (folder / "neighbour_when_made.py").write_text(f"number = {number}0\n")
        (folder / "nets" / "inner.py").write_text(f"class Net:\n    number = {number}\n")
    makers = {number: locate_model(f"{tmp_path / str(number) / 'model.py'}:make") for number in (1, 2)}
    made = {}
    for number in (2, 1, 2):
        first, second, made[number] = makers[number]()
        assert (first, second, made[number].number) == (number, 10 * number, number)
    assert sys.modules["neighbour_of_model"] is before
    assert not {str(tmp_path / "1"), str(tmp_path / "2")} & set(sys.path)
    assert type(pickle.loads(pickle.dumps(made[1]))) is type(made[1])  # what was imported first stays importable


TWO_CHECKOUTS = """
import sys
from pathlib import Path

root = str(Path(__file__).resolve().parent.parent)
if root not in sys.path:
    sys.path.insert(0, root)

from source_of_a_model.blocks import Block


def make():
    return Block()
"""


def test_two_checkouts_of_a_project_that_put_themselves_on_the_path(tmp_path):
    for number in (1, 2):
        source = tmp_path / str(number) / "source_of_a_model"
        (tmp_path / str(number) / "models").mkdir(parents=True)
        source.mkdir()
        (source / "__init__.py").touch()
        (source / "blocks.py").write_text(f"class Block:\n    number = {number}\n")
        (tmp_path / str(number) / "models" / "net.py").write_text(TWO_CHECKOUTS)
    path = list(sys.path)
    makers = {number: locate_model(f"{tmp_path / str(number) / 'models' / 'net.py'}:make") for number in (1, 2)}
    assert [makers[number]().number for number in (1, 2, 1)] == [1, 2, 1]
    assert sys.path == path
    (tmp_path / "1" / "source_of_a_model" / "blocks.py").write_text("class Block:\n    number = 'edited'\n")
    assert locate_model(f"{tmp_path / '1' / 'models' / 'net.py'}:make")().number == "edited"
    assert makers[2]().number == 2


@pytest.mark.parametrize("loaded", ["before", "between", "after"])
def test_a_fork_beside_the_file_comes_before_the_installed_package(tmp_path, monkeypatch, loaded):
    """As Python has it of ``python model.py``, whatever else the process has loaded; and it stays the file's own."""
    installed, repo = tmp_path / "installed", tmp_path / "repo"
    for place, content in ((installed, "'installed'"), (repo, "'fork'")):
        package = place / "package_with_a_fork"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("from .inner import name\n")
        (package / "inner.py").write_text(f"name = {content}\n")
    (repo / "package_with_a_fork" / "own.py").touch()
    (repo / "net.py").write_text(
        "import package_with_a_fork as found\n\ndef make():\n    import package_with_a_fork.own\n"
        "    return package_with_a_fork.name, found.name\n"
    )
    monkeypatch.syspath_prepend(installed)

    def load():
        assert importlib.import_module("package_with_a_fork").name == "installed"
        assert "package_with_a_fork.own" not in sys.modules

    if loaded == "before":
        load()
    make = locate_model(f"{repo / 'net.py'}:make")
    if loaded == "between":
        load()
    assert make() == make() == ("fork", "fork")
    load()
    assert make() == ("fork", "fork")


IMPORTS_WHEN_SHOWN = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.pool, self.out = torch.nn.AdaptiveAvgPool2d(4), torch.nn.Identity()

    def forward(self, images):
        from gate_of_a_model import gate

        return self.out(gate(self.pool(images)))


def make():
    return Net().eval()
"""


def test_what_a_network_imports_when_it_is_shown_images_is_its_own(tmp_path, tiny_dataset):
    """In one process, from two folders, with the model made before the other one is; and again, from the first."""
    for folder, factor in (("one", 1), ("two", -1)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.py").write_text(IMPORTS_WHEN_SHOWN)
        (tmp_path / folder / "gate_of_a_model.py").write_text(
            f"def gate(x):\n    return ({factor} * (x - 0.1)).relu()\n"
        )
    models = {f: find_model(f"{tmp_path / f / 'net.py'}:make").model({"IT": "out"}) for f in ("one", "two")}
    found = [
        float(score_model(models[folder], "LAION_fMRI.IT-tau-ridgecv[subjects=sub-01]", dataset=tiny_dataset).raw)
        for folder in ("one", "two", "one")
    ]
    assert found[0] == found[2] != found[1]
    assert not {str(tmp_path / "one"), str(tmp_path / "two")} & set(sys.path)


def test_a_package_without_the_module_is_a_wrong_name(tmp_path, monkeypatch):
    (tmp_path / "package_for_models").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    for place in ("package_for_models.inner.most", "no_package_for_models.inner"):
        with pytest.raises(ModelSourceError, match=f"There is no module '{place}'"):
            locate_model(f"{place}:make")


def test_the_revision_of_a_model_is_that_of_its_files(tmp_path):
    file = tmp_path / "mine.py"
    revisions = []
    for content in ("def make(): ...\n", "def make(): pass\n", "def make(): ...\n"):
        file.write_text(content)
        revisions.append(code_revision(f"{file}:make"))
    assert revisions[0] == revisions[2] != revisions[1]
    assert code_revision("pixels") not in (None, *revisions)
    nowhere = f"{tmp_path / 'absent.py'}:make", "no_such_module:make", "sys:make"
    assert [code_revision(name) for name in nowhere] == [None] * 3
    assert code_revision("torchvision:alexnet@none") is None


def test_the_revision_of_a_module_is_that_of_its_whole_package(tmp_path, monkeypatch):
    """Found without an import; files that are no code do not count, as weights are large."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "lab_of_mine" / "nets").mkdir(parents=True)
    (tmp_path / "lab_of_mine" / "nets" / "wide.py").write_text("raise SystemExit\n")
    (tmp_path / "lab_alone.py").write_text("raise SystemExit\n")
    for name, edited in (("lab_of_mine.nets.wide:make", "lab_of_mine/parts.py"), ("lab_alone:make", "lab_alone.py")):
        before = code_revision(name)
        (tmp_path / "lab_of_mine" / "weights.pt").write_text(name)
        assert before == code_revision(name, anew=True) == code_revision(f"{name}(width=4)")
        (tmp_path / edited).write_text("raise SystemExit(1)\n")
        assert code_revision(name, anew=True) not in (before, None)
        assert code_revision(name) == before  # what this process has imported


def test_the_demos_model_is_the_same_each_time():
    import torch

    state = torch.random.get_rng_state()
    one, another = untrained_alexnet(), untrained_alexnet()
    assert torch.equal(torch.random.get_rng_state(), state)
    weights = [next(model.activations_model._model.parameters()) for model in (one, another)]
    assert torch.equal(*weights)
    assert one.identifier == "alexnet-untrained-seed0"
    assert set(one.layer_model.region_layer_map) == {"V1", "V2", "V3", "V4", "IT"}


def test_models_see_images_as_people_did(tiny_dataset):
    """Fault 4 of the bundled plugin: transparent pixels were shown on grey, whatever colour lies under them."""
    seen = {}

    def look(path):
        with Image.open(path) as image:
            assert image.mode == "RGB" or image.getchannel("A").getextrema()[0] == 255
        seen[path] = pixel_features(path)
        return seen[path]

    score_model(FeatureModel(look, identifier="looks-at-pixels"), NAME, dataset=tiny_dataset)
    dataset = open_dataset(tiny_dataset)
    stimuli = dataset.stimulus_set(dataset.pool_stimuli("shared"))
    transparent = 0
    for stimulus_id, filename in zip(stimuli["stimulus_id"], stimuli["filename"], strict=True):
        with Image.open(tiny_dataset / "stimuli" / "images" / filename) as image:
            if image.mode != "RGBA" or image.getchannel("A").getextrema()[0] == 255:
                continue
            shown = np.asarray(Image.open(stimuli.get_stimulus(stimulus_id)).convert("RGB"))
            hidden = np.asarray(image.getchannel("A")) == 0
            assert (shown[hidden] == 128).all()
            assert str(stimuli.get_stimulus(stimulus_id)) in seen
            transparent += 1
    assert transparent > 0


# Responses for metrics of one's own


@pytest.mark.parametrize("pool", ["shared", "persubject"])
@pytest.mark.parametrize("side", SIDES)
def test_load_assembly(tiny_dataset, pool, side):
    subjects = ("sub-06", "sub-01", "sub-03")
    assembly = load_assembly("IT", "tau", side, pool=pool, subjects=subjects, dataset=tiny_dataset)
    assert type(assembly) is NeuroidAssembly
    assert assembly.dims == ("presentation", "neuroid")
    assert assembly.dtype == np.float32
    row = column = 0
    for subject in sorted(subjects):
        own = pool == "persubject"
        split = json.loads((tiny_dataset / "splits" / (subject if own else "shared") / "tau.json").read_text())
        ids = split["variants"][0][f"{side}_ids"]
        values, counts, neuroids = trials_of(tiny_dataset, subject, "IT", ids)
        rows, columns = slice(row, row + len(ids)), slice(column, column + len(neuroids))
        np.testing.assert_allclose(assembly.values[rows, columns], values, atol=1e-6)
        off = assembly.values[rows].copy()
        off[:, columns] = np.nan
        assert np.isnan(off).all()
        assert assembly["stimulus_id"].values[rows].tolist() == ids
        np.testing.assert_array_equal(assembly["n_repetitions"].values[rows], counts)
        assert set(assembly["subject_id_pres"].values[rows]) == {subject}
        assert set(assembly["subject_id"].values[columns]) == {subject}
        for name in ("region", "roi", "voxel_index_in_brain_mask", "nc_4rep", "nc_12rep", "nc_allrep"):
            np.testing.assert_array_equal(assembly[name].values[columns], neuroids[name])
        row, column = rows.stop, columns.stop
    assert assembly.shape == (row, column)
    stimuli = assembly.attrs["stimulus_set"]
    assert set(stimuli["stimulus_id"]) == set(assembly["stimulus_id"].values)
    assert len(stimuli) == len(set(stimuli["stimulus_id"]))
    assert assembly.attrs["stimulus_set_identifier"] == stimuli.identifier
    assert stimuli.identifier.startswith("LAION_fMRI_stim--")


def trials_of(root, subject, region, stimulus_ids, threshold=30):
    """Averages, counts and voxels, straight from the file."""
    with netCDF4.Dataset(root / "assemblies" / f"{subject}.nc") as file:
        names = ("region", "roi", "voxel_index_in_brain_mask", "nc_4rep", "nc_12rep", "nc_allrep")
        neuroids = pd.DataFrame({name: file[name][:] for name in names})
        kept = ((neuroids["region"] == region) & (neuroids["nc_12rep"] > threshold)).to_numpy()
        trials = pd.DataFrame(file["data"][:].data[:, kept].astype(float), index=file["stimulus_id"][:])
    groups = trials.groupby(level=0)
    return groups.mean().loc[stimulus_ids].to_numpy(), groups.size().loc[stimulus_ids].to_numpy(), neuroids[kept]


def test_load_assembly_options(tiny_dataset, monkeypatch):
    monkeypatch.setenv("LAION_FMRI_DATASET", str(tiny_dataset))
    everything = load_assembly("IT_full", "ood_gabor", "test", noise_ceiling_threshold=0)
    reliable = load_assembly("IT_full", "ood_gabor", "test")
    assert set(reliable["region"].values) == {"V4", "IT"}
    assert set(reliable["subject_id"].values) == set(DEFAULT_SUBJECTS)
    assert everything.sizes["neuroid"] > reliable.sizes["neuroid"]
    assert (reliable["nc_12rep"].values > 30).all()
    assert all("_OOD_gabor_" in stimulus_id for stimulus_id in reliable["stimulus_id"].values)
    # one subject's block is an assembly without gaps
    one = load_assembly("V1", "random_2", "train", subjects="sub-05")
    assert np.isfinite(one.values).all()


def test_brain_score_does_not_mix_up_the_images_of_two_sides(tiny_dataset):
    """Brain-Score keeps a registered model's activations by the name of a stimulus set."""
    sides = {side: load_assembly("V1", "tau", side, dataset=tiny_dataset).attrs["stimulus_set"] for side in SIDES}
    assert len({stimuli.identifier for stimuli in sides.values()}) == len(SIDES)
    model = load_model("pixels")
    model.start_recording("V1", [(0, 0)])
    for stimuli in sides.values():
        answer = model.look_at(stimuli)
        assert answer["stimulus_id"].values.tolist() == stimuli["stimulus_id"].tolist()
    again = load_assembly("V1", "tau", "test", dataset=tiny_dataset).attrs["stimulus_set"]
    assert again.identifier == sides["test"].identifier


def test_an_assembly_is_a_copy(tiny_dataset):
    ask = lambda: load_assembly("V1", "tau", "test", subjects="sub-01", dataset=tiny_dataset)
    before = ask().values.copy()
    ask().values[:] = 0
    np.testing.assert_array_equal(ask().values, before)


def test_ceilings_are_each_cells_own(tiny_dataset):
    """Fault 1 of the bundled plugin: ceilings were kept by an identifier that subjects and thresholds shared."""

    def from_file(subject, region, threshold):
        return np.sqrt(trials_of(tiny_dataset, subject, region, [], threshold)[2]["nc_12rep"] / 100).mean()

    whole = []
    for region, threshold in (("V1", 30), ("V1", 50), ("V4", 30)):
        options = {"noise_ceiling_threshold": threshold, "dataset": tiny_dataset}
        expected = {subject: from_file(subject, region, threshold) for subject in DEFAULT_SUBJECTS}
        for subject in DEFAULT_SUBJECTS:
            assert LAIONfMRIRSA(region, subjects=subject, **options).ceiling.item() == pytest.approx(expected[subject])
        assert len({round(value, 6) for value in expected.values()}) > 1
        whole.append(LAIONfMRIRSA(region, **options).ceiling.item())
        assert whole[-1] == pytest.approx(np.mean(list(expected.values())))
    assert len(set(whole)) == 3


def test_registered_names_may_hold_a_colon(monkeypatch):
    name = "vit_large_patch14_clip_224:laion2b_ft_in1k"
    loaded = []
    monkeypatch.setattr(f"{locate_model.__module__}.load_model", lambda identifier: loaded.append(identifier))
    locate_model(name)()
    assert loaded == [name]
