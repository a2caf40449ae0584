"""Rules that must hold before a dataset's scores mean anything: one check per rule, on any dataset.

Reading the data refuses much of this already. Such a refusal fails the check that reads, with the message of the refusal;
the other checks go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import StimulusKernelError
from brainscore_vision.data.laion_fmri_7t import ids
from brainscore_vision.data.laion_fmri_7t.constants import FOLD_FAMILIES, N_FOLDS, REGIONS, SPLIT_FILES
from brainscore_vision.data.laion_fmri_7t.errors import DatasetError
from brainscore_vision.data.laion_fmri_7t.source import Dataset
from brainscore_vision.data.laion_fmri_7t.stimuli.displayed import Survey, describe_copies, describe_sizes
from brainscore_vision.data.laion_fmri_7t.stimuli.seal import SEAL, differences, read_seal
from brainscore_vision.data.laion_fmri_7t.stimuli.sources import survey_images

from .shuffled_labels import shuffled_scores

LOST_TRIALS = 8
"""Trials that the release lost in each subject; an image lost at most one (site)."""

ZSCORE_TOLERANCE = 0.01
"""How far a voxel's mean and standard deviation within a session may be from 0 and 1."""

INCREASING_SHARE = 0.95
"""At least this share of voxels must have nc_12rep above nc_4rep. It is below 1 because the two maps come from different
images, so noise reverses the order in some voxels."""


class CheckFailed(ValueError):
    """What was found instead of what has to hold."""


@dataclass(frozen=True)
class CheckResult:
    """Outcome of one check.

    Attributes
    ----------
    rule : str
        What has to hold.
    passed : bool
    detail : str
        What was looked at, or what was found instead.
    """

    rule: str
    passed: bool
    detail: str

    def __str__(self) -> str:
        return f"{'ok  ' if self.passed else 'FAIL'}  {self.rule}: {self.detail}"


def run_checks(dataset: Dataset) -> Iterator[CheckResult]:
    """All checks, in order; each is yielded when it is done.

    Parameters
    ----------
    dataset : Dataset

    Yields
    ------
    CheckResult
    """
    statistics: dict = {}
    for rule, check in CHECKS.items():
        try:
            yield CheckResult(rule, True, check(dataset, statistics))
        except (CheckFailed, DatasetError, StimulusKernelError) as error:
            yield CheckResult(rule, False, str(error))


@dataclass(frozen=True)
class SessionStatistics:
    """Means and standard deviations (ddof 0) per session and voxel, shape (sessions, voxels), and what tells trials apart.

    ``sketch``: two sums of each trial's voxels with random weights, shape (trials, 2). Equal trials have equal sums.
    """

    sessions: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    sketch: np.ndarray


def session_statistics(dataset: Dataset, subject: str) -> SessionStatistics:
    """Reads all trials of a subject once, in blocks. A file that does not name sessions counts as one session."""
    file = dataset.assembly_file(subject)
    trials = file.header.presentations
    labels = trials["session"].to_numpy().astype(str) if "session" in trials else np.full(len(trials), "all trials")
    sessions, codes = np.unique(labels, return_inverse=True)
    n_voxels = file.header.shape[1]
    sums, squares = np.zeros((2, len(sessions), n_voxels))
    sketch, weights = np.zeros((len(trials), 2)), np.random.default_rng(0).uniform(1, 2, (n_voxels, 2))
    for rows, columns, block in file.blocks(np.arange(n_voxels)):
        values = block.astype(float)
        # one trial at a time: a product of matrices may round equal rows differently
        sketch[rows] += [trial @ weights[columns] for trial in values]
        for code in np.unique(codes[rows]):
            own = values[codes[rows] == code]
            sums[code, columns] += own.sum(axis=0)
            squares[code, columns] += np.einsum("ij,ij->j", own, own)
    n_trials = np.bincount(codes)[:, None]
    mean = sums / n_trials
    # a trial that is not finite makes the deviation not finite, which fails every comparison of the checks
    deviation = np.sqrt(np.maximum(squares / n_trials - mean**2, 0))
    return SessionStatistics(sessions, mean, deviation, sketch)


def _statistics(dataset: Dataset, subject: str, known: dict[str, SessionStatistics]) -> SessionStatistics:
    if subject not in known:
        known[subject] = session_statistics(dataset, subject)
    return known[subject]


def _all_splits(dataset: Dataset) -> Iterator[tuple[str, list[str], list[str]]]:
    for pool in ("shared", *dataset.subjects):
        for split in SPLIT_FILES:
            train, test = dataset.split_ids(pool, split)
            yield f"{split} of pool {pool}", train, test


def _disjoint(dataset: Dataset, statistics: dict) -> str:
    count = 0
    for name, train, test in _all_splits(dataset):
        common = sorted(set(train) & set(test))
        if common:
            raise CheckFailed(f"{name} has {len(common)} stimuli on both sides, first {common[0]!r}")
        count += 1
    return f"{count} splits of {1 + len(dataset.subjects)} pools"


