"""Train and test stimuli of each split, from the dataset folder or from the laion_fmri package.

A split file is ``splits/<pool>/<name>.json`` with ``{"name", "pool", "splitter", "params", "n_train", "n_test",
"variants": [{"variant_id", "train_ids", "test_ids"}]}``. Its pool is its folder's: the text field inside keeps older
labels. The variant whose variant_id is 0 is used, the only one that the release has.
"""

import hashlib
import importlib.util
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from . import ids
from .constants import FOLD_FAMILIES, N_FOLDS, OOD_TYPES, SPLIT_FILES, SUBJECTS
from .errors import DatasetError, MissingDataError, SchemaError
from .text_files import read_json

SHARED_POOL = "shared"
SPLIT_FORMS = f"tau, ood, ood_<type>, cluster_k5_<0-{N_FOLDS - 1}>, random_<0-{N_FOLDS - 1}>"
_SPLIT = re.compile(rf"(?P<file>{'|'.join(SPLIT_FILES)})|ood_(?P<ood_type>.+)")


def parse_split(split: str) -> tuple[str, str | None]:
    """Name of the split's file, and the kind of out-of-distribution images that it is limited to.

    Raises
    ------
    DatasetError
        If there is no such split.
    """
    match = _SPLIT.fullmatch(split)
    if match is None:
        raise DatasetError(f"A split is one of {SPLIT_FORMS}; got {split!r}. Choose one of these.")
    ood_type = match["ood_type"]
    if ood_type is None:
        return match["file"], None
    if ood_type not in OOD_TYPES:
        raise DatasetError(
            f"The kind of an ood_<type> split is one of {', '.join(OOD_TYPES)}; got {ood_type!r}. Choose one of these."
        )
    return "ood", ood_type


@dataclass(frozen=True)
class SplitVariant:
    """One partition: ids of its stimuli, in the order of the file."""

    variant_id: int
    train_ids: list[str]
    test_ids: list[str]


@dataclass(frozen=True)
class Split:
    """What a split's file says.

    Attributes
    ----------
    name, pool : str
        `pool` is the folder's name; the file's text keeps older labels.
    splitter : str
        The method that made it; empty if the file does not say.
    params : dict
        Of the method.
    n_train, n_test : int
        Of variant 0.
    variants : list of SplitVariant
        The release has one, of number 0.
    """

    name: str
    pool: str
    splitter: str
    params: dict
    n_train: int
    n_test: int
    variants: list[SplitVariant]

    @property
    def split_family(self) -> str:
        """``tau``, ``ood``, ``cluster_k5`` or ``random``."""
        families = {f"{family}_{fold}": family for family in FOLD_FAMILIES for fold in range(N_FOLDS)}
        return families.get(self.name, self.name)

    def variant(self, variant_id: int = 0) -> SplitVariant:
        """The variant of a number; DatasetError if there is none."""
        for variant in self.variants:
            if variant.variant_id == variant_id:
                return variant
        numbers = ", ".join(str(variant.variant_id) for variant in self.variants)
        raise DatasetError(f"Split {self.name} of pool {self.pool} has the variants {numbers}; got {variant_id!r}.")


