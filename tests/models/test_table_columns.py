"""Which columns of a table are features, and what else is in tables that people have."""

import h5py
import numpy as np
import pandas as pd
import pytest

from brainscore_vision.benchmark_helpers.stimulus_kernels.wording import command_line
from brainscore_vision.data.laion_fmri_7t.errors import SchemaError
from brainscore_vision.models.laion_fmri_7t import StimulusFeatureModel
from brainscore_vision.models.laion_fmri_7t.feature_tables import open_table
from brainscore_vision.models.laion_fmri_7t.table_files import TableError

IDS = [f"shared_12rep_LAION_cluster_{i}_i0.jpg" for i in range(12)]
ENDINGS = ("csv", "parquet")


@pytest.fixture
def values():
    return np.random.default_rng(4).standard_normal((len(IDS), 3))


@pytest.fixture
def frame(values):
    return pd.DataFrame(values, columns=["f0", "f1", "f2"]).assign(stimulus_id=IDS)


def write(path, frame, index=False):
    if path.suffix == ".csv":
        frame.to_csv(path, index=index)
    else:
        pytest.importorskip("pyarrow", reason="pandas reads Parquet with pyarrow, the extra [parquet]")
        frame.to_parquet(path, index=index)
    return path


def same(table, values):
    assert table.n_features == values.shape[1]
    np.testing.assert_allclose(table.rows(IDS), values, rtol=1e-12)
    return True


@pytest.mark.parametrize(
    "names",
    [
        ("f0", "f1", "f2"),
        ("feature_1", "feature_2", "feature_3"),
        ("emb_000", "emb_001", "emb_002"),
        ("0", "1", "2"),
        ("layer4.1.conv2_7", "layer4.1.conv2_9", "layer4.1.conv2_12"),
        ("x[0]", "x[1]", "x[2]"),
        (" f0", "f1 ", "f2"),
    ],
)
@pytest.mark.parametrize("ending", ENDINGS)
def test_one_name_and_a_running_number(tmp_path, frame, values, names, ending):
    named = frame.rename(columns=dict(zip(("f0", "f1", "f2"), names, strict=True)))
    assert same(open_table(write(tmp_path / f"t.{ending}", named)), values)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "with_index",
    [
        lambda f: (f, True),
        lambda f: (f.reset_index(), False),
        lambda f: (f.set_index("stimulus_id"), True),
        lambda f: (f.set_index("stimulus_id").rename_axis(None), True),
        lambda f: (f.sample(frac=1, random_state=0), True),  # an index out of order is one still
        lambda f: (f.sample(frac=1, random_state=0).reset_index().reset_index(), False),
        lambda f: (f.set_axis([*range(100, 112)]), True),
    ],
)
def test_an_index_is_no_feature(tmp_path, frame, values, ending, with_index):
    changed, index = with_index(frame)
    assert same(open_table(write(tmp_path / f"t.{ending}", changed, index)), values)