def _folds(dataset: Dataset, statistics: dict) -> str:
    overlapping, pools = [], ("shared", *dataset.subjects)
    for pool in pools:
        for family in FOLD_FAMILIES:
            tests = [set(dataset.split_ids(pool, f"{family}_{fold}")[1]) for fold in range(N_FOLDS)]
            often = len(set().union(*tests)) < sum(map(len, tests))
            if often and family == "cluster_k5":
                repeated = sorted(one for one, n in Counter(chain.from_iterable(tests)).items() if n > 1)
                raise CheckFailed(
                    f"{family} of pool {pool} tests {len(repeated)} stimuli in several of its folds, first {repeated[0]!r}"
                )
            if often:
                overlapping.append(pool)
    said = f"{', '.join(FOLD_FAMILIES)} of {len(pools)} pools"
    if overlapping:  # as that release has them: not a fault of this copy
        said += (
            f"; of {', '.join(overlapping)}, those of random overlap, as in the dataset's first release: intervals of their "
            f"mean allow for what they share"
        )
    return said


def _no_ood_in_train(dataset: Dataset, statistics: dict) -> str:
    count = 0
    for name, train, _ in _all_splits(dataset):
        found = [stimulus_id for stimulus_id in train if ids.is_ood(stimulus_id)]
        if found:
            raise CheckFailed(f"{name} trains on {len(found)} out-of-distribution images, first {found[0]!r}")
        count += 1
    return f"{count} splits"


def _every_stimulus(dataset: Dataset, statistics: dict) -> str:
    counts = []
    for subject in dataset.subjects:
        shown = set(dataset.assembly_file(subject).header.presentations["stimulus_id"])
        needed = dataset.pool_stimuli(subject)
        missing = [stimulus_id for stimulus_id in needed if stimulus_id not in shown]
        if missing:
            raise CheckFailed(f"{subject} lacks {len(missing)} of {len(needed)} stimuli, first {missing[0]!r}")
        counts.append(f"{subject} {len(needed):,}")
    return ", ".join(counts)


def _repetitions(dataset: Dataset, statistics: dict) -> str:
    lost = []
    for subject in dataset.subjects:
        file = dataset.assembly_file(subject)
        counts = file.header.presentations["stimulus_id"].value_counts()
        parsed = ids.parse_all(counts.index, file.path)
        nominal = np.array([parsed[stimulus_id].repetitions for stimulus_id in counts.index])
        short = nominal - counts.to_numpy()
        wrong = np.flatnonzero((short < 0) | (short > 1))
        if len(wrong):
            first = wrong[0]
            raise CheckFailed(
                f"{subject}: {len(wrong)} stimuli have other counts than their group, first {counts.index[first]!r} with "
                f"{counts.iloc[first]} trials for {nominal[first]}"
            )
        if short.sum() > LOST_TRIALS:
            raise CheckFailed(f"{subject} lost {short.sum()} trials; the release lost {LOST_TRIALS}")
        lost.append(f"{subject} {short.sum()}")
    return f"12 or 4 as the ids say; one short: {', '.join(lost)}"


def _no_constant_voxel(dataset: Dataset, statistics: dict) -> str:
    count = 0
    for subject in dataset.subjects:
        own = _statistics(dataset, subject, statistics)
        constant = np.flatnonzero(~(own.deviation > 0).all(axis=0))
        if len(constant):
            raise CheckFailed(
                f"{subject}: {len(constant)} voxels do not vary in a session, or are not finite, first neuroid {constant[0]}"
            )
        count += own.mean.shape[1]
    return f"{count:,} voxels"


def _z_scored(dataset: Dataset, statistics: dict) -> str:
    worst = [0.0, 0.0]
    for subject in dataset.subjects:
        own = _statistics(dataset, subject, statistics)
        off = np.maximum(np.abs(own.mean), np.abs(own.deviation - 1))
        bad = np.argwhere(~(off <= ZSCORE_TOLERANCE))
        if len(bad):
            session, voxel = bad[0]
            raise CheckFailed(
                f"{subject}: {len(bad)} voxels times sessions are not z-scored, first neuroid {voxel} in "
                f"{own.sessions[session]} with mean {own.mean[session, voxel]:.3g} and standard deviation "
                f"{own.deviation[session, voxel]:.3g}"
            )
        worst = [max(worst[0], np.abs(own.mean).max()), max(worst[1], np.abs(own.deviation - 1).max())]
    return f"largest |mean| {worst[0]:.1e}, largest |standard deviation - 1| {worst[1]:.1e}, per voxel and session"


def _trials_differ(dataset: Dataset, statistics: dict) -> str:
    count = 0
    for subject in dataset.subjects:
        sketch = _statistics(dataset, subject, statistics).sketch
        names = dataset.assembly_file(subject).header.presentations
        empty = np.flatnonzero((sketch == 0).all(axis=1))
        if len(empty):
            raise CheckFailed(
                f"{subject}: {len(empty)} trials are zero in every voxel, first trial {empty[0]} "
                f"({names['stimulus_id'].iloc[empty[0]]!r}): were they ever written?"
            )
        _, first, copied = np.unique(sketch, axis=0, return_index=True, return_inverse=True)
        copies = np.flatnonzero(first[copied.ravel()] != np.arange(len(sketch)))
        if len(copies):
            one, other = copies[0], first[copied.ravel()[copies[0]]]
            raise CheckFailed(
                f"{subject}: {len(copies)} trials are copies of others, first trial {one} "
                f"({names['stimulus_id'].iloc[one]!r}), which is trial {other} ({names['stimulus_id'].iloc[other]!r})"
            )
        count += len(sketch)
    return f"{count:,} trials"


