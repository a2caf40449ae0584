"""Layer × region × subject scores from one network: training stimuli alone, few passes, nothing lost by a bad layer."""

import json
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from plugin_testing.models import CountingModel, committed
from plugin_testing.second_dataset import Images, Study

from brainscore_vision.benchmark_helpers.stimulus_kernels import (
    EngineOptions,
    NoiseCeiling,
    Responses,
    RidgeMetric,
    StimulusPart,
    StimulusPool,
    SubjectTask,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.engine import evaluate
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import (
    ResponsesError,
    StimulusKernelError,
    UnmappedRegionError,
)
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.spool import FeatureSpool
from brainscore_vision.benchmark_helpers.stimulus_kernels.layers.layer_map import LayerMap
from brainscore_vision.benchmark_helpers.stimulus_kernels.layers.mapping import map_layers

QUIET = EngineOptions(progress=False)


class Seeing(torch.nn.Module):
    """Counts the images that it is shown."""

    def __init__(self, *layers):
        super().__init__()
        self.layers, self.n_seen = torch.nn.Sequential(*layers), 0

    def forward(self, images):
        self.n_seen += len(images)
        return self.layers(images)


def make_network(seed=0, *more):
    torch.manual_seed(seed)
    layers = (torch.nn.Conv2d(3, 6, 5, stride=4), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(294, 8), *more)
    return committed(Seeing(*layers).eval(), {"IT": "layers.1"}, f"seeing-{seed}-{len(more)}")


def n_seen(model):
    network = model.activations_model._model
    seen, network.n_seen = network.n_seen, 0
    return seen


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


@pytest.mark.parametrize("metric", ["ridgecv", "rdm", "cka"])
def test_every_layer_has_a_score_and_an_interval_for_each_region_and_subject(study, metric):
    tasks = [*study.tasks(RidgeMetric()), *(replace(t, region="elsewhere") for t in study.tasks(RidgeMetric()))]
    found = map_layers(make_network(), tasks, "all", metric, QUIET)
    assert found.scores.dims == ("layer", "region", "subject")
    assert found.scores.shape == (3, 2, 3)
    assert found.layers == ("layers.0", "layers.1", "layers.3")
    low, high = (found.intervals.sel(limit=limit) for limit in ("low", "high"))
    assert (low < high).all()
    assert np.isfinite(found.scores).all()
    assert set(found.skipped) == {"layers.2", "layers"}
    assert found.best["elsewhere"] == found.layers[int(found.mean.sel(region="elsewhere").argmax())]
    assert found.best_per_subject["ben"]["elsewhere"] in found.layers
    again = LayerMap.from_json(json.loads(json.dumps(found.as_json())))
    assert again.scores.equals(found.scores)
    assert again.mean_intervals.equals(found.mean_intervals)
    assert (again.best, again.skipped, again.facts) == (found.best, found.skipped, found.facts)


def test_each_neuroid_has_its_best_layer(study):
    """As from maps of single layers, whose only layer is each neuroid's best."""
    tasks = list(study.tasks(RidgeMetric()))
    found = map_layers(make_network(), tasks, "all", "ridgecv", QUIET)
    alone = [map_layers(make_network(), tasks, [layer], "ridgecv", QUIET) for layer in found.layers]
    assert [one.subject for one in found.neuroids] == list(found.subjects)
    for i, one in enumerate(found.neuroids):
        correlations = np.array([of_layer.neuroids[i].correlations for of_layer in alone])
        np.testing.assert_array_equal(one.layers, correlations.argmax(axis=0))
        np.testing.assert_array_equal(one.correlations, correlations.max(axis=0))
        assert len(set(one.layers)) > 1
        assert set(one.coordinates) == set(tasks[i].load_responses().neuroids.select_dtypes(exclude="floating"))
    again = LayerMap.from_json(json.loads(json.dumps(found.as_json()))).neuroids
    for one, other in zip(found.neuroids, again, strict=True):
        np.testing.assert_array_equal(one.layers, other.layers)
        np.testing.assert_array_equal(one.correlations, other.correlations)
        pd.testing.assert_frame_equal(one.coordinates, other.coordinates, check_dtype=False)


def test_comparisons_of_whole_regions_say_nothing_of_neuroids(study):
    assert map_layers(make_network(), list(study.tasks(RidgeMetric())), "all", "cka", QUIET).neuroids == ()


def test_a_map_of_an_earlier_version_is_read(study):
    found = map_layers(make_network(), list(study.tasks(RidgeMetric())), "all", "ridgecv", QUIET).as_json()
    del found["neuroids"]
    assert LayerMap.from_json(found).neuroids == ()


def test_a_score_after_a_map_needs_no_pass_over_the_images(study):
    model = make_network()
    map_layers(model, list(study.tasks(RidgeMetric())), "all", "ridgecv", QUIET)
    n_seen(model)
    results = list(evaluate(model, list(study.tasks(RidgeMetric())), QUIET))
    assert len(results) == 3
    assert 0 < n_seen(model) < 20  # the handful that tells whether the model is the same


def test_groups_within_the_disk_space_allowed_give_the_same_scores_with_more_passes(study):
    tasks, said = list(study.tasks(RidgeMetric())), []
    whole = map_layers(make_network(1), tasks, "all", "ridgecv", replace(QUIET, store=False), said.append)
    # 44 images of 294 numbers of 4 bytes, two such layers, and one of 8 numbers
    size = 44 * 294 * 4
    some = map_layers(
        make_network(1), tasks, "all", "ridgecv", replace(QUIET, store=False, max_spool=size + 44 * 8 * 4), said.append
    )
    np.testing.assert_array_equal(whole.scores, some.scores)
    assert "in 1 pass over the 44 images" in said[0]
    assert "in 2 passes over the 44 images" in said[1]
    few = map_layers(make_network(1), tasks, "all", "ridgecv", replace(QUIET, store=False, max_spool=size - 1))
    assert few.layers == ("layers.3",)
    assert "allowed (max_spool)" in few.skipped["layers.0"]


def test_layers_with_kernels_are_not_recorded_again(study):
    tasks, said = list(study.tasks(RidgeMetric())), []
    map_layers(make_network(2), tasks, ["layers.0", "layers.3"], "ridgecv", QUIET)
    map_layers(make_network(2), tasks, "all", "ridgecv", QUIET, said.append)
    assert said[0].startswith("2 layers have kernels of images of all already. 1 layers are recorded in 1 pass")


class Marks(torch.nn.Module):
    """Answers with infinity to an image with a large red area."""

    def forward(self, images):
        red = (images[:, 0] > 2.2) & (images[:, 1] < -2) & (images[:, 2] < -1.7)
        marked = red.sum((1, 2)) > 100
        features = images.flatten(1)[:, ::50].clone()
        features[marked, 0] = torch.inf
        return features


def test_a_layer_that_fails_on_one_image_is_left_out_and_the_others_are_scored(study):
    """No made image shows it before the pass."""
    Image.new("RGB", (20, 20), (255, 0, 0)).save(study.images.folder / f"{study.common[7]}.png")
    model = committed(Side(Marks()).eval(), {}, "marks")
    found = map_layers(model, list(study.tasks(RidgeMetric())), "all", "ridgecv", QUIET)
    assert found.layers == ("conv", "relu", "last")
    assert "nan or infinity" in found.skipped["side"]


class Side(torch.nn.Module):
    """A line of layers with one more beside it, whose answer nobody uses."""

    def __init__(self, side):
        super().__init__()
        self.conv, self.relu, self.side = torch.nn.Conv2d(3, 5, 7, stride=5), torch.nn.ReLU(), side
        self.last = torch.nn.Conv2d(5, 3, 3)

    def forward(self, images):
        self.side(images)
        return self.last(self.relu(self.conv(images)))


class Dead(torch.nn.Module):
    def forward(self, images):
        return images.new_ones(len(images), 4)


def test_a_layer_that_does_not_vary_is_left_out_with_the_reason(study):
    found = map_layers(
        committed(Side(Dead()).eval(), {}, "dead"), list(study.tasks(RidgeMetric())), "all", "ridgecv", QUIET
    )
    assert found.layers == ("conv", "relu", "last")
    assert "do not vary at all" in found.skipped["side"]


@dataclass(frozen=True)
class OnlyTraining:
    """Responses to training stimuli; asked for others, there are none."""

    load: object
    train_ids: tuple

    def __call__(self):
        return self.load().select(self.train_ids)


def test_test_stimuli_play_no_part(study, tmp_path):
    """Neither their responses, which are not even there, nor their images, whatever they show."""
    tasks = list(study.tasks(RidgeMetric()))
    before = map_layers(make_network(3), tasks, "all", "ridgecv", QUIET)
    (tmp_path / "other").mkdir()
    for name in study.common:
        image = Image.open(study.images.folder / f"{name}.png")
        if name in tasks[0].test_ids:
            image = Image.effect_noise((20, 20), 80).convert("RGB")
        image.save(tmp_path / "other" / f"{name}.png")
    pool = replace(tasks[0].pool, provider=Images(tmp_path / "other"))
    changed = [
        replace(task, pool=pool, load_responses=OnlyTraining(task.load_responses, task.train_ids), test_ids=("none",))
        for task in tasks
    ]
    after = map_layers(make_network(3), changed, "all", "ridgecv", QUIET)
    np.testing.assert_allclose(before.scores, after.scores, atol=1e-9)
    np.testing.assert_allclose(before.intervals, after.intervals, atol=1e-9)
    assert before.best == after.best


def test_responses_are_read_once(study):
    map_layers(make_network(4), list(study.tasks(RidgeMetric())), "all", "ridgecv", QUIET)
    assert study.asked == Counter(anna=1, ben=1, cleo=1)


def test_the_saved_map_is_one_that_brain_score_takes(study, tmp_path):
    model = make_network(5)
    tasks = [replace(task, region="IT") for task in study.tasks(RidgeMetric())]
    found = map_layers(model, tasks, "all", "ridgecv", QUIET)
    layers = json.loads(found.save(tmp_path / "map.json").read_text())
    assert layers == found.best
    chosen = committed(model.activations_model._model, layers, "chosen")
    assert len(list(evaluate(chosen, tasks, QUIET))) == 3
    for_each = json.loads(found.save(tmp_path / "each.json", per_subject=True).read_text())
    assert for_each == found.best_per_subject
    assert set(for_each) == {"anna", "ben", "cleo"}


def test_the_figure_has_one_line_per_region_and_marks_the_best_layer(study):
    tasks = [*study.tasks(RidgeMetric()), *(replace(t, region="elsewhere") for t in study.tasks(RidgeMetric()))]
    found = map_layers(make_network(6), tasks, "all", "ridgecv", QUIET)
    (axes,) = found.figure().axes
    (marked_as_simulated,) = replace(found, facts={"dataset": {"simulated": True}}).figure().axes
    assert ["simulated data" in a.get_title() for a in (axes, marked_as_simulated)] == [False, True]
    lines = {line.get_label(): line for line in axes.lines if line.get_label() in found.regions}
    np.testing.assert_array_equal(lines["elsewhere"].get_ydata(), found.mean.sel(region="elsewhere"))
    marked = [line.get_xydata()[0] for line in axes.lines if line.get_label() not in found.regions]
    assert [found.layers[int(x)] for x, _ in marked] == [found.best[region] for region in found.regions]
    assert [text.get_text() for text in axes.get_xticklabels()] == list(found.layers)


def test_an_interrupted_map_goes_on_where_it_was(study, monkeypatch):
    tasks, model = list(study.tasks(RidgeMetric())), make_network(8)
    network = model.activations_model._model

    append = FeatureSpool.append

    def interrupt(spool, features):
        if network.n_seen > 70:  # the made images and the handful before the pass are fewer
            raise KeyboardInterrupt
        append(spool, features)

    with monkeypatch.context() as patched:
        patched.setattr(FeatureSpool, "append", interrupt)
        with pytest.raises(KeyboardInterrupt):
            map_layers(model, tasks, "all", "ridgecv", QUIET)
    n_seen(model)
    found = map_layers(model, tasks, "all", "ridgecv", QUIET)
    resumed = n_seen(model)
    whole = map_layers(model, tasks, "all", "ridgecv", replace(QUIET, store=False))
    assert 0 < n_seen(model) - resumed < 44
    np.testing.assert_allclose(found.scores, whole.scores, atol=1e-9)


def test_what_cannot_be_mapped_is_refused_before_any_pass(study):
    tasks, model = list(study.tasks(RidgeMetric())), make_network(7)
    with pytest.raises(StimulusKernelError, match="compared by ridgecv, rdm, cka; received 'pls'"):
        map_layers(model, tasks, "all", "pls", QUIET)
    with pytest.raises(StimulusKernelError, match="has none here"):
        map_layers(model, [replace(task, train_ids=()) for task in tasks], "all", "ridgecv", QUIET)
    with pytest.raises(StimulusKernelError, match="one task for each region and subject"):
        map_layers(model, [*tasks, *tasks], "all", "ridgecv", QUIET)
    with pytest.raises(UnmappedRegionError, match="without one"):
        map_layers(CountingModel(), tasks, "all", "ridgecv", QUIET)
    with pytest.raises(ResponsesError, match="the 28 of anna and 28 of ben are other ones"):
        map_layers(model, list(study.tasks(RidgeMetric(), own_pool=True)), "all", "cka", QUIET)
    assert n_seen(model) == 0


N_NETWORKS, N_LAYERS, N_TRAIN, N_TEST = 40, 5, 50, 40


class Oracle(torch.nn.Module):
    """Features that are drawn for each image, and have nothing to do with what it shows."""

    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def forward(self, numbers):
        drawn = [np.random.default_rng([self.seed, int(number)]).standard_normal(12) for number in numbers]
        return torch.from_numpy(np.stack(drawn))


class Ignorant(torch.nn.Module):
    """Networks side by side that tell images apart, and know nothing else of them."""

    def __init__(self):
        super().__init__()
        self.networks = torch.nn.ModuleList(
            torch.nn.ModuleList(Oracle(100 * i + k) for k in range(N_LAYERS)) for i in range(N_NETWORKS)
        )

    def forward(self, images):
        numbers = (images.double().abs().mean((1, 2, 3)) * 1e9).long()
        for network in self.networks:
            for layer in network:
                layer(numbers)


def ignorant_study(folder):
    """Tasks of one subject whose responses are noise."""
    rng = np.random.default_rng(11)
    names = tuple(f"image-{i:03d}" for i in range(N_TRAIN + N_TEST))
    for name in names:
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{name}.png")
    responses = Responses(
        subject="A",
        stimulus_ids=np.array(names),
        values=rng.standard_normal((len(names), 20)),
        n_repetitions=np.full(len(names), 4),
        neuroids=pd.DataFrame({"site": np.arange(20)}),
        noise_ceiling=NoiseCeiling(np.full(20, 0.5), 0.25),
    )
    pool = StimulusPool("all", (StimulusPart("all", names),), 8.0, Images(folder))
    train, test = names[:N_TRAIN], names[N_TRAIN:]
    return SubjectTask("A", "IT", "IT", pool, train, test, RidgeMetric(bootstrap_draws=10), lambda: responses)


def test_networks_that_know_nothing_score_zero_with_layers_chosen_on_training_stimuli(tmp_path):
    """And above zero with layers chosen by their test scores: the size of the mistake that this avoids."""
    task, model = ignorant_study(tmp_path), committed(Ignorant().eval(), {}, "ignorant")
    names = [f"networks.{i}.{k}" for i in range(N_NETWORKS) for k in range(N_LAYERS)]
    found = map_layers(model, [task], names, "ridgecv", QUIET)
    assert found.layers == tuple(names)
    of_training = found.scores.values.reshape(N_NETWORKS, N_LAYERS)
    scored = committed(model.activations_model._model, dict(zip(names, names, strict=True)), "ignorant")
    of_test = np.empty(len(names))
    for position, result in evaluate(scored, [replace(task, model_region=name) for name in names], QUIET):
        of_test[position] = result.correlations.mean()
    of_test = of_test.reshape(N_NETWORKS, N_LAYERS)
    honest = of_test[np.arange(N_NETWORKS), of_training.argmax(axis=1)]
    dipped = of_test.max(axis=1)
    errors = [scores.std(ddof=1) / np.sqrt(N_NETWORKS) for scores in (honest, dipped)]
    assert abs(honest.mean()) < 2 * errors[0]
    assert dipped.mean() > 5 * errors[1]
