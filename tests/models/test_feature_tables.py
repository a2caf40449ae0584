"""Feature tables: every format gives the same rows, and every broken rule is said."""

import pickle

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
import xarray as xr
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly

from brainscore_vision.models.laion_fmri_7t import feature_tables
from brainscore_vision.models.laion_fmri_7t.feature_tables import FeatureTable, open_table
from brainscore_vision.models.laion_fmri_7t.table_files import TableError

IDS = [f"image {i}.jpg" for i in range(10)]


@pytest.fixture
def features():
    rng = np.random.default_rng(1)
    return rng.standard_normal((len(IDS), 4)).astype(np.float16)


def write_hdf5(path, features, ids=IDS, valid=None, names=("embedding", "image_ids")):
    with h5py.File(path, "w") as file:
        file[names[0]] = features
        file.create_dataset(names[1], data=np.array(ids, dtype=object), dtype=h5py.string_dtype())
        if valid is not None:
            file["valid"] = np.asarray(valid)
    return path


def write(path, features):
    """The features in the format that the path's ending names."""
    frame = pd.DataFrame(features.astype(np.float32), columns=[f"f{i}" for i in range(features.shape[1])])
    frame.insert(0, "stimulus_id", IDS)
    if path.suffix == ".h5":
        write_hdf5(path, features)
    elif path.suffix == ".npz":
        np.savez(path, features=features, stimulus_ids=IDS)
    elif path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


@pytest.mark.parametrize("ending", ["h5", "npz", "csv", "parquet"])
def test_every_format_gives_the_same_rows(tmp_path, features, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason="pandas reads Parquet with pyarrow, the extra [parquet]")
    table = open_table(write(tmp_path / f"table.{ending}", features))
    wanted = [IDS[7], IDS[0], IDS[3]]
    np.testing.assert_allclose(table.rows(wanted), features[[7, 0, 3]], rtol=1e-6)
    assert table.ids.tolist() == IDS
    assert table.n_features == 4


def test_parquet_without_its_engine_says_what_to_install(tmp_path, features, monkeypatch):
    path = tmp_path / "table.parquet"
    path.write_bytes(b"PAR1")

    def missing(_):
        raise ImportError("no engine")

    monkeypatch.setattr(pd, "read_parquet", missing)
    with pytest.raises(TableError, match=r"pip install '\.\[parquet\]'"):
        open_table(path)


@pytest.mark.parametrize("ending", ["txt", "csv", "npy"])
def test_ids_from_a_file_beside_a_bare_array(tmp_path, features, ending):
    np.save(tmp_path / "features.npy", features)
    names = tmp_path / f"names.{ending}"
    if ending == "npy":
        np.save(names, np.array(IDS))
    else:
        names.write_text("\n".join([*(["stimulus_id"] if ending == "csv" else []), *IDS]) + "\n")
    table = open_table(tmp_path / "features.npy", ids=names)
    np.testing.assert_array_equal(table.rows(IDS[::-1]), features[::-1])
    with pytest.raises(TableError, match="name a file with their ids"):
        open_table(tmp_path / "features.npy")


def test_ids_and_features_by_key(tmp_path, features):
    path = write_hdf5(tmp_path / "table.h5", features, names=("layer4", "names"))
    with pytest.raises(TableError, match="each row needs a stimulus id"):
        open_table(path)
    np.testing.assert_array_equal(open_table(path, ids="names", key="layer4").rows(IDS), features)
    with pytest.raises(TableError, match="no array 'layer5'"):
        open_table(path, ids="names", key="layer5")


def test_half_precision_is_read_in_blocks(tmp_path, features, monkeypatch):
    """No block is read twice, none that is not needed, and the answer does not depend on the size of blocks."""
    path, read = write_hdf5(tmp_path / "table.h5", features), []
    table = open_table(path)
    honest = table.read
    object.__setattr__(table, "read", lambda start, stop: read.append((start, stop)) or honest(start, stop))
    monkeypatch.setattr(feature_tables, "ROW_BLOCK", 3)
    rows = table.rows([IDS[8], IDS[0], IDS[7], IDS[1]])
    assert rows.dtype == np.float16
    np.testing.assert_array_equal(rows, features[[8, 0, 7, 1]])
    assert read == [(0, 3), (6, 9)]


