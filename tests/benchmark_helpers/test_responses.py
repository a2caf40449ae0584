"""What people say of a dataset of their own: responses, and what they are called."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from plugin_testing.models import FeatureModel, pixel_features
from plugin_testing.small_benchmark import N_IMAGES, Images, make_benchmark, make_images
from plugin_testing.small_responses import IDS, responses, task

from brainscore_vision.benchmark_helpers.stimulus_kernels import (
    CKAMetric,
    NoiseCeiling,
    RDMMetric,
    Responses,
    StimulusPart,
    StimulusPool,
    SubjectTask,
    reliability_from_trials,
    to_assembly,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.engine import evaluate
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ResponsesError, StimulusKernelError


@pytest.fixture
def values():
    return np.random.default_rng(6).standard_normal((len(IDS), 3))


def test_lists_and_tables_are_arrays(values):
    expected = responses(values, np.array(IDS), np.full(10, 4))
    frame = pd.DataFrame(values, columns=["a", "b", "c"])
    for given in (values.tolist(), frame, np.ma.masked_invalid(values)):
        found = responses(given, list(IDS))
        selected = found.select(IDS[7:3:-1])
        np.testing.assert_array_equal(selected.values, values[7:3:-1])
        np.testing.assert_array_equal(found.noise_variance, expected.noise_variance)
        assert type(found.values) is np.ndarray


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_counted(values, value):
    values[3, 1] = values[5, 2] = value
    with pytest.raises(ResponsesError, match="those of ann are 0 masked and 2 nan or infinite. Leave these neuroids"):
        responses(values)


def test_values_behind_a_mask_are_not_used(values):
    with pytest.raises(ResponsesError, match="those of ann are 4 masked and 0 nan"):
        responses(np.ma.masked_array(values, np.arange(30).reshape(10, 3) < 4))


@pytest.mark.parametrize(
    "change", [lambda v: v.astype(str), lambda v: v + 1j, lambda v: v[0], lambda v: v.astype(object)]
)
def test_values_that_are_no_table_of_numbers_are_described(values, change):
    with pytest.raises(ResponsesError, match=r"those of ann are (<U|complex128|float64|object).* of shape \("):
        responses(change(values))


@pytest.mark.parametrize(
    "table",
    [
        lambda values: pd.DataFrame(values, index=IDS),
        lambda values: xr.DataArray(values, dims=("stimulus_id", "voxel"), coords={"stimulus_id": list(IDS)}),
    ],
    ids=["pandas", "xarray"],
)
def test_rows_with_names_are_those_of_the_stimuli(values, table):
    np.testing.assert_array_equal(responses(table(values)).values, values)
    with pytest.raises(ResponsesError, match="they say 'image 9' where stimulus_ids say 'image 0'"):
        responses(table(values)[::-1])
    counts = pd.Series(range(1, 11), index=IDS)
    np.testing.assert_array_equal(responses(values, counts=counts).n_repetitions, range(1, 11))
    with pytest.raises(ResponsesError, match="Rows of n_repetitions"):
        responses(values, counts=counts[::-1])


def assembled(values, ids, key="image_id"):
    return NeuroidAssembly(
        values,
        coords={
            key: ("presentation", ids),
            "object_name": ("presentation", ["x"] * 10),
            "neuroid_id": ("neuroid", list("abc")),
        }
        | {"region": ("neuroid", ["IT"] * 3)},
        dims=("presentation", "neuroid"),
    )


NUMBERED = {
    "numbers": lambda v, ids: pd.DataFrame(v, index=ids.astype(int)),
    "floats": lambda v, ids: pd.DataFrame(v, index=ids.astype(float)),
    "bytes": lambda v, ids: pd.DataFrame(v, index=[name.encode() for name in ids]),
    "categories": lambda v, ids: pd.DataFrame(v, index=pd.CategoricalIndex(ids)),
    "categories of numbers": lambda v, ids: pd.DataFrame(v, index=pd.CategoricalIndex(ids.astype(int))),
    "strings": lambda v, ids: pd.DataFrame(v, index=pd.Index(ids, dtype="string")),
    "levels": lambda v, ids: pd.DataFrame(v, index=pd.MultiIndex.from_arrays([["x"] * 10, ids])),
    "levels with numbers": lambda v, ids: pd.DataFrame(
        v, index=pd.MultiIndex.from_arrays([["x"] * 10, ids.astype(int)])
    ),
    "xarray": lambda v, ids: xr.DataArray(v, dims=("image", "voxel"), coords={"image": ids.astype(int)}),
    "xarray, another coordinate": lambda v, ids: xr.DataArray(v, dims=("i", "j"), coords={"name": ("i", ids)}),
    "assembly": assembled,
    "assembly of stimuli": lambda v, ids: assembled(v, ids, "stimulus_id"),
}


@pytest.mark.parametrize("first", ["1000", "0001"])
@pytest.mark.parametrize("kind", NUMBERED)
def test_names_of_rows_of_any_kind_are_those_of_the_stimuli(values, kind, first):
    """Tables that were read from files, or made by groupby and value_counts, have their rows in an order of their own."""
    ids, order = np.array([f"{int(first) + 3 * i:04d}" for i in range(10)]), np.random.default_rng(2).permutation(10)
    found = responses(NUMBERED[kind](values, ids), tuple(ids))
    np.testing.assert_array_equal(found.values, values)
    with pytest.raises(
        ResponsesError, match="Rows of values are those of stimulus_ids, in their order; for ann they say"
    ):
        responses(NUMBERED[kind](values[order], ids[order]), tuple(ids))
    if "xarray" not in kind and "assembly" not in kind:
        with pytest.raises(ResponsesError, match="Rows of n_repetitions"):
            responses(values, tuple(ids), NUMBERED[kind](np.full((10, 1), 4), ids[order])[0])


@pytest.mark.parametrize("index", [range(10), range(5, 15), [7, 3, 9, 1, 0, 2, 4, 5, 6, 8]], ids=str)
def test_numbers_beside_names_are_places(values, index):
    np.testing.assert_array_equal(responses(pd.DataFrame(values, index=index)).values, values)


def test_a_default_index_beside_numbers_is_of_places(values):
    ids = tuple(str(i) for i in (3, 1, 2, 0, 4, 5, 6, 7, 8, 9))
    np.testing.assert_array_equal(responses(pd.DataFrame(values), ids).values, values)


def test_columns_of_one_table_that_was_sorted_in_between(values):
    """Pandas brings them together by their index, whose numbers name no stimulus."""
    frame = pd.DataFrame(values).assign(stimulus_id=IDS, n=[4, 12] * 5)
    shuffled = frame.sample(frac=1, random_state=1)
    voxels = list(range(values.shape[1]))
    given = responses(values)
    for table in (frame, shuffled):
        found = dataclasses.replace(
            given, stimulus_ids=table["stimulus_id"], values=table[voxels], n_repetitions=table["n"]
        )
        np.testing.assert_array_equal(found.select(IDS).values, values)
    for other in ({"values": shuffled[voxels]}, {"n_repetitions": shuffled["n"]}):
        with pytest.raises(ResponsesError, match=r"Rows of (values|n_repetitions) .* same in another order. If rows"):
            dataclasses.replace(given, stimulus_ids=frame["stimulus_id"], **other)
    # rows in one order, whatever the indexes: said by names, by arrays, or all alike
    names = pd.Index([27, 13, *range(8)])
    as_text = pd.Series([str(name) for name in names])
    numbered = pd.DataFrame(values, index=names)
    assert dataclasses.replace(given, stimulus_ids=as_text, values=numbered).stimulus_ids[0] == "27"
    ids = shuffled["stimulus_id"].reset_index(drop=True)
    with pytest.raises(ResponsesError, match=r"give arrays \(to_numpy\(\)\); if not, sort one by the other's index"):
        dataclasses.replace(given, stimulus_ids=ids, values=shuffled[voxels])
    found = dataclasses.replace(given, stimulus_ids=ids, values=shuffled[voxels].to_numpy())
    np.testing.assert_array_equal(found.select(IDS).values, values)
    alike = pd.Series(np.full(10, 4))
    assert dataclasses.replace(
        given, stimulus_ids=shuffled["stimulus_id"], values=shuffled[voxels], n_repetitions=alike
    )
    variance = pd.Series([1.0, 2, 3])
    assert dataclasses.replace(given, noise_variance=variance)
    with pytest.raises(ResponsesError, match="Rows of noise_variance .* the rows of neuroids in another order"):
        dataclasses.replace(given, noise_variance=variance.sort_values(ascending=False))
    noise = np.random.default_rng(2).standard_normal(values.shape)
    order = [2, 0, 1]
    ceiling = NoiseCeiling.from_ncsnr(pd.Series([0.5, 1.0, 2.0])[order], 0.25)
    sorted_alike = dataclasses.replace(
        given, neuroids=pd.DataFrame({"name": list("uvw")}), values=pd.DataFrame(values)[order], noise_ceiling=ceiling
    )
    np.testing.assert_array_equal(sorted_alike.values, values[:, order])
    named = {"neuroids": pd.DataFrame({"name": list("uvw")}), "values": pd.DataFrame(values, columns=["c", "a", "b"])}
    ncsnr = pd.Series([0.5, 1.0, 2.0], index=["a", "b", "c"])
    assert dataclasses.replace(given, **named, noise_ceiling=NoiseCeiling.from_ncsnr(ncsnr[["c", "a", "b"]], 0.25))
    with pytest.raises(ResponsesError, match="Rows of noise_ceiling .* in another order"):
        dataclasses.replace(given, **named, noise_ceiling=NoiseCeiling.from_ncsnr(ncsnr, 0.25))
    trials = pd.DataFrame(np.vstack([values, values[::-1] + 0.3 * noise]))
    trials = (trials - trials.mean()) / trials.std(ddof=0)
    ids = pd.Series([*IDS, *IDS[::-1]])
    assert reliability_from_trials(trials, ids).ncsnr.shape == (3,)
    with pytest.raises(ResponsesError, match="the table has other names, or another order"):
        reliability_from_trials(trials.sample(frac=1, random_state=1), ids)


def test_neuroids_with_names_are_those_of_their_table(values):
    neuroids = pd.DataFrame({"voxel": range(3)}, index=["u", "v", "w"])
    given = responses(values)
    for columns, variance in (
        (["u", "v", "w"], pd.Series([1.0, 2, 3], index=["u", "v", "w"])),
        (range(3), [1.0, 2, 3]),
    ):
        frame = pd.DataFrame(values, index=IDS, columns=columns)
        found = dataclasses.replace(given, neuroids=neuroids, values=frame, noise_variance=variance)
        np.testing.assert_array_equal(found.values, values)
        np.testing.assert_array_equal(found.noise_variance, [1, 2, 3])
    with pytest.raises(ResponsesError, match="Columns of values .* the rows of neuroids in another order"):
        dataclasses.replace(given, neuroids=neuroids, values=pd.DataFrame(values, columns=["w", "v", "u"]))
    with pytest.raises(ResponsesError, match="Rows of noise_variance .* the rows of neuroids in another order"):
        dataclasses.replace(given, neuroids=neuroids, noise_variance=pd.Series([1.0, 2, 3], index=["w", "v", "u"]))
    ncsnr = pd.Series([0.5, 1.0, 2.0], index=["u", "v", "w"])
    assert dataclasses.replace(given, neuroids=neuroids, noise_ceiling=NoiseCeiling.from_ncsnr(ncsnr, 0.25))
    for ceiling in (NoiseCeiling.from_ncsnr(ncsnr[::-1], 0.25), NoiseCeiling(ncsnr[::-1] / 2, 0.25)):
        with pytest.raises(ResponsesError, match="Rows of noise_ceiling .* the rows of neuroids in another order"):
            dataclasses.replace(given, neuroids=neuroids, noise_ceiling=ceiling)
    in_a_column = neuroids.reset_index(names="name")
    for frame in (pd.DataFrame(values, columns=["w", "v", "u"]), pd.DataFrame(values, columns=["u", "v", "w"])):
        table = xr.DataArray(frame, dims=("stimulus_id", "voxel")).drop_vars("stimulus_id")
        for named in (frame, table):
            if frame.columns[0] == "u":
                assert dataclasses.replace(given, neuroids=in_a_column, values=named)
                continue
            for of in (neuroids, in_a_column):
                with pytest.raises(ResponsesError, match="Columns of values .* the rows of neuroids in another order"):
                    dataclasses.replace(given, neuroids=of, values=named)
    numbered = pd.DataFrame(values, columns=[2, 0, 1])
    with pytest.raises(ResponsesError, match="Columns of values .* the rows of neuroids in another order"):
        dataclasses.replace(given, values=numbered)
    elsewhere = pd.DataFrame({"voxel": [7, 5, 6]})  # which columns number otherwise
    np.testing.assert_array_equal(dataclasses.replace(given, neuroids=elsewhere, values=numbered).values, values)


@pytest.mark.parametrize("counts", [4, np.full(10, "4"), [4] * 9 + [0], [4] * 9 + [np.nan]], ids=str)
def test_repetitions_are_a_number_for_each_stimulus(values, counts):
    with pytest.raises(ResponsesError, match="a number of 1 or more for each stimulus; that of ann is"):
        responses(values, counts=counts)


def test_lists_say_variances_and_groups(values):
    variances = responses(values).noise_variance
    listed = dataclasses.replace(responses(values), noise_variance=variances.tolist())
    np.testing.assert_array_equal(listed.noise_variance, variances)
    labels = ["a", "a", "b"]
    tables = pd.Series(labels), pd.DataFrame({"family": labels}), pd.Index(labels), pd.Categorical(labels)
    for groups in (labels, np.array(labels), *tables, xr.DataArray(labels, dims="stimulus")):
        assert task(IDS[3:], IDS[:3], bootstrap_groups=groups).bootstrap_groups == ("a", "a", "b")
    of_pairs = [("a", 1), ("a", 1), ("b", 2)]
    assert task(IDS[3:], IDS[:3], bootstrap_groups=of_pairs).bootstrap_groups == tuple(of_pairs)
    named = pd.Series(["a", "a", "b"], index=IDS[:3])
    assert task(IDS[3:], IDS[:3], bootstrap_groups=named).bootstrap_groups == ("a", "a", "b")
    with pytest.raises(StimulusKernelError, match="bootstrap_groups are those of test_ids, in their order; for ann"):
        task(IDS[3:], IDS[:3], bootstrap_groups=named[::-1])
    table = pd.DataFrame({"stimulus_id": IDS[:3], "series": ["a", "a", "b"]})
    assert task(IDS[3:], table["stimulus_id"], bootstrap_groups=table["series"]).bootstrap_groups == ("a", "a", "b")
    with pytest.raises(StimulusKernelError, match="bootstrap_groups are those of test_ids, in their order; for ann"):
        task(IDS[3:], table["stimulus_id"], bootstrap_groups=table["series"][::-1])


@pytest.mark.parametrize("name", ["n_repetitions", "presentation", "neuroid"])
def test_neuroids_do_not_take_the_names_of_presentations_and_dimensions(values, name):
    named = dataclasses.replace(responses(values), neuroids=pd.DataFrame({name: range(3)}))
    with pytest.raises(ResponsesError, match=f"neuroids of ann have columns {name}, which .* say something of stimuli"):
        to_assembly(named)


@pytest.mark.parametrize(
    ("names", "wrong"),
    [(["AP/ML"], "'AP/ML'"), (["."], "'.'"), (["x", "x"], "'x', 'x'"), ([3, "3"], "'3', '3'")],
    ids=["slash", "dot", "twice", "twice as text"],
)
def test_columns_of_neuroids_that_no_file_can_hold(values, names, wrong):
    """Refused before anything is scored: a result is kept whole."""
    with pytest.raises(ResponsesError, match=f"without a slash.*those of ann have {re.escape(wrong)}. Rename them"):
        dataclasses.replace(responses(values), neuroids=pd.DataFrame(np.zeros((3, len(names))), columns=names))


def test_columns_in_half_precision_are_kept(values):
    neuroids = pd.DataFrame({"voxel": range(3), "depth": np.array([0.5, 1.5, 2.5], np.float16)})
    found = dataclasses.replace(responses(values), neuroids=neuroids)
    assert to_assembly(found)["depth"].values.tolist() == [0.5, 1.5, 2.5]
    assert found.neuroids["depth"].dtype == np.float32


def test_responses_of_another_subject_are_refused(tmp_path):
    folder = make_images(tmp_path / "images", N_IMAGES)
    benchmark = make_benchmark(folder)
    first, second = benchmark.resolve().tasks
    mixed = [first, dataclasses.replace(second, load_responses=first.load_responses)]
    model = FeatureModel(pixel_features, visual_degrees=8.0, identifier="a")
    with pytest.raises(ResponsesError, match=f"those that {second.subject}'s task loads for V1 say {first.subject}"):
        list(evaluate(model, mixed, benchmark.options))


def test_responses_are_loaded_by_a_function(values):
    with pytest.raises(StimulusKernelError, match=r"load_responses of ann is a function .* received a Responses"):
        dataclasses.replace(task(IDS[:7], IDS[7:]), load_responses=responses(values))


def test_properties_of_stimuli_are_no_names(values):
    """What several rows have in common, and what is no coordinate."""
    category = {"category": ("stimulus", ["face", "house"] * 5)}
    for table in (
        xr.DataArray(values, dims=("stimulus", "voxel"), attrs={"stimulus_id": "as in the paper"}),
        xr.DataArray(values, dims=("stimulus", "voxel"), coords=category),
        pd.DataFrame(values, index=["ses-01"] * 10),
    ):
        np.testing.assert_array_equal(responses(table).values, values)


@pytest.mark.parametrize("alike", [False, True])
def test_people_who_saw_other_images_of_the_same_names_do_not_agree(values, tmp_path, alike):
    """Each has a folder: image 0 of one is not image 0 of the other, unless the files say so."""
    folders = [make_images(tmp_path / name, len(IDS)) for name in "ab"]
    if not alike:
        files = sorted(folders[1].iterdir())
        files[0].rename(folders[1] / "kept")
        files[1].rename(files[0])
        (folders[1] / "kept").rename(files[1])

    def tasks(metric):
        for subject, folder, noise in zip(("ann", "ben"), folders, (0, 1), strict=True):
            pool = StimulusPool(subject, (StimulusPart("all", IDS),), 8.0, Images(folder))
            own = dataclasses.replace(responses(values + noise * np.sin(values)), subject=subject)
            yield SubjectTask(subject, "IT", "IT", pool, (), IDS, metric, lambda own=own: own)

    details = RDMMetric().ceiling_details(list(tasks(RDMMetric())))
    assert ("nili_lower" in details) == alike
    if alike:
        CKAMetric().check_tasks(list(tasks(CKAMetric())))
    else:
        with pytest.raises(
            ResponsesError, match="10 of ann and 10 of ben are other images of the same names. Give all"
        ):
            CKAMetric().check_tasks(list(tasks(CKAMetric())))


def test_neuroids_are_a_table(values):
    with pytest.raises(
        ResponsesError, match="neuroids is a DataFrame with a row for each neuroid; that of ann is a NoneType"
    ):
        dataclasses.replace(responses(values), neuroids=None)


@pytest.mark.parametrize(
    ("ids", "remedy"),
    [
        (range(10), r"0, a int(64)?. Give str\(id\)"),
        (np.arange(10), r"a int64. Give str\(id\)"),
        (np.array([b"a", *IDS[1:]], dtype=object), r"b'a', a bytes. Give id.decode\(\)"),
        ([*IDS[:9], None], r"None, a NoneType"),
    ],
)
def test_a_stimulus_id_is_text(values, ids, remedy):
    for make in (
        lambda: responses(values, ids),
        lambda: StimulusPart("all", ids),
        lambda: task(ids, ()),
        lambda: task((), ids),
    ):
        with pytest.raises(StimulusKernelError, match=f"A stimulus id is text, .*{remedy}"):
            make()


@pytest.mark.parametrize("ids", ["image 1", None])
def test_stimulus_ids_are_a_list(ids):
    for make in (lambda: StimulusPart("all", ids), lambda: task(ids, ()), lambda: task((), ids)):
        with pytest.raises(StimulusKernelError, match=f"are a list of stimulus ids, .* received {ids!r}. Give a list"):
            make()


@pytest.mark.parametrize("of", [dict.fromkeys, iter, lambda ids: dict.fromkeys(ids).keys(), pd.Series, pd.Index])
def test_what_lists_stimulus_ids_in_order_is_a_list_of_them(values, of):
    assert list(responses(values, of(IDS)).select(IDS[2:4]).stimulus_ids) == list(IDS[2:4])


@pytest.mark.parametrize(
    ("ids", "kind"),
    [
        (set(IDS), "a set"),
        (None, "a NoneType"),
        ("image 1", "a str"),
        (np.array(IDS)[:, None], r"of shape \(10, 1\)"),
        (pd.DataFrame({"id": IDS}), r"of shape \(10, 1\)"),
    ],
)
def test_stimulus_ids_of_responses_are_in_the_order_of_the_rows(values, ids, kind):
    with pytest.raises(
        ResponsesError, match=f"one for each row of values, in that order; those of ann are {kind}. Give"
    ):
        responses(values, ids)


def test_rows_of_responses_are_stimuli():
    square = xr.DataArray(np.random.default_rng(7).standard_normal((10, 10)), dims=["neuroid", "presentation"])
    neuroids = {"neuroids": pd.DataFrame({"voxel": range(10)}), "noise_ceiling": NoiseCeiling(np.full(10, 0.5), 1 / 4)}
    arguments = {"subject": "ann", "stimulus_ids": IDS, "n_repetitions": (4,) * 10, **neuroids}
    with pytest.raises(
        ResponsesError, match=r"neuroid × presentation. Give values.transpose\('presentation', 'neuroid'\)"
    ):
        Responses(values=square, **arguments)
    Responses(values=square.transpose("presentation", "neuroid"), **arguments)
    with pytest.raises(ResponsesError, match="for ann its columns are called as the stimuli. Transpose the table"):
        Responses(values=pd.DataFrame(square.values, columns=IDS), **arguments)


@pytest.mark.parametrize("ceiling", [np.full(3, 0.5), None])
def test_a_noise_ceiling_says_its_repetitions(values, ceiling):
    with pytest.raises(ResponsesError, match=r"that of ann is a .*\. Give NoiseCeiling\(fraction, 1 / repetitions\)"):
        dataclasses.replace(responses(values), noise_ceiling=ceiling)


def test_trials_without_a_stimulus_are_none_of_one_stimulus(values):
    """Blank and catch trials have nan in tables, which numpy takes for one name."""
    noise = np.random.default_rng(2).standard_normal(values.shape)
    trials = np.vstack([values, values[::-1] + 0.3 * noise])
    trials = (trials - trials.mean(axis=0)) / trials.std(axis=0)
    numbers = np.r_[np.arange(10.0), np.arange(10.0)[::-1]]
    texts = [*IDS, *IDS[::-1]]
    expected = reliability_from_trials(trials, numbers).ncsnr
    np.testing.assert_allclose(reliability_from_trials(trials, texts).ncsnr, expected)
    for ids in (
        np.where(numbers == 3, np.nan, numbers),
        ["image 0", None, *texts[2:]],
        pd.Series(texts).replace("image 3", pd.NA),
    ):
        with pytest.raises(ResponsesError, match=r"of 20 have no stimulus \(nan\)"):
            reliability_from_trials(trials, ids)
    hidden = np.ma.array(trials, mask=np.zeros(trials.shape))
    np.testing.assert_allclose(reliability_from_trials(hidden, numbers).ncsnr, expected)
    hidden[4, 1] = np.ma.masked
    with pytest.raises(ResponsesError, match="1 of 20 are masked"):
        reliability_from_trials(hidden, numbers)
    with pytest.raises(ResponsesError, match="one neuroid as a column"):
        reliability_from_trials(trials[:, 0], numbers)


@pytest.mark.parametrize("ncsnr", [np.ones((3, 1)), pd.DataFrame({"ncsnr": [1.0, 1, 1]}), 0.5])
def test_a_noise_ceiling_has_one_axis(ncsnr):
    with pytest.raises(ResponsesError, match="an array of one axis"):
        NoiseCeiling.from_ncsnr(ncsnr, 1 / 4)
    with pytest.raises(ResponsesError, match="refers to a mean of 1/n_repetitions"):
        NoiseCeiling(np.ones(3), np.ones(3))


def test_ids_of_an_assembly_are_text(values):
    """xarray gives them one by one as arrays."""
    coordinates = {"stimulus_id": ("presentation", list(IDS)), "voxel": ("neuroid", list("uvw"))}
    assembly = xr.DataArray(values, dims=("presentation", "neuroid"), coords=coordinates)
    ids = assembly["stimulus_id"]
    found = dataclasses.replace(responses(values), stimulus_ids=ids, values=assembly)
    np.testing.assert_array_equal(found.select(IDS[::-1]).values, values[::-1])
    assert StimulusPart("all", ids).stimulus_ids == IDS
    assert task(ids[3:], ids[:3]).test_ids == IDS[:3]
    with pytest.raises(
        ResponsesError, match="in their order; for ann they say 'image 0' where stimulus_ids say 'image 9'"
    ):
        dataclasses.replace(responses(values), stimulus_ids=ids[::-1], values=assembly)
    trials = assembly[np.r_[np.arange(10), np.arange(10)]].copy()
    trials[10:] += 0.3 * np.random.default_rng(2).standard_normal(values.shape)
    trials = (trials - trials.mean("presentation")) / trials.std("presentation")
    assert reliability_from_trials(trials, trials["stimulus_id"]).ncsnr.shape == (3,)
    with pytest.raises(ResponsesError, match="or another order"):
        reliability_from_trials(trials, trials["stimulus_id"][::-1])
