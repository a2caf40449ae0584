"""The simulated voxels: where they are, what they respond to, how reliable they are."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, ndtri

from ..assemblies.region_table import RegionTable
from ..constants import OTHER_REGION, REGIONS
from .regions import POPULATIONS, memberships, place_populations, preference
from .rng import generator
from .scales import Scale
from .visual_features import columns_of, feature_table

_ROIS = {"V1": ("V1d", "V1v"), "V2": ("V2d", "V2v"), "V3": ("V3d", "V3v"), "V4": ("hV4",), "IT": ("laionventral",)}

_MEDIAN_NC_12REP = {"V1": 34.2, "V2": 51.2, "V3": 54.8, "V4": 61.5, "IT": 50.4}  # percent, sub-01 of the release
_MEDIAN_NC_12REP_OTHER = 55.0  # percent, of populations beside these; made up
_NC_SPREAD = 1.0  # standard deviation of the noise ceiling's logit within a region


@dataclass(frozen=True)
class Tuning:
    """What a region's voxels see."""

    shares: dict[str, float]  # family of features, or "mixtures" -> share of the signal's variance; they add up to 1
    field: float  # radius of the receptive fields in widths of the image


TUNINGS = {
    "V1": Tuning({"gabor4": 0.35, "gabor8": 0.35, "luminance": 0.3}, field=0.08),
    "V2": Tuning({"gabor4": 0.2, "gabor8": 0.25, "gabor16": 0.15, "contrast": 0.15, "luminance": 0.25}, field=0.12),
    "V3": Tuning({"gabor8": 0.3, "gabor16": 0.3, "contrast": 0.2, "luminance": 0.1, "mixtures": 0.1}, field=0.16),
    "V4": Tuning({"gabor16": 0.25, "contrast": 0.15, "colour": 0.3, "mixtures": 0.3}, field=0.25),
    "IT": Tuning({"gabor32": 0.1, "colour": 0.1, "mixtures": 0.8}, field=0.5),
}
"""From fine and local to coarse and global."""

VARIANCE_FACTORS = {
    "cluster_k5_0": 1.3,
    "cluster_k5_1": 0.7,
    "cluster_k5_2": 1.0,
    "cluster_k5_3": 1.6,
    "cluster_k5_4": 0.6,
    "ood_shape": 1.6,
    "ood_relations": 0.7,
    "ood_unusual": 1.3,
    "ood_cropped": 2.0,
    "ood_selfmade": 1.0,
    "ood_gaudy": 0.6,
    "ood_illusion-classic": 2.0,
    "ood_gabor": 2.5,
    "ood_illusion-natural": 1.5,
    "unique": 1.0,
}
"""Group of stimuli -> factor of the variance of their signal in every voxel, on top of what their pictures give."""

_MIXED_FAMILIES = ("gabor16", "gabor32", "colour", "global")
_N_MIXTURES = 48

STUFF = (
    "asphalt brick ceiling cloth clouds concrete fog foliage fur glass grass gravel ice leather marble metal moss paper "
    "rock sand sky snow soil tiles water wood"
).split()
"""What an image has that excites the first mixtures, in their order."""

PREFERENCE_SHARE = 0.7
"""Of the signal's variance of voxels that prefer some stuff: what their common preference explains."""


