"""Layers of a network for regions of the dataset: mapped, kept, and chosen without test images."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from brainscore_vision.benchmark_helpers.stimulus_kernels import EngineOptions
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import UnmappedRegionError
from brainscore_vision.benchmarks.laion_fmri_7t import benchmark, best_layers, find_model, map_layers, score_model
from brainscore_vision.benchmarks.laion_fmri_7t.identifiers import IdentifierError
from brainscore_vision.benchmarks.laion_fmri_7t.layer_maps import _Choice, layers_of
from brainscore_vision.benchmarks.laion_fmri_7t.networks.errors import ModelSourceError
from brainscore_vision.benchmarks.laion_fmri_7t.scoring import score_all
from brainscore_vision.data.laion_fmri_7t.constants import SUBJECTS
from brainscore_vision.data.laion_fmri_7t.source import open_dataset

QUIET = EngineOptions(progress=False)
SEEDED = """
import torch


class Seen(torch.nn.Sequential):
    n_images = 0

    def forward(self, images):
        Seen.n_images += len(images)
        return super().forward(images)


def make(seed=0):
    torch.manual_seed(seed)
    layers = torch.nn.Conv2d(3, 4, 7, stride=8), torch.nn.ReLU(), torch.nn.Dropout(), torch.nn.Conv2d(4, 6, 5, stride=3)
    return Seen(*layers, torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(384, 10)).eval()
"""


@pytest.fixture
def network():
    names: dict = {}
    exec(SEEDED, names)
    names["Seen"].n_images = 0
    return names["make"]()


def test_a_map_has_all_regions_and_subjects_and_the_second_one_costs_no_pass(network, tiny_dataset):
    said = []
    found = map_layers(network, layers="all", dataset=tiny_dataset, engine=QUIET, say=said.append)
    assert found.regions == ("V1", "V2", "V4", "IT")
    assert found.subjects == SUBJECTS
    assert found.layers == ("0", "1", "3", "4", "6")
    assert found.facts["split"] == "tau"
    assert found.facts["dataset"]["simulated"]
    seen, type(network).n_images = type(network).n_images, 0
    assert seen > 67
    again = map_layers(network, layers="all", dataset=tiny_dataset, engine=QUIET, say=said.append)
    assert again.scores.equals(found.scores)
    assert type(network).n_images < 20  # made images, which show that it answers as before
    assert len(said) == 1
    assert best_layers(network, layers="all", dataset=tiny_dataset, engine=QUIET) == found.best


def test_a_kept_map_is_of_the_same_weights_and_the_same_data(network, tiny_dataset):
    first = map_layers(network, "IT", dataset=tiny_dataset, engine=QUIET)
    with torch.no_grad():
        network[0].weight.mul_(-1.5)
    other = map_layers(network, "IT", dataset=tiny_dataset, engine=QUIET)
    assert not other.scores.equals(first.scores)
    fewer = map_layers(network, "IT", dataset=tiny_dataset, engine=QUIET, subjects=("sub-01", "sub-03"))
    assert fewer.subjects == ("sub-01", "sub-03")
    np.testing.assert_allclose(fewer.scores, other.scores.sel(subject=["sub-01", "sub-03"]))


def test_a_kept_map_is_of_the_same_images(network, tiny_dataset, tmp_path):
    """Images of as many bytes in each other's places: neither names nor sizes say so."""
    dataset = shutil.copytree(tiny_dataset, tmp_path / "dataset")
    manifest = pd.read_csv(dataset / "stimuli" / "manifest.csv")
    files, manifest["filename"] = manifest["filename"], [f"{i}.bmp" for i in range(len(manifest))]
    manifest.to_csv(dataset / "stimuli" / "manifest.csv", index=False)
    images = [Image.open(dataset / "stimuli" / "images" / name).convert("RGB") for name in files]

    def mapped_with(order):
        for i, image in enumerate(order):
            images[image].save(dataset / "stimuli" / "images" / f"{i}.bmp")
        return map_layers(network, "IT", dataset=dataset, engine=QUIET).scores

    right = range(len(images))
    found = mapped_with(right[::-1]), mapped_with(right), mapped_with(right)
    assert not found[0].equals(found[1])
    assert found[1].equals(found[2])


