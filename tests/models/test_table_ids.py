"""Ids as people write them: what is matched, what is said, and what is refused."""

import h5py
import numpy as np
import pandas as pd
import pytest
from plugin_testing.notes import notes_of

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ModelOutputError
from brainscore_vision.benchmark_helpers.stimulus_kernels.wording import command_line
from brainscore_vision.benchmarks.laion_fmri_7t import score_model
from brainscore_vision.data.laion_fmri_7t.source import open_dataset
from brainscore_vision.models.laion_fmri_7t import StimulusFeatureModel, combine
from brainscore_vision.models.laion_fmri_7t.feature_tables import FeatureTable, open_table, read_ids
from brainscore_vision.models.laion_fmri_7t.table_files import TableError

CELL = "LAION_fMRI.IT-tau-ridge"
NAMES = ["shared_12rep_LAION_cluster_1_i0.jpg", "shared_4rep_OOD_shape_ball.png", "unique_THINGS_air.v2_p01.jpg"]


@pytest.fixture(scope="module")
def shared(tiny_dataset):
    return open_dataset(tiny_dataset).pool_stimuli("shared")


@pytest.fixture(scope="module")
def values(shared):
    return np.random.default_rng(5).standard_normal((len(shared), 6))


SPELLINGS = {
    "no ending": lambda s: s.rpartition(".")[0],
    "folder": lambda s: f"images/{s}",
    "path": lambda s: f"/data/stimuli/{s}",
    "Windows": lambda s: f"C:\\stimuli\\{s}",
    "capitals": str.upper,
    "small letters": str.lower,
    "another ending": lambda s: f"{s.rpartition('.')[0]}.JPEG",
    "ending on ending": lambda s: f"{s}.npy",
    "folder without ending": lambda s: f"shared/{s.rpartition('.')[0]}",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings_are_matched_and_said_once(tiny_dataset, shared, values, spelling, caplog):
    expected = score_model(StimulusFeatureModel.from_arrays(values, shared, "mine"), CELL, dataset=tiny_dataset)
    assert notes_of(expected) == []
    spelled = [SPELLINGS[spelling](s) for s in shared]
    found = score_model(StimulusFeatureModel.from_arrays(values, spelled, "mine"), CELL, dataset=tiny_dataset)
    assert found.item() == expected.item()
    (note,) = notes_of(found)
    n_changed = sum(a != b for a, b in zip(shared, spelled, strict=True))
    assert note.startswith(f"{n_changed} ids of features in memory were matched without folder, image ending, capitals")
    assert [record.message for record in caplog.records].count(note) == 1


@pytest.mark.parametrize("kind", [list, np.array, lambda ids: np.array(ids, dtype=object)])
def test_ids_may_be_bytes(kind):
    names = ["café.jpg", "b.jpg"]
    given = kind([name.encode() for name in names])
    assert FeatureTable.of_arrays(np.eye(2), given).ids.tolist() == names
    with pytest.raises(TableError, match="ids are text in UTF-8"):
        FeatureTable.of_arrays(np.eye(2), kind(["é".encode("latin-1"), b"b.jpg"]))


@pytest.mark.parametrize("blanks", [" {}", "{} ", "{}\t", "\u00a0{}"])
def test_surrounding_blanks_do_not_count(shared, values, blanks):
    table = FeatureTable.of_arrays(values, [blanks.format(s) for s in shared])
    assert table.ids.tolist() == list(shared)


def test_a_combination_says_what_its_parts_say(tiny_dataset, shared, values):
    spelled = StimulusFeatureModel.from_arrays(values, [f"all/{s}" for s in shared], "mine")
    both = combine([spelled, StimulusFeatureModel.from_arrays(values[:, :2], shared, "other")])
    (note,) = notes_of(score_model(both, CELL, dataset=tiny_dataset))
    assert "were matched without folder" in note


@pytest.mark.parametrize(
    "ids",
    [
        ["a/x.jpg", "b/x.jpg", "y.jpg"],  # two rows for one stimulus
        ["X.jpg", "x.png", "y.jpg"],
    ],
)
def test_two_rows_for_one_stimulus_are_none(ids):
    table = FeatureTable.of_arrays(np.eye(3), ids)
    assert table.located(["x.jpeg", "y.jpg"]) == {"y.jpg": 2}


def test_an_exact_id_goes_first():
    """Images that differ in their ending alone are two images, if both are asked for by name."""
    table = FeatureTable.of_arrays(np.eye(3), ["x.jpg", "x.png", "thumbs/x.jpg"])
    assert table.located(["x.png", "x.jpg"]) == {"x.png": 1, "x.jpg": 0}
    assert FeatureTable.of_arrays(np.eye(1), ["x"]).located(["x.png", "x.jpg"]) == {}  # of which of the two?


def test_unknown_stimuli_are_shown_with_what_is_nearest(tiny_dataset, shared, values):
    wrong = [s.replace("shared_", "shard_") for s in shared]
    with pytest.raises(
        ModelOutputError, match=r"have none.*are absent from .* \(nearest to 'shared_12rep.*': 'shard_12"
    ):
        score_model(StimulusFeatureModel.from_arrays(values, wrong, "mine"), CELL, dataset=tiny_dataset)
    foreign = [f"n0{i:07d}_cat" for i in range(len(shared))]
    with pytest.raises(ModelOutputError, match=r"its ids look like 'n00000000_cat', not like 'shared_12rep"):
        score_model(StimulusFeatureModel.from_arrays(values, foreign, "mine"), CELL, dataset=tiny_dataset)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", "b", "a"], "1 of 3 rows repeat an id, the first: 'a'"),
        (["a", "b", " a "], "1 of 3 rows repeat an id"),
        (["a", "", "b"], "1 of 3 are empty, the first in row 1"),
        (["a", None, "b"], "1 of 3 are empty"),
        (["a", float("nan"), "b"], "1 of 3 are empty"),
        ([0, 1, 2], "these ids are numbers, the first 0"),
        ([10.0, 11.0, 12.0], "these ids are numbers, the first 10.0"),
        (np.array([b"001", b"002", b"003"]), "these ids are numbers, the first 001"),
    ],
)
def test_ids_that_are_none(ids, message):
    with pytest.raises(TableError, match=message):
        FeatureTable.of_arrays(np.eye(3), ids)