def test_an_index_that_was_written_twice(tmp_path, frame, values):
    frame.to_csv(tmp_path / "once.csv")
    pd.read_csv(tmp_path / "once.csv").to_csv(tmp_path / "twice.csv")
    table = open_table(tmp_path / "twice.csv")
    assert same(table, values)
    assert [note.split(" of ")[0] for note in table.notes] == ["Column 'Unnamed: 0'", "Column 'Unnamed: 1'"]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "name", ["n_reps", "trial_id", "stimulus_index", "session", "block", "age", "x", "label", "Row"]
)
def test_other_columns_are_refused(tmp_path, frame, ending, name):
    path = write(tmp_path / f"t.{ending}", frame.assign(**{name: range(12) if name != "label" else "cat"}))
    with pytest.raises(TableError, match=rf"unclear which of these 4 are: {name}, f0 to f2 .*columns='f\*'\."):
        open_table(path)
    with command_line(), pytest.raises(TableError, match=r"for example --columns 'f\*'\."):
        open_table(path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"g0": 1.0, "g1": 2.0}, r"f0 to f2 \(3 columns like f#\), g0 to g1 \(2 columns like g#\)"),
        ({"f03": 1.0, "f3": 2.0}, r"f0 to f3 \(5 columns like f#\)"),  # two columns of one number
        ({"f3": "cat"}, r"features are numbers; 1 of 4 columns hold something else, the first: f3 \(in row 0 'cat'\)"),
        ({"": 0.5}, "unclear which"),  # unnamed, and no index
        ({"f3": range(12)}, "the column f3 is called as a feature, and counts the rows"),
        ({"f3": range(1, 13)}, "the column f3 is called as a feature, and counts the rows"),
        ({"f3": range(5, 17)}, "the column f3 is called as a feature, and counts the rows"),
    ],
)
def test_columns_in_doubt(tmp_path, frame, columns, message):
    with pytest.raises(TableError, match=message):
        open_table(write(tmp_path / "t.csv", frame.assign(**columns)))


def test_a_single_number_per_image_has_to_be_named(tmp_path, frame, values):
    path = write(tmp_path / "t.csv", frame[["stimulus_id", "f0"]].rename(columns={"f0": "luminance"}))
    with pytest.raises(TableError, match=r"which of these 1 are: luminance.*columns='\*'"):
        open_table(path)
    assert same(open_table(path, columns="*"), values[:, :1])


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("columns", "positions"),
    [("f*", [0, 1, 2]), ("f0,f2", [0, 2]), (["f2", "f0"], [0, 2]), ("f[01]", [0, 1]), ("f1, n_reps", [1, 3])],
)
def test_features_that_are_named(tmp_path, frame, values, ending, columns, positions):
    path = write(tmp_path / f"t.{ending}", frame.assign(n_reps=12, name="x"), index=True)
    expected = np.column_stack([values, np.full(12, 12)])[:, positions]
    assert same(open_table(path, columns=columns), expected)
    assert StimulusFeatureModel.from_file(path, columns=columns).table.n_features == len(positions)


def test_names_that_lead_nowhere(tmp_path, frame):
    path = write(tmp_path / "t.csv", frame)
    with pytest.raises(TableError, match=r"no column is 'g\*'\. It has f0, f1, f2"):
        open_table(path, columns="f*,g*")
    with command_line(), pytest.raises(TableError, match="--columns names columns"):
        open_table(path, columns="features")
    with pytest.raises(TableError, match=r"1 of 4 columns hold something else, the first: word"):
        open_table(write(tmp_path / "u.csv", frame.assign(word="x")), columns="*")


def test_another_choice_of_columns_has_other_kernels(tmp_path, frame):
    path = write(tmp_path / "t.csv", frame)
    versions = {open_table(path, columns=columns).version for columns in (None, "f0,f1", "f1,f2")}
    assert len(versions) == 3
    assert open_table(path, columns="f*").version == open_table(path).version


@pytest.mark.parametrize("ending", ["h5", "npz", "npy"])
def test_arrays_have_no_columns(tmp_path, values, ending):
    path = tmp_path / f"t.{ending}"
    if ending == "h5":
        with h5py.File(path, "w") as file:
            file["features"], file["ids"] = values, IDS
    elif ending == "npz":
        np.savez(path, features=values, ids=IDS)
    else:
        np.save(path, values)
    with pytest.raises(TableError, match="in CSV and Parquet tables only; received columns 'f\\*'"):
        open_table(path, columns="f*")