def test_rows_marked_invalid_are_not_there(tmp_path, features):
    features[2] = np.nan  # what an invalid row holds does not matter
    table = open_table(write_hdf5(tmp_path / "table.h5", features, valid=np.arange(10) != 2))
    assert set(table.positions) == set(IDS) - {IDS[2]}
    with pytest.raises(TableError, match=r"no valid row for 1 of 2 stimuli, the first: \['image 2.jpg'\]"):
        table.rows(IDS[1:3])


def test_features_that_are_not_finite(tmp_path, features):
    features[4, 1] = np.inf
    table = open_table(write_hdf5(tmp_path / "table.h5", features))
    assert np.isfinite(table.rows(IDS[:4])).all()
    with pytest.raises(TableError, match=r"1 of 10 stimuli have nan or infinity, the first: \['image 4.jpg'\]"):
        table.rows(IDS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f, IDS[:-1]), r"received shape \(10, 4\) and 9 ids"),
        (lambda f: (f[:, :, None], IDS), r"received shape \(10, 4, 1\)"),
        (lambda f: (f, [*IDS[:-1], IDS[0]]), "1 of 10 rows repeat an id, the first: 'image 0.jpg'"),
        (lambda f: (f, [*IDS[:-1], ""]), "1 of 10 are empty, the first in row 9"),
        (lambda f: (f.astype(complex), IDS), "features are real numbers; received complex128"),
        (lambda f: (f[:, :0], IDS), "at least one feature"),
    ],
)
def test_broken_tables_are_refused(tmp_path, features, change, message):
    values, ids = change(features)
    with pytest.raises(TableError, match=message):
        open_table(write_hdf5(tmp_path / "table.h5", values, ids))


def test_flags_that_are_no_flags(tmp_path, features):
    with pytest.raises(TableError, match="true and false"):
        open_table(write_hdf5(tmp_path / "table.h5", features, valid=np.linspace(0, 1, 10)))


def test_text_columns_are_no_features(tmp_path, features):
    path = write(tmp_path / "table.csv", features)
    frame = pd.read_csv(path)
    frame["label"] = "cat"
    frame.to_csv(path, index=False)
    with pytest.raises(TableError, match=r"unclear which of these 5 are: label, f0 to f3 \(4 columns like f#\)"):
        open_table(path)


def test_files_that_are_not_what_their_name_says(tmp_path):
    (tmp_path / "table.h5").write_text("words")
    with pytest.raises(TableError, match="must be an HDF5 file"):
        open_table(tmp_path / "table.h5")
    with pytest.raises(TableError, match="there is none at"):
        open_table(tmp_path / "nothing.h5")
    (tmp_path / "table.mat").write_text("words")
    with pytest.raises(TableError, match=r"one of \.h5"):
        open_table(tmp_path / "table.mat")


def test_arrays_of_objects_are_not_unpickled(tmp_path, features):
    np.savez(tmp_path / "table.npz", features=features, stimulus_ids=np.array(IDS, dtype=object))
    with pytest.raises(TableError, match="no Python objects"):
        open_table(tmp_path / "table.npz")


def test_version_tells_contents_apart(tmp_path, features):
    path = write_hdf5(tmp_path / "table.h5", features)
    version = open_table(path).version
    assert open_table(path).version == version
    np.save(tmp_path / "table.npy", features)
    assert (
        open_table(tmp_path / "table.npy", ids=IDS[::-1]).version != open_table(tmp_path / "table.npy", ids=IDS).version
    )
    features[3, 0] += 1
    assert open_table(write_hdf5(tmp_path / "other.h5", features)).version != version
    memory = FeatureTable.of_arrays(features, IDS)
    assert memory.version == FeatureTable.of_arrays(features.copy(), IDS).version
    assert memory.version != FeatureTable.of_arrays(features.astype(np.float32), IDS).version
    before = features.copy()
    features[:] = 0  # one array that is filled for each layer in turn
    np.testing.assert_array_equal(memory.rows(IDS), before)


