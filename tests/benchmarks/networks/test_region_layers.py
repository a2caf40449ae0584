"""Layers of regions as they are typed and as they stand in files."""

import json
import re

import pytest

from brainscore_vision.benchmarks.laion_fmri_7t.networks.errors import ModelSourceError
from brainscore_vision.benchmarks.laion_fmri_7t.networks.region_layers import (
    check_region_names,
    layers_for,
    parse_layers,
)


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("V1=features.2", {"V1": "features.2"}),
        ("V1=features.2, IT=relu#0", {"V1": "features.2", "IT": "relu#0"}),
        ("IT=a,V1=b,IT=c,IT=d", {"IT": ["a", "c", "d"], "V1": "b"}),
        ("auto", "auto"),
    ],
)
def test_typed(text, layers):
    assert parse_layers(text) == layers


@pytest.mark.parametrize("text", ["", "V1", "V1=", "=a", "V1=a,,IT=b", "no/such.json"])
def test_typed_wrong(text):
    with pytest.raises(
        ModelSourceError, match=re.escape(repr(text)) if not text.endswith("json") else "cannot be read"
    ):
        parse_layers(text)


@pytest.mark.parametrize("content", [{"V1": "a", "IT": ["b", "c"]}, {"net": {"V1": "a"}, "other": {"V1": "b"}}])
def test_in_a_file(tmp_path, content):
    path = tmp_path / "layers.json"
    path.write_text(json.dumps(content))
    assert parse_layers(str(path)) == content


@pytest.mark.parametrize(
    "content", ["[1]", "{}", '{"V1": 3}', '{"V1": []}', '{"V1": "a", "net": {"V1": "a"}}', "nothing"]
)
def test_in_a_file_wrong(tmp_path, content):
    path = tmp_path / "layers.json"
    path.write_text(content)
    with pytest.raises(ModelSourceError, match=r"layers\.json (holds something else|cannot be read)"):
        parse_layers(str(path))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_in_a_file_of_an_editor(tmp_path, encoding):
    path = tmp_path / "layers.json"
    path.write_text('{"V1": "a"}', encoding=encoding)
    assert parse_layers(str(path)) == {"V1": "a"}


@pytest.mark.parametrize("content", ['{"V1": "a", "V1": "b"}', '{"net": {"IT": "a", "V1": "b", "IT": "c"}}'])
def test_a_region_stands_in_a_file_once(tmp_path, content):
    path = tmp_path / "layers.json"
    path.write_text(content)
    with pytest.raises(ModelSourceError, match=r"an entry stands in a file once; '(V1|IT)' is repeated"):
        parse_layers(str(path))


def test_by_model():
    layers = {"net": {"V1": "a"}, "other": {"V1": "b"}}
    assert layers_for(layers, "other") == {"V1": "b"}
    assert layers_for({"V1": "a"}, "other") == {"V1": "a"}
    assert layers_for("auto", "other") == "auto"
    with pytest.raises(ModelSourceError, match="none for 'third'"):
        layers_for(layers, "third")


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ({"face": "5"}, r"received layers of 'face', which models record as IT\. Write IT=5, or .*--record face"),
        ({"V1": "2", "it": ["5", "6"]}, r"received layers of 'it', which models record as IT\. Write IT=5,IT=6\.$"),
        ({"IT": "3", "it": "5"}, r"received layers of 'it', which models record as IT"),
        ({"V1d": "5"}, r"as V1\. Write V1=5, or let its benchmarks record it under its own name \(NAME\[record=V1d\]"),
    ],
)
def test_layers_of_a_region_that_is_recorded_under_another_name(layers, said):
    """A model's own layer of IT would be recorded, and said to be given."""
    with pytest.raises(ModelSourceError, match=said):
        check_region_names(layers, ["V1", "IT"])


@pytest.mark.parametrize(
    "layers",
    [None, "auto", {"V2": "5"}, {"behavior": "5"}, {"face": "5", "IT": "6"}, {"place": "5", "IT": "6"}, {"V1d": "5"}],
)
def test_layers_of_other_regions_are_left_alone(layers):
    """One file may have those of all benchmarks of a paper."""
    check_region_names(layers, ["IT", "face"])


@pytest.mark.parametrize("layers", [{"face": "5", "IT": "6"}, {"IT": "6", "face": ["5"], "V1": "2"}])
def test_layers_of_a_region_that_is_scored_are_not_dropped_beside_those_that_it_is_recorded_as(layers):
    """A map of IT and of face, saved and used to score face: IT's layer would be recorded."""
    with pytest.raises(
        ModelSourceError, match=r"layers of 'face', which models record as IT\. Write IT=5, or .*--record face"
    ):
        check_region_names(layers, ["IT"], ["face"])
    with pytest.raises(
        ModelSourceError, match=r"layers of 'IT', whose benchmarks record another one \(--record\).*NAME\[record=face\]"
    ):
        check_region_names(layers, ["face"], ["IT", "face"])
    check_region_names(layers, ["IT"], ["IT"])
    check_region_names({**layers, "face": layers["IT"]}, ["IT"], ["face"])  # one layer for both
    check_region_names(layers, ["face", "IT"], ["face", "IT"])  # recorded under its own name
