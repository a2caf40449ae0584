"""Assemblies of several subjects: each on a block of its own."""

import numpy as np
import pytest
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from plugin_testing.second_dataset import assembly

from brainscore_vision.benchmark_helpers.stimulus_kernels import block_diagonal_concat
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ResponsesError


def test_blocks_on_the_diagonal():
    parts = [assembly(3, 2, "a"), assembly(4, 5, "bc", first_image=2), assembly(2, 1, "d")]
    whole = block_diagonal_concat(parts)
    assert type(whole) is NeuroidAssembly
    assert whole.dims == ("presentation", "neuroid")
    assert whole.shape == (9, 8)
    assert whole.dtype == np.float32
    row = column = 0
    expected = np.full(whole.shape, np.nan)
    for part in parts:
        rows, columns = slice(row, row + part.shape[0]), slice(column, column + part.shape[1])
        expected[rows, columns] = part.values
        for name in ("image_id", "shown"):
            np.testing.assert_array_equal(whole[name].values[rows], part[name].values)
        for name in ("voxel", "site"):
            np.testing.assert_array_equal(whole[name].values[columns], part[name].values)
        row, column = rows.stop, columns.stop
    np.testing.assert_array_equal(whole.values, expected)
    one = whole.sel(site="bc")  # coordinates are levels of an index, as Brain-Score's metrics want them
    np.testing.assert_array_equal(one.values[3:7], parts[1].values)


def test_any_order_of_dimensions_and_any_iterable():
    parts = [assembly(3, 2, "a"), assembly(4, 5, "b")]
    whole = block_diagonal_concat(part for part in (parts[0].transpose(), parts[1]))
    np.testing.assert_array_equal(whole.values, block_diagonal_concat(parts).values)


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        ((np.float32, np.float64), np.float64),
        ((np.int16, np.float32), np.float32),
        ((np.float16, np.float16), np.float32),
    ],
    ids=str,
)
def test_dtypes_that_hold_all_values_and_nan(dtypes, expected):
    whole = block_diagonal_concat([assembly(2, 2, "a", dtype=dtype) for dtype in dtypes])
    assert whole.dtype == expected


def test_a_scalar_coordinate_is_kept_if_it_is_the_same_everywhere():
    parts = [assembly(2, 2, "a").assign_coords(scanner="7T"), assembly(2, 2, "b").assign_coords(scanner="7T")]
    assert block_diagonal_concat(parts)["scanner"].item() == "7T"


def at_one_time_bin(name: str) -> NeuroidAssembly:
    """As Brain-Score packages recordings of electrodes, at a time bin: its limits are a scalar coordinate, a tuple."""
    of_images = {"stimulus_id": ("presentation", list("abcd")), "object_name": ("presentation", list("xxyy"))}
    of_sites = {"neuroid_id": ("neuroid", [f"{name}{i}" for i in range(3)]), "region": ("neuroid", ["IT"] * 3)}
    bins = {"time_bin_start": ("time_bin", [70]), "time_bin_end": ("time_bin", [170])}
    dims = ("presentation", "neuroid", "time_bin")
    return NeuroidAssembly(np.zeros((4, 3, 1)), dims=dims, coords={**of_images, **of_sites, **bins}).squeeze("time_bin")


def test_assemblies_at_one_time_bin():
    whole = block_diagonal_concat([at_one_time_bin("nano"), at_one_time_bin("magneto")])
    assert whole.shape == (8, 6)
    assert whole["time_bin"].item() == (70, 170)


@pytest.mark.parametrize("value", [np.nan, np.datetime64("2020-01-01", "ns")], ids=str)
def test_scalar_coordinates_that_are_no_number_or_a_date(value):
    whole = block_diagonal_concat([assembly(2, 2, name).assign_coords(day=value) for name in "ab"])
    np.testing.assert_array_equal(whole["day"].values, np.asarray(value))


def other_dimension(part):
    """The subject's name beside its images instead of its voxels."""
    coords = {name: (part[name].dims, part[name].values) for name in ("image_id", "shown", "voxel", "side")}
    return NeuroidAssembly(part.values, dims=part.dims, coords={**coords, "site": ("presentation", list("bb"))})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda part: part.reset_index("presentation").drop_vars("shown"), "or some would be lost; number 1 .*'shown'"),
        (lambda part: part.assign_coords(extra=("neuroid", range(2))), "number 1 .*'extra'.*drop it everywhere"),
        (lambda part: part.assign_coords(scanner="7T"), "number 1 .*'scanner'"),
        (other_dimension, "same dimension everywhere; number 1 differs in \\['site'\\]"),
        (lambda part: part.expand_dims("time_bin"), "number 1 has .*time_bin"),
    ],
    ids=["missing", "additional", "scalar", "on another dimension", "another dimension"],
)
def test_no_coordinate_is_lost_in_silence(change, message):
    with pytest.raises(ResponsesError, match=message):
        block_diagonal_concat([assembly(2, 2, "a"), change(assembly(2, 2, "b"))])


def test_a_scalar_that_differs_is_an_error():
    parts = [assembly(2, 2, "a").assign_coords(scanner="7T"), assembly(2, 2, "b").assign_coords(scanner="3T")]
    with pytest.raises(ResponsesError, match="scanner is '7T', '3T'. Put it on presentation or neuroid"):
        block_diagonal_concat(parts)


def test_a_coordinate_on_both_dimensions_is_an_error():
    parts = [assembly(2, 3, n).assign_coords(mask=(("presentation", "neuroid"), np.ones((2, 3)))) for n in "ab"]
    with pytest.raises(ResponsesError, match="mask lies on .*Drop it"):
        block_diagonal_concat(parts)


def test_nothing_to_stitch():
    with pytest.raises(ResponsesError, match="at least one assembly, received none"):
        block_diagonal_concat([])
