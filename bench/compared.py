"""Benchmarks that our plugin and the bundled one both have, and what each of them says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bundled_plugin import FAMILIES


@dataclass(frozen=True)
class Compared:
    """A benchmark that both plugins have.

    Attributes
    ----------
    pool : str
        ``shared`` or ``persubject``.
    region : str
    split : str or None
        None for ``rdm-pearson``.
    metric : str
        ``ridgecv``, ``ridge`` or ``rdm-pearson``.
    subjects : tuple of str
        In the order in which they are scored.
    """

    pool: str
    region: str
    split: str | None
    metric: str
    subjects: tuple[str, ...]

    @property
    def name(self) -> str:
        """Identifier of our registered benchmark, without the subjects."""
        family = {"shared": "LAION_fMRI", "persubject": "LAION_fMRI_persubject"}[self.pool]
        return f"{family}." + "-".join(part for part in (self.region, self.split, self.metric) if part)

    def ours(self, dataset: Path):
        """Our benchmark on a dataset folder."""
        from brainscore_vision.benchmarks.laion_fmri_7t import benchmark

        return benchmark(self.name, subjects=self.subjects, dataset=str(dataset))

    def theirs(self):
        """The bundled benchmark; within `bundled_plugin.bundled_plugin` only."""
        from brainscore_vision.benchmarks.laion_fmri.benchmark import LAIONfMRI, LAIONfMRIRSA

        options = {"dataset_prefix": FAMILIES[self.pool], "subjects": self.subjects}
        if self.metric == "rdm-pearson":
            return LAIONfMRIRSA(self.region, **options)
        return LAIONfMRI(self.region, self.split, self.metric, **options)


@dataclass(frozen=True)
class Outcome:
    """What a plugin says about one subject.

    Attributes
    ----------
    raw : float
        Median over voxels of Pearson r, or the Spearman correlation of the RDMs.
    ceiling : float
        What the raw score (squared, for ridge) was divided by.
    score : float
    alpha : float or None
        The chosen ridge penalty, where one was chosen.
    """

    raw: float
    ceiling: float
    score: float
    alpha: float | None


def our_outcomes(score, subjects: Sequence[str]) -> dict[str, Outcome]:
    """Per subject, from a Score of ours."""
    parts = {subject: score.attrs[subject] for subject in subjects}
    return {subject: _outcome(part, part.attrs.get("alpha")) for subject, part in parts.items()}


def their_outcomes(score, subjects: Sequence[str]) -> dict[str, Outcome]:
    """Per subject, from a Score of the bundled plugin; that of a single subject's ridge is not wrapped in another."""
    outcomes = {}
    for subject in subjects:
        part = score.attrs.get(subject, score) if len(subjects) == 1 else score.attrs[subject]
        per_voxel = part.attrs["raw"].attrs.get("raw")
        outcomes[subject] = _outcome(part, None if per_voxel is None else per_voxel.attrs.get("alpha"))
    return outcomes


def _outcome(part, alpha) -> Outcome:
    return Outcome(
        raw=float(part.attrs["raw"]),
        ceiling=float(part.attrs["ceiling"]),
        score=float(part),
        alpha=None if alpha is None else float(alpha),
    )
