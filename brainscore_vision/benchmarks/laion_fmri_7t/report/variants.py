"""Benchmarks that differ in their region alone: what a figure with a panel per region is about."""

from __future__ import annotations

from dataclasses import dataclass, replace

from brainscore_vision.data.laion_fmri_7t.constants import FOLD_FAMILIES

from ..identifiers import ALL_REGIONS, MODEL_REGIONS, POOLS, SPLITS, Cell

OOD_PREFIX = "ood_"


@dataclass(frozen=True)
class Variant:
    """Benchmarks that differ in their region alone.

    Attributes
    ----------
    cell : Cell
        Their settings, with one region in place of each one's own: the first, or the second where the first would record the
        same by itself.
    """

    cell: Cell

    @classmethod
    def of(cls, cell: Cell) -> Variant:
        region = next(region for region in ALL_REGIONS if MODEL_REGIONS[region] != cell.record)
        return cls(replace(cell, region=region, dataset=None))

    def with_split(self, split: str) -> Variant:
        return Variant(replace(self.cell, split=split))

    def with_pool(self, pool: str) -> Variant:
        return Variant(replace(self.cell, pool=pool))

    @property
    def without_split(self) -> Variant:
        """The same for all variants that differ in their split alone."""
        return self if self.cell.split is None else self.with_split(SPLITS[0])

    def identifier(self, region: str) -> str:
        """Name of the benchmark of one region."""
        return replace(self.cell, region=region).identifier

    @property
    def settings(self) -> str:
        """Settings other than the defaults, as in the identifier's brackets; empty if there are none."""
        return self.identifier(self.cell.region).partition("[")[2].removesuffix("]")

    @property
    def pool_label(self) -> str:
        return "shared pool" if self.cell.pool == "shared" else "per-subject pool"

    @property
    def label(self) -> str:
        """For people: split, metric, pool and special settings."""
        parts = [self.cell.split, self.cell.metric, self.pool_label, self.settings]
        return " · ".join(part for part in parts if part)

    @property
    def stem(self) -> str:
        """For names of files: letters, digits, dots, underscores and hyphens."""
        text = self.identifier(self.cell.region).replace(f".{self.cell.region}-", "-")
        return "".join(c if c.isalnum() or c in "._-" else "-" for c in text).strip("-")

    @property
    def is_single_fold(self) -> bool:
        return self.cell.split is not None and self.cell.split.rpartition("_")[0] in FOLD_FAMILIES

    @property
    def is_ood_type(self) -> bool:
        return self.cell.split is not None and self.cell.split.startswith(OOD_PREFIX)

    @property
    def is_part(self) -> bool:
        """Whether its test images are part of another variant's: one OOD category, or one fold."""
        return self.is_ood_type or self.is_single_fold

    @property
    def is_whole_split(self) -> bool:
        return self.cell.split is not None and not self.is_part

    @property
    def rank(self) -> tuple:
        """Sorts the defaults first, then as the grammar lists them."""
        split = len(SPLITS) if self.cell.split is None else SPLITS.index(self.cell.split)
        return self.settings != "", POOLS.index(self.cell.pool), split, self.cell.metric, self.settings
