"""Lists of models: text, CSV and YAML, with layers, names and properties."""

import json

import pytest
import typer

from brainscore_vision.benchmarks.laion_fmri_7t.cli.sweep import listed_models
from brainscore_vision.benchmarks.laion_fmri_7t.networks.errors import ModelSourceError
from brainscore_vision.benchmarks.laion_fmri_7t.networks.model_list import Listed, is_model_list, read_model_list
from brainscore_vision.benchmarks.laion_fmri_7t.report.properties import read_properties

CSV = """source,layers,name,family,parameters,top1,training data
torchvision:resnet18,"V1=layer1,IT=layer4",ResNet-18,resnet,11689512,69.758,ImageNet-1k
nets.py:make(width=64),auto,wide,,,,
"features, all.npz",,,,1000,,
"""

YAML = """
- source: torchvision:resnet18
  layers: {V1: layer1, IT: [layer3, layer4]}
  name: ResNet-18
  top1: 69.758
  pretrained: true
- pixels
"""


def written(folder, name, text):
    (folder / name).write_text(text)
    return folder / name


def test_a_table_names_layers_and_properties(tmp_path):
    written(tmp_path, "nets.py", "def make(width): ...")
    written(tmp_path, "features, all.npz", "")
    resnet, wide, table = read_model_list(written(tmp_path, "models.csv", CSV))
    assert resnet == Listed(
        "torchvision:resnet18",
        {"V1": "layer1", "IT": "layer4"},
        {
            "name": "ResNet-18",
            "family": "resnet",
            "parameters": 11689512,
            "top1": 69.758,
            "training data": "ImageNet-1k",
        },
    )
    assert type(resnet.properties["parameters"]) is int  # though other rows have none
    assert wide == Listed(f"{tmp_path}/nets.py:make(width=64)", "auto", {"name": "wide"})  # files beside the list
    assert table == Listed(f"{tmp_path}/features, all.npz", None, {"parameters": 1000})


@pytest.mark.parametrize("ending", ["yaml", "json", "csv"])
def test_numbers_with_exponents_and_gaps_are_the_same_in_all_forms(tmp_path, ending):
    """YAML 1.1 wants a sign and a point in them; json.dump writes neither."""
    rows = [
        {"source": "alexnet", "lr": 5e-05, "params": 61e6, "top1": "n/a"},
        {"source": "pixels", "lr": 0.1, "params": 1e22, "top1": 30.5},
    ]
    text = {
        "yaml": "- {source: alexnet, lr: 5e-05, params: 61e6, top1: n/a}\n"
        "- {source: pixels, lr: .1, params: 1.E22, top1: 30.5}\n",
        "json": json.dumps(rows),
        "csv": "source,lr,params,top1\nalexnet,5e-05,61e6,n/a\npixels,.1,1e22,30.5\n",
    }[ending]
    alexnet, pixels = read_model_list(written(tmp_path, f"models.{ending}", text))
    assert alexnet.properties == {"lr": 5e-05, "params": 61e6}
    assert pixels.properties == {"lr": 0.1, "params": 1e22, "top1": 30.5}
    quoted = written(tmp_path, "quoted.yaml", "- {source: alexnet, digest: '1e4', name: '5e5'}\n")
    assert read_model_list(quoted)[0].properties == {"digest": "1e4", "name": "5e5"}


def test_yaml_says_the_same(tmp_path):
    resnet, pixels = read_model_list(written(tmp_path, "models.yaml", YAML))
    assert resnet.layers == {"V1": "layer1", "IT": ["layer3", "layer4"]}
    assert resnet.properties == {"name": "ResNet-18", "top1": 69.758, "pretrained": True}
    assert pixels == Listed("pixels")


