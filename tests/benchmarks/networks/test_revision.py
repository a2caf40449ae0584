"""The revision of a function's model: what it makes counts, and not the text of its file."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from plugin_testing.people import in_child

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.hooks import LayerReader
from brainscore_vision.benchmarks.laion_fmri_7t.networks.finding import MADE, Made, code_revision, find_model
from brainscore_vision.benchmarks.laion_fmri_7t.networks.network import as_network
from brainscore_vision.benchmarks.laion_fmri_7t.results import ResultsDatabase, add_scores, of_two_networks
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import score_all
from brainscore_vision.benchmarks.laion_fmri_7t.sweep import check_names, make_plan
from brainscore_vision.models.laion_fmri_7t import StimulusFeatureModel

SOURCE = '''
import torch
from brainscore_vision.benchmarks.laion_fmri_7t import as_brain_model

SIZE = 32
SLOPE = 0.1


class Net(torch.nn.Module):
    """A network."""

    def __init__(self, width):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, width, 3)

    def forward(self, x):
        return squash(self.conv(x))


def squash(x):
    return torch.nn.functional.leaky_relu(x, SLOPE)


def make(width=4):
    torch.manual_seed(0)
    return as_brain_model(Net(width).eval(), "net", layers={"V1": "conv"}, image_size=SIZE)


def other():
    return make()
'''
LAYERS = {"V1": "conv"}
V1 = "LAION_fMRI.V1-tau-ridge"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "nets.py"
    path.write_text(SOURCE)
    return path


def revision(file, text, call="make"):
    file.write_text(text)
    return find_model(f"{file}:{call}").made().revision


SAME = {
    "comment": ("def make", "# wide or narrow\ndef make"),
    "comment in the class": ("        return squash", "        # not yet squashed\n        return squash"),
    "another function": ("def other", "def new():\n    return other()\n\n\ndef other"),
    "another way to the same": ("Net(width).eval()", "Net(width=width).eval()"),
}
OTHER = {
    "weights": ("manual_seed(0)", "manual_seed(1)"),
    "structure": ("3, width, 3)", "3, width, 5)"),
    "forward": ("squash(self.conv(x))", "squash(self.conv(x)) * 2"),
    "a function that forward calls": ("leaky_relu(x, SLOPE)", "leaky_relu(x, SLOPE) + 1"),
    "a constant that it uses": ("SLOPE = 0.1", "SLOPE = 0.2"),
    "preprocessing": ("SIZE = 32", "SIZE = 48"),
    "layers": ('"V1": "conv"', '"V2": "conv"'),
}


SETTINGS_SOURCE = """
import functools

import torch
from torch import nn
from brainscore_vision.benchmarks.laion_fmri_7t import as_brain_model
from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper, load_preprocess_images
from brainscore_vision.model_helpers.brain_transformation import ModelCommitment
from torchvision.transforms.functional import to_tensor


class Own(nn.Module):
    def __init__(self, gain, act, buffer, plain, hidden):
        super().__init__()
        self.gain, self.act, self.plain, self._hidden = gain, act, torch.tensor(plain), hidden
        self.register_buffer("unsaved", torch.tensor(buffer), persistent=False)

    def forward(self, x, factor=1):
        return self.act(x) * self.gain * self.unsaved * self.plain * self._hidden


class Wrapper(PytorchWrapper):
    def get_activations(self, images, layer_names):
        found = super().get_activations(images, layer_names)
        return type(found)((name, 11 * values) for name, values in found.items())


class Scaling:
    def __init__(self, factor):
        self._factor = factor

    def __call__(self, batch):
        return type(batch)((layer, self._factor * values) for layer, values in batch.items())


class Prepare:
    _SIZE = 32

    def __init__(self, gain):
        self._gain = gain

    @functools.cached_property
    def shift(self):
        return 12

    def __call__(self, image):
        return to_tensor(image.resize((self._SIZE, self._SIZE))) * self._gain + self.shift


def turned(how):
    return {"no": lambda i: to_tensor(i.resize((8, 8))), "yes": lambda i: to_tensor(i.resize((8, 8)).rotate(90))}[how]


def hooked(module, inputs, output):
    return 14 * output


def network():
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 4, 3, stride=2)
    conv.register_forward_hook(hooked)
    own = Own(gain=3, act=nn.functional.relu, buffer=4.0, plain=5.0, hidden=6)
    traced = torch.fx.symbolic_trace(nn.Sequential(nn.LeakyReLU(0.07)))
    return nn.Sequential(conv, own, nn.BatchNorm2d(4, eps=0.08), traced)