def _ceiling_maps(dataset: Dataset, statistics: dict) -> str:
    shares = []
    for subject in dataset.subjects:
        neuroids = dataset.assembly_file(subject).header.neuroids
        four, twelve = (neuroids[name].to_numpy(dtype=float) for name in ("nc_4rep", "nc_12rep"))
        known = ~np.isnan(twelve)
        if not twelve[known].max() > 1:
            raise CheckFailed(f"{subject}: the largest nc_12rep is {twelve[known].max():g}; percent are expected")
        above = known & (twelve > 0)
        share = float((twelve[above] > four[above]).mean())
        if share < INCREASING_SHARE:
            raise CheckFailed(f"{subject}: nc_12rep is above nc_4rep in {share:.0%} of voxels only")
        for region in REGIONS:
            own = above & (neuroids["region"] == region).to_numpy()
            if own.any() and not np.median(twelve[own]) > np.median(four[own]):
                raise CheckFailed(f"{subject}, {region}: the median nc_12rep is not above that of nc_4rep")
        shares.append(f"{subject} {share:.1%}")
    return f"nc_12rep above nc_4rep: {', '.join(shares)} of voxels"


def _survey(dataset: Dataset, shared: dict) -> Survey:
    if "images" not in shared:
        shared["images"] = survey_images(dataset.stimuli)
    return shared["images"]


def _images(dataset: Dataset, statistics: dict) -> str:
    found = _survey(dataset, statistics)
    if found.unreadable:
        raise CheckFailed(f"{len(found.unreadable)} of {len(found.hashes):,} are not, first {found.unreadable[0]}")
    if found.damaged_copies:
        raise CheckFailed(
            f"{len(found.damaged_copies)} extracted copies are not what they were extracted from, first "
            f"{found.damaged_copies[0]}. {dataset.stimuli.how_to_restore}"
        )
    if found.not_square:
        raise CheckFailed(
            f"people saw squares; {len(found.not_square)} of {len(found.hashes):,} images are not square, first "
            f"{found.not_square[0]!r}, and most models stretch them"
        )
    first: dict[str, str] = {}
    again = [
        (name, first[content]) for name, content in found.hashes.items() if first.setdefault(content, name) != name
    ]
    twice = f"; {len(again)} are the same picture as another one, first {again[0][0]} as {again[0][1]}" if again else ""
    return f"{len(found.hashes):,} images, {describe_sizes(found)}; {describe_copies(found)}{twice}"


def _sealed(dataset: Dataset, statistics: dict) -> str:
    folder = dataset.stimuli.folder
    sealed = read_seal(folder)
    if sealed is None:
        return f"not sealed; `laion-score data seal {folder}` notes a hash of each image, to be compared from then on"
    changes = differences(sealed, _survey(dataset, statistics).hashes)
    if changes:
        raise CheckFailed(f"of {len(sealed):,} in {folder / SEAL}: {changes}. {dataset.stimuli.how_to_restore}")
    return f"{len(sealed):,} hashes in {folder / SEAL}"


def _shuffled(dataset: Dataset, statistics: dict) -> str:
    lines = []
    for score in shuffled_scores(dataset):
        if not abs(score.shuffled) <= score.noise:
            raise CheckFailed(
                f"{score.subject}, {score.region}: pixels predict shuffled responses with r = {score.shuffled:.3f}, and chance "
                f"allows {score.noise:.3f}: something leaks from test to train"
            )
        lines.append(score)
    largest = max(lines, key=lambda score: abs(score.shuffled) / score.noise)
    unshuffled = ", ".join(
        f"{region} {np.mean([s.unshuffled for s in lines if s.region == region]):.3f}" for region in REGIONS
    )
    return (
        f"{len(lines)} subjects times regions, largest |r| {abs(largest.shuffled):.3f} (chance allows {largest.noise:.3f}); "
        f"pixels, not shuffled: {unshuffled}"
    )


CHECKS: dict[str, Callable[[Dataset, dict], str]] = {
    "training and test stimuli are disjoint": _disjoint,
    "folds of clusters test stimuli of their own": _folds,
    "out-of-distribution images are never trained on": _no_ood_in_train,
    "each subject has each stimulus of its pool": _every_stimulus,
    "stimuli were repeated as the release says": _repetitions,
    "no voxel is constant": _no_constant_voxel,
    "no trial is empty or a copy": _trials_differ,
    "betas are z-scored within session": _z_scored,
    "noise ceilings are percent and increase with repetitions": _ceiling_maps,
    "images are whole and square": _images,
    "images are as they were sealed": _sealed,
    "shuffled labels score within noise of zero": _shuffled,
}
"""Rule -> function of the dataset and of the statistics that checks share, which returns what it looked at."""
