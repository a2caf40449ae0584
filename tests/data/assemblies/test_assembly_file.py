"""Assembly files: header rules, repetition averages, bounded memory, digests."""

import tracemalloc

import h5py
import netCDF4
import numpy as np
import pytest
from plugin_testing.data_factory import make_trials, write_trials

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ResponsesError
from brainscore_vision.data.laion_fmri_7t.assemblies import file as assembly_file
from brainscore_vision.data.laion_fmri_7t.assemblies.averages import read_responses
from brainscore_vision.data.laion_fmri_7t.assemblies.file import AssemblyFile
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError, MissingDataError, SchemaError
from brainscore_vision.data.laion_fmri_7t.source import ResponseCache

LAYOUTS = {
    "contiguous": {},
    "chunks that divide nothing": {"chunks": (7, 3)},
    "single rows": {"chunks": (1, 20)},
    "one chunk": {"chunks": (44, 20)},
    "compressed": {"chunks": (10, 6), "zlib": True},
}


def expected_averages(trials, columns):
    """Means by a plain loop."""
    stimuli = sorted(set(trials.presentations["stimulus_id"]))
    rows = [np.flatnonzero(trials.presentations["stimulus_id"] == stimulus) for stimulus in stimuli]
    means = np.stack([trials.data[row][:, columns].astype(np.float64).mean(axis=0) for row in rows])
    return np.array(stimuli), means, np.array([len(row) for row in rows])


@pytest.fixture
def trials():
    return make_trials()


@pytest.fixture
def write(tmp_path):
    def write(trials, **options):
        return AssemblyFile(write_trials(trials, tmp_path / "sub-01.nc", **options), "sub-01")

    return write