def test_layers_that_had_no_room_are_said_and_tried_again(network, tiny_dataset):
    """With more disk, a map is made again; a Score says which layers could not be chosen."""
    options, cell = {"layers": "blocks", "dataset": tiny_dataset}, "LAION_fMRI.IT-tau-ridgecv"
    _, layers = layers_of(network)
    largest = max(layer.bytes_per_image for layer in layers)
    # images that the choice is made on, all training images of tau
    n_images = len(open_dataset(tiny_dataset).split_ids("shared", "tau")[0])
    scarce = replace(QUIET, max_spool=n_images * largest - 1, store=False)
    few = map_layers(network, "IT", **options, engine=replace(scarce, store=True))
    assert few.facts["too_large"] == ["1"]
    ((_, score),) = score_all(network, [cell], dataset=tiny_dataset, engine=scarce, layers="auto")
    said = "; 1 had no say, whose features need more disk than is free or allowed (--max-spool)"
    assert score.attrs["layers_chosen"].endswith(said)
    whole = map_layers(network, "IT", **options, engine=QUIET)
    assert "too_large" not in whole.facts
    assert "1" in whole.layers


class Noise(torch.nn.Conv2d):
    def forward(self, images):
        return super().forward(images) + torch.rand(())


class Overflow(torch.nn.Conv2d):
    def forward(self, images):
        return super().forward(images) * torch.tensor(float("nan"))


@pytest.mark.parametrize(
    ("kind", "why"),
    [(Noise, "it answers otherwise when the same images are shown again"), (Overflow, "Features must be finite")],
)
def test_blocks_whose_numbers_are_of_no_use_are_said_to_be_left_out(tiny_dataset, kind, why):
    """A network that diverged has its other blocks, and nobody looks at each of many checkpoints."""
    torch.manual_seed(3)

    def block(layer):
        return torch.nn.Sequential(layer, torch.nn.ReLU(), torch.nn.AvgPool2d(4))

    blocks = [block(torch.nn.Conv2d(3, 6, 5)), block(torch.nn.Conv2d(6, 6, 5)), block(kind(6, 6, 3))]
    network = torch.nn.Sequential(*blocks).eval()
    found = map_layers(network, "IT", dataset=tiny_dataset, engine=QUIET)
    (left,) = found.facts["broken"]
    assert left.startswith("2")
    assert why in found.skipped[left]
    ((_, score),) = score_all(network, ["LAION_fMRI.IT-tau-ridgecv"], dataset=tiny_dataset, engine=QUIET, layers="auto")
    assert re.search(rf"; {left} had no say: .*{why}", score.attrs["layers_chosen"])
    assert score.attrs["layers"]["IT"] in found.layers


def test_a_layer_with_noise_takes_no_healthy_ones_place(tiny_dataset):
    """Dropout that stays on behind each block of a network without blocks, as Bayesian networks have it."""

    class Dropout(torch.nn.Dropout):
        def forward(self, images):
            return torch.nn.functional.dropout(images, self.p, training=True)

    def network(*between):
        torch.manual_seed(3)
        convolutions = [torch.nn.Conv2d(3, 6, 9, 5), torch.nn.Conv2d(6, 6, 5, 2), torch.nn.Conv2d(6, 6, 3, 2)]
        return torch.nn.Sequential(
            *(layer for one in convolutions for layer in (one, torch.nn.ReLU(), *(make() for make in between)))
        ).eval()

    plain = map_layers(network(), "IT", dataset=tiny_dataset, engine=QUIET)
    assert plain.layers == ("1", "3", "5")
    noisy = network().append(Dropout()).eval()
    found = map_layers(noisy, "IT", dataset=tiny_dataset, engine=QUIET)
    assert (found.layers, found.facts["broken"]) == (plain.layers, ["6"])
    assert map_layers(network(Dropout), "IT", dataset=tiny_dataset, engine=QUIET).layers == ("1",)


