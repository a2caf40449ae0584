"""What a data folder holds, what it lacks, and the command that gets it. Looks at names and sizes, reads no data."""

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .constants import SUBJECTS
from .packaging.layout import NOISE_CEILING_MAPS, SubjectFiles, dataset_mark, expected_sessions
from .packaging.regions import roi_labels
from .released.features import EMBEDDING_MODELS, FEATURE_FILES, SEGMENTATION_MASKS, SEGMENTATION_TABLE
from .stimuli.sources import IMAGE_FOLDER, MANIFEST, RELEASED_IMAGES, RELEASED_METADATA

FREE, GATED = "CC0", "data use agreement"
"""Terms: whether something may be had without asking (site: images alone need the agreement)."""

_REBUILD = "python rebuild_assemblies.py {root} --subjects {subject}"


@dataclass(frozen=True)
class Item:
    """One thing that a data folder can hold.

    Attributes
    ----------
    name : str
        What it is.
    needed_for : str
        "scoring", "rebuilding" or "models".
    found : tuple of str
        Parts that are there.
    missing : tuple of str
        Parts that are not.
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
        Scoring's needs first, then those of rebuilding assemblies subject by subject, then those of the dataset's own
        models.
    """
    items = [_assemblies(root), _stimuli(root), _splits(root)]
    # whoever has assemblies need not have what they were built from
    for subject in SUBJECTS:
        items += _sources(root, subject)
    return items + _described_images(root)


def _assemblies(root: Path) -> Item:
    found = tuple(subject for subject in SUBJECTS if (root / "assemblies" / f"{subject}.nc").is_file())
    missing = tuple(subject for subject in SUBJECTS if subject not in found)
    return Item("assemblies", "scoring", found, missing, _REBUILD.format(root=root, subject=" ".join(missing)))


def _stimuli(root: Path) -> Item:
    folder = root / "stimuli"
    if (folder / MANIFEST).is_file():
        return Item("stimuli", "scoring", (MANIFEST, IMAGE_FOLDER), (), "", GATED)
    found, missing = _sort(folder, (RELEASED_IMAGES, RELEASED_METADATA))
    return Item("stimuli", "scoring", found, missing, "laion-fmri request-access && laion-fmri download-stimuli", GATED)


def _splits(root: Path) -> Item:
    pools = tuple(path.name for path in sorted((root / "splits").glob("*")) if any(path.glob("*.json")))
    if importlib.util.find_spec("laion_fmri") is not None:
        pools += ("package laion_fmri",)
    return Item("splits", "scoring", pools, () if pools else ("splits",), "pip install '.[laion]'")


def _sources(root: Path, subject: str) -> list[Item]:
    files = SubjectFiles(root, subject)
    sessions = expected_sessions(root)
    there = [s for s in sessions if files.betas(s).is_file() and files.trials(s).is_file()]
    absent = [s for s in sessions if s not in there]
    download = f"laion-fmri download --subject {subject}"
    maps = {path.name: path for path in (files.noise_ceiling(d) for d in NOISE_CEILING_MAPS.values())}
    masks = {files.anatomical_mask.name: files.anatomical_mask, files.r2_mean.name: files.r2_mean}
    labels = files.roi_files()
    return [
        Item(f"{subject} betas", "rebuilding", tuple(there), tuple(absent), f"{download} --ses {' '.join(absent)}"),
        _files(f"{subject} noise ceilings", maps, f"{download} --ses averages"),
        Item(
            f"{subject} regions of interest",
            "rebuilding",
            tuple(label for label in roi_labels() if label in labels),
            tuple(label for label in roi_labels() if label not in labels),
            f"{download} --ses averages",
        ),
        _files(f"{subject} brain masks", masks, f"{download} --ses averages --include-anatomical"),
    ]


def _described_images(root: Path) -> list[Item]:
    kinds = (
        ("embeddings", tuple(FEATURE_FILES[model] for model in EMBEDDING_MODELS)),
        ("segmentations", (FEATURE_FILES[SEGMENTATION_MASKS], FEATURE_FILES[SEGMENTATION_TABLE])),
        ("captions", ("task-images_desc-captions.csv",)),
    )
    return [
        Item(kind, "models", *_sort(root / "stimuli", names), f"laion-fmri download-{kind}") for kind, names in kinds
    ]


def _files(name: str, paths: dict[str, Path], command: str) -> Item:
    found = tuple(key for key, path in paths.items() if path.is_file())
    return Item(name, "rebuilding", found, tuple(key for key in paths if key not in found), command)


def _sort(folder: Path, names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    found = tuple(name for name in names if (folder / name).is_file())
    return found, tuple(name for name in names if name not in found)


def is_simulated(root: Path) -> bool:
    """Whether the folder says that the simulation made it."""
    return dataset_mark(root).get("name") == "simulated"
