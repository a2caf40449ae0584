"""Features of a model: the same through Brain-Score's interface and through the extractor's batches."""

import functools
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.model_helpers.activations import core as activations_core
from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper, disable_activation_caching
from brainscore_vision.model_helpers.brain_transformation import ModelCommitment, TemporalAligned
from brainscore_vision.model_helpers.brain_transformation.neural import LayerMappedModel
from PIL import Image
from plugin_testing.models import (
    FeatureModel,
    as_text,
    not_finite,
    other_dtype,
    pixel_features,
    random_features,
    renamed,
    reordered,
    silent_about,
    small_network,
    twice,
    wider,
)

from brainscore_vision.benchmark_helpers.stimulus_kernels import kernel_from_features
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ModelOutputError, UnmappedRegionError
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.network import network_digest
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.preprocessing import preprocessing_digest
from brainscore_vision.benchmark_helpers.stimulus_kernels.features.recording import (
    LOOK_AT_BLOCK,
    CommitmentRecorder,
    RegionRecorder,
    committed_layers,
    recorder_for,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.spool import FeatureSpool

OF_REGIONS = {region: functools.partial(pixel_features, size=size) for region, size in (("V1", 4), ("IT", 5))}

N_STIMULI = LOOK_AT_BLOCK + 6  # more than one look, and no multiple of the batch size

LAYER_MAPS = {
    "one layer": {"V1": "conv"},
    "two regions on one layer": {"V1": "pool", "V2": "pool"},
    "two layers in one region": {"IT": ["pool", "head"]},
    "all of it": {"V1": "conv", "V2": "pool", "V4": "pool", "IT": ["pool", "head"]},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of noise; the last two are one file's content under two names."""
    folder = tmp_path_factory.mktemp("images")
    pixels = np.random.default_rng(1).integers(0, 256, (N_STIMULI - 1, 24, 24, 3), dtype=np.uint8)
    for i, image in enumerate([*pixels, pixels[-1]]):
        Image.fromarray(image).save(folder / f"s{i:02d}.png")
    return folder


def stimulus_set(folder, n=N_STIMULI, same_file=()):
    """Stimuli s00, s01 ...; those of `same_file` are all shown the first one's file."""
    ids = [f"s{i:02d}" for i in range(n)]
    stimuli = StimulusSet({"stimulus_id": ids})
    stimuli.stimulus_paths = {
        stimulus_id: str(folder / f"{same_file[0] if stimulus_id in same_file else stimulus_id}.png")
        for stimulus_id in ids
    }
    stimuli.identifier = None
    return stimuli


@pytest.fixture
def record(tmp_path):
    """``record(recorder, stimuli) -> {region: features}``, on the way that the engine takes: through spools."""

    def record(recorder, stimuli):
        labels = list(dict.fromkeys(recorder.labels.values()))
        spools = {
            label: FeatureSpool(tmp_path / f"{type(recorder).__name__}-{i}", len(stimuli), label)
            for i, label in enumerate(labels)
        }

        def sink(batch):
            assert set(batch) == set(labels)
            for label, features in batch.items():
                spools[label].append(features)

        try:
            recorder.record(stimuli, labels, sink)
            return {region: read(spools[label]) for region, label in recorder.labels.items()}
        finally:
            for spool in spools.values():
                spool.close()

    return record


def read(spool):
    blocks = range(0, spool.n_features, 1024)
    return np.hstack([spool.read_columns(start, min(start + 1024, spool.n_features)) for start in blocks])


def test_a_hook_that_gives_other_stimuli_is_noticed(folder, record):
    model, stimuli = small_network({"V1": "conv"}), stimulus_set(folder, 23)
    expected = record(RegionRecorder(model, ["V1"]), stimuli)["V1"]
    np.testing.assert_array_equal(record(CommitmentRecorder(model, ["V1"]), stimuli)["V1"], expected)
    more, shown = stimulus_set(folder, 30), model.activations_model._extractor
    shown.register_stimulus_set_hook(lambda _: more)  # whose first 23 images may be others
    with pytest.raises(ModelOutputError, match="must answer once"):
        record(CommitmentRecorder(model, ["V1"]), stimuli)


@pytest.mark.parametrize("layer_map", LAYER_MAPS.values(), ids=LAYER_MAPS.keys())
def test_both_recorders_give_the_same_features(layer_map, folder, record):
    model, stimuli = small_network(layer_map), stimulus_set(folder)
    through_interface = record(RegionRecorder(model, list(layer_map)), stimuli)
    through_batches = record(CommitmentRecorder(model, list(layer_map)), stimuli)
    assert through_interface.keys() == through_batches.keys() == layer_map.keys()
    for region, expected in through_interface.items():
        assert len(expected) == N_STIMULI
        np.testing.assert_array_equal(through_batches[region], expected)


def test_the_order_of_a_regions_layers_does_not_matter_for_the_kernel(folder, record):
    stimuli = stimulus_set(folder, 20)
    kernels = [
        kernel_from_features(record(kind(small_network({"IT": layers}), ["IT"]), stimuli)["IT"], stimuli["stimulus_id"])
        for kind in (RegionRecorder, CommitmentRecorder)
        for layers in (["pool", "head"], ["head", "pool"])
    ]
    for kernel in kernels[1:]:
        assert kernel.n_features == 96 + 10
        np.testing.assert_allclose(kernel.gram, kernels[0].gram, rtol=0, atol=1e-12 * kernels[0].gram.max())


def test_a_layer_that_is_named_twice_counts_once(folder, record):
    stimuli = stimulus_set(folder, 20)
    once, twice = (
        record(recorder_for(small_network({"IT": n}), ["IT"]), stimuli)["IT"] for n in (["pool"], ["pool"] * 2)
    )
    np.testing.assert_array_equal(once, twice)


@pytest.mark.parametrize("n", [1, 7, 21, 23])
def test_any_number_of_stimuli(n, folder, record):
    model, stimuli = small_network(LAYER_MAPS["all of it"]), stimulus_set(folder, n)
    expected = record(RegionRecorder(model, ["V1", "IT"]), stimuli)
    for region, features in record(CommitmentRecorder(model, ["V1", "IT"]), stimuli).items():
        np.testing.assert_array_equal(features, expected[region])


@pytest.mark.parametrize("same_file", [("s03", "s04"), ("s00", "s12", "s68", "s69")], ids=["near", "far apart"])
def test_stimuli_that_share_a_file(same_file, folder, record):
    model = small_network({"V1": "conv", "IT": ["pool", "head"]})
    stimuli = stimulus_set(folder, same_file=same_file)
    expected = record(RegionRecorder(model, ["V1", "IT"]), stimuli)
    shared = record(CommitmentRecorder(model, ["V1", "IT"]), stimuli)
    rows = [int(name[1:]) for name in same_file]
    for region, features in shared.items():
        np.testing.assert_array_equal(features, expected[region])
        assert (features[rows] == features[rows[0]]).all()
        # all other stimuli have features of their own; s68 and s69 look the same
        assert len(np.unique(features, axis=0)) == N_STIMULI - len({*same_file, "s68", "s69"}) + (
            1 if {"s68", "s69"} <= set(same_file) else 2
        )


def test_one_forward_pass_serves_all_regions(folder, record):
    seen = []

    def count(activations):
        seen.append(sorted(activations))
        return activations

    model = small_network(LAYER_MAPS["all of it"], misbehave=count)
    record(CommitmentRecorder(model, list(LAYER_MAPS["all of it"])), stimulus_set(folder, 21))
    assert seen == [["conv", "head", "pool"]] * 3


@pytest.mark.parametrize(("allowed", "sizes"), [(3, [7, 2, 2, 2, 2, 2, 2, 2]), (0.5, [7] + 14 * [1]), (100, [7, 7, 7])])
def test_batches_of_wide_layers_are_small(allowed, sizes, folder, record, monkeypatch):
    stimuli, seen = stimulus_set(folder, 21), []

    def count(activations):
        seen.append(len(activations["conv"]))
        return activations

    expected = record(CommitmentRecorder(small_network({"V1": "conv"}), ["V1"]), stimuli)["V1"]
    monkeypatch.setattr(f"{CommitmentRecorder.__module__}.BATCH_BYTES", int(allowed * expected[0].nbytes))
    model = small_network({"V1": "conv"}, misbehave=count)
    np.testing.assert_allclose(record(CommitmentRecorder(model, ["V1"]), stimuli)["V1"], expected, rtol=0, atol=1e-6)
    assert seen == sizes
    assert model.activations_model._extractor._batch_size == 7


def test_batches_of_other_frameworks_keep_their_size(folder, monkeypatch):
    monkeypatch.setattr(f"{CommitmentRecorder.__module__}.BATCH_BYTES", 1)
    model = small_network({"V1": "conv"})
    recorder = CommitmentRecorder(model, ["V1"])
    recorder.record(stimulus_set(folder, 9), ["conv"], lambda batch: None)
    assert (recorder.batch_size(["conv"]), recorder.growth()) == (1, 1 / 7)
    monkeypatch.setattr(f"{CommitmentRecorder.__module__}.pytorch_wrapper", lambda activations_model: None)
    assert (recorder.batch_size(["conv"]), recorder.growth()) == (7, 1.0)


def test_a_gpu_sees_several_batches_at_once(folder, record, monkeypatch):
    stimuli, sizes = stimulus_set(folder, N_STIMULI), []

    def count(batch):
        sizes.append(len(batch["conv"]))
        return batch

    expected = record(CommitmentRecorder(small_network({"V1": "conv"}), ["V1"]), stimuli)["V1"]
    monkeypatch.setattr(CommitmentRecorder, "_may_shrink", lambda self: False)  # as on a GPU
    recorder = CommitmentRecorder(small_network({"V1": "conv"}, misbehave=count), ["V1"])
    assert recorder.enlarge_batches(n_bytes=10, room=45) == 4
    np.testing.assert_allclose(record(recorder, stimuli)["V1"], expected, rtol=0, atol=1e-6)
    assert set(sizes) == {4 * 7}
    assert recorder.enlarge_batches(n_bytes=40, room=79) == 1  # measured with the batches of now
    assert recorder.enlarge_batches(n_bytes=40, room=80) == 2
    assert recorder.enlarge_batches(n_bytes=0, room=0) == 4  # 224 images
    assert recorder.enlarge_batches(n_bytes=0, room=0) == 1
    assert recorder.batch_size(["conv"]) == 32 * 7


def wrap(model, around):
    """Commit ``around(wrapper)`` in the place of a model's wrapper."""
    mapped = model.layer_model._layer_model
    model.activations_model = mapped.activations_model = around(model.activations_model)


def test_a_wrapper_without_cache_is_recorded_as_the_one_in_it(folder, record, monkeypatch):
    """Brain-Score's ``disable_activation_caching``: the same batches, features and digests."""
    plain, wrapped = small_network({"V1": "conv"}), small_network({"V1": "conv"})
    wrap(wrapped, disable_activation_caching)
    recorders = [recorder_for(model, ["V1"]) for model in (plain, wrapped)]
    assert {type(recorder) for recorder in recorders} == {CommitmentRecorder}
    features = [record(recorder, stimulus_set(folder, 9))["V1"] for recorder in recorders]
    np.testing.assert_array_equal(*features)
    monkeypatch.setattr(f"{CommitmentRecorder.__module__}.BATCH_BYTES", 3 * features[0][0].nbytes)
    assert [recorder.batch_size(["conv"]) for recorder in recorders] == [2, 2]
    assert network_digest(wrapped) == network_digest(plain) is not None
    assert network_digest(small_network({"V1": "conv"}, seed=1)) != network_digest(plain)
    assert preprocessing_digest(wrapped) == preprocessing_digest(plain) is not None


def test_nothing_is_left_behind(folder, record, isolated_home):
    model = small_network({"V1": "conv"})
    bar = activations_core.tqdm
    record(CommitmentRecorder(model, ["V1"]), stimulus_set(folder, 9))
    broken = small_network({"V1": "conv"}, misbehave=lambda activations: activations["no such layer"])
    with pytest.raises(KeyError, match="no such layer"):
        record(CommitmentRecorder(broken, ["V1"]), stimulus_set(folder, 9))
    for used in (model, broken):
        assert used.activations_model._extractor._batch_activations_hooks == {}
    assert activations_core.tqdm is bar
    # activations of a set that may differ from call to call must not be found again by its name
    assert not list((isolated_home / "result_caching").rglob("*_from_paths_stored*"))


def test_the_recorder_follows_from_the_model():
    class OwnCommitment(ModelCommitment):
        """May do anything in look_at."""

    commitment = small_network({"V1": "conv"})
    assert type(recorder_for(commitment, ["V1"])) is CommitmentRecorder
    assert type(recorder_for(FeatureModel({}), ["V1"])) is RegionRecorder

    commitment.__class__ = OwnCommitment
    assert type(recorder_for(commitment, ["V1"])) is RegionRecorder


def normed(assembly):
    """Each stimulus' features divided by their length."""
    return assembly / np.sqrt((assembly**2).sum("neuroid"))


def normalising(owner, name):
    """Put a method on an object that norms what its own gives."""
    own = getattr(owner, name)
    setattr(owner, name, lambda *args, **kwargs: normed(own(*args, **kwargs)))


class Normed:
    """A wrapper around Brain-Score's own, which answers everything but calls."""

    def __init__(self, inner):
        self._inner, self._extractor, self.identifier = inner, inner._extractor, inner.identifier

    def __call__(self, *args, **kwargs):
        return normed(self._inner(*args, **kwargs))


class NormedByName(Normed):
    """The same, with all attributes of the one inside."""

    def __init__(self, inner):
        self.__dict__["_inner"] = inner

    def __getattr__(self, name):
        return getattr(self.__dict__["_inner"], name)


class NormedWrapper(PytorchWrapper):
    def __call__(self, *args, **kwargs):
        return normed(super().__call__(*args, **kwargs))


class NormedLayers(LayerMappedModel):
    def run_activations(self, *args, **kwargs):
        return normed(super().run_activations(*args, **kwargs))


def with_own_layer_model(model):
    layers = NormedLayers(model.identifier, model.activations_model, model.layer_model.region_layer_map)
    model.layer_model = TemporalAligned(layers)


WAYS_OF_THEIR_OWN = {
    "wrapper around a wrapper": lambda model: wrap(model, Normed),
    "wrapper with all attributes of another": lambda model: wrap(model, NormedByName),
    "wrapper's class": lambda model: setattr(model.activations_model, "__class__", NormedWrapper),
    "wrapper's class, without cache": lambda model: (
        setattr(model.activations_model, "__class__", NormedWrapper),
        wrap(model, disable_activation_caching),
    ),
    "wrapper of the layer model alone": lambda model: setattr(
        model.layer_model._layer_model, "activations_model", Normed(model.activations_model)
    ),
    "layer model": with_own_layer_model,
    "look_at of the model": lambda model: normalising(model, "look_at"),
    "run_activations of the layer model": lambda model: normalising(model.layer_model._layer_model, "run_activations"),
    "from_paths of the extractor": lambda model: normalising(model.activations_model._extractor, "from_paths"),
    "_package of the extractor": lambda model: normalising(model.activations_model._extractor, "_package"),
}


@pytest.mark.parametrize("way", WAYS_OF_THEIR_OWN)
def test_what_is_made_of_the_batches_counts(folder, record, way):
    """Not the batches, as they come from the network."""
    model = small_network({"V1": "pool", "IT": ["pool", "head"]})
    plain = record(recorder_for(model, ["V1"]), stimulus_set(folder, 9))["V1"]
    expected = plain / np.linalg.norm(plain, axis=1, keepdims=True)
    WAYS_OF_THEIR_OWN[way](model)
    found = record(recorder_for(model, ["V1"]), stimulus_set(folder, 9))["V1"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_wrappers_that_hand_on_what_their_extractor_answers_are_recorded_by_batches():
    class Handing(Normed):
        def __call__(self, *args, **kwargs):
            return self._extractor(*args, **kwargs)

    class HandingWrapper(PytorchWrapper):
        def __call__(self, *args, **kwargs):
            return super().__call__(*args, **kwargs)

    model = small_network({"V1": "conv"})
    model.activations_model.__class__ = HandingWrapper
    assert type(recorder_for(model, ["V1"])) is CommitmentRecorder
    wrap(model, Handing)
    assert type(recorder_for(model, ["V1"])) is CommitmentRecorder


def test_the_layer_is_the_one_that_the_layer_model_looks_up(folder, record):
    """The map that can be seen from outside may be another one."""
    model = small_network({"V1": "pool"})
    model.layer_model.region_layer_map = {"V1": "head"}
    recorder = recorder_for(model, ["V1"])
    assert recorder.labels == {"V1": "pool"}
    assert committed_layers(model, ["V1"]) == {"V1": "pool"}
    expected = record(RegionRecorder(model, ["V1"]), stimulus_set(folder, 9))["V1"]
    np.testing.assert_array_equal(record(recorder, stimulus_set(folder, 9))["V1"], expected)


class TestAnswers:
    """What is made of the answers of a model that is known by its interface alone."""

    IDS = [f"s{i:02d}" for i in range(N_STIMULI)]
    FEATURES = random_features(IDS, 5)

    def answers(self, record, folder, **options):
        return record(RegionRecorder(FeatureModel(self.FEATURES, **options), ["V1"]), stimulus_set(folder))["V1"]

    @pytest.mark.parametrize(
        "options", [{}, {"misbehave": reordered}, {"time_bins": 1}], ids=["as shown", "reordered", "one time bin"]
    )
    def test_stand_in_the_order_of_the_stimuli(self, record, folder, options):
        expected = np.stack([self.FEATURES[stimulus_id] for stimulus_id in self.IDS])
        np.testing.assert_array_equal(self.answers(record, folder, **options), expected)

    @pytest.mark.parametrize(
        ("options", "rule", "received"),
        [
            ({"misbehave": not_finite("s66")}, "must be finite", "1 of 6 .* the first for s66"),
            ({"misbehave": not_finite("s66", np.inf)}, "must be finite", "infinity"),
            ({"misbehave": wider("s66")}, "same features for all stimuli", "5 of type float64 before and 6"),
            (
                {"misbehave": other_dtype("s66")},
                "same features for all stimuli",
                "float64 before and 5 of type float32",
            ),
            ({"misbehave": silent_about("s66")}, "answer once for each", r"1 stimuli are missing .*'s66'"),
            ({"misbehave": renamed("s66")}, "answer once for each", r"1 stimuli are missing .*'s66'"),
            ({"misbehave": twice("s66")}, "answer once for each", "answered 7 times"),
            ({"misbehave": as_text}, "Features are numbers", "<U"),
            ({"time_bins": 2}, "time bins", "answered with 2"),
        ],
        ids=lambda value: value if isinstance(value, str) else None,
    )
    def test_that_cannot_be_scored_are_refused(self, record, folder, options, rule, received):
        with pytest.raises(ModelOutputError, match=f"(?s){rule}.*{received}|{received}.*{rule}") as error:
            self.answers(record, folder, identifier="a-model", **options)
        assert "V1" in str(error.value)


class TestCommittedModels:
    """The same rules for models whose batches are taken by a hook."""

    def check_refused(self, record, folder, misbehave, match):
        model = small_network({"V1": "pool"}, misbehave=misbehave)
        with pytest.raises(ModelOutputError, match=match) as error:
            record(recorder_for(model, ["V1"]), stimulus_set(folder, 21))
        assert "pool" in str(error.value) or model.identifier in str(error.value)

    def test_nan(self, record, folder):
        def misbehave(activations):
            activations["pool"][3] = np.nan
            return activations

        self.check_refused(record, folder, misbehave, "must be finite, but .* for 1 of 7 stimuli")

    def test_other_width_in_a_later_batch(self, record, folder):
        calls = []

        def misbehave(activations):
            calls.append(1)
            if len(calls) > 2:
                activations["pool"] = activations["pool"][:, :5]
            return activations

        self.check_refused(record, folder, misbehave, "same features for all stimuli.*96 .* before and 80")

    def test_fewer_answers_than_stimuli(self, record, folder):
        def misbehave(activations):
            activations["pool"] = activations["pool"][1:]
            return activations

        self.check_refused(record, folder, misbehave, "answer once for each of 7 stimuli, but answered 6")

    @pytest.mark.parametrize("layer_map", [{"V1": "pool"}, {"V1": "conv", "IT": "pool"}, {"V1": "pool", "IT": "head"}])
    def test_more_answers_than_stimuli(self, record, folder, layer_map):
        def misbehave(activations):
            activations["pool"] = np.repeat(activations["pool"], 4, axis=0)
            return activations

        model = small_network(layer_map, misbehave=misbehave)
        with pytest.raises(ModelOutputError, match="once for each of 7 stimuli, but answered .*28 times in pool"):
            record(recorder_for(model, list(layer_map)), stimulus_set(folder, 21))


class TestUnmappedRegion:
    def test_of_a_committed_model_is_found_without_an_image(self):
        with pytest.raises(UnmappedRegionError, match=r"maps no layer to V4\. It maps 'V1', 'IT'\. Add 'V4'"):
            recorder_for(small_network({"V1": "conv", "IT": "head"}), ["V1", "V4"])

    def test_of_any_other_model(self, record, folder):
        model = FeatureModel(random_features(["s00"], 3), regions=("V1",), identifier="a-model")
        with pytest.raises(UnmappedRegionError, match="a-model maps no layer to V4.*Add 'V4'"):
            record(RegionRecorder(model, ["V4"]), stimulus_set(folder, 1))
        assert model.looks == []

    def test_is_not_confused_with_another_missing_key(self, record, folder):
        with pytest.raises(KeyError) as error:
            record(RegionRecorder(FeatureModel({"s01": np.ones(3)}), ["V1"]), stimulus_set(folder, 1))
        assert not isinstance(error.value, UnmappedRegionError)
        assert error.value.args == ("s00",)


class Slow(FeatureModel):
    """Between being asked to record a region and looking, others may ask."""

    def start_recording(self, recording_target, time_bins):
        super().start_recording(recording_target, time_bins)
        time.sleep(0.01)


def test_threads_may_record_regions_of_one_model(folder):
    model, stimuli = Slow(None, regions=OF_REGIONS, identifier="by size"), stimulus_set(folder, 9)

    def recorded(region):
        batches = []
        RegionRecorder(model, [region]).record(stimuli, [region], batches.append)
        return np.concatenate([batch[region] for batch in batches])

    expected = {region: recorded(region) for region in OF_REGIONS}
    asked = list(OF_REGIONS) * 8
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(recorded, asked))
    for region, features in zip(asked, found, strict=True):
        np.testing.assert_array_equal(features, expected[region])


def test_a_layer_that_does_not_exist_is_named_before_an_image_is_shown():
    with pytest.raises(UnmappedRegionError, match="maps V1 to 'conw', which it does not have.* 5 layers are 'conv'"):
        recorder_for(small_network({"V1": "conw"}), ["V1"])