def make():
    return as_brain_model(network().eval(), "net", layers={"V1": "1"}, preprocessing=Prepare(13))


def make_turned():
    return as_brain_model(network().eval(), "net", layers={"V1": "1"}, preprocessing=turned("no"))


def make_wrapped():
    prepare = functools.partial(load_preprocess_images, image_size=32)
    wrapper = Wrapper(identifier="net", model=network().eval(), preprocessing=prepare, forward_kwargs={"factor": 15})
    wrapper._extractor.register_batch_activations_hook(Scaling(17))
    return ModelCommitment("net", wrapper, layers=["1"], region_layer_map={"V1": "1"})


class Around:
    # Brain-Score's wrapper inside one of the user's

    def __init__(self, inner):
        self.inner, self._extractor, self.identifier = inner, inner._extractor, inner.identifier

    def __call__(self, *args, **kwargs):
        return 19 * self.inner(*args, **kwargs)


def make_around():
    prepare = functools.partial(load_preprocess_images, image_size=32)
    wrapper = Around(PytorchWrapper(identifier="net", model=network().eval(), preprocessing=prepare))
    package = wrapper._extractor._package
    wrapper._extractor._package = lambda *args, **kwargs: 21 * package(*args, **kwargs)
    return ModelCommitment("net", wrapper, layers=["1"], region_layer_map={"V1": "1"})
"""
SETTINGS = {
    "stride": ("make", "stride=2", "stride=1"),
    "attribute": ("make", "gain=3", "gain=4"),
    "function that is called": ("make", "nn.functional.relu", "nn.functional.gelu"),
    "buffer that is not saved": ("make", "buffer=4.0", "buffer=5.0"),
    "tensor that is no buffer": ("make", "plain=5.0", "plain=6.0"),
    "attribute of a private name": ("make", "hidden=6", "hidden=7"),
    "slope in a traced part": ("make", "0.07", "0.09"),
    "setting of a layer of torch's": ("make", "eps=0.08", "eps=0.8"),
    "hook": ("make", "14 * output", "15 * output"),
    "preprocessing, private": ("make", "Prepare(13)", "Prepare(14)"),
    "preprocessing, constant of a class": ("make", "_SIZE = 32", "_SIZE = 48"),
    "preprocessing, property that is kept": ("make", "return 12", "return 13"),
    "one of two lambdas of a line": ("make_turned", 'turned("no")', 'turned("yes")'),
    "wrapper": ("make_wrapped", "11 * values", "12 * values"),
    "hook on batches": ("make_wrapped", "Scaling(17)", "Scaling(18)"),
    "wrapper of a wrapper": ("make_around", "19 * self", "20 * self"),
    "method that was set": ("make_around", "21 * package", "22 * package"),
    "what forward is given": ("make_wrapped", '"factor": 15', '"factor": 16'),
}

GAINS_SOURCE = """
import functools
import optparse

import torch
from torch import nn
from torch.nn import functional as F

{before}


class Net(nn.Module):
    {inside}

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.__set__ = 11.0

    def forward(self, x):
        return {answer}


def make():
    torch.manual_seed(0)
    return Net().eval()