class TestAverages:
    @pytest.mark.parametrize("layout", LAYOUTS)
    @pytest.mark.parametrize("block_bytes", [1, 300, 2**24])
    def test_equal_plain_means_for_every_layout_and_block_size(self, trials, write, layout, block_bytes):
        file = write(trials, **LAYOUTS[layout])
        file.block_bytes = block_bytes
        columns = np.array([1, 2, 5, 11, 19])
        stimulus_ids, means, counts, noise = file.averages(columns)
        expected_ids, expected, expected_counts = expected_averages(trials, columns)
        assert stimulus_ids.tolist() == expected_ids.tolist()
        assert counts.tolist() == expected_counts.tolist()
        assert sorted(set(counts)) == [2, 3]
        assert means.dtype == np.float32
        np.testing.assert_array_equal(means, expected.astype(np.float32))
        position = np.searchsorted(expected_ids, trials.presentations["stimulus_id"])
        within = np.square(trials.data[:, columns] - expected[position]).sum(axis=0)
        np.testing.assert_allclose(noise, within / (len(position) - len(expected_ids)), rtol=1e-5)

    def test_sum_in_double_precision(self, write):
        trials = make_trials(repetitions=12)
        trials.data += np.float32(1e4)  # float32 sums of these would lose three more digits
        columns = np.arange(20)
        _, means, _, _ = write(trials).averages(columns)
        np.testing.assert_array_equal(means, expected_averages(trials, columns)[1].astype(np.float32))

    def test_every_trial_is_read_once(self, trials, write):
        file = write(trials, chunks=(7, 3))
        file.block_bytes = 200
        seen = np.zeros(trials.data.shape, dtype=int)
        columns = np.array([0, 1, 4, 17])
        for rows, positions, block in file.blocks(columns):
            seen[rows, columns[positions]] += 1
            np.testing.assert_array_equal(block, trials.data[rows][:, columns[positions]])
        assert (seen[:, columns] == 1).all()
        assert seen.sum() == len(columns) * len(trials.data)

    def test_memory_is_bounded_by_the_block_not_the_file(self, write):
        rng = np.random.default_rng(1)
        trials = make_trials(voxels=(("V1", 1500),), repetitions=150)
        file = write(trials)
        file.block_bytes = 100_000
        columns = np.sort(rng.choice(1500, 20, replace=False))
        file.averages(columns[:1])  # the header is read, and stays
        n_matrix = trials.data.nbytes
        assert n_matrix > 12e6
        sizes = [block.nbytes for _, _, block in file.blocks(columns)]
        tracemalloc.start()
        file.averages(columns)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(sizes) > 100
        assert max(sizes) <= 100_000
        assert peak < 500_000

    def test_only_the_chunks_that_hold_the_region_are_read(self, write, monkeypatch):
        trials = make_trials(voxels=(("V1", 40), ("IT", 40)))
        file = write(trials, chunks=(10, 10), zlib=True)
        widths = []
        read = AssemblyFile._read

        def counting_read(self, data, rows, wanted):
            widths.append((wanted[0], wanted[-1]))
            return read(self, data, rows, wanted)

        monkeypatch.setattr(AssemblyFile, "_read", counting_read)
        file.averages(np.arange(15, 25))
        assert set(widths) == {(15, 24)}

    def test_columns_must_ascend(self, trials, write):
        with pytest.raises(ValueError, match="must ascend.*Sort them"):
            list(write(trials).blocks(np.array([3, 1])))

    def test_chunks_too_large_to_decompress(self, trials, write, monkeypatch):
        monkeypatch.setattr(assembly_file, "MAX_CHUNK_BYTES", 1000)
        with pytest.raises(SchemaError, match=r"chunks may have .*these have .*\(44, 20\).*nccopy"):
            write(trials, chunks=(44, 20)).averages(np.arange(3))

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, netCDF4.default_fillvals["f4"], -3e38])
    def test_non_finite_betas_are_counted_and_located(self, trials, write, value):
        trials.data[5, 2] = trials.data[9, 2] = trials.data[9, 3] = value
        file = write(trials)
        stimulus = trials.presentations["stimulus_id"][5].replace("+", r"\+")
        with pytest.raises(
            SchemaError,
            match=rf"must be finite; 3 values in 2 voxels.*trial 5 \({stimulus}\), neuroid 2"
            rf".*nc_12rep to NaN",
        ):
            file.averages(np.arange(4))
        with pytest.raises(SchemaError, match="must be finite; 3 values in 2 voxels"):
            file.moments(np.arange(4))

    def test_empty_trials_are_said(self, trials, write, caplog):
        trials.data[[4, 9], :5] = 0
        trials.data[11, 1:5] = 0
        file = write(trials)
        file.averages(np.arange(5))
        assert f"2 of {len(trials.data)} trials are zero in all voxels that are read, first trial 4 (" in caplog.text
        caplog.clear()
        file.averages(np.arange(6))
        assert not caplog.text

    def test_large_betas_are_read(self, trials, write):
        trials.data[5, 2] = 1e29
        assert np.isfinite(write(trials).averages(np.arange(4))[1]).all()

    def test_non_finite_betas_of_other_voxels_do_not_matter(self, trials, write):
        trials.data[:, 7] = np.nan
        assert np.isfinite(write(trials).averages(np.array([6, 8]))[1]).all()

    def test_damaged_data(self, trials, write):
        file = write(trials, chunks=(44, 20), zlib=True)
        with h5py.File(file.path) as stored:
            start = stored["data"].id.get_chunk_info(0).byte_offset
        content = bytearray(file.path.read_bytes())
        content[start + 200 : start + 1500] = bytes(1300)
        file.path.write_bytes(content)
        with pytest.raises(SchemaError, match="must be readable.*Copy, download or simulate"):
            file.averages(np.arange(20))