def test_columns_whose_names_are_equal_as_text(tmp_path):
    pytest.importorskip("pyarrow", reason="pandas reads Parquet with pyarrow, the extra [parquet]")
    pd.DataFrame({"stimulus_id": IDS, "f0": 0.5, "f0 ": 0.7}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(TableError, match="f0 occurs more than once"):
        open_table(tmp_path / "t.parquet")


def test_tables_that_were_put_together_with_their_headers(tmp_path, frame):
    (tmp_path / "t.csv").write_text(frame[:6].to_csv(index=False) + frame[6:].to_csv(index=False))
    with pytest.raises(TableError, match=r"3 of 3 columns hold something else, the first: f0 \(in row 6 'f0'\)"):
        open_table(tmp_path / "t.csv")


def test_a_column_of_lists(tmp_path, values):
    pytest.importorskip("pyarrow", reason="pandas reads Parquet with pyarrow, the extra [parquet]")
    lists = pd.DataFrame({"stimulus_id": IDS, "embedding": values.tolist()})
    assert same(open_table(write(tmp_path / "t.parquet", lists)), values)
    with pytest.raises(TableError, match="which of these 4 are: n_reps"):
        open_table(write(tmp_path / "u.parquet", lists.assign(n_reps=4)))
    lists.at[3, "embedding"] = [1.0]
    with pytest.raises(TableError, match="every row has as many features; embedding has lists of 3, 1 entries"):
        open_table(write(tmp_path / "v.parquet", lists))


def test_ids_of_few_values(tmp_path, frame, values):
    """pandas writes text that it holds as categories in another way."""
    path = tmp_path / "t.parquet"
    assert same(open_table(write(path, frame.astype({"stimulus_id": "category"}))), values)
    lacking = frame.assign(stimulus_id=pd.Categorical([None, *IDS[1:]]))
    with pytest.raises(TableError, match="every row has an id; 1 of 12 are empty, the first in row 0"):
        open_table(write(path, lacking))
    numbers = frame.assign(f1=frame["f1"].astype("category"))
    assert same(open_table(write(path, numbers)), values)


@pytest.mark.parametrize("start", [0, 1, 5, -3])
@pytest.mark.parametrize("place", ["first", "last"])
def test_arrays_made_of_a_table_with_its_index(tmp_path, values, start, place):
    index = np.arange(start, start + 12)
    with_index = np.column_stack([index, values] if place == "first" else [values, index])
    np.save(tmp_path / "t.npy", with_index)
    np.savez(tmp_path / "t.npz", features=with_index, ids=IDS)
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["features"], file["ids"] = with_index, IDS
    for make in (
        lambda: open_table(tmp_path / "t.h5"),
        lambda: open_table(tmp_path / "t.npy", ids=IDS),
        lambda: open_table(tmp_path / "t.npz"),
        lambda: StimulusFeatureModel.from_arrays(with_index, IDS, "mine"),
    ):
        with pytest.raises(TableError, match=f"the {place} of 4 features counts the rows, as an index does. Remove it"):
            make()


@pytest.mark.parametrize(
    "column",
    [
        np.full(12, 1e20),  # one more is the same number
        np.full(12, np.inf),
        np.arange(12) + 0.5,
        np.arange(12) * 2,
        np.arange(12)[::-1],
        np.r_[np.arange(11), 12],
        np.r_[np.arange(11), np.nan],
    ],
)
@pytest.mark.filterwarnings("error")
def test_features_that_look_somewhat_like_an_index(tmp_path, values, column):
    features = np.column_stack([column, values, column])
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["features"], file["ids"] = features, IDS
    np.savez(tmp_path / "t.npz", features=features, ids=IDS)
    for table in (open_table(tmp_path / "t.h5"), open_table(tmp_path / "t.npz")):
        np.testing.assert_array_equal(table.read(0, 12), features)


def test_small_whole_numbers_are_no_index(tmp_path):
    """A byte that is followed by 0 again, and few rows."""
    counted = np.arange(300).astype(np.uint8)
    features = np.column_stack([counted, counted[::-1], counted])
    ids = [f"{i}.jpg" for i in range(300)]
    assert StimulusFeatureModel.from_arrays(features, ids, "mine").table.n_features == 3
    assert StimulusFeatureModel.from_arrays(features[:2], ids[:2], "mine").table.n_features == 3
    assert StimulusFeatureModel.from_arrays(np.arange(300)[:, None], ids, "mine").table.n_features == 1


def test_features_by_stimuli_are_to_be_transposed(tmp_path, values):
    np.savez(tmp_path / "t.npz", features=values.T, ids=IDS)
    with pytest.raises(TableError, match=r"shape \(3, 12\) and 12 ids. Transpose the features"):
        open_table(tmp_path / "t.npz")


def test_a_column_twice(tmp_path):
    (tmp_path / "t.csv").write_text("stimulus_id,f0,f1,f1\na.jpg,1,2,3\nb.jpg,1,2,3\n")
    with pytest.raises(TableError, match="f1 occurs more than once"):
        open_table(tmp_path / "t.csv")


# How tables are written


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_encodings_and_separators(tmp_path, frame, values, encoding, separator):
    frame.to_csv(tmp_path / "t.csv", index=False, sep=separator, encoding=encoding)
    table = open_table(tmp_path / "t.csv")
    assert same(table, values)
    assert table.notes == ()


def test_other_encodings_are_refused(tmp_path, frame):
    frame.rename(columns={"f0": "größe0"}).to_csv(tmp_path / "t.csv", index=False, encoding="latin-1")
    with pytest.raises(SchemaError, match=r"t.csv is read as text in UTF-8 or UTF-16; .*Save it as UTF-8"):
        open_table(tmp_path / "t.csv")


@pytest.mark.parametrize("separator", [";", "\t", ","])  # with commas, numbers come in quotes
def test_decimal_commas(tmp_path, frame, values, separator):
    frame.to_csv(tmp_path / "t.csv", index=False, sep=separator, decimal=",")
    table = open_table(tmp_path / "t.csv")
    assert same(table, values)
    assert table.notes == (f"Numbers of {tmp_path / 't.csv'} were read with decimal commas.",)


@pytest.mark.parametrize(
    "rows", [["1,234", "2,345"], ["0,5", "1.5"], ["1,234.5", "7.5"], ["12,345,678", "1,234,567"]], ids=" ".join
)
def test_commas_that_may_mean_either(tmp_path, rows):
    lines = ["stimulus_id;f0;f1", *(f"{i};{row};3" for i, row in zip(IDS, rows, strict=False))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    with pytest.raises(TableError, match="may mean either|hold something else"):
        open_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("stimulus_id,f0,f1", "{},0,5,0,7"),  # decimal commas among commas
        ("stimulus_id,f0,f1", "{},1,2,3"),  # R's row names, or a column without a name
        ("stimulus_id,f0,f1", "{},1,2,"),  # a comma at the end of rows, not of the header
    ],
)
def test_rows_longer_than_the_header(tmp_path, header, row):
    (tmp_path / "t.csv").write_text("\n".join([header, *(row.format(i) for i in IDS)]))
    with pytest.raises(SchemaError, match="the rows have more fields than the header's 3|must be a table in CSV"):
        open_table(tmp_path / "t.csv")


