"""What a data folder holds, what it lacks, and the command that gets it. Looks at names of files, reads no data."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from .constants import SUBJECTS
from .packaging.layout import NOISE_CEILING_MAPS, SubjectFiles, dataset_mark, expected_sessions
from .packaging.regions import roi_labels
from .released.features import CAPTIONS, EMBEDDING_MODELS, FEATURE_FILES, SEGMENTATION_MASKS, SEGMENTATION_TABLE
from .stimuli.sources import IMAGE_FOLDER, MANIFEST, RELEASED_IMAGES, RELEASED_METADATA

FREE, GATED = "CC0", "data use agreement"
"""Terms: whether something may be had without asking (site: images alone need the agreement)."""


@dataclass(frozen=True)
class Item:
    """One thing that a data folder can hold.

    Attributes
    ----------
    name : str
        What it is.
    needed_for : str
        "scoring", "rebuilding" or "models".
    found, missing : tuple of str
        Its parts that exist, and those that do not.
    command : str
        Gets what is missing.
    terms : str
        `FREE` or `GATED`.
    """

    name: str
    needed_for: str
    found: tuple[str, ...]
    missing: tuple[str, ...]
    command: str
    terms: str = FREE

    @property
    def state(self) -> str:
        """ "complete", "in part" or "missing"."""
        return "complete" if not self.missing else "in part" if self.found else "missing"


def take_inventory(root: Path) -> list[Item]:
    """All that a data folder can hold.

    Parameters
    ----------
    root : Path
        A folder; it may be empty.

    Returns
    -------
    list of Item
        What scoring needs, then what rebuilding the assemblies needs, subject by subject, then what the dataset's own
        models need. Who has the assemblies does not need what they were built from.
    """
    rebuilding = [item for subject in SUBJECTS for item in _for_rebuilding(root, subject)]
    return _for_scoring(root) + rebuilding + _for_models(root)


def is_simulated(root: Path) -> bool:
    """Whether the folder says that the simulation made it."""
    return dataset_mark(root).get("name") == "simulated"


def _for_scoring(root: Path) -> list[Item]:
    found, missing = _sort({subject: SubjectFiles(root, subject).assembly.is_file() for subject in SUBJECTS})
    rebuild = f"python rebuild_assemblies.py {root} --subjects {' '.join(missing)}"
    assemblies = Item("assemblies", "scoring", found, missing, rebuild)
    if (root / "stimuli" / MANIFEST).is_file():
        stimuli = Item("stimuli", "scoring", (MANIFEST, IMAGE_FOLDER), (), "", GATED)
    else:
        parts = _sort(_in_stimuli(root, RELEASED_IMAGES, RELEASED_METADATA))
        stimuli = Item("stimuli", "scoring", *parts, "laion-fmri request-access && laion-fmri download-stimuli", GATED)
    pools = tuple(path.name for path in sorted((root / "splits").glob("*")) if any(path.glob("*.json")))
    if importlib.util.find_spec("laion_fmri") is not None:
        pools += ("package laion_fmri",)
    splits = Item("splits", "scoring", pools, () if pools else ("splits",), "pip install '.[laion]'")
    return [assemblies, stimuli, splits]


def _for_rebuilding(root: Path, subject: str) -> list[Item]:
    files = SubjectFiles(root, subject)
    rois = files.roi_files()
    found, missing = _sort({s: files.betas(s).is_file() and files.trials(s).is_file() for s in expected_sessions(root)})
    maps = _sort({path.name: path.is_file() for path in map(files.noise_ceiling, NOISE_CEILING_MAPS.values())})
    regions = _sort({label: label in rois for label in roi_labels()})
    masks = _sort({path.name: path.is_file() for path in (files.anatomical_mask, files.r2_mean)})
    get = files.download_command
    return [
        Item(f"{subject} betas", "rebuilding", found, missing, get("betas", *(missing if found else ()))),
        Item(f"{subject} noise ceilings", "rebuilding", *maps, get("ceilings")),
        Item(f"{subject} regions of interest", "rebuilding", *regions, get("rois")),
        Item(f"{subject} brain masks", "rebuilding", *masks, get("anatomy,ceilings")),
    ]


def _for_models(root: Path) -> list[Item]:
    kinds = {
        "embeddings": [FEATURE_FILES[model] for model in EMBEDDING_MODELS],
        "segmentations": [FEATURE_FILES[SEGMENTATION_MASKS], FEATURE_FILES[SEGMENTATION_TABLE]],
        "captions": [FEATURE_FILES[CAPTIONS]],
    }
    return [
        Item(kind, "models", *_sort(_in_stimuli(root, *names)), f"laion-score data get --dataset {root} --what {kind}")
        for kind, names in kinds.items()
    ]


def _in_stimuli(root: Path, *names: str) -> dict[str, bool]:
    return {name: (root / "stimuli" / name).is_file() for name in names}


def _sort(parts: dict[str, bool]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the parts that exist, and of those that do not."""
    return tuple(name for name in parts if parts[name]), tuple(name for name in parts if not parts[name])
