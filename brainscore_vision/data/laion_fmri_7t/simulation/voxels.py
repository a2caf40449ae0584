"""The simulated voxels: where they are, what they respond to, how reliable they are."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, ndtri

from ..constants import REGIONS
from .brain import squeezed
from .rng import generator
from .scales import Scale
from .visual_features import FeatureSet

_BRAIN_MASK_VOXELS = 272_080  # sub-01, anatomical mask; a scale with a smaller brain has its places in proportion

_ROIS = {"V1": ("V1d", "V1v"), "V2": ("V2d", "V2v"), "V3": ("V3d", "V3v"), "V4": ("hV4",), "IT": ("laionventral",)}

_MEDIAN_NC_12REP = {"V1": 34.2, "V2": 51.2, "V3": 54.8, "V4": 61.5, "IT": 50.4}  # percent, sub-01 of the release
_NC_SPREAD = 1.0  # standard deviation of the noise ceiling's logit within a region


@dataclass(frozen=True)
class Tuning:
    """What a region's voxels see.

    Attributes
    ----------
    families : tuple of str
        Families of local features.
    field : float
        Radius of the receptive fields in widths of the image.
    channels : int
        Local channels that one voxel combines.
    mixtures : float
        Share of the signal's variance that comes from mixtures of coarse and global features.
    """

    families: tuple[str, ...]
    field: float
    channels: int
    mixtures: float


TUNINGS = {
    "V1": Tuning(("gabor4", "gabor8", "luminance"), field=0.08, channels=4, mixtures=0.0),
    "V2": Tuning(("gabor4", "gabor8", "gabor16", "contrast"), field=0.12, channels=5, mixtures=0.0),
    "V3": Tuning(("gabor8", "gabor16", "contrast"), field=0.16, channels=4, mixtures=0.1),
    "V4": Tuning(("gabor16", "contrast", "colour"), field=0.25, channels=4, mixtures=0.3),
    "IT": Tuning(("gabor32", "colour"), field=0.5, channels=2, mixtures=0.8),
}
"""From fine and local to coarse and global."""

_MIXED_FAMILIES = ("gabor16", "gabor32", "colour", "global")
_N_MIXTURES = 48


@dataclass(frozen=True)
class Voxels:
    """One subject's voxels, region by region.

    Attributes
    ----------
    region, roi : numpy.ndarray
        (n_voxels,) str; each region is one run of voxels, in the order of `constants.REGIONS`.
    index_in_brain_mask : numpy.ndarray
        (n_voxels,) int32, ascending.
    ncsnr : numpy.ndarray
        (n_voxels,) float32, standard deviation of the signal over stimuli, in standard deviations of the noise.
    gain, baseline : numpy.ndarray
        (n_voxels,) float32, percent signal change per unit of noise, and its mean.
    """

    region: np.ndarray
    roi: np.ndarray
    index_in_brain_mask: np.ndarray
    ncsnr: np.ndarray
    gain: np.ndarray
    baseline: np.ndarray

    def __len__(self) -> int:
        return len(self.region)

    def columns(self, region: str) -> slice:
        """The region's run of voxels."""
        where = np.flatnonzero(self.region == region)
        return slice(int(where[0]), int(where[-1]) + 1)

    def noise_ceiling(self, mean_inverse_repetitions: float) -> np.ndarray:
        """Noise ceiling in percent, (n_voxels,) float32: 100 ncsnr^2 / (ncsnr^2 + m).

        Parameters
        ----------
        mean_inverse_repetitions : float
            m, the mean over images of 1 / repetitions: 1/4 for four, 1/12 for twelve.
        """
        power = self.ncsnr.astype(np.float64) ** 2
        return (100 * power / (power + mean_inverse_repetitions)).astype(np.float32)