class TestHeader:
    def test_holds_all_coordinates(self, trials, write):
        header = write(trials).header
        assert header.shape == trials.data.shape
        assert list(header.presentations) == ["stimulus_id", "repetition", "session", "run", "beta_index"]
        for table, source in ((header.presentations, trials.presentations), (header.neuroids, trials.neuroids)):
            for name in table:
                assert table[name].tolist() == source[name].tolist()
        assert header.attributes["identifier"] == "LAION_fMRI_sub-01"

    @pytest.mark.parametrize("name", ["session", "run", "beta_index"])
    def test_optional_coordinates_may_lack(self, trials, write, name):
        del trials.presentations[name]
        assert name not in write(trials).header.presentations

    @pytest.mark.parametrize(
        ("side", "name"),
        [
            ("presentations", "stimulus_id"),
            ("presentations", "repetition"),
            ("neuroids", "subject_id"),
            ("neuroids", "region"),
            ("neuroids", "roi"),
            ("neuroids", "voxel_index_in_brain_mask"),
            ("neuroids", "nc_4rep"),
            ("neuroids", "nc_12rep"),
            ("neuroids", "nc_allrep"),
        ],
    )
    def test_missing_coordinate(self, trials, write, side, name):
        del getattr(trials, side)[name]
        with pytest.raises(
            SchemaError, match=f"needs the coordinates .*missing: {name}; found: .*Write the file again"
        ):
            _ = write(trials).header

    def test_coordinate_on_the_other_dimension(self, trials, write):
        trials.presentations["roi"] = np.full(len(trials.data), "V1v", dtype=object)
        del trials.neuroids["roi"]
        with pytest.raises(SchemaError, match=r"missing: roi; .*roi lies on \('presentation',\)"):
            _ = write(trials).header

    def test_no_file(self, tmp_path):
        with pytest.raises(MissingDataError, match="needed at .*sub-01.nc.*there is none"):
            _ = AssemblyFile(tmp_path / "sub-01.nc").header

    @pytest.mark.parametrize("keep", [0, 100, 0.6])
    def test_incomplete_file(self, trials, write, keep):
        file = write(trials)
        content = file.path.read_bytes()
        file.path.write_bytes(content[: keep if keep >= 1 else int(keep * len(content))])
        with pytest.raises(SchemaError, match="complete netCDF4 file; .*bytes.*simulate it again"):
            _ = file.header

    def test_other_variable(self, trials, write):
        with pytest.raises(SchemaError, match="one variable named 'data'; found .*'betas'"):
            _ = write(trials, variable="betas").header

    def test_transposed(self, trials, write):
        with pytest.raises(SchemaError, match=r"must be \('presentation', 'neuroid'\); found \('neuroid', 'pres"):
            _ = write(trials, dimensions=("neuroid", "presentation")).header

    def test_integers_are_not_data(self, trials, write):
        trials.data = trials.data.astype(np.int16)
        with pytest.raises(SchemaError, match="must hold plain floats; found int16"):
            _ = write(trials).header

    def test_unknown_region(self, trials, write):
        trials.neuroids["region"][2] = "FFA"
        with pytest.raises(SchemaError, match="one of V1, V2, V3, V4, IT, or other; found 'FFA'"):
            _ = write(trials).header

    def test_duplicate_repetition(self, trials, write):
        trials.presentations["repetition"][:] = 0
        with pytest.raises(SchemaError, match="each repetition number once; 29 trials repeat one, first: .*Remove"):
            _ = write(trials).header

    def test_repetition_that_is_no_number(self, trials, write):
        trials.presentations["repetition"] = np.array([f"r{i}" for i in range(len(trials.data))], dtype=object)
        with pytest.raises(SchemaError, match="repetition must hold integers; found object, such as .'r0'"):
            _ = write(trials).header

    def test_trial_without_a_stimulus(self, trials, write):
        trials.presentations["stimulus_id"][3] = ""
        with pytest.raises(SchemaError, match="every trial needs a stimulus_id; 1 trials have none, first: row 3"):
            _ = write(trials).header

    def test_voxel_twice(self, trials, write):
        trials.neuroids["voxel_index_in_brain_mask"][4] = trials.neuroids["voxel_index_in_brain_mask"][12]
        with pytest.raises(SchemaError, match="occurs once; 1 entries .* first: 84.*exclusive"):
            _ = write(trials).header

    def test_file_of_another_subject(self, write):
        with pytest.raises(SchemaError, match="one subject, sub-01; its subject_id says 'sub-03'"):
            _ = write(make_trials("sub-03")).header

    @pytest.mark.parametrize("name", ["nc_4rep", "nc_12rep", "nc_allrep"])
    @pytest.mark.parametrize("value", [-1, 101])
    def test_noise_ceiling_out_of_range(self, trials, write, name, value):
        trials.neuroids[name][0] = value
        with pytest.raises(SchemaError, match=f"{name} is a noise ceiling in percent, 0 to 100; 1 .*first: {value}"):
            _ = write(trials).header

    def test_noise_ceiling_as_fraction(self, trials, write):
        for name in ("nc_4rep", "nc_12rep", "nc_allrep"):
            trials.neuroids[name] /= 100
        with pytest.raises(SchemaError, match="looks like a fraction. Multiply .* by 100"):
            _ = write(trials).header