"""
GAINS = {
    "partial in a class": ("", "act = functools.partial(F.leaky_relu, negative_slope=11.0)", "Net.act(self.conv(x))"),
    "static partial in a class": (
        "",
        "act = staticmethod(functools.partial(F.leaky_relu, negative_slope=11.0))",
        "self.act(self.conv(x))",
    ),
    "partial method": (
        "",
        "step = functools.partialmethod(lambda self, x, g: torch.tanh(g * x), g=11.0)",
        "self.step(self.conv(x))",
    ),
    "descriptor of the user's": (
        "class Lazy:\n"
        "    def __init__(self, func, gain):\n        self.func, self.gain = func, gain\n"
        "    def __get__(self, owner, kind=None):\n        return self.func(self.gain)",
        "gain = Lazy(float, 11.0)",
        "self.gain * self.conv(x)",
    ),
    "class method of another class": (
        "class Other:\n    gain = 11.0\n    @classmethod\n    def act(cls, x):\n        return cls.gain * x",
        "act = Other.act",
        "self.act(self.conv(x))",
    ),
    "number of a name with underscores": ("", "__gain__ = 11.0", "self.__gain__ * self.conv(x)"),
    "attribute of a name with underscores": ("", "", "self.__set__ * self.conv(x)"),
    "scripted function": (
        "@torch.jit.script\ndef act(x):\n    return torch.tanh(11.0 * x)",
        "",
        "act(self.conv(x))",
    ),
    "traced function": (
        "act = torch.jit.trace(lambda x: torch.tanh(11.0 * x), torch.zeros(1))",
        "",
        "act(self.conv(x))",
    ),
    "attribute of a function": (
        "def act(x):\n    return act.gain * x\nact.gain = 11.0",
        "",
        "act(self.conv(x))",
    ),
    "options of optparse": ("OPTIONS = optparse.Values(dict(gain=11.0))", "", "OPTIONS.gain * self.conv(x)"),
    "decorator that is a class": (
        "class Scale:\n    def __init__(self, f, gain):\n        functools.update_wrapper(self, f)\n"
        "        self.f, self.gain = f, gain\n    def __call__(self, x):\n        return self.gain * self.f(x)\n"
        "act = Scale(lambda x: x, 11.0)",
        "",
        "act(self.conv(x))",
    ),
    "looked up in its module": (
        "import sys\ndef act(x):\n    return 11.0 * x",
        "",
        "getattr(sys.modules[__name__], 'act')(self.conv(x))",
    ),
    "looked up in globals()": ("def act(x):\n    return 11.0 * x", "", "globals()['act'](self.conv(x))"),
}


@pytest.mark.parametrize("change", SETTINGS)
def test_what_no_weight_tells_makes_another_model(file, change):
    call, before, after = SETTINGS[change]
    assert SETTINGS_SOURCE.count(before) == 1
    known = revision(file, SETTINGS_SOURCE, call)
    assert known.startswith(MADE)
    assert revision(file, SETTINGS_SOURCE, call) == known
    assert revision(file, SETTINGS_SOURCE.replace(before, after), call) != known


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("form", GAINS)
def test_a_gain_counts_however_it_is_written(file, form):
    before, inside, answer = GAINS[form]
    text = GAINS_SOURCE.format(before=before, inside=inside, answer=answer)
    known = revision(file, text)
    assert revision(file, text) == known
    assert "11.0" in before + inside or "__set__" in answer
    assert revision(file, text.replace("11.0", "12.0")) != known


def test_a_method_that_is_set_on_a_library_counts(monkeypatch):
    networks = torch.nn.Sequential(torch.nn.Softplus()).eval(), torch.nn.Sequential(torch.nn.ReLU()).eval()
    known = [Made.of(as_network(one, "a")).revision for one in networks]
    monkeypatch.setattr(torch.nn.Softplus, "forward", lambda self, x: 11 * x)
    changed = [Made.of(as_network(one, "a")).revision for one in networks]
    assert changed[0] != known[0]
    assert changed[1] == known[1]


def test_the_adapter_that_is_active_counts():
    network = torch.nn.Sequential(torch.nn.Linear(3, 3)).eval()
    revisions = []
    for active, off in (("a", False), ("b", False), ("a", True)):
        network[0]._active_adapter, network[0]._disable_adapters = [active], off
        revisions.append(Made.of(as_network(network, "a")).revision)
    assert len(set(revisions)) == 3


def test_two_names_of_a_module_of_the_users_count_in_every_process_alike(file, tmp_path):
    (tmp_path / "mine.py").write_text("def squash(x):\n    return x\n\n\ndef gate(x):\n    return 2 * x\n")
    text = SOURCE.replace("import torch\n", "import torch, mine\n", 1)
    file.write_text(text.replace("squash(self.conv(x))", "mine.squash(mine.gate(self.conv(x)))"))
    program = (
        "from brainscore_vision.benchmarks.laion_fmri_7t.networks.finding import find_model\n"
        f"print(find_model({str(file) + ':make'!r}).made().revision)"
    )
    made = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True
        ).stdout
        for seed in "123"
    }
    assert len(made) == 1
    assert MADE in made.pop()


def test_a_hook_on_all_modules_counts():
    network = torch.nn.Sequential(torch.nn.ReLU()).eval()
    known = Made.of(as_network(network, "a")).revision
    hook = torch.nn.modules.module.register_module_forward_hook(lambda module, inputs, output: 11 * output)
    try:
        changed = Made.of(as_network(network, "a")).revision
    finally:
        hook.remove()
    assert changed != known
    assert Made.of(as_network(network, "a")).revision == known


IMPORTING = SOURCE.replace("        return squash(", "        from mine.ops import gate\n\n        return gate(")


def test_what_forward_imports_counts_before_and_after_it_did(file, tmp_path):
    """The module's file and what that imports of the user's, without their comments."""
    folder = tmp_path / "mine"
    folder.mkdir()
    ops, gains = folder / "ops.py", folder / "gains.py"

    def now(gate, gain):
        ops.write_text(f"import math\nfrom .gains import GAIN\n\n\ndef gate(x):\n    return {gate}\n")
        gains.write_text(f"GAIN = {gain}  # as it was\n")
        return in_child(lambda: revision(file, IMPORTING))  # nothing was imported before

    known = now("GAIN * x", 11)
    assert now("GAIN * x  # a remark", 11) == known
    assert now("GAIN * x + 1", 11) != known
    assert now("GAIN * x", 12) != known
    found = find_model(f"{file}:make")
    before = found.made().revision
    model = found.model()
    with torch.no_grad():
        LayerReader(model.activations_model, "net").get_activations([torch.zeros(3, 32, 32)], ["conv"])
    assert Made.of(model).revision == before == found.made().revision


def test_code_in_a_package_beside_the_file_makes_another_model(file, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("")
    part = tmp_path / "mine" / "part.py"
    text = SOURCE.replace("return squash(", "return mine.part.squash(").replace(
        "import torch\n", "import mine.part, torch\n"
    )
    file.write_text(text)
    revisions = []
    for factor in (2, 2, 33):  # of another length: Python knows compiled files by seconds and size
        part.write_text(f"def squash(x):\n    return {factor} * x\n")
        # a child, which has not imported the part
        revisions.append(in_child(lambda: find_model(f"{file}:make").made().revision))
    assert revisions[0] == revisions[1] != revisions[2]


@pytest.mark.parametrize("change", SAME)
def test_what_makes_the_same_is_no_other_model(file, change):
    before = revision(file, SOURCE)
    assert before.startswith(MADE)
    assert SOURCE.count(SAME[change][0]) == 1
    assert revision(file, SOURCE.replace(*SAME[change])) == before
    assert revision(file, SOURCE, "make(width=4)") == before


@pytest.mark.parametrize("change", OTHER)
def test_what_makes_another_is_another_model(file, change):
    assert SOURCE.count(OTHER[change][0]) >= 1
    assert revision(file, SOURCE.replace(*OTHER[change])) != revision(file, SOURCE)


def test_where_a_network_runs_makes_no_other_model(file):
    made = SOURCE.replace("Net(width).eval()", "on(Net(width).eval())")
    made += "\n\ndef on(net):\n    net.where = torch.device('cpu')\n    return net\n"
    assert revision(file, made.replace("'cpu'", "'cuda'")) == revision(file, made)


def test_arguments_count_by_what_they_make(file):
    assert revision(file, SOURCE, "make(width=5)") != revision(file, SOURCE)


def test_what_has_no_network_is_known_by_its_file(file, tmp_path):
    table = tmp_path / "features.npz"
    np.savez(table, features=np.eye(3), image_ids=["a", "b", "c"])
    made = find_model(str(table)).made()
    assert made.revision is None
    assert made == Made.of(StimulusFeatureModel.from_file(table))
    assert made.network is not None
    before = code_revision(str(table))
    np.savez(table, features=2 * np.eye(3), image_ids=["a", "b", "c"])
    assert code_revision(str(table)) != before


def test_a_network_is_the_same_with_and_without_layers(file):
    found = find_model(f"{file}:make")
    assert found.network().facts["model_revision"] == found.model().model_revision == found.made().revision
    assert found.model({"IT": "conv"}).model_revision == found.made().revision
    library = find_model("torchvision:squeezenet1_1@none")
    assert "model_revision" not in library.network().facts
    assert Made.of(as_network(library.network().module, "a")).revision is not None


def scored(file, database, dataset):
    name = f"{file}:make"
    done = score_all(name, [V1], dataset=dataset, engine=EngineOptions(store=False, progress=False))
    list(add_scores(database, done, model=name, benchmarks=[V1], dataset=dataset))


def planned(file, database, dataset, **options):
    (plan,) = make_plan(*check_names([f"{file}:make"], [V1], dataset=str(dataset)), results=database, **options).models
    return len(plan.todo), len(plan.done)


def made_now(file):
    return {"made": {f"{file}:make": find_model(f"{file}:make").made()}}


def test_networks_of_the_same_weights_are_two_models(file, tmp_path, tiny_dataset):
    database = ResultsDatabase(tmp_path / "results.db")
    for stride in ("", ", stride=2"):
        file.write_text(SOURCE.replace("3, width, 3)", f"3, width, 3{stride})"))
        scored(file, database, tiny_dataset)
    first, second = database.results(latest=False)
    assert first.network_digest == second.network_digest
    assert first.model != second.model
    assert of_two_networks(first, second)
    assert not of_two_networks(first, first)


def test_a_comment_costs_no_score(file, tmp_path, tiny_dataset):
    database = ResultsDatabase(tmp_path / "results.db")
    scored(file, database, tiny_dataset)
    (result,) = database.results()
    assert result.model_revision.startswith(MADE)
    assert result.model_code == code_revision(f"{file}:make")
    assert database.score(result.id).attrs["model_revision"] == result.model_revision
    assert planned(file, database, tiny_dataset) == (0, 1)  # nothing was made to know it
    file.write_text(f"{SOURCE}\n# a remark\n")
    assert planned(file, database, tiny_dataset) == (1, 0)
    assert planned(file, database, tiny_dataset, **made_now(file)) == (0, 1)
    file.write_text(SOURCE.replace("manual_seed(0)", "manual_seed(1)"))
    assert planned(file, database, tiny_dataset, **made_now(file)) == (1, 0)
    scored(file, database, tiny_dataset)
    assert len(database.results()) == 1
    assert len({r.model for r in database.results(latest=False)}) == 2


def test_an_edit_anywhere_in_the_package_of_a_module_is_seen(tmp_path, tiny_dataset, monkeypatch):
    """As of a file; a model is made only where the code is another, or none is known."""
    monkeypatch.syspath_prepend(tmp_path)
    lab, name = tmp_path / "lab_in_package", "lab_in_package.nets:make"
    database = ResultsDatabase(tmp_path / "results.db")
    lab.mkdir()
    (lab / "nets.py").write_text(SOURCE.replace("SIZE = 32", "from .sizes import SIZE"))

    def tried(sizes, score=False):
        (lab / "sizes.py").write_text(sizes)

        def plans():
            names = check_names([name], [V1], dataset=str(tiny_dataset))
            if score:
                done = score_all(name, [V1], dataset=tiny_dataset, engine=EngineOptions(store=False, progress=False))
                list(add_scores(database, done, model=name, benchmarks=[V1], dataset=tiny_dataset))
            made = {name: find_model(name).made()}
            return [make_plan(*names, results=database, **known).n_done for known in ({}, {"made": made})]

        return in_child(plans)  # which imports the package anew

    assert tried("SIZE = 32\n", score=True) == [1, 1]
    assert tried("SIZE = 32  # as it was\n") == [0, 1]
    assert tried("SIZE = 48\n") == [0, 0]
    database.tables.Result.update(model_code=None).execute()  # as earlier versions had it
    assert tried("SIZE = 32\n") == [0, 1]


def test_code_that_nobody_knows_is_not_the_same(tmp_path, tiny_dataset, monkeypatch):
    database = ResultsDatabase(tmp_path / "results.db")
    names = "plugin_testing.models:CountingModel", "torchvision:squeezenet1_1@none"
    for name in names:
        model = find_model(name).model({"V1": "features.3"} if name == names[1] else None)
        done = score_all(model, [V1], dataset=tiny_dataset, engine=EngineOptions(store=False, progress=False))
        list(add_scores(database, done, model=name, benchmarks=[V1], dataset=tiny_dataset))
    database.tables.Model.update(revision="").execute()
    monkeypatch.setattr("brainscore_vision.benchmarks.laion_fmri_7t.sweep.plan.code_revision", lambda model: None)
    layers = {names[0]: None, names[1]: {"V1": "features.3"}}
    plan = make_plan(*check_names(layers, [V1], dataset=str(tiny_dataset)), results=database)
    assert [len(model.done) for model in plan.models] == [0, 1]  # the name of a library's network says which it is


def test_results_of_earlier_versions_are_known_while_the_file_is_the_same(file, tmp_path, tiny_dataset):
    """They say the file's hash and the network's digest, and nothing of a stride or a preprocessing."""
    database = ResultsDatabase(tmp_path / "results.db")
    scored(file, database, tiny_dataset)
    t = database.tables
    t.Model.update(revision=code_revision(f"{file}:make")).execute()
    t.Result.update(model_code=None).execute()
    assert planned(file, database, tiny_dataset) == (0, 1)
    file.write_text(f"{SOURCE}\n# a remark\n")
    assert planned(file, database, tiny_dataset) == (1, 0)
    assert planned(file, database, tiny_dataset, **made_now(file)) == (1, 0)
    scored(file, database, tiny_dataset)
    assert len({r.model for r in database.results(latest=False)}) == 2
    file.write_text(SOURCE)
    scored(file, database, tiny_dataset)  # by the same file: all are one model
    assert {r.model for r in database.results(latest=False)} == {"net"}
    file.write_text(SOURCE.replace("3, width, 3)", "3, width, 5)"))
    assert planned(file, database, tiny_dataset, **made_now(file)) == (1, 0)