def test_commas_and_semicolons_in_a_header(tmp_path):
    (tmp_path / "t.csv").write_text("stimulus_id;f0,f1\na;1,2\n")
    with pytest.raises(SchemaError, match="the header has commas and semicolons"):
        open_table(tmp_path / "t.csv")


def test_commas_at_the_ends_of_lines(tmp_path, frame, values):
    lines = frame.to_csv(index=False).splitlines()
    (tmp_path / "t.csv").write_text("".join(f"{line},\n" for line in lines))
    assert same(open_table(tmp_path / "t.csv"), values)


def test_a_table_cut_in_a_row(tmp_path, frame, values):
    """The row that is cut lacks features; the others are as they were."""
    text = frame[["stimulus_id", "f0", "f1", "f2"]].to_csv(index=False)
    (tmp_path / "t.csv").write_text(text[: text.rindex(",")])
    table = open_table(tmp_path / "t.csv")
    assert list(table.usable(IDS)) == IDS[:-1]
    np.testing.assert_allclose(table.rows(IDS[:-1]), values[:-1], rtol=1e-12)


@pytest.mark.parametrize("kind", ["Float64", "Int64", "boolean", "float[pyarrow]"])
def test_pandas_own_types(tmp_path, frame, kind):
    pytest.importorskip("pyarrow", reason="pandas reads Parquet with pyarrow, the extra [parquet]")
    frame[["f0", "f1", "f2"]] = (frame[["f0", "f1", "f2"]] > 0).astype(int)
    typed = frame.astype(dict.fromkeys(("f0", "f1"), kind))
    table = open_table(write(tmp_path / "t.parquet", typed))
    np.testing.assert_array_equal(table.rows(IDS), frame[["f0", "f1", "f2"]].to_numpy())