def test_text_holds_arguments_and_comments(tmp_path):
    file = written(tmp_path, "models.txt", "# ours\nnet.py:make(width=64, name='a b')  # wide\n\npixels\npixels\n")
    assert [one.source for one in read_model_list(file)] == ["net.py:make(width=64, name='a b')", "pixels"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "model,layers\nalexnet,\n", "columns source.*its columns are model, layers"),
        ("a.csv", "source,name\nalexnet,a\n,b\n", "row 2.*no source"),
        ("a.csv", "source,layers\nalexnet,V1\n", "--layers is V1=LAYER"),
        ("a.csv", "source,family\nalexnet,a\nalexnet,b\n", "'alexnet' stands there in two ways"),
        ("a.csv", "source,name\nalexnet,a\npixels,a\n", "'a' is the name of 'alexnet' and 'pixels'"),
        ("a.csv", "source,Layers\nalexnet,V1=a\n", "column 'Layers'. Call it 'layers'"),
        ("a.csv", "source,layer\nalexnet,V1=a\n", "column 'layer'. Call it 'layers'"),
        ("a.csv", "source,key\nnets.h5,conv2\n", "column 'key', an option of tables of features"),
        ("a.yaml", "- {source: items.csv, columns: 'a,b'}\n", "column 'columns', an option of tables of features"),
        ("a.csv", "source,layers,layers\nalexnet,V1=a,V1=b\n", "column 'layers' stands there twice"),
        ("a.csv", "source,family\na.py:f,a\n./a.py:f,b\n", "'./a.py:f' stands there in two ways"),
        ("a.csv", "source,name\nalexnet,a\npixels,a \n", "'a' is the name of 'alexnet' and 'pixels'"),
        ("a.yaml", "- {source: alexnet, Layers: {V1: a}}\n", "column 'Layers'. Call it 'layers'"),
        ("a.yaml", "- {source: alexnet, name: no}\n", "a name is text; received False"),
        ("a.yaml", "- source: [1\n", "is read as YAML"),
        ("a.yaml", "- source: alexnet\n  layers: V1=a\n  layers: V1=b\n", "layers stands there twice.*line 1"),
        ("a.csv", "source,top1\nalexnet,inf\npixels,1\n", "row 1.*finite number; top1 is inf"),
        ("a.yaml", "- {source: alexnet, top1: .nan}\n", "row 1.*finite number; top1 is nan"),
        ("a.yaml", "alexnet: {layers: auto}\n", "list of mappings"),
        ("a.yaml", "- {source: alexnet, family: [a, b]}\n", "row 1.*text or a number; family is more"),
        ("a.txt", "# none\n", "it holds none"),
    ],
)
def test_what_is_wrong_with_a_list_is_said(tmp_path, name, text, message):
    with pytest.raises(ModelSourceError, match=message):
        read_model_list(written(tmp_path, name, text))


def test_cells_are_read_as_they_are_meant(tmp_path):
    text = "source;layers;name;trained on;top1;parameters\na;V1=x,IT=y;NA;None;75,3;1,000\nb;;007;NA;70;2\n"
    one, other = read_model_list(written(tmp_path, "a.csv", text))
    assert (one.layers, other.layers) == ({"V1": "x", "IT": "y"}, None)
    # one thousand, or one and a bit: left as it is
    assert one.properties == {"name": "NA", "trained on": "None", "top1": 75.3, "parameters": "1,000"}
    assert other.properties == {"name": "007", "top1": 70, "parameters": "2"}


COLUMNS = {
    ("86,53", "80,858", ""): {"a": 86.53, "b": 80.858},  # Excel, in most of Europe
    ("86.53", "74", "NA"): {"a": 86.53, "b": 74},  # R
    ("25,557", "11,689", "1,000"): {"a": "25,557", "b": "11,689", "c": "1,000"},  # thousands, or not
    ("1,5", "many", "3"): {"a": "1,5", "b": "many", "c": "3"},
    ("1,5", "-", "3"): {"a": "1,5", "b": "-", "c": "3"},
}


@pytest.mark.parametrize("cells", COLUMNS)
def test_lists_and_files_of_properties_read_cells_alike(tmp_path, cells):
    index = 1, 7, 4  # as R and pandas write one
    rows = "".join(f"{i};{name}; {cell}\n" for i, name, cell in zip(index, "abc", cells, strict=True))
    listed = read_model_list(written(tmp_path, "a.csv", ";source; top1\n" + rows))
    assert {one.source: one.properties["top1"] for one in listed if one.properties} == COLUMNS[cells]
    assert all(set(one.properties) <= {"top1"} for one in listed)
    found = read_properties(written(tmp_path, "p.csv", ";model; top1\n" + rows))
    assert {model: own["top1"] for model, own in found.items() if own} == COLUMNS[cells]


def test_lists_do_not_contradict_each_other(tmp_path):
    first = written(tmp_path, "a.csv", "source,layers\nalexnet,V1=a\n")
    second = written(tmp_path, "b.csv", "source,layers\nalexnet,V1=b\n")
    with pytest.raises(typer.BadParameter, match="alexnet in .*b.csv"):
        listed_models([str(first), str(second)])
    for names in (["alexnet", str(first)], [str(first), "alexnet"], [str(first), str(first)]):
        assert listed_models(names) == [Listed("alexnet", {"V1": "a"})]


def test_a_table_of_features_is_a_model_and_no_list(tmp_path):
    features = written(tmp_path, "features.csv", "image_id,f0,f1\na,1,2\n")
    models = written(tmp_path, "models.csv", "source\nalexnet\n")
    found = listed_models([str(features), str(models), "pixels", f"@{models}"])
    assert [one.source for one in found] == [str(features), "alexnet", "pixels"]


def test_a_list_may_be_json_and_a_column_in_capitals_is_said(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[{"source": "alexnet", "layers": {"V1": "features.2"}, "top1": 56.5}, "pixels"]')
    first, second = read_model_list(path)
    assert (first.source, first.layers, first.properties) == ("alexnet", {"V1": "features.2"}, {"top1": 56.5})
    assert second.source == "pixels"
    path = tmp_path / "a.csv"
    path.write_text("Source,top1\nalexnet,56.5\n")
    assert is_model_list(path)
    with pytest.raises(ModelSourceError, match="received a column 'Source'. Call it 'source'"):
        read_model_list(path)