def test_masked_values_are_not_used(features):
    assert FeatureTable.of_arrays(np.ma.masked_invalid(features), IDS).n_features == 4  # nothing is masked
    masked = np.ma.masked_array(features, np.zeros(features.shape, bool))
    masked[3, 1] = masked[5, 2] = np.ma.masked
    for given in (masked, list(masked)):
        with pytest.raises(TableError, match="in memory: features have a value in each place; 2 are masked. Fill them"):
            FeatureTable.of_arrays(given, IDS)
    with pytest.raises(TableError, match="ids have a value in each place; 1 are masked"):
        FeatureTable.of_arrays(features, np.ma.masked_array(IDS, np.arange(len(IDS)) == 2))


def test_frames_whose_rows_are_named_have_the_ids_given(features):
    frame = pd.DataFrame(features, index=IDS)
    for given in (frame, frame.reset_index(drop=True), frame.set_axis(range(5, 15))):
        np.testing.assert_array_equal(FeatureTable.of_arrays(given, IDS).rows(IDS), features)
    for other, ids in ((frame[::-1], IDS), (frame, IDS[::-1]), (frame[:9], IDS), (frame.rename(index=str.upper), IDS)):
        with pytest.raises(TableError, match=r"the names differ from them .*list\(frame.index\)"):
            FeatureTable.of_arrays(other, ids)


@pytest.mark.parametrize("kind", [xr.DataArray, NeuroidAssembly])
def test_arrays_of_xarray_whose_rows_are_named_have_the_ids_given(features, kind):
    """A coordinate of the ids, alone or as a level of Brain-Score's multi-index, and an index of the rows."""
    names = {"stimulus_id": ("presentation", IDS), "object_name": ("presentation", IDS[::-1])}
    array = kind(features, dims=("presentation", "neuroid"), coords=names)
    indexed = xr.DataArray(features, dims=("image", "feature"), coords={"image": IDS})
    unnamed = xr.DataArray(features, dims=("image", "feature"))
    for given in (array, indexed, unnamed):
        np.testing.assert_array_equal(FeatureTable.of_arrays(given, IDS).rows(IDS), features)
    for given in (array, indexed):
        for other, ids in ((given[::-1], IDS), (given, IDS[::-1]), (given[:9], IDS)):
            with pytest.raises(
                TableError, match="rows that are named have the ids given, .*Give their coordinate as ids"
            ):
                FeatureTable.of_arrays(other, ids)


def test_frames_and_series_of_one_index_are_in_one_order(features):
    frame, ids = pd.DataFrame(features), pd.Series(IDS)
    shuffled = np.random.default_rng(3).permutation(len(IDS))
    for given, own in ((frame, ids), (frame.iloc[shuffled], ids.iloc[shuffled]), (frame, ids.set_axis(range(5, 15)))):
        np.testing.assert_array_equal(FeatureTable.of_arrays(given, own).rows(list(own)), given.to_numpy())
    for given, own in ((frame, ids.iloc[shuffled]), (frame.iloc[shuffled], ids)):
        with pytest.raises(TableError, match=r"the same rows in another order. If rows of both belong together"):
            FeatureTable.of_arrays(given, own)


def test_columns_of_frames_that_may_be_no_features_are_named(features):
    numbered = pd.DataFrame(features).add_prefix("f")
    named = pd.DataFrame(features, columns=["red", "green", "blue", "depth"])
    with_counts = numbered.assign(n_reps=4, session=1)
    for frame in (numbered, named, numbered.rename(columns={"f0": "g0"}), pd.DataFrame(features)):
        assert FeatureTable.of_arrays(frame, IDS).n_features == 4
    with pytest.raises(TableError, match=r"2 do not: n_reps, session\. Remove those"):
        FeatureTable.of_arrays(with_counts, IDS)
    assert FeatureTable.of_arrays(with_counts.to_numpy(), IDS).n_features == 6


@pytest.mark.parametrize("column", ["Unnamed: 0", "index", "valid", "stimulus_id"])
@pytest.mark.parametrize("names", [["red", "green", "blue", "depth"], range(4)], ids=["words", "numbers"])
def test_index_ids_and_flags_of_frames_are_no_features(features, names, column):
    frame = pd.DataFrame(features, columns=names)
    frame.insert(0, column, [1, 0] * 5 if column == "valid" else np.random.default_rng(1).permutation(10))
    with pytest.raises(TableError, match=f"{column} is by its name an index, ids or flags. Remove it"):
        FeatureTable.of_arrays(frame, IDS)