def test_a_kept_map_is_of_the_same_code(network, tiny_dataset):
    """Weights, classes and names stay as they were: a function without weights, an attribute that is no buffer."""
    before = map_layers(network, ["IT"], layers="3", dataset=tiny_dataset, engine=QUIET)
    network[1].forward = lambda images: torch.cos(40 * images)
    fresh = EngineOptions(progress=False, store=False)
    expected = map_layers(network, ["IT"], layers="3", dataset=tiny_dataset, engine=fresh)
    found = map_layers(network, ["IT"], layers="3", dataset=tiny_dataset, engine=QUIET)
    assert not np.allclose(before.scores, expected.scores, atol=0.01)
    assert np.allclose(found.scores, expected.scores, atol=1e-6)


class Gate(torch.nn.Module):
    """Turns images round whose mean lies between two numbers, where no made image's may."""

    def __init__(self, low, high):
        super().__init__()
        self.low, self.high = low, high

    def forward(self, images):
        mean = images.mean((1, 2, 3), keepdim=True)
        return torch.where((mean > self.low) & (mean < self.high), images.flip(-1), images)


def test_a_kept_map_is_of_the_same_settings(tiny_dataset):
    """That images of the dataset alone may show."""
    torch.manual_seed(3)
    first = torch.nn.Conv2d(3, 4, 7, stride=8)
    found = []
    for low, high in ((1e3, 1e4), (-2.0, 0.5), (1e3, 1e4)):
        network = torch.nn.Sequential(Gate(low, high), first, torch.nn.ReLU()).eval()
        found.append(map_layers(network, ["IT"], layers="1", dataset=tiny_dataset, engine=QUIET))
        fresh = EngineOptions(progress=False, store=False)
        expected = map_layers(network, ["IT"], layers="1", dataset=tiny_dataset, engine=fresh)
        assert np.allclose(found[-1].scores, expected.scores, atol=1e-6)
    assert found[0].scores.equals(found[2].scores)
    assert not np.allclose(found[0].scores, found[1].scores, atol=0.01)


def test_scores_on_both_pools_and_folds_are_of_layers_chosen_without_their_test_images(tiny_dataset):
    dataset = open_dataset(tiny_dataset)
    names = (
        "LAION_fMRI.IT-tau-ridgecv",
        "LAION_fMRI.IT-ood_shape-ridgecv",
        "LAION_fMRI.IT-cluster_k5_1-ridgecv",
        "LAION_fMRI.IT-random_2-ridgecv",
        "LAION_fMRI_persubject.IT-tau-ridgecv",
    )
    train = tuple(dataset.split_ids("shared", "tau")[0])
    for name in names:
        plan = benchmark(name, dataset=tiny_dataset).resolve(dataset)
        choice = _Choice.of(plan, plan.tasks[0].pool, train)
        tested = {stimulus_id for task in plan.tasks for stimulus_id in task.test_ids}
        for task in choice.tasks:
            assert len(task.train_ids) > 10
            assert not set(task.train_ids) & tested, name  # nor what others are tested on: people respond alike
            assert set(task.train_ids) <= set(train)
            assert task.test_ids == ()


def test_auto_scores_what_the_chosen_layer_scores_and_names_it(network, tiny_dataset):
    cells = ["LAION_fMRI.IT-tau-ridgecv", "LAION_fMRI.V1-ood-ridgecv", "LAION_fMRI.IT-rdm-pearson"]
    best = best_layers(network, ("V1", "IT"), dataset=tiny_dataset, engine=QUIET)
    scores = dict(score_all(network, cells, dataset=tiny_dataset, engine=QUIET, layers="auto"))
    for name, score in scores.items():
        region = "V1" if "V1" in name else "IT"
        assert score.attrs["layers"] == {region: best[region]}
        assert score.item() == score_model(network, name, dataset=tiny_dataset, layers=best).item()
    assert "none of which is a test image" in scores[cells[0]].attrs["layers_chosen"]
    assert "all of which are test images here" in scores[cells[2]].attrs["layers_chosen"]


