"""What a preprocessing hands to a network: one array of numbers per image, or one line that says what it gave instead."""

from __future__ import annotations

import functools
import sys
import sysconfig
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ..errors import ModelOutputError, StimulusKernelError

PIXELS = "pixel_values"
"""Under this name processors of transformers return images."""

PACKAGES = {"site-packages", "dist-packages"}
BRAIN_SCORE = ("brainscore_core", "brainscore_vision")


def explained(preprocess: Callable, model: str) -> Callable:
    """A preprocessing whose errors name it, and where they happened."""

    def prepare(paths):
        try:
            return preprocess(paths)
        except StimulusKernelError:
            raise
        except Exception as error:
            what = f"fails with {failure(error)}{_culprit(preprocess, paths, error)}"
            raise _wrong(model, what, "It is called with a list of paths") from error

    return prepare


def _culprit(preprocess: Callable, paths, error: Exception) -> str:
    """Which file an error is about, where it does not say so and the other files are prepared."""
    failed = []
    for path in dict.fromkeys(map(str, paths)):
        try:
            preprocess([path])
        except Exception as other:  # noqa: BLE001 - the first error is the one that is raised
            failed.append((path, str(other)))
    others = len(set(map(str, paths))) - len(failed)
    return next((f" for {p}" for p, said in failed if others and said == str(error) and p not in said), "")


def images_of(answer, n: int, model: str) -> tuple[object, str | None]:
    """What a preprocessing answered to ``n`` paths, as a network can take it, and what a Score should say of it.

    Raises
    ------
    ModelOutputError
        Other than ``n`` arrays of one size.
    """
    note = None
    if isinstance(answer, Mapping):
        names = [PIXELS] if PIXELS in answer else list(answer)
        if len(names) != 1:
            shown = ", ".join(map(str, names))
            raise _wrong(model, f"answers with several arrays ({shown})", f"Return one of them, or name it {PIXELS}")
        note = f"The preprocessing of {model} answers with a {type(answer).__name__}; its {names[0]!r} is shown."
        answer = answer[names[0]]
    if answer is None:
        raise _wrong(model, "answers nothing", "End it with a return")
    if not (_is_array(answer) or isinstance(answer, list | tuple)):
        raise _wrong(model, f"answers with a {type(answer).__name__}", "Return an array")
    if getattr(answer, "ndim", 1) == 0 or len(answer) != n:
        size = "one number" if getattr(answer, "ndim", 1) == 0 else f"{len(answer)}"
        raise _wrong(model, f"answers with {size} to {n} paths", "Return one array per path, in their order")
    if not _is_array(answer):
        other = next((image for image in answer if not _is_array(image)), None)
        if other is not None or any(image is None for image in answer):
            remedy = {
                str: "Give the wrapper a preprocessing, such as load_preprocess_images",
                "Image": "End it with ToTensor and stack the images",
            }.get(str if isinstance(other, str) else "Image" if hasattr(other, "getbands") else None)
            raise _wrong(model, f"answers with a list of {type(other).__name__}", remedy or "Return an array")
        sizes = list(dict.fromkeys(_size(image) for image in answer))
        if len(sizes) > 1:
            raise _wrong(model, f"answers with images of {' and '.join(sizes[:3])}", "Resize all to one size")
    dtype = answer.dtype if _is_array(answer) else answer[0].dtype
    if isinstance(dtype, np.dtype) and dtype.kind not in "fiub":
        raise _wrong(model, f"answers with {dtype} and not with numbers", "Return an array")
    if str(dtype) in ("uint8", "torch.uint8"):
        note = f"{note or ''} The preprocessing of {model} gives whole numbers from 0 to 255, which its network sees unscaled."
    return answer, note and note.strip()


def failure(error: Exception) -> str:
    """An error in one line, with the last line of the user's own files that it went through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not is_installed(frame.filename)]
    where = f" in {own[-1].filename}, line {own[-1].lineno}" if own else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"


@functools.lru_cache(maxsize=4096)
def is_installed(file: str) -> bool:
    """Whether a file of code belongs to Python or to an installed package; others are the user's."""
    parents = Path(file).parents
    return Path(sysconfig.get_path("stdlib")) in parents or any(map(_holds_packages, parents))


def is_own(module: str) -> bool:
    """Whether a module is the user's: neither Python's nor an installed package's.

    Of Brain-Score, which may be a checkout, models alone.
    """
    package, *inside = module.split(".")
    if package in sys.stdlib_module_names or (package in BRAIN_SCORE and inside[:1] != ["models"]):
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    return not (file and is_installed(file))


@functools.cache
def _holds_packages(folder: Path) -> bool:
    """Whether packages were installed into a folder: its name says so, or what an installer left there (pip's --target)."""
    return folder.name in PACKAGES or any(folder.glob("*.dist-info/RECORD"))


def _wrong(model: str, what: str, remedy: str) -> ModelOutputError:
    return ModelOutputError(
        f"A preprocessing makes of a list of paths as many arrays of one size (images × channels × height × width); that of "
        f"{model} {what}. {remedy}."
    )


def _is_array(value) -> bool:
    """A numpy array or a torch tensor; no number that numpy made."""
    return hasattr(value, "dtype") and hasattr(value, "ndim") and not isinstance(value, np.generic)


def _size(image) -> str:
    return " × ".join(map(str, image.shape)) or "one number"
