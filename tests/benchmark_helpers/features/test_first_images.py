"""Models that learn from the first images are refused; those that count, cache or prepare for a size are not."""

import numpy as np
import pytest
import torch
from plugin_testing.models import FeatureModel, pixel_features
from plugin_testing.small_benchmark import N_IMAGES, make_benchmark, make_images
from sklearn.decomposition import PCA
from torch import nn

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ModelOutputError
from brainscore_vision.benchmarks.laion_fmri_7t.networks.errors import ModelSourceError
from brainscore_vision.benchmarks.laion_fmri_7t.networks.network import as_brain_model, as_network


@pytest.fixture
def benchmark(tmp_path):
    return make_benchmark(make_images(tmp_path, N_IMAGES), store=False)


class Own(FeatureModel):
    """Answers with pixels, changed by what it holds."""

    def __init__(self):
        super().__init__(pixel_features, identifier="own")
        self.pca, self.mean, self.scale, self.scaler = None, np.zeros(108), {}, PCA(3)
        self.n_seen, self.last, self.kept, self.projection, self.first = 0, None, {}, None, None

    def look_at(self, stimuli, number_of_trials=1):
        assembly = super().look_at(stimuli, number_of_trials)
        assembly.values[:] = self.changed(assembly.values, list(stimuli["stimulus_id"]))
        return assembly

    def changed(self, values, ids):
        return values


class FitsPCA(Own):
    def changed(self, values, ids):
        if self.pca is None:
            self.pca = PCA(3, random_state=0).fit(values)
        return self.pca.inverse_transform(self.pca.transform(values))


class FitsInPlace(Own):
    def changed(self, values, ids):
        if not hasattr(self.scaler, "components_"):
            self.scaler.fit(values)
        return self.scaler.inverse_transform(self.scaler.transform(values))


class SetsMean(Own):
    def changed(self, values, ids):
        if not self.mean.any():
            self.mean[: values.shape[1]] = values.mean(axis=0)
        return np.abs(values - self.mean[: values.shape[1]])


class SetsInDictionary(Own):
    def changed(self, values, ids):
        self.scale.setdefault("of all", float(values.std()))
        return values / self.scale["of all"]


class Counts(Own):
    def changed(self, values, ids):
        self.n_seen += len(values)
        return values


class KeepsLast(Own):
    def changed(self, values, ids):
        self.last = values.copy()
        return values


class Caches(Own):
    def changed(self, values, ids):
        self.kept.update(zip(ids, values, strict=True))
        return np.stack([self.kept[one] for one in ids])


class ProjectsAtRandom(Own):
    """By the width of the first answer; its own generator is seeded, or numpy's is used."""

    def changed(self, values, ids):
        if self.projection is None:
            self.projection = np.random.normal(size=values.shape[1])  # noqa: NPY002
        return values * self.projection


class KeepsFirst(Own):
    """For a look at it: answers are the same."""

    def changed(self, values, ids):
        if self.first is None:
            self.first = values.copy()
        return values


LEARNING = {FitsPCA: "pca", FitsInPlace: "scaler.components_", SetsMean: "mean", SetsInDictionary: "scale"}


@pytest.mark.parametrize("kind", LEARNING)
def test_a_model_that_learns_from_the_first_images_is_refused(benchmark, kind):
    model = kind()
    for _ in range(2):  # what it had learned was taken back
        with pytest.raises(ModelOutputError, match=rf"own learns from the first images .*\b{LEARNING[kind]}"):
            benchmark(model)
    assert model.pca is None
    assert not model.scale
    assert not model.mean.any()


@pytest.mark.parametrize("kind", [Counts, KeepsLast, Caches, ProjectsAtRandom, KeepsFirst])
def test_what_models_keep_besides_is_no_matter(benchmark, kind):
    score = benchmark(kind())
    if kind is not ProjectsAtRandom:
        assert score.raw.item() == benchmark(Own()).raw.item()


def test_a_model_that_was_fitted_before_is_scored(benchmark):
    model = FitsPCA()
    model.pca = PCA(3, random_state=0).fit(np.random.default_rng(0).normal(size=(20, 108)))
    assert np.isfinite(benchmark(model).raw.item())


class ActNorm(nn.Module):
    """Channels are normalised as those of the first batch (Glow, Kingma and Dhariwal 2018)."""

    def __init__(self, n):
        super().__init__()
        self.shift, self.scale = nn.Parameter(torch.zeros(1, n, 1, 1)), nn.Parameter(torch.ones(1, n, 1, 1))
        self.register_buffer("is_set", torch.tensor(0))

    def forward(self, x):
        if not self.is_set.item():
            self.shift.data.copy_(-x.mean((0, 2, 3), keepdim=True))
            self.scale.data.copy_(1 / (x.std((0, 2, 3), keepdim=True) + 1e-3))
            self.is_set.fill_(1)
        return self.scale * (x + self.shift)


class Grid(nn.Module):
    """Positions for the size of the first images, kept; a count, the last answer; weights that are kept small."""

    def __init__(self, n):
        super().__init__()
        self.grid, self.n_passes, self.last = None, 0, None
        self.mix = nn.Conv2d(n, n, 1)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        if self.grid is None:
            self.grid = torch.linspace(0, 1, x.shape[-1])
            self.register_buffer("rows", torch.linspace(0, 1, x.shape[-2])[:, None])
        self.n_passes += 1
        self.calls += 1
        self.mix.weight.data = torch.renorm(self.mix.weight.data, p=2, dim=0, maxnorm=0.1)
        self.last = self.mix(x) + self.grid + self.rows
        return self.last


def network(part):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 7, stride=4), part(4), nn.Tanh()).eval()


def test_a_network_that_the_first_images_initialise_is_refused_before_and_can_be_initialised():
    own = network(ActNorm)
    weights = {name: value.clone() for name, value in own.state_dict().items()}
    with pytest.raises(
        ModelSourceError, match=r"learns from the first images that it sees \(1\.is_set, 1\.scale, 1\.shift\)"
    ):
        as_brain_model(own, "n", layers={"V1": "2"}, image_size=32)
    with pytest.raises(ModelSourceError, match="learns from the first images"):
        as_network(own, "n", image_size=32).check()
    assert all((weights[name] == value).all() for name, value in own.state_dict().items())
    as_brain_model(own, "n", layers={"V1": "0"}, image_size=32)  # whose answers do not depend on it
    own = network(ActNorm)
    with torch.no_grad():
        own(torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert as_brain_model(own, "n", layers={"V1": "2"}, image_size=32).identifier == "n"


def test_a_network_that_keeps_grids_and_counts_is_as_it_was_after_one_image():
    own, alone = network(Grid), network(Grid)
    as_brain_model(own, "n", layers={"V1": "2"}, image_size=32)
    with torch.no_grad():
        alone(torch.zeros(1, 3, 32, 32))
    assert own[1].n_passes == own[1].calls == 2  # the second, of two images, finds their axis
    assert own.state_dict().keys() == alone.state_dict().keys()


def test_preprocessing_that_learns_is_refused():
    class Whitens:
        mean = None

        def __call__(self, image):
            values = torch.from_numpy(np.asarray(image.resize((32, 32)), np.float32).transpose(2, 0, 1) / 255)
            if self.mean is None:
                self.mean = values.mean((1, 2), keepdim=True)
            return values - self.mean

    with pytest.raises(ModelSourceError, match=r"learns from the first images .*mean"):
        as_brain_model(network(nn.BatchNorm2d), "n", layers={"V1": "2"}, preprocessing=Whitens())