def test_a_mean_over_folds_says_what_each_fold_chose_on(network, tiny_dataset):
    """Training images of one fold are test images of another."""
    name = "LAION_fMRI.V1-cluster_k5-ridgecv"
    score = dict(score_all(network, [name], dataset=tiny_dataset, engine=QUIET, layers="auto"))[name]
    of_folds = [score.attrs[f"fold_{k}"].attrs["layers_chosen"] for k in range(5)]
    assert len(set(of_folds)) > 1
    assert score.attrs["layers_chosen"] == "; ".join(f"in fold {k} {text}" for k, text in enumerate(of_folds))


def test_auto_chooses_for_each_benchmark_on_its_own_voxels(tiny_dataset):
    """IT and IT_full are of one region of models, and of different voxels."""
    cells = ["LAION_fMRI.IT-ood-ridgecv", "LAION_fMRI.IT_full-ood-ridgecv"]

    def layers(names, of):
        scores = dict(score_all(of, names, dataset=tiny_dataset, engine=QUIET, layers="auto"))
        return [scores[name].attrs["layers"]["IT"] for name in cells if name in scores]

    def made(seed):
        torch.manual_seed(seed)
        pooled = nn.Conv2d(3, 8, 7, stride=4), nn.ReLU(), nn.MaxPool2d(8)
        return nn.Sequential(*pooled, nn.Conv2d(8, 16, 3), nn.ReLU()).eval()

    for of in map(made, range(10)):
        alone = [layers([name], of)[0] for name in cells]
        if alone[0] != alone[1]:
            break
    assert alone[0] != alone[1]
    assert layers(cells, of) == layers(cells[::-1], of) == alone
    with pytest.raises(IdentifierError, match="IT_full and IT are both recorded as IT. Make a map of each"):
        map_layers(of, ("IT_full", "IT"), dataset=tiny_dataset, engine=QUIET)


def test_a_mean_over_folds_has_a_layer_for_each_fold(network, tiny_dataset):
    name = "LAION_fMRI.V1-cluster_k5-ridgecv"
    ((_, score),) = score_all(network, [name], dataset=tiny_dataset, engine=QUIET, layers="auto")
    assert np.isfinite(score.item())
    assert set(score.attrs["layers"].values()) <= {"1", "4", "6"}


def test_layers_of_folds_are_called_alike_whatever_else_is_scored(tiny_dataset):
    """Else the same score would be two, of two choices of layers."""
    tau, folds = "LAION_fMRI.V4-tau-ridgecv", "LAION_fMRI.V4-cluster_k5-ridgecv"

    def layers(of, *cells):
        scores = dict(score_all(of, cells, dataset=tiny_dataset, engine=QUIET, layers="auto"))
        return {name: list(score.attrs["layers"].items()) for name, score in scores.items()}

    def made(seed):
        torch.manual_seed(seed)
        pooled = nn.Conv2d(3, 8, 7, stride=4), nn.ReLU(), nn.MaxPool2d(8)
        return nn.Sequential(*pooled, nn.Conv2d(8, 16, 3), nn.ReLU()).eval()

    for seed in (4, *range(4), *range(5, 30)):  # the layer of tau is not the first fold's
        together = layers(made(seed), tau, folds)
        first, *others = (layer for _, layer in together[folds])
        if together[tau][0][1] in others:
            break
    assert together[tau] == [("V4", others[0])]
    assert together[folds] == [("V4", first), (f"V4 ({others[0]})", others[0])] == layers(made(seed), folds)[folds]


def test_the_saved_map_serves_model_commitment_and_the_command_line(network, tiny_dataset, tmp_path, run):
    (tmp_path / "nets.py").write_text(SEEDED)
    path, figure = tmp_path / "map.json", tmp_path / "layers.svg"
    code, out, err = run(
        *("layers", f"{tmp_path}/nets.py:make", "--dataset", tiny_dataset, "--regions", "V1,IT"),
        *("--save", path, "--figure", figure),
    )
    assert code == 0, err
    assert "in 1 pass over the 67 images" in err
    assert "> best layer of the region" in out
    layers = json.loads(path.read_text())
    assert list(layers) == ["V1", "IT"]
    assert figure.read_text().startswith("<?xml")
    model = find_model(network).model(layers)
    assert np.isfinite(score_model(model, "LAION_fMRI.V1-tau-ridgecv", dataset=tiny_dataset).item())


