"""What is decided before a subject's betas are read: mask, voxels, noise ceilings, and from which files."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from .layout import NOISE_CEILING_MAPS, SubjectFiles, dataset_mark, require, sessions_in_sidecar
from .regions import RULES, RegionRule, assign_regions, mask_digest, roi_labels, rules_text
from .session_store import SourceFile
from .volumes import ANATOMICAL, MASK_DEFINITIONS, Grid, brain_mask_file, read_brain_mask, read_volume


@dataclass(frozen=True)
class BuildOptions:
    """How assemblies are built.

    Attributes
    ----------
    mask : str
        Definition of the brain mask, a key of `volumes.MASK_DEFINITIONS`.
    sessions : tuple of str, optional
        Which sessions; all of the data folder's by default. The assembly says which.
    rules : tuple of RegionRule
    scratch : Path, optional
        Where finished sessions wait, about 1 GB a subject at the release's size; by default ``.rebuild`` beside the
        assemblies.
    start_over : bool
        Discard finished sessions and replace an assembly that is there.
    progress : callable
        Called with the sessions that are still to do; gives them back one by one.
    """

    mask: str = ANATOMICAL
    sessions: tuple[str, ...] | None = None
    rules: tuple[RegionRule, ...] = RULES
    scratch: Path | None = None
    start_over: bool = False
    progress: Callable[[Iterable[str]], Iterable[str]] = field(default=iter)


@dataclass(frozen=True)
class Plan:
    """A subject's voxels and what they come from.

    Attributes
    ----------
    neuroids : pandas.DataFrame
        One row per voxel, with the coordinates of the assembly.
    voxels : numpy.ndarray of int, shape (n_voxels,)
        Places on the grid, in C order.
    grid : Grid
    sources : tuple of SourceFile
        Masks and maps.
    attributes : dict
        What the assembly says about itself.
    warnings : tuple of str
    """

    neuroids: pd.DataFrame
    voxels: np.ndarray
    grid: Grid
    sources: tuple[SourceFile, ...]
    attributes: dict
    warnings: tuple[str, ...]

    def identity(self) -> dict:
        """What all sessions of an assembly have in common, so that sessions of two ways are never mixed."""
        names = ("brain_mask", "brain_mask_sha1", "region_rules", "grid")
        described = self.neuroids[["region", "roi", "voxel_index_in_brain_mask"]].to_csv(index=False)
        voxels = hashlib.sha1(described.encode()).hexdigest()
        return {**{name: self.attributes[name] for name in names}, "voxels_sha1": voxels}


def make_plan(files: SubjectFiles, sessions: tuple[str, ...], options: BuildOptions) -> Plan:
    """Read a subject's masks and maps.

    Raises
    ------
    MissingDataError, SchemaError
        If one is missing, broken or on another grid.
    """
    mask, grid = read_brain_mask(files, options.mask)
    rois = files.roi_files()
    masks, used, outside = {}, [], {}
    for label in roi_labels(options.rules):
        if label in rois:
            values, roi_grid = read_volume(rois[label])
            grid.require_same(roi_grid)
            inside = values > 0
            outside[label] = int((inside & ~mask).sum())
            masks[label] = inside[mask]
            used.append(rois[label])
        # a missing one is named by assign_regions, together with the others
    chosen = assign_regions(masks, options.rules)
    neuroids = pd.DataFrame(
        {
            "subject_id": files.subject,
            "region": chosen.region,
            "roi": chosen.roi,
            "voxel_index_in_brain_mask": chosen.index,
        }
    )
    voxels = np.flatnonzero(mask)[chosen.index]
    warnings = [
        f"{n} voxels of {label} lie outside the brain mask and are left out" for label, n in outside.items() if n
    ]
    warnings += [f"{n} voxels are in both of {pair}; the later has them" for pair, n in chosen.contested.items()]
    ceiling_sessions = {}
    for name, description in NOISE_CEILING_MAPS.items():
        path = require(files.noise_ceiling(description), f"The noise ceiling map {name}", how_to_get(files.subject))
        values, map_grid = read_volume(path)
        grid.require_same(map_grid)
        neuroids[name] = values[voxels]
        used.append(path)
        ceiling_sessions[name] = sessions_in_sidecar(path)
        others = sorted(set(ceiling_sessions[name]) - set(sessions))
        if others:
            warnings.append(f"{name} was estimated on sessions that the assembly does not hold: {', '.join(others)}")
    used.append(brain_mask_file(files, options.mask))
    attributes = {
        "dataset": dataset_mark(files.root).get("name", "release"),
        "sessions": " ".join(sessions),
        "brain_mask": options.mask,
        "brain_mask_definition": MASK_DEFINITIONS[options.mask],
        "brain_mask_voxels": int(mask.sum()),
        "brain_mask_sha1": mask_digest(mask),
        "grid": " ".join(map(str, grid.shape)),
        "region_rules": rules_text(options.rules),
        "noise_ceiling_sessions": json.dumps({name: " ".join(found) for name, found in ceiling_sessions.items()}),
    }
    sources = tuple(SourceFile.of(path, files.root) for path in used)
    return Plan(neuroids, voxels, grid, sources, attributes, tuple(warnings))


def how_to_get(subject: str, session: str = "averages") -> str:
    """The package's command for a session, or for the files over sessions."""
    return f"Get it with `laion-fmri download --subject {subject} --ses {session}`."