@dataclass(frozen=True)
class Voxels:
    """One subject's voxels, region by region in the order of `constants.REGIONS`, then those beside these.

    Arrays have the shape (n_voxels,).
    """

    region: np.ndarray  # str
    roi: np.ndarray  # str
    population: np.ndarray  # int, place in `regions.POPULATIONS`; -1 for V1 to IT
    prefers: np.ndarray  # str, of `STUFF`; empty for none
    regions: RegionTable
    index_in_brain_mask: np.ndarray  # int32, ascending in V1 to IT, and again beside these
    ncsnr: np.ndarray  # float32, standard deviation of the signal over stimuli, in units of the noise
    gain: np.ndarray  # float32, percent signal change per unit of noise
    baseline: np.ndarray  # float32, percent signal change

    def __len__(self) -> int:
        return len(self.region)

    def columns(self, region: str) -> slice:
        """The region's run of voxels."""
        where = np.flatnonzero(self.region == region)
        return slice(int(where[0]), int(where[-1]) + 1)

    @property
    def streams(self) -> tuple[tuple[tuple[str, ...], slice], ...]:
        """Runs of voxels whose random numbers are drawn apart, with the label of their generators: those beside V1 to IT
        change nothing in V1 to IT."""
        beside = self.columns(OTHER_REGION)
        return ((), slice(0, beside.start)), ((OTHER_REGION,), beside)

    def noise_ceiling(self, mean_inverse_repetitions: float) -> np.ndarray:
        """Noise ceiling in percent, (n_voxels,) float32: 100 ncsnr^2 / (ncsnr^2 + m).

        m is the mean over stimuli of 1 / repetitions: 1/4 for four, 1/12 for twelve.
        """
        power = self.ncsnr.astype(np.float64) ** 2
        return (100 * power / (power + mean_inverse_repetitions)).astype(np.float32)

    def noise_ceilings(self, stimulus: np.ndarray) -> dict[str, np.ndarray]:
        """An assembly's noise ceilings in percent, (n_voxels,) float32 each; `stimulus` numbers each trial's stimulus."""
        _, counts = np.unique(stimulus, return_counts=True)
        m = {"nc_4rep": 1 / 4, "nc_12rep": 1 / 12, "nc_allrep": float((1 / counts).mean())}
        return {name: self.noise_ceiling(value) for name, value in m.items()}