class Splits:
    """Splits of one dataset.

    Parameters
    ----------
    folder : Path or None
        The dataset's ``splits`` folder. A split that it lacks, or all where it is None, come from `laion_fmri.splits`.
    """

    def __init__(self, folder: Path | None):
        self.folder = folder
        self._load = lru_cache(maxsize=None)(self._load_uncached)
        self._sorted_pool = lru_cache(maxsize=None)(self._sorted_pool_uncached)

    def train_test_ids(self, pool: str, split: str) -> tuple[list[str], list[str]]:
        """Stimulus ids on either side of a split, in the order of its file.

        Parameters
        ----------
        pool : str
            ``shared`` or a subject.
        split : str
            ``tau``, ``ood``, ``ood_<type>``, ``cluster_k5_<k>`` or ``random_<k>``. ``ood_<type>`` is tested on that
            kind alone and trained like ``ood``.

        Raises
        ------
        DatasetError
            If the pool or the split does not exist, or its two sides break a rule.
        MissingDataError
            If neither the folder nor an installed laion_fmri has the split.
        """
        name, ood_type = parse_split(split)
        train, test = self._load(pool, name)
        if ood_type is not None:
            test = [stimulus_id for stimulus_id in test if ids.ood_type(stimulus_id) == ood_type]
            if not test:
                raise SchemaError(
                    f"Split {split} of pool {pool} needs test images of kind {ood_type}; split ood has "
                    f"none ({self.origin(pool, name)}). Add them to its test_ids, or score another kind."
                )
        return list(train), list(test)

    def pool_stimuli(self, pool: str) -> list[str]:
        """Every stimulus of a pool: shared in-distribution ones, out-of-distribution ones, then the subject's own.

        Each group is sorted, so that the shared ones come first and in the same order in every pool.

        Raises
        ------
        SchemaError
            If a subject's pool does not hold exactly the shared pool's stimuli among its shared ones.
        """
        stimuli, n_shared = self._sorted_pool(pool)
        if pool != SHARED_POOL:
            own_shared, shared = stimuli[:n_shared], self._sorted_pool(SHARED_POOL)[0]
            if own_shared != shared:
                differing = sorted(set(own_shared) ^ set(shared))
                raise SchemaError(
                    f"Pool {pool} holds all shared images and the subject's own; its ood split and that "
                    f"of pool shared disagree about {len(differing)} shared images, first: "
                    f"{differing[0]!r} ({self.origin(pool, 'ood')} and {self.origin(SHARED_POOL, 'ood')}). Take both "
                    f"from the same version of the splits."
                )
        return list(stimuli)

    def _sorted_pool_uncached(self, pool: str) -> tuple[list[str], int]:
        """The pool in its order, and how many of its stimuli are shared."""
        train, test = self._load(pool, "ood")
        own = {stimulus_id for stimulus_id in train if not ids.parse(stimulus_id).shared}
        shared = sorted(set(train) - own) + sorted(test)
        return shared + sorted(own), len(shared)

    def fingerprint(self, subjects: Sequence[str] = SUBJECTS) -> str:
        """SHA-1 over the bytes of the folder's split files, and of those of an installed laion_fmri that take their place.

        Parameters
        ----------
        subjects : sequence of str
            Whose pools can be scored. The package counts for these pools and the shared one, for the splits that the
            folder lacks: where the folder brings all of them, an installed package changes nothing.
        """
        digest = hashlib.sha1()
        own = sorted(self.folder.glob("*/*.json")) if self.folder is not None else []
        covered = {(path.parent.name, path.stem) for path in own}
        packaged = _packaged_folder()
        lacking = [
            packaged / pool / f"{name}.json"
            for pool in (SHARED_POOL, *subjects)
            for name in SPLIT_FILES
            if packaged is not None and (pool, name) not in covered
        ]
        for path in (*own, *sorted(path for path in lacking if path.is_file())):
            digest.update(f"{path.parent.name}/{path.name}\0".encode())
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def origin(self, pool: str, name: str) -> str:
        """Where a split file is read from, for messages."""
        return str(self._path(pool, name)) if self.is_own(pool, name) else f"laion_fmri.splits, {name} of {pool}"

    def is_own(self, pool: str, name: str) -> bool:
        """Whether a split file is read from the folder."""
        path = self._path(pool, name)
        return path is not None and path.is_file()

    def _check_names(self, pool: str, name: str) -> None:
        """Refuse a file that means this split and would not be read: its name, or its folder's, is another (Tau, sub01)."""
        for path in self._json_files():
            folder = path.parent.name
            if _plain(path.stem) != _plain(name):
                continue
            if path.parent == self.folder:
                raise SchemaError(
                    f"{path}: a split file lies in the folder of its pool. Move it to {self._path(pool, name)}, say."
                )
            if folder == pool:
                raise SchemaError(
                    f"{path}: the file of split {name} is called {name}.json, not {path.name}. Rename it."
                )
            if folder not in (SHARED_POOL, *SUBJECTS) and _plain(folder) == _plain(pool):
                raise SchemaError(
                    f"{path}: the folder of pool {pool} is called {pool}, not {folder}. Rename the folder."
                )

    def _check_kinds(self, pool: str, ood: SplitVariant) -> None:
        """Refuse a file for one kind of out-of-distribution images that says something else than the split ood."""
        of_kinds = {_plain(f"ood_{kind}"): kind for kind in OOD_TYPES}
        for path in self._json_files():
            kind = of_kinds.get(_plain(path.stem))
            if kind is None or (path.parent != self.folder and _plain(path.parent.name) != _plain(pool)):
                continue
            test = {stimulus_id for stimulus_id in ood.test_ids if ids.ood_type(stimulus_id) == kind}
            for variant in _read_split_file(path)[1]:
                if (set(variant.train_ids), set(variant.test_ids)) != (set(ood.train_ids), test):
                    raise SchemaError(
                        f"{path}: ood_{kind} trains as the split ood and is tested on its images of this kind, and this file "
                        f"says something else. Change ood.json, and remove this file."
                    )

    def _json_files(self) -> list[Path]:
        """Of the folder and of its pools' folders."""
        found = [*self.folder.glob("*"), *self.folder.glob("*/*")] if self.folder is not None else []
        return sorted(path for path in found if path.suffix.casefold() == ".json")

    def _path(self, pool: str, name: str) -> Path | None:
        return self.folder / pool / f"{name}.json" if self.folder is not None else None

    def _load_uncached(self, pool: str, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        used = self.split(pool, name).variant()
        return tuple(used.train_ids), tuple(used.test_ids)

    def split(self, pool: str, name: str) -> Split:
        """A whole split; parameters and errors as `train_test_ids`, but without ``ood_<type>``."""
        if pool != SHARED_POOL and pool not in SUBJECTS:
            raise DatasetError(
                f"A pool is {SHARED_POOL} or a subject, {', '.join(SUBJECTS)}; got {pool!r}. Choose one of these."
            )
        if name not in SPLIT_FILES:
            raise DatasetError(f"A split is one of {', '.join(SPLIT_FILES)}; got {name!r}. Choose one of these.")
        own = path = self._path(pool, name)
        if own is None or not own.is_file():
            self._check_names(pool, name)
            packaged = _packaged_folder()
            path = packaged / pool / f"{name}.json" if packaged is not None else None
        if path is not None and path.is_file():
            header, variants = _read_split_file(path)
        else:
            header, variants = {}, [SplitVariant(0, *_packaged_split(pool, name, own))]
        for variant in variants:
            _check_split(self.origin(pool, name), pool, name, variant.train_ids, variant.test_ids)
        first = next(variant for variant in variants if variant.variant_id == 0)
        if name == "ood":
            self._check_kinds(pool, first)
        _check_header(path, header, name, first.train_ids, first.test_ids)
        described = header.get("splitter", ""), header.get("params", {})
        return Split(name, pool, *described, len(first.train_ids), len(first.test_ids), variants)


def _plain(folder: str) -> str:
    return re.sub(r"[\W_]|0(?=\d)", "", folder.casefold())


_RESTORE = "Restore the file from the release's splits."


def _read_split_file(path: Path) -> tuple[dict, list[SplitVariant]]:
    """What a split file says of itself, and its variants, one of which is 0."""
    try:
        content = read_json(path)
        _require_variant_0(path, content["variants"])
        found = [SplitVariant(v.get("variant_id", 0), v["train_ids"], v["test_ids"]) for v in content["variants"]]
    except (KeyError, IndexError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise SchemaError(
            f"{path}: a split file is JSON with variants, each with variant_id, train_ids and test_ids; reading it gave "
            f"{type(error).__name__}: {error}. {_RESTORE}"
        ) from error
    for side in (side for variant in found for side in (variant.train_ids, variant.test_ids)):
        if not isinstance(side, list) or not all(isinstance(stimulus_id, str) for stimulus_id in side):
            raise SchemaError(
                f"{path}: train_ids and test_ids are lists of stimulus ids; found {type(side).__name__}, "
                f"{str(side)[:60]}. {_RESTORE}"
            )
    return content, found


def _check_header(path: Path | None, header: dict, name: str, train: list[str], test: list[str]) -> None:
    """Refuse a split file that is not what it says; checked last, for a file that breaks a rule has a worse fault."""
    for side, stimulus_ids in (("train", train), ("test", test)):
        number = header.get(f"n_{side}", len(stimulus_ids))
        if number != len(stimulus_ids):
            raise SchemaError(
                f"{path}: n_{side} is the number of {side}_ids; it is {number!r}, and there are {len(stimulus_ids)}. {_RESTORE}"
            )
    if header.get("name", name) != name:
        raise SchemaError(f"{path}: a split file has its split's name; this is split {header['name']!r}. {_RESTORE}")


def _require_variant_0(path: Path, variants: list) -> None:
    if isinstance(variants, list) and len(variants) == 1 and "variant_id" not in variants[0]:
        return
    numbers = [variant["variant_id"] for variant in variants]
    if numbers.count(0) != 1:
        raise SchemaError(
            f"{path}: the variant with variant_id 0 is used, and there is one; the file has "
            f"{', '.join(map(repr, numbers)) or 'none'}. {_RESTORE}"
        )


def _packaged_split(pool: str, name: str, path: Path | None) -> tuple[list[str], list[str]]:
    try:
        from laion_fmri.splits import get_train_test_ids

        return get_train_test_ids(name, pool)
    except ImportError as error:
        found, cause = f"which cannot be imported ({error})", error
    except FileNotFoundError as error:
        found, cause = f"which lacks it ({error})", error
    own = path if path is not None else "a splits folder, which this dataset does not have"
    raise MissingDataError(
        f"Split {name} of pool {pool} comes from the dataset's splits folder or from the package laion_fmri. Tried: {own}; "
        f"the package, {found}. Install its newest version (this plugin's extra, pip install '.[laion]', or the "
        f"requirements.txt of its folder in benchmarks), or put the split file in place. To try without any data: "
        f"--dataset simulated."
    ) from cause


def _packaged_folder() -> Path | None:
    """Folder of the split files inside an installed laion_fmri."""
    spec = importlib.util.find_spec("laion_fmri")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "splits" / "data"


def _check_split(origin: str, pool: str, name: str, train: list[str], test: list[str]) -> None:
    """Refuse a split that would score something else than its name says."""
    remedy = "Restore the split from the release (laion_fmri.splits), or correct it."
    for side, stimulus_ids in (("train", train), ("test", test)):
        if not stimulus_ids:
            raise SchemaError(f"{origin}: both sides of a split have stimuli; {side} has none. {remedy}")
        if len(set(stimulus_ids)) < len(stimulus_ids):
            repeated = [stimulus_id for stimulus_id, count in Counter(stimulus_ids).items() if count > 1]
            raise SchemaError(
                f"{origin}: a stimulus occurs once on a side of a split; {side} repeats "
                f"{len(repeated)}, first: {repeated[0]!r}. {remedy}"
            )
    both = sorted(set(train) & set(test))
    if both:
        raise SchemaError(
            f"{origin}: train and test are disjoint; {len(both)} stimuli are in both, first: {both[0]!r}. {remedy}"
        )
    parsed = ids.parse_all((*train, *test), origin)
    foreign = sorted(text for text, parts in parsed.items() if not parts.shared and parts.subject != pool)
    if foreign:
        raise SchemaError(
            f"{origin}: pool {pool} holds shared images"
            f"{'' if pool == SHARED_POOL else ' and unique images of ' + pool}; {len(foreign)} stimuli "
            f"are of someone else, first: {foreign[0]!r} ({parsed[foreign[0]].subject}). {remedy}"
        )
    if pool != SHARED_POOL and all(parts.shared for parts in parsed.values()):
        raise SchemaError(
            f"{origin}: pool {pool} holds unique images of {pool} beside the shared ones; there is none among "
            f"{len(parsed)}, as in the split of pool shared. {remedy}"
        )
    ood_train = sorted(text for text in train if parsed[text].ood_type)
    if ood_train:
        raise SchemaError(
            f"{origin}: out-of-distribution images are for testing only; train has {len(ood_train)}, "
            f"first: {ood_train[0]!r}. {remedy}"
        )
    misplaced = sorted(text for text in test if bool(parsed[text].ood_type) != (name == "ood"))
    if misplaced:
        rule = "only out-of-distribution images" if name == "ood" else "no out-of-distribution images"
        raise SchemaError(
            f"{origin}: the test side of {name} has {rule}; {len(misplaced)} break this, first: "
            f"{misplaced[0]!r}. {remedy}"
        )
