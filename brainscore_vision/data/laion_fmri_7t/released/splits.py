"""Train and test splits by the names of the dataset's documentation; how they are read stands in ``..splits``.

They come from the data folder's ``splits``, else from the package laion_fmri; without any folder, from the package.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from .. import ids
from ..constants import FOLD_FAMILIES, N_FOLDS, OOD_TYPES, SPLIT_FILES, SUBJECTS
from ..errors import DatasetError
from ..splits import SHARED_POOL, Split, Splits, SplitVariant
from .folder import DataDirNotSetError, data_folder

__all__ = ["Split", "SplitVariant"]

LABEL_COLUMNS = ("label", "image_name", "stimulus_id")
"""What the column of the stimulus is called: in trial tables, in a subject's metadata, in assemblies."""


def list_pools() -> list[str]:
    """Pools of stimuli: the shared one, and each subject's."""
    return [SHARED_POOL, *SUBJECTS]


def list_splits() -> list[str]:
    """Names of the splits, which every pool has."""
    folds = [f"{family}_{fold}" for family in reversed(FOLD_FAMILIES) for fold in range(N_FOLDS)]
    return [*folds, *(name for name in SPLIT_FILES if name not in folds)]


def list_ood_types() -> list[str]:
    """Kinds of out-of-distribution images."""
    return sorted(OOD_TYPES)


def load_split(name: str, pool: str, data_dir: str | Path | None = None) -> Split:
    """A split: `split_family`, `splitter`, `params`, `n_train`, `n_test`, `variants`.

    Parameters
    ----------
    name : str
        One of `list_splits`.
    pool : str
        One of `list_pools`.
    data_dir : str or Path, optional
        The data folder; without it, that of `folder.get_data_dir`, if one is named.

    Raises
    ------
    DatasetError
        If there is no such split or pool, or it breaks a rule.
    MissingDataError
        If neither the folder nor an installed laion_fmri has it.
    """
    try:
        folder = data_folder(data_dir) / "splits"
    except DataDirNotSetError:
        folder = None
    return Splits(folder if folder is not None and folder.is_dir() else None).split(pool, name)


def load_all_splits(pool: str, data_dir: str | Path | None = None) -> dict[str, Split]:
    """Every split of a pool by its name; as `load_split`."""
    return {name: load_split(name, pool, data_dir) for name in list_splits()}


def get_train_test_ids(
    name: str,
    pool: str,
    variant_id: int = 0,
    ood_types: str | Iterable[str] | None = None,
    data_dir: str | Path | None = None,
) -> tuple[list[str], list[str]]:
    """Stimulus ids on either side of a split, in the order of its file.

    Parameters
    ----------
    name, pool, data_dir
        As for `load_split`.
    variant_id : int
    ood_types : str or iterable of str, optional
        Test on these kinds alone; of split ``ood`` only. Training stays the same.

    Raises
    ------
    DatasetError
        Also if there is no such variant or kind.
    """
    wanted = None if ood_types is None else [ood_types] if isinstance(ood_types, str) else list(ood_types)
    if wanted is not None and name != "ood":
        raise DatasetError(f"ood_types choose among the test images of split ood; got split {name!r}. Leave them out.")
    unknown = [kind for kind in wanted or () if kind not in OOD_TYPES]
    if unknown or wanted == []:
        raise DatasetError(
            f"ood_types are some of {', '.join(list_ood_types())}; got {', '.join(map(repr, unknown)) or 'none'}. Choose among "
            "these, or leave ood_types out for all."
        )
    variant = load_split(name, pool, data_dir).variant(variant_id)
    test = variant.test_ids
    return variant.train_ids, test if wanted is None else [image for image in test if ids.ood_type(image) in wanted]


def get_split_masks(
    trials: pd.DataFrame | Iterable[str],
    name: str,
    pool: str,
    variant_id: int = 0,
    ood_types: str | Iterable[str] | None = None,
    data_dir: str | Path | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Which trials train and which test.

    Parameters
    ----------
    trials : pandas.DataFrame or sequence of str
        A table with a column of `LABEL_COLUMNS`, or the stimulus of each trial.
    name, pool, variant_id, ood_types, data_dir
        As for `get_train_test_ids`.

    Returns
    -------
    train, test : numpy.ndarray
        (n_trials,) bool each; a trial may be on neither side.

    Raises
    ------
    DatasetError
        As `get_train_test_ids`; or no trial has the name of an image.
    """
    if isinstance(trials, pd.DataFrame):
        found = [column for column in LABEL_COLUMNS if column in trials]
        if not found:
            raise DatasetError(
                f"A table of trials has the stimulus in {' or '.join(LABEL_COLUMNS)}; its columns are "
                f"{', '.join(map(str, trials.columns))}. Pass the column itself."
            )
        trials = trials[found[0]]
    labels = pd.Series([one.decode() if isinstance(one, bytes) else one for one in trials], dtype=object)
    sides = [labels.isin(side).to_numpy() for side in get_train_test_ids(name, pool, variant_id, ood_types, data_dir)]
    if len(labels) and not any(side.any() for side in sides) and not any(map(ids.is_id, map(str, labels.unique()))):
        raise DatasetError(
            f"Trials are called as their images in splits; none of {len(labels)} is, the first: {labels[0]!r}. Give file names "
            f"with their ending, as in the column label of trial tables."
        )
    return sides[0], sides[1]