def draw_voxels(scale: Scale, subject: str, seed: int) -> Voxels:
    """A subject's voxels.

    The noise ceilings at twelve repetitions have the release's medians exactly, and spread as a normal
    distribution of their logits, so that small regions too have voxels on both sides of 30 %.
    """
    rng = generator(seed, "voxels", subject)
    counts = [round(count * (1 + scale.voxel_spread * rng.uniform(-1, 1))) for count in scale.voxels]
    total = sum(counts)
    rois = [
        _ROIS[region][i * len(_ROIS[region]) // n] for region, n in zip(REGIONS, counts, strict=True) for i in range(n)
    ]
    medians = _MEDIAN_NC_12REP.values()
    ceiling = np.concatenate([_draw_ceilings(rng, median, n) for median, n in zip(medians, counts, strict=True)])
    # ascending over all regions: the order of voxels in an assembly that was built from volumes
    index = np.sort(rng.choice(scale.brain_voxels, total, replace=False)).astype(np.int32)
    gain, baseline = rng.lognormal(0, 0.4, total), rng.normal(0.5, 0.5, total)

    beside, population = place_populations(scale, subject, index, seed)
    rng = generator(seed, "voxels", subject, OTHER_REGION)
    more = np.empty(len(beside))
    for number in np.unique(population):
        own = population == number
        more[own] = _draw_ceilings(rng, _MEDIAN_NC_12REP_OTHER, int(own.sum()))
    ceiling = np.concatenate([ceiling, more])
    region = np.concatenate([np.repeat(REGIONS, counts), np.full(len(beside), OTHER_REGION)])
    roi = np.concatenate([rois, np.full(len(beside), OTHER_REGION)])
    population = np.concatenate([np.full(total, -1), population])
    preferred = {number: preference(one.in_subject(subject)) for number, one in enumerate(POPULATIONS)}
    return Voxels(
        region=region,
        roi=roi,
        population=population,
        prefers=np.array([preferred.get(number, "") for number in population.tolist()]),
        regions=memberships(subject, region, roi, population),
        index_in_brain_mask=np.concatenate([index, beside]),
        ncsnr=np.sqrt(ceiling / (1 - ceiling) / 12).astype(np.float32),
        gain=np.concatenate([gain, rng.lognormal(0, 0.4, len(beside))]).astype(np.float32),
        baseline=np.concatenate([baseline, rng.normal(0.5, 0.5, len(beside))]).astype(np.float32),
    )


def _draw_ceilings(rng: np.random.Generator, median: float, n: int) -> np.ndarray:
    """Noise ceilings at twelve repetitions of n voxels, as fractions; `median` in percent."""
    quantiles = ndtri((np.arange(n) + 0.5) / n)
    return expit(logit(median / 100) + _NC_SPREAD * rng.permutation(quantiles))


def draw_signal(features: np.ndarray, groups: np.ndarray, voxels: Voxels, subject: str, seed: int) -> np.ndarray:
    """The subject's true responses: (n_stimuli, n_voxels) float32, in standard deviations of a single trial's noise.

    Each voxel is a sparse random combination of its region's features, seen through a receptive field. `features` is
    (n_stimuli, n_features) float32, standardised over all stimuli of the dataset; `groups` (n_stimuli,) str, of
    `splits.stimulus_groups`.

    The signal has mean 0 and standard deviation ncsnr over the shared stimuli that are not out-of-distribution, which the
    noise ceilings are stated for, and over the unique ones. In other sets (one cluster, one type of out-of-distribution
    stimuli) it varies more or less, as it does in brains.
    """
    unique, ood = groups == "unique", np.char.startswith(groups, "ood_")
    mixed = mixtures(features, seed)
    gain = np.sqrt([VARIANCE_FACTORS[group] for group in groups]).astype(np.float32)[:, None]
    signal = np.empty((len(features), len(voxels)), np.float32)
    for region, tuning in TUNINGS.items():
        columns = voxels.columns(region)
        n = columns.stop - columns.start
        rng = generator(seed, "weights", subject, region)
        centre = rng.uniform(0.05, 0.95, (2, n)).astype(np.float32)
        total = np.zeros((len(features), n), np.float32)
        for family, share in tuning.shares.items():
            if family == "mixtures":
                part = mixed @ _sparse_weights(rng, mixed.shape[1], n)
            else:
                part = features[:, columns_of(family)] @ _local_weights(rng, family, centre, tuning.field)
            part = _standardised(part, unique, ood)
            part *= np.float32(np.sqrt(share))
            total += part
        total *= gain
        signal[:, columns] = _standardised(total, unique, ood) * voxels.ncsnr[columns]
    for number in np.unique(voxels.population[voxels.population >= 0]):
        columns = np.flatnonzero(voxels.population == number)
        rng = generator(seed, "weights", subject, OTHER_REGION, int(number))
        total = _standardised(mixed @ _sparse_weights(rng, mixed.shape[1], len(columns)), unique, ood)
        prefers = voxels.prefers[columns[0]]
        if prefers:
            stuff = np.maximum(_standardised(mixed[:, [STUFF.index(prefers)]], unique, ood), 0)
            total *= np.float32(np.sqrt(1 - PREFERENCE_SHARE))
            total += np.float32(np.sqrt(PREFERENCE_SHARE)) * _standardised(stuff, unique, ood)
        signal[:, columns] = _standardised(total * gain, unique, ood) * voxels.ncsnr[columns]
    return signal


def _local_weights(rng: np.random.Generator, family: str, centre: np.ndarray, field: float) -> np.ndarray:
    """(n_local_features, n) float32: random channels of the family, seen through Gaussian receptive fields."""
    local = feature_table().iloc[columns_of(family)]
    channels, index = np.unique(local["channel"], return_inverse=True)
    x, y = local["x"].to_numpy()[:, None], local["y"].to_numpy()[:, None]
    distance = (x - centre[0]) ** 2 + (y - centre[1]) ** 2  # squared; n_local_features, n
    return _sparse_weights(rng, len(channels), centre.shape[1])[index] * np.exp(-distance / np.float32(2 * field**2))


def _sparse_weights(rng: np.random.Generator, count: int, n: int) -> np.ndarray:
    """(count, n) float32: a quarter of them normal, the others 0, and never a column of zeros."""
    weights = rng.standard_normal((count, n), dtype=np.float32)
    weights *= rng.random((count, n)) < 0.25
    weights[rng.integers(count, size=n), np.arange(n)] += 1
    return weights


def mixtures(features: np.ndarray, seed: int) -> np.ndarray:
    """(n_stimuli, n_mixtures) float32: a fixed random layer of saturating units, the same in every subject."""
    seen = features[:, columns_of(*_MIXED_FAMILIES)]
    weights = generator(seed, "mixtures").standard_normal((seen.shape[1], _N_MIXTURES), dtype=np.float32)
    return np.tanh(seen @ weights * np.float32(1.2 / np.sqrt(seen.shape[1])))


def _standardised(values: np.ndarray, unique: np.ndarray, ood: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and standard deviation 1 over unique rows, and over those that are neither unique nor ood.

    Rows of ood are measured by the latter. float32; in place.
    """
    for measured, moved in ((unique, unique), (~unique & ~ood, ~unique)):
        if measured.any():
            rows = values[measured]
            mean = rows.mean(0, dtype=np.float64).astype(np.float32)
            spread = np.sqrt(np.square(rows - mean).mean(0, dtype=np.float64))
            values[moved] = (values[moved] - mean) / np.maximum(spread, 1e-6).astype(np.float32)
    return values