@pytest.mark.parametrize("ids", [["73", "1", "9"], np.array(["73", "1", "9"]), pd.Series(["73", "1", "9"])])
def test_ids_in_memory_may_be_numbers_as_text(ids):
    """Datasets of one's own call their images so."""
    np.testing.assert_array_equal(FeatureTable.of_arrays(np.eye(3), ids).rows(["9", "73"]), np.eye(3)[[2, 0]])


def test_numeric_ids_of_a_table(tmp_path):
    pd.DataFrame({"image_id": [1.0, 2.0], "f0": [0.1, 0.2], "f1": [0.3, 0.4]}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(
        TableError, match=r"numbers, the first 1.0\. Name the right column, array or file \(ids=\.\.\.\)"
    ):
        open_table(tmp_path / "t.csv")
    with command_line(), pytest.raises(TableError, match=r"array or file \(--ids\)"):
        open_table(tmp_path / "t.csv")


def test_two_columns_of_ids(tmp_path):
    frame = pd.DataFrame({"image_name": NAMES, "stimulus_id": NAMES[::-1], "f0": 0.5, "f1": 0.7})
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(TableError, match="one stimulus id; there are image_name, stimulus_id. Name the right one"):
        open_table(tmp_path / "t.csv")
    with pytest.raises(TableError, match="unclear which of these 3 are: image_name"):
        open_table(tmp_path / "t.csv", ids="stimulus_id")
    table = open_table(tmp_path / "t.csv", ids="stimulus_id", columns="f*")
    assert table.ids.tolist() == NAMES[::-1]


@pytest.mark.parametrize("name", ["Stimulus_ID", "STIMULUS_ID", "image_name", " stimulus_id"])
def test_the_column_of_ids_in_other_letters(tmp_path, name):
    pd.DataFrame({name: NAMES, "f0": 0.5, "f1": 0.7}).to_csv(tmp_path / "t.csv", index=False)
    assert open_table(tmp_path / "t.csv").ids.tolist() == NAMES


def test_ids_in_two_places(tmp_path):
    pd.DataFrame({"stimulus_id": NAMES, "f0": 0.5, "f1": 0.7}).to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "ids.txt").write_text("\n".join(NAMES[::-1]))
    with pytest.raises(TableError, match="ids are in the table or elsewhere; they are in its column stimulus_id"):
        open_table(tmp_path / "t.csv", ids=tmp_path / "ids.txt")