def test_per_subject_names_one_layer_for_each(tiny_dataset, tmp_path, run):
    (tmp_path / "nets.py").write_text(SEEDED)
    arguments = "layers", f"{tmp_path}/nets.py:make", "--dataset", tiny_dataset, "--regions", "IT", "--layers", "1,4"
    code, out, _ = run(*arguments, "--per-subject", "--save", tmp_path / "each.json")
    assert code == 0
    each = json.loads((tmp_path / "each.json").read_text())
    assert tuple(each) == SUBJECTS
    assert all(f"{subject}  {best['IT']}" in " ".join(out.split()).replace(" ", "  ") for subject, best in each.items())
    code, out, _ = run(*arguments, "--json")
    assert json.loads(out)["best_per_subject"] == each


def test_the_list_needs_no_dataset(tmp_path, run):
    (tmp_path / "nets.py").write_text(SEEDED)
    code, out, _ = run("layers", f"{tmp_path}/nets.py:make", "--list", "--json")
    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["layer"] for row in rows] == ["0", "1", "2", "3", "4", "5", "6"]
    assert [row["block"] for row in rows] == [False, True, False, False, True, False, True]
    assert rows[2]["same_as"] == "1"
    assert rows[0]["shape"] == [4, 28, 28]
    code, out, _ = run("layers", f"{tmp_path}/nets.py:make", "--list")
    assert "answers as 1 does" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--regions", "V9"], "region is one of"),
        (["--split", "cluster_k5"], "each of cluster_k5's folds has its own"),
        (["--split", "tua"], "The nearest is 'tau'"),
        (["--pool", "persubject", "--metric", "rdm"], "exists for the shared pool only"),
        (["--metric", "pls"], "compared by ridgecv, rdm, cka"),
        (["--layers", "conv*"], "'conv*' matches none of the 7 layers"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_cannot_be_mapped_is_one_line(options, message, tiny_dataset, tmp_path, run):
    (tmp_path / "nets.py").write_text(SEEDED)
    code, _, err = run("layers", f"{tmp_path}/nets.py:make", "--dataset", tiny_dataset, *options)
    assert code in (1, 2)
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_models_without_a_network_say_why(tiny_dataset, run):
    for model in ("pixels", "LAION_fMRI-CLIP"):
        code, _, err = run("layers", model, "--dataset", tiny_dataset)
        assert code == 2
        assert "without one" in err
    with pytest.raises(ModelSourceError, match="without one"):
        map_layers("pixels", dataset=tiny_dataset)


def test_a_network_whose_layers_are_all_random_names_them(tiny_dataset):
    class Noise(torch.nn.Module):
        def forward(self, images):
            return images.flatten(1)[:, :5] + torch.randn(len(images), 5)

    with pytest.raises(UnmappedRegionError, match="shown again"):
        map_layers(torch.nn.Sequential(Noise()).eval(), layers="all", dataset=tiny_dataset, engine=QUIET)


def test_clearing_the_cache_removes_the_maps_of_a_model(network, tiny_dataset, run):
    map_layers(network, "IT", dataset=tiny_dataset, engine=QUIET)
    (path,) = QUIET.layer_maps.glob("*.json")
    run("cache", "clear", "--model", "another")
    assert path.exists()
    run("cache", "clear", "--model", find_model(network).network().identifier)
    assert not path.exists()


def test_a_mean_over_subjects_of_their_own_pools_says_what_they_share(network, tiny_dataset):
    options = {"dataset": tiny_dataset, "engine": QUIET, "metric": "ridgecv"}
    own = map_layers(network, ("V1",), pool="persubject", **options)
    assert any("stimuli of the subjects are the same in part" in note for note in own.notes)
    assert not any("same in part" in note for note in map_layers(network, ("V1",), **options).notes)