def test_a_feature_called_index_is_one(features):
    frame = pd.DataFrame(features, columns=["index", "green", "blue", "depth"])
    assert FeatureTable.of_arrays(frame, IDS).columns == ("index", "green", "blue", "depth")


def test_sparse_features_are_what_they_stand_for(features):
    values = features.astype(np.float32) * (features > 0)
    for sparse in (scipy.sparse.csr_matrix(values), scipy.sparse.coo_array(values), torch.tensor(values).to_sparse()):
        np.testing.assert_array_equal(FeatureTable.of_arrays(sparse, IDS).rows(IDS), values)


def test_features_by_id_are_told_how_to_be_stacked(features):
    with pytest.raises(TableError, match=r"features are an array, .* received a dict. Stack them, numpy.stack"):
        FeatureTable.of_arrays(dict(zip(IDS, features, strict=True)), IDS)


@pytest.mark.parametrize("ending", ["h5", "npy"])
def test_a_file_that_changes_after_it_was_opened_is_not_read(tmp_path, features, ending):
    """Its features would be kept under the name of the earlier content."""

    def write_new(values):
        path = tmp_path / f"table.{ending}"
        if ending == "npy":
            np.save(path, values)
            return open_table(path, ids=IDS)
        return open_table(write_hdf5(path, values))

    before = write_new(features)
    np.testing.assert_array_equal(before.rows(IDS), features)
    after = write_new(features[::-1])
    np.testing.assert_array_equal(after.rows(IDS), features[::-1])
    with pytest.raises(TableError, match=f"table.{ending} has changed since. Open it again"):
        before.rows(IDS)


@pytest.mark.parametrize("ending", ["h5", "npz", "csv", "npy"])
def test_a_table_stays_the_same_in_another_folder_and_another_process(tmp_path, features, ending, monkeypatch):
    for name, values in (("one", features), ("other", features[::-1])):
        (tmp_path / name).mkdir()
        if ending == "npy":
            np.save(tmp_path / name / "table.npy", values)
        else:
            write(tmp_path / name / f"table.{ending}", values)
    monkeypatch.chdir(tmp_path / "one")
    table = open_table(f"table.{ending}", ids=IDS if ending == "npy" else None)
    monkeypatch.chdir(tmp_path / "other")
    for one in (table, pickle.loads(pickle.dumps(table))):
        np.testing.assert_allclose(one.rows(IDS), features.astype(float), rtol=1e-6)


def test_tensors_in_memory(features):
    tensor = torch.tensor(features.astype(np.float32), requires_grad=True)
    np.testing.assert_array_equal(FeatureTable.of_arrays(tensor, IDS).rows(IDS), features)
    exact = tensor.detach().bfloat16()
    np.testing.assert_array_equal(FeatureTable.of_arrays(exact, IDS).rows(IDS), exact.float().numpy())


@pytest.mark.parametrize("ids", [set(IDS), dict.fromkeys(IDS), (i for i in IDS), 3, pd.DataFrame(IDS)])
def test_ids_in_memory_are_a_list(features, ids):
    with pytest.raises(TableError, match="ids are one per row, at least one; received shape"):
        FeatureTable.of_arrays(features, ids)


def test_what_xarray_calls_no_number_is_none(tmp_path, features):
    """Written by xarray, as netCDF: of floats, nan; of whole numbers, or packed, refused."""
    values = features.astype(np.float32)
    holes = np.where(np.arange(values.size).reshape(values.shape) == 9, np.nan, values)
    path = tmp_path / "made_by_xarray.h5"

    def written(array, encoding):
        arrays = {"features": (("row", "feature"), array), "image_ids": ("row", np.array(IDS, dtype=object))}
        xr.Dataset(arrays).to_netcdf(path, encoding={"features": encoding}, engine="h5netcdf")
        return open_table(path)

    np.testing.assert_array_equal(written(values, {}).rows(IDS), values)
    table = written(holes, {"_FillValue": -999.0})
    np.testing.assert_array_equal(table.rows([IDS[0], IDS[5]]), values[[0, 5]])
    with pytest.raises(TableError, match=r"1 of 10 stimuli have nan or infinity, the first: \['image 2.jpg'\]"):
        table.rows(IDS)
    with pytest.raises(TableError, match="no number .* Save floats"):
        written(np.rint(100 * np.nan_to_num(holes, nan=-9.99)).astype(int), {"_FillValue": -999}).rows(IDS)
    with pytest.raises(TableError, match=r"packed as in netCDF files \(scale_factor 0.001"):
        written(holes, {"dtype": "i2", "scale_factor": 0.001, "_FillValue": -999})