@pytest.mark.parametrize("name", ["t.csv", "t.npz", "t.npy", "t.h5", "t.parquet", "ids.npy"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04half", b"\x93NUMPY\x01\x00v", b"PAR1half", b"\x00" * 40])
def test_files_that_are_broken(tmp_path, values, name, content):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="pandas reads Parquet with pyarrow, the extra [parquet]")
    (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "whole.npy", values)
    with pytest.raises(SchemaError, match=name):
        open_table(*((tmp_path / "whole.npy", tmp_path / name) if name == "ids.npy" else (tmp_path / name,)))


# Arrays


def test_features_in_a_group(tmp_path, values):
    """The ids beside them are theirs; those of another group are not."""
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["net/layer4"], file["net/ids"], file["other/ids"] = values, IDS, IDS[::-1]
        file["net/valid"] = np.arange(12) != 3
    table = open_table(tmp_path / "t.h5")
    assert not table.valid[3]
    np.testing.assert_array_equal(table.rows(IDS[4:]), values[4:])
    np.testing.assert_array_equal(
        open_table(tmp_path / "t.h5", key="/net/layer4", ids="/net/ids").rows(IDS[:2]), values[:2]
    )


def test_several_tables_in_a_file(tmp_path, values):
    np.savez(tmp_path / "t.npz", fc6=values, fc7=values[:, :2], ids=IDS)
    with pytest.raises(TableError, match=r"it has fc6 \(12 × 3\), fc7 \(12 × 2\)\. Name the array \(key=\.\.\.\)"):
        open_table(tmp_path / "t.npz")
    assert same(open_table(tmp_path / "t.npz", key="fc7"), values[:, :2])
    np.savez(tmp_path / "two.npz", features=values, embedding=values[:, :2], ids=IDS)
    with pytest.raises(TableError, match=r"features \(12 × 3\), embedding \(12 × 2\)"):
        open_table(tmp_path / "two.npz")
    np.savez(tmp_path / "named.npz", features=values, distances=np.eye(12), ids=IDS)
    assert same(open_table(tmp_path / "named.npz"), values)


def test_tables_in_pandas_own_hdf5_form(tmp_path, values):
    """As to_hdf writes them: a group with this attribute, its values in blocks."""
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["table/block0_values"] = values
        file["table"].attrs["pandas_type"] = "frame"
    with pytest.raises(TableError, match=r"pandas' own form \(table\).*to_parquet"):
        open_table(tmp_path / "t.h5")


@pytest.mark.parametrize("separator", [";", ",", "\t"])
def test_points_that_may_mark_thousands(tmp_path, separator):
    def table(*numbers):
        lines = [f"{i}{separator}{number}{separator}3" for i, number in zip(IDS, numbers, strict=False)]
        (tmp_path / "t.csv").write_text("\n".join([f"stimulus_id{separator}f0{separator}f1", *lines, ""]))
        return open_table(tmp_path / "t.csv")

    for numbers in (("12.345", "1.5"), ("12.345", "0.123"), ("12.345", "2.34567")):
        np.testing.assert_allclose(table(*numbers).read(0, 2)[:, 0], [float(number) for number in numbers])
    if separator == ";":
        with pytest.raises(TableError, match="12.345 may be a thousand times as much"):
            table("12.345", "6.789")
    else:
        assert table("12.345", "6.789").read(0, 1)[0, 0] == 12.345


def test_ratings_beside_tabs_are_no_thousands(tmp_path):
    """Means of three, as R writes them: without zeros at their ends."""
    rows = [("a.jpg", "3.667", "2"), ("b.jpg", "4", "1.333"), ("c.jpg", "2.333", "5")]
    (tmp_path / "t.tsv").write_text("\n".join("\t".join(row) for row in [("stimulus_id", "f0", "f1"), *rows, ()]))
    np.testing.assert_array_equal(open_table(tmp_path / "t.tsv").read(0, 3), [[3.667, 2], [4, 1.333], [2.333, 5]])


def test_a_name_with_brackets_is_itself_alone(tmp_path):
    frame = pd.DataFrame(
        {"stimulus_id": ["a.jpg", "b.jpg", "c.jpg"], "Q1[SQ001]": [1.5, 2, 3], "Q10": [4.5, 5, 6], "QS": [0, 1, 9]}
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    for wanted in ("Q1[SQ001]", ["Q1[SQ001]"]):
        assert open_table(tmp_path / "t.csv", columns=wanted).columns == ("Q1[SQ001]",)
    assert open_table(tmp_path / "t.csv", columns="Q1[0-9]").columns == ("Q10",)


@pytest.mark.parametrize("separator", [";", "\t"])
@pytest.mark.parametrize("first", [0, 25], ids=["from the first row", "after many rows"])
def test_points_that_mark_thousands_among_small_numbers(tmp_path, separator, first):
    def table(number):
        numbers = [*["809"] * first, number, "17", "809"]
        lines = [f"image_{i}.jpg{separator}{value}{separator}3" for i, value in enumerate(numbers)]
        (tmp_path / "t.csv").write_text("\n".join([f"stimulus_id{separator}f0{separator}f1", *lines, ""]))
        return open_table(tmp_path / "t.csv")

    with pytest.raises(TableError, match="5.663 may be a thousand times as much"):
        table("5.663")
    for number in ("5.66", "0.663"):
        assert table(number).read(first, first + 1)[0, 0] == float(number)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("numbers", ["%.6f", "%.8e", "%r"])
def test_every_cut_inside_the_last_number_is_refused_or_said(tmp_path, frame, numbers, line_end, encoding):
    """Or changes nothing but digits that other numbers of the column do not have either."""
    path, rng = tmp_path / "t.csv", np.random.default_rng(8)
    values = rng.normal(size=len(frame)) * 10.0 ** rng.integers(-3, 3, len(frame))
    lines = [f"{i},1,{numbers % value}" for i, value in zip(frame["stimulus_id"], values, strict=True)]
    whole = line_end.join(["stimulus_id,f0,f1", *lines, ""])
    path.write_bytes(whole.encode(encoding))
    assert open_table(path).notes == ()
    fewest = min(len(line.rpartition(".")[2].partition("e")[0]) for line in lines)
    end, start = len(whole) - len(line_end), whole.rindex(",") + 1

    def opened(length):
        path.write_bytes(whole[:length].encode(encoding))
        try:
            return open_table(path)
        except (SchemaError, TableError) as error:
            return str(error)

    outcomes = [opened(length) for length in range(start + 1, end + 1)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert len(refused) >= fewest
    assert all("was cut" in error or "something else" in error for error in refused)
    for table in (outcome for outcome in outcomes if not isinstance(outcome, str)):
        assert any("if it was cut, its last number is wrong" in note for note in table.notes)
        read = float(table.read(0, len(lines))[-1, 1])
        assert abs(read - values[-1]) <= max(10.0 ** (1 - fewest), 1e-5) * max(abs(values[-1]), 1)
