"""Text as editors and Excel save it, and every file of text that is read."""

import json

import pytest
from plugin_testing.data_factory import OOD, SHARED, unique, write_dataset, write_images
from typer import BadParameter

from brainscore_vision.benchmarks.laion_fmri_7t.cli.sweep import listed
from brainscore_vision.data.laion_fmri_7t.errors import SchemaError
from brainscore_vision.data.laion_fmri_7t.packaging.layout import dataset_mark, sessions_in_sidecar
from brainscore_vision.data.laion_fmri_7t.packaging.trials import read_trials
from brainscore_vision.data.laion_fmri_7t.source import open_dataset
from brainscore_vision.data.laion_fmri_7t.stimuli.sources import find_stimuli
from brainscore_vision.data.laion_fmri_7t.text_files import read_csv, read_lines, read_text, separator

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")
encodings = pytest.mark.parametrize("encoding", ENCODINGS)


@encodings
@pytest.mark.parametrize(
    "text", ["alexnet\n", "größe, naïve\n", "a", "", "日本語のモデル and some English beside it\n"]
)
def test_text_in_any_encoding(tmp_path, encoding, text):
    path = tmp_path / "file"
    path.write_bytes(text.encode(encoding))
    if encoding in ("utf-16-le", "utf-16-be") and text.startswith("日"):
        pytest.skip("without a mark, only text that is mostly of Latin letters tells UTF-16")
    assert read_text(path) == text


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@encodings
def test_lines(tmp_path, encoding, line_end):
    (tmp_path / "list").write_bytes(line_end.join(["alexnet", "", "  pixels ", "a\x85b", ""]).encode(encoding))
    assert read_lines(tmp_path / "list") == ["alexnet", "pixels", "a\x85b"]


@pytest.mark.parametrize(
    "content", [b"gr\xf6\xdfe\n", b"alexnet\n\x00\x00\x00\n", bytes(range(256)), b"\xff\xfeodd", b"\0"]
)
def test_what_is_no_text(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(SchemaError, match="file is read as text in UTF-8 or UTF-16; it cannot be: .*Save it as UTF-8"):
        read_text(tmp_path / "file")


@pytest.mark.parametrize(
    ("header", "mark"),
    [
        ("a,b", ","),
        ("a;b", ";"),
        ("a\tb", "\t"),
        ("a, b\tc", "\t"),
        ('"a;b",c', ","),
        ('"a,b";"c"', ";"),
        ("alone", ","),
        ("\n\na;b", ";"),
    ],
)
def test_separators(tmp_path, header, mark):
    (tmp_path / "t.csv").write_text(f"{header}\n")
    assert separator(tmp_path / "t.csv") == mark


def test_a_row_that_is_too_long_moves_no_name(tmp_path):
    """pandas alone takes the first column for an index here."""
    (tmp_path / "t.csv").write_text("stimulus_id,f0\na,1,2\nb,3,4\n")
    with pytest.raises(SchemaError, match="more fields than the header's 2"):
        read_csv(tmp_path / "t.csv")


# Every place


def recode(path, encoding):
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))


@encodings
def test_lists_of_models_and_benchmarks(tmp_path, encoding):
    path = tmp_path / "models.txt"
    path.write_bytes("# ours\r\nalexnet\r\n pixels # theirs\r\n\r\n".encode(encoding))
    assert listed([str(path), "resnet50_tutorial"]) == ["alexnet", "pixels", "resnet50_tutorial"]
    assert listed([f"@{path}"]) == ["alexnet", "pixels"]


def test_a_list_that_is_no_text(tmp_path):
    (tmp_path / "models.txt").write_bytes(b"\x89PNG\xff")
    with pytest.raises(BadParameter, match=r"models.txt is read as a list, one name per line; it cannot be: .*UTF-8"):
        listed([str(tmp_path / "models.txt")])


@encodings
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_manifest(tmp_path, encoding, mark):
    source = find_stimuli(write_images(tmp_path / "stimuli", SHARED + OOD))
    expected = source.table()
    path = tmp_path / "stimuli" / "manifest.csv"
    path.write_text(path.read_text().replace(",", mark))
    recode(path, encoding)
    found = find_stimuli(tmp_path / "stimuli")
    assert found.table().equals(expected)
    assert list(found.files(SHARED[:2])) == SHARED[:2]


@encodings
def test_a_dataset_whose_texts_are_encoded(tmp_path, encoding):
    """Splits, manifest and the mark of a simulation, all at once."""
    root = write_dataset(tmp_path / "data", ("sub-01",))
    (root / "dataset.json").write_text(json.dumps({"name": "simulated", "complete": True}))
    expected = open_dataset(root).split_ids("sub-01", "tau")
    for path in (*root.glob("splits/*/*.json"), root / "stimuli" / "manifest.csv", root / "dataset.json"):
        recode(path, encoding)
    dataset = open_dataset(root)
    assert dataset.is_simulated
    assert dataset_mark(root)["name"] == "simulated"
    assert dataset.split_ids("sub-01", "tau") == expected
    assert set(dataset.pool_stimuli("sub-01")) == {*SHARED, *OOD, *unique("sub-01")}


@encodings
def test_files_of_the_release(tmp_path, encoding):
    trials = tmp_path / "trials.tsv"
    trials.write_text("session\trun\tbeta_index\tlabel\nses-01\t1\t0\ta, b.jpg\n")
    recode(trials, encoding)
    assert read_trials(trials, "ses-01")["stimulus_id"].tolist() == ["a, b.jpg"]
    sidecar = tmp_path / "map.json"
    sidecar.write_text('{"Sources": ["bids::derivatives/x_ses-07_y.nii.gz"]}')
    recode(sidecar, encoding)
    assert sessions_in_sidecar(tmp_path / "map.nii.gz") == ("ses-07",)