def draw_voxels(scale: Scale, subject: str, seed: int) -> Voxels:
    """A subject's voxels.

    The noise ceilings at twelve repetitions have the release's medians exactly, and spread as a normal
    distribution of their logits, so that small regions too have voxels on both sides of 30 %.
    """
    rng = generator(seed, "voxels", subject)
    counts = {
        region: round(count * (1 + scale.voxel_spread * rng.uniform(-1, 1)))
        for region, count in scale.region_voxels().items()
    }
    total = sum(counts.values())
    # ascending over all regions, since that is the order of voxels in an assembly that was built from the volumes
    positions = np.sort(rng.choice(_BRAIN_MASK_VOXELS, total, replace=False))
    positions = squeezed(positions, _BRAIN_MASK_VOXELS, scale.brain_voxels)
    rois, ceilings = [], []
    for region in REGIONS:
        n, names = counts[region], _ROIS[region]
        rois += [names[i * len(names) // n] for i in range(n)]
        quantiles = ndtri((np.arange(n) + 0.5) / n)
        ceilings.append(expit(logit(_MEDIAN_NC_12REP[region] / 100) + _NC_SPREAD * rng.permutation(quantiles)))
    ceiling = np.concatenate(ceilings)
    return Voxels(
        region=np.repeat(REGIONS, [counts[region] for region in REGIONS]),
        roi=np.array(rois),
        index_in_brain_mask=positions,
        ncsnr=np.sqrt(ceiling / (1 - ceiling) / 12).astype(np.float32),
        gain=rng.lognormal(0, 0.4, total).astype(np.float32),
        baseline=rng.normal(0.5, 0.5, total).astype(np.float32),
    )


def draw_signal(
    features: np.ndarray, groups: np.ndarray, described: FeatureSet, voxels: Voxels, subject: str, seed: int
) -> np.ndarray:
    """The subject's true responses.

    Each voxel is a sparse random combination of its region's features, weighted by a receptive field, standardised
    over the subject's stimuli and scaled by the voxel's ncsnr.

    Parameters
    ----------
    features : numpy.ndarray
        (n_stimuli, n_features) float32, standardised over all stimuli of the dataset.
    groups : numpy.ndarray
        (n_stimuli,) labels of the groups that test sets are drawn from. The signal has mean 0 and standard deviation
        ncsnr within each group, so that the stated noise ceiling holds in all of them; responses adapt to the context,
        as it were. Within a group that is a straight line per voxel, so no prediction loses by it.
    described : FeatureSet
    voxels : Voxels
    subject : str
    seed : int

    Returns
    -------
    numpy.ndarray
        (n_stimuli, n_voxels) float32, in standard deviations of the noise of a single trial.
    """
    mixed = mixtures(features, described, seed)
    signal = np.empty((len(features), len(voxels)), np.float32)
    for region, tuning in TUNINGS.items():
        columns = voxels.columns(region)
        n = columns.stop - columns.start
        rng = generator(seed, "weights", subject, region)
        local = described.columns(tuning.families)
        part = _standardised(features[:, local] @ _local_weights(rng, described, local, tuning, n), groups)
        weights = rng.standard_normal((_N_MIXTURES, n), dtype=np.float32)
        weights *= rng.random((_N_MIXTURES, n)) < 0.25  # sparse
        weights[rng.integers(_N_MIXTURES, size=n), np.arange(n)] += 1  # never empty
        part = part * np.float32(np.sqrt(1 - tuning.mixtures))
        part += _standardised(mixed @ weights, groups) * np.float32(np.sqrt(tuning.mixtures))
        signal[:, columns] = _standardised(part, groups) * voxels.ncsnr[columns]
    return signal


def _local_weights(
    rng: np.random.Generator, described: FeatureSet, local: np.ndarray, tuning: Tuning, n: int
) -> np.ndarray:
    """(n_local_features, n) float32: random channels, seen through a Gaussian receptive field."""
    channels, index = np.unique(described.channel[local], return_inverse=True)
    preference = rng.standard_normal((len(channels), n), dtype=np.float32)
    rank = np.argsort(np.argsort(rng.random((len(channels), n)), axis=0), axis=0)
    preference[rank >= tuning.channels] = 0
    centre = rng.uniform(0.05, 0.95, (2, n)).astype(np.float32)
    distance = (described.x[local, None] - centre[0]) ** 2 + (described.y[local, None] - centre[1]) ** 2
    return preference[index] * np.exp(-distance / np.float32(2 * tuning.field**2))


def mixtures(features: np.ndarray, described: FeatureSet, seed: int) -> np.ndarray:
    """(n_stimuli, n_mixtures) float32: a fixed random layer of saturating units, the same in every subject."""
    seen = features[:, described.columns(_MIXED_FAMILIES)]
    rng = generator(seed, "mixtures")
    weights = rng.standard_normal((seen.shape[1], _N_MIXTURES), dtype=np.float32)
    return np.tanh(seen @ weights * np.float32(1.2 / np.sqrt(seen.shape[1])))


def _standardised(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and standard deviation 1 within each group of rows."""
    result = np.empty_like(values)
    for group in np.unique(groups):
        rows = values[groups == group]
        mean, spread = rows.mean(0, dtype=np.float64), rows.std(0, dtype=np.float64)
        result[groups == group] = (rows - mean) / np.maximum(spread, 1e-6)
    return result