@pytest.mark.parametrize(
    "named",
    [
        lambda f, ids: pd.DataFrame(f, index=pd.CategoricalIndex(ids)),
        lambda f, ids: pd.DataFrame(f, index=[name.encode() for name in ids]),
        lambda f, ids: pd.DataFrame(f, index=pd.MultiIndex.from_arrays([range(len(ids)), ids])),
        lambda f, ids: xr.DataArray(f, dims=("image", "feature"), coords={"name": ("image", list(ids))}),
    ],
    ids=["categories", "bytes", "levels", "another coordinate"],
)
def test_names_of_rows_of_any_kind_are_the_ids_given(features, named):
    np.testing.assert_array_equal(FeatureTable.of_arrays(named(features, IDS), IDS).rows(IDS), features)
    with pytest.raises(TableError, match="the names differ from them"):
        FeatureTable.of_arrays(named(features[::-1], IDS[::-1]), IDS)


@pytest.mark.parametrize(
    "made",
    [
        lambda square: pd.DataFrame(square, columns=IDS),
        lambda square: pd.DataFrame(square, columns=IDS, index=[f"component {i}" for i in range(10)]),
        lambda square: xr.DataArray(square, dims=("feature", "stimulus_id"), coords={"stimulus_id": IDS}),
        lambda square: NeuroidAssembly(
            square,
            coords={
                "stimulus_id": ("presentation", IDS),
                "number": ("presentation", range(10)),
                "n": ("neuroid", range(10)),
            },
            dims=["neuroid", "presentation"],
        ),
    ],
    ids=["columns", "columns and rows", "xarray", "assembly"],
)
def test_square_tables_whose_columns_are_the_stimuli_are_not_taken_for_rows(made):
    square = np.random.default_rng(4).standard_normal((10, 10))
    with pytest.raises(TableError, match="the columns of these are called as the ids, and the rows are not. Transpose"):
        FeatureTable.of_arrays(made(square), IDS)
    np.testing.assert_array_equal(FeatureTable.of_arrays(made(square).T, IDS).rows(IDS), square.T)


def test_a_netcdf_file_says_which_dimension_the_ids_are_of(tmp_path):
    square = np.random.default_rng(4).standard_normal((10, 10))
    table = xr.Dataset({"features": (("stimulus_id", "feature"), square)}, coords={"stimulus_id": IDS})
    table.to_netcdf(tmp_path / "right.h5", engine="h5netcdf")
    np.testing.assert_array_equal(open_table(tmp_path / "right.h5").rows(IDS), square)
    table.transpose("feature", "stimulus_id").to_netcdf(tmp_path / "turned.h5", engine="h5netcdf")
    with pytest.raises(TableError, match="features: stimulus_id belongs to its second dimension. Transpose"):
        open_table(tmp_path / "turned.h5")
    along = xr.Dataset({"features": (("image", "unit"), square)}, coords={"stimulus_id": ("image", IDS)})
    along.to_netcdf(tmp_path / "along.h5", engine="h5netcdf")
    np.testing.assert_array_equal(open_table(tmp_path / "along.h5").rows(IDS), square)
    for dimensions in ({}, {"image": range(10), "unit": range(10)}):
        turned = along.assign_coords(dimensions).transpose("unit", "image")
        turned.to_netcdf(tmp_path / "along.h5", engine="h5netcdf")
        with pytest.raises(TableError, match="features: stimulus_id belongs to its second dimension. Transpose"):
            open_table(tmp_path / "along.h5")
