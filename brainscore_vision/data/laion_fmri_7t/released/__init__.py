"""Files of the release by the names that the dataset's documentation uses: stimuli, subjects, splits, all offline.

Code that was written for the package laion_fmri runs with another import line, as far as it asks files and not the network:
``from brainscore_vision.data.laion_fmri_7t import released as laion_fmri``. Modules are loaded when a name is first used.
"""

from importlib import import_module

_MODULES = {
    "folder": (
        "DataDirNotSetError",
        "DataNotDownloadedError",
        "StimuliNotDownloadedError",
        "SubjectNotFoundError",
        "dataset_initialize",
        "get_data_dir",
    ),
    "stimuli": ("Images", "Stimuli", "load_stimuli"),
    "embeddings": ("AVAILABLE_MODELS", "Embeddings", "load_embeddings"),
    "segmentations": ("Segmentations",),
    "captions": ("Captions",),
    "subject": ("Subject", "load_subject"),
    "splits": (
        "get_split_masks",
        "get_train_test_ids",
        "list_ood_types",
        "list_pools",
        "list_splits",
        "load_all_splits",
        "load_split",
    ),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str):
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}.")
    return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