def write_ids(path, ids, name="stimulus_ids"):
    """Features whose rows a file has names for."""
    features = np.arange(9.0).reshape(3, 3) ** 2
    if path.suffix == ".npz":
        np.savez(path, features=features, **{name: np.array(ids)})
    else:
        with h5py.File(path, "w") as file:
            file["net/features"], file[f"net/{name}"] = features, list(ids)
    return path


@pytest.mark.parametrize("ending", ["npz", "h5"])
def test_ids_given_beside_a_file_that_has_others(tmp_path, ending):
    """Rows in the order of whatever showed the images, and a list of the study's stimuli."""
    path = write_ids(tmp_path / f"t.{ending}", NAMES[::-1])
    assert open_table(path).ids.tolist() == NAMES[::-1]
    rule = r"stimulus_ids: ids are in the file or elsewhere.*row 0 is .* and not .*Leave ids out, or name the array"
    with pytest.raises(TableError, match=rule):
        open_table(path, ids=NAMES)
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    with command_line(), pytest.raises(TableError, match=r"Leave --ids out, or name the array \(--ids NAME\)"):
        open_table(path, ids=tmp_path / "names.txt")
    assert open_table(path, ids=NAMES[::-1]).ids.tolist() == NAMES[::-1]  # the same again
    path = write_ids(tmp_path / f"files.{ending}", [f"images/{name}.jpg" for name in NAMES[::-1]], "image_name")
    with pytest.raises(TableError, match="image_name: ids are in the file or elsewhere"):
        open_table(path, ids=NAMES)
    path = write_ids(tmp_path / f"column.{ending}", [[name] for name in NAMES[::-1]])  # as MATLAB writes one
    assert open_table(path).ids.tolist() == NAMES[::-1]
    with pytest.raises(TableError, match="stimulus_ids: ids are in the file or elsewhere"):
        open_table(path, ids=NAMES)
    path = write_ids(tmp_path / f"numbers.{ending}", ["0", "1", "2"], "image_ids")  # of rows
    assert open_table(path, ids=NAMES).ids.tolist() == NAMES


def test_ids_in_a_group_above_the_features(tmp_path):
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["net/image_ids"] = NAMES[::-1]
        for layer in ("conv", "fc"):
            file[f"net/layers/{layer}/features"] = np.arange(9.0).reshape(3, 3) ** 2
    table = open_table(tmp_path / "t.h5", key="net/layers/fc/features")
    assert table.ids.tolist() == NAMES[::-1]
    with pytest.raises(TableError, match="net/image_ids: ids are in the file or elsewhere"):
        open_table(tmp_path / "t.h5", key="net/layers/fc/features", ids=NAMES)


def test_a_file_of_ids_of_another_length_is_named(tmp_path):
    np.save(tmp_path / "f.npy", np.eye(3))
    (tmp_path / "ids.txt").write_text("\n".join(NAMES[:2]))
    with pytest.raises(TableError, match=r"shape \(3, 3\) and 2 ids in .*ids.txt, the first .shared_12rep"):
        open_table(tmp_path / "f.npy", ids=tmp_path / "ids.txt")
    np.savez(tmp_path / "f.npz", features=np.eye(3))
    with pytest.raises(TableError, match="and there is no file nowhere.txt"):
        open_table(tmp_path / "f.npz", ids="nowhere.txt")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("header", [[], ["stimulus_id"], ["Image_Name"]])
def test_lists_of_ids(tmp_path, encoding, line_end, header):
    path = tmp_path / "ids.txt"
    path.write_bytes(line_end.join([*header, *NAMES, ""]).encode(encoding))
    assert read_ids(path) == NAMES


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_manifest_as_list_of_ids(tmp_path, encoding, separator):
    frame = pd.DataFrame({"filename": ["a", "b", "c"], "stimulus_id": NAMES})
    frame.to_csv(tmp_path / "manifest.csv", sep=separator, encoding=encoding)
    assert read_ids(tmp_path / "manifest.csv") == NAMES
    frame[["filename"]].to_csv(tmp_path / "other.csv", index=True)
    with pytest.raises(TableError, match="each row needs a stimulus id"):
        read_ids(tmp_path / "other.csv")