class TestResponses:
    def test_region_above_threshold(self, trials, write):
        responses = read_responses(write(trials), "V4", 30)
        assert responses.neuroids["region"].tolist() == ["V4"]
        assert (responses.neuroids["nc_12rep"] > 30).all()
        columns = np.flatnonzero((trials.neuroids["region"] == "V4") & (trials.neuroids["nc_12rep"] > 30))
        np.testing.assert_array_equal(responses.values, expected_averages(trials, columns)[1].astype(np.float32))

    def test_threshold_is_strict(self, trials, write):
        trials.neuroids["nc_12rep"][:5] = [30, 30.5, 29, 31, 30]
        assert read_responses(write(trials), "V1", 30).neuroids["nc_12rep"].tolist() == [30.5, 31]

    def test_union_of_regions(self, trials, write):
        assert set(read_responses(write(trials), "IT_full", 30).neuroids["region"]) == {"V4", "IT"}

    def test_voxel_without_noise_ceiling_is_left_out_with_a_word(self, trials, write, caplog):
        trials.neuroids["nc_12rep"][1] = np.nan
        responses = read_responses(write(trials), "V1", 30)
        assert 7 not in responses.neuroids["voxel_index_in_brain_mask"].tolist()
        assert "1 of 5 voxels of V1 have no nc_12rep" in caplog.text

    def test_voxel_with_some_noise_ceilings(self, trials, write):
        trials.neuroids["nc_4rep"][1] = np.nan
        with pytest.raises(
            SchemaError, match="has nc_4rep and nc_allrep as well; 1 voxels of V1 lack nc_4rep, .*7.*Reb"
        ):
            read_responses(write(trials), "V1", 30)

    def test_no_voxel_above_threshold(self, trials, write):
        with pytest.raises(DatasetError, match="above 99 percent; the largest of its 4 voxels is .*Lower the noise"):
            read_responses(write(trials), "V2", 99)

    def test_region_that_the_file_lacks(self, write):
        trials = make_trials(voxels=(("V1", 3), ("V2", 3)))
        with pytest.raises(DatasetError, match="needs voxels of V4 or IT; the file has V1, V2"):
            read_responses(write(trials), "IT_full", 30)

    def test_unknown_region(self, trials, write):
        with pytest.raises(DatasetError, match="one of V1, V2, V3, V4, IT, IT_full; got 'v1'"):
            read_responses(write(trials), "v1", 30)

    def test_select_follows_the_order_given(self, trials, write):
        responses = read_responses(write(trials), "V1", 30)
        wanted = responses.stimulus_ids[[4, 0, 9]].tolist()
        selected = responses.select(wanted)
        assert selected.stimulus_ids.tolist() == wanted
        np.testing.assert_array_equal(selected.values, responses.values[[4, 0, 9]])
        np.testing.assert_array_equal(selected.n_repetitions, responses.n_repetitions[[4, 0, 9]])

    def test_select_unseen_stimulus(self, trials, write):
        responses = read_responses(write(trials), "V1", 30)
        with pytest.raises(
            ResponsesError, match=r"sub-01 must have a response .* 2 of 3 have none, the first: \['a', 'b'\]"
        ):
            responses.select([responses.stimulus_ids[0], "a", "b"])

    def test_cannot_be_changed(self, trials, write):
        with pytest.raises(ValueError, match="read-only"):
            read_responses(write(trials), "V1", 30).values[0, 0] = 1

    def test_cache_keeps_to_its_bytes(self, trials, write):
        responses = read_responses(write(trials), "V1", 30)
        own_bytes = responses.values.nbytes + responses.stimulus_ids.nbytes + responses.n_repetitions.nbytes
        cache, made = ResponseCache(2 * own_bytes), []

        def get(key):
            return cache.get((key,), lambda: made.append(key) or (responses,))

        for key in "abacb":  # c pushes out b, which was used longest ago
            get(key)
        assert made == ["a", "b", "c", "b"]
        small = ResponseCache(10)
        assert small.get(("a",), lambda: (responses,))[0] is responses
        assert not small._entries


class TestDigest:
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_is_reproducible(self, trials, write, layout):
        assert write(trials, **LAYOUTS[layout]).sample_digest() == write(trials, **LAYOUTS[layout]).sample_digest()

    @pytest.mark.parametrize("change", ["data", "stimulus", "repetition", "ceiling", "trial removed"])
    def test_changes_with_the_content(self, trials, write, change):
        before = write(trials).sample_digest()
        if change == "data":
            trials.data[0, 0] += 1
        elif change == "stimulus":
            trials.presentations["stimulus_id"][[0, 5]] = trials.presentations["stimulus_id"][[5, 0]]
            trials.presentations["repetition"][[0, 5]] = trials.presentations["repetition"][[5, 0]]
        elif change == "repetition":
            trials.presentations["repetition"] += 1
        elif change == "ceiling":
            trials.neuroids["nc_12rep"][3] += 0.5
        else:
            trials.data = trials.data[:-1]
            trials.presentations = {name: values[:-1] for name, values in trials.presentations.items()}
        assert write(trials).sample_digest() != before
