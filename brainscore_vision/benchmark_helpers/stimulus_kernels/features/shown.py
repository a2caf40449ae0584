"""Images on their way to a PyTorch network: what a preprocessing may hand over, prepared ahead by threads where nobody can
tell, and laid into one tensor.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper

from ..errors import ModelOutputError, StimulusKernelError
from .ahead import Ahead, same_bits
from .generators import python_calls
from .image_files import is_damaged_copy
from .preprocessing import generators_moved, preparing_state
from .source_text import failure

ALIGNMENT = 64
"""Bytes, as torch's allocator has it."""

_TRIES = 6
"""Times that an image is prepared again while something changes: that often, no other thread is the reason."""

_LOTS = (
    "What prepares the images of {} draws random numbers: where they decide something, features of an image are others each "
    "time it is shown. Leave augmentations out of the preprocessing, or see that they are switched off."
)

_KEEPS = "are prepared by code that keeps something from one to the next, uses one place for several, or draws lots"

_logger = logging.getLogger(__name__)


class ShownImages:
    """What the network in a PytorchWrapper is shown. Holds nothing of the wrapper's that outlives :meth:`ahead`.

    Parameters
    ----------
    wrapper : PytorchWrapper
    identifier : str
        Of the model, for messages.

    Attributes
    ----------
    note : str or None
        What a Score should say of the images that were prepared last.
    lots : str or None
        What a Score should say of how all of them are prepared.
    one_by_one : bool or None
        Whether images may be prepared one by one; None: not known yet.
    """

    def __init__(self, wrapper: PytorchWrapper, identifier: str, say: Callable[[str], None] = _logger.warning):
        self._wrapper, self._identifier, self._say = wrapper, identifier, say
        self.note: str | None = None
        self.lots: str | None = None
        self.one_by_one: bool | None = None
        self._ahead: Ahead | None = None
        self._model, self._n_single = None, 0
        self._ready: list | None = None
        self._precision = None

    @contextlib.contextmanager
    def ahead(self, paths: Sequence[str], model) -> Iterator[None]:
        """Inside, images are prepared before they are asked for, by several threads, where nobody can tell the difference.

        The first batch is prepared in both ways. Where images are not the same to the last bit, or preparing them changes
        something, all are prepared as the wrapper does it, from then on.

        Parameters
        ----------
        paths : sequence of str
            Images in the order in which they will be shown.
        model : brainscore_vision.model_interface.BrainModel
            Whose images they are.
        """
        prepare = getattr(self._wrapper._extractor, "preprocess", None)
        if self.one_by_one and preparing_state(model) is None:  # noticed since
            self._prepare_in_turn(_KEEPS)
        if prepare is None or self.one_by_one is False:
            yield
            return

        def prepare_one(path):
            return images_of(prepare(path), 1, self._identifier)[0]

        with Ahead(prepare_one, paths) as self._ahead:
            self._model = model
            try:
                yield
            finally:
                self._ahead = self._ready = None

    def prepare(self, preprocess: Callable, paths: Sequence[str]):
        """In place of the extractor's ``preprocess``."""
        if self._ahead is not None and self.one_by_one:
            self._ready = self._ahead.take(paths)
            if self._ready is not None:  # they go to the network directly; the extractor copies what it gets
                return np.empty((len(paths), 0))
            self._ahead.stop()
        images, self.note = images_of(preprocess(paths), len(paths), self._identifier)
        if self._ahead is not None and self.one_by_one is not False:
            images = np.stack(list(images))  # as the extractor does; the preprocessing may use their memory again
            self._compare(preprocess, paths, images)
        return images

    def _compare(self, prepare, paths, images) -> None:
        """Find out whether images can be prepared one by one, of a batch that was prepared as a whole."""
        if self.one_by_one:  # until now
            self._prepare_in_turn("could not be prepared ahead, and could be prepared later")
        elif len(set(paths)) == 1 and not self._n_single:  # batches of one image stay as they are
            self._n_single += 1
            self.lots = _LOTS.format(self._identifier) if self._draws(prepare, paths[0]) else None
        elif len(set(paths)) > 1:
            with generators_moved(self._model):
                before = preparing_state(self._model)
                found = None if before is None else self._ahead.take(paths, go_on=False)
                if found is None:
                    self._ahead.stop()
                changed = before is None or preparing_state(self._model) != before
            same = found is not None and all(map(same_bits, images, found))
            kept = before is None or (changed and any(self._keeps(prepare, path) for path in set(paths)))
            kept = kept or (same and not self._ahead.independent(*list(dict.fromkeys(paths))[:2]))
            if kept:
                self.lots = (
                    _LOTS.format(self._identifier) if before is not None and self._draws(prepare, paths[0]) else None
                )
                self._prepare_in_turn(_KEEPS)
            elif not same:
                self._prepare_in_turn("are other ones when they are prepared one by one")
            else:
                self.one_by_one = True

    def _keeps(self, prepare, path) -> bool:
        """Whether preparing an image changes something each time: other threads may draw from the same generators."""
        for _ in range(_TRIES):
            with generators_moved(self._model):
                before = preparing_state(self._model)
                with python_calls() as calls:
                    prepare([path])
                now = preparing_state(self._model)
                if None not in (before, now) and now.held == before.held and not now.has_drawn(before, calls):
                    return False
        return True

    def _draws(self, prepare, path) -> bool:
        """Whether preparing an image draws random numbers without seeding what they come from."""
        with generators_moved(self._model):
            for _ in range(_TRIES):
                prepare([path])
                before = preparing_state(self._model)
                with python_calls() as calls:
                    prepare([path])
                now = preparing_state(self._model)
                if before is None or now is None or not now.has_drawn(before, calls):
                    return False
        return True

    def _prepare_in_turn(self, why: str) -> None:
        self.one_by_one = False
        self._say(f"Images of {self._identifier} {why}: one processor prepares them, batch by batch, which is slower.")

    def as_batch(self, images):
        """Images as one tensor on the network's device, in their own precision."""
        import torch

        images, self._ready = self._ready or images, None
        images = [image if isinstance(image, torch.Tensor) else torch.from_numpy(image) for image in images]
        device = self._wrapper._device
        if device.type == "cuda" and images[0].device.type == "cpu":
            pinned = torch.empty((len(images), *images[0].shape), dtype=images[0].dtype, pin_memory=True)
            return _stacked(images, pinned).to(device, non_blocking=True)
        return _stacked(images).to(device)

    def in_precisions(self, batch) -> Iterator:
        """The batch in each precision that the network may want, in the order in which to try them.

        That of its first weight, as Brain-Score has it, and that of most weights, if it is another. Without weights, as it is.
        When the network has answered, :meth:`keep_precision` leaves one.

        Parameters
        ----------
        batch : torch.Tensor
            Of :meth:`as_batch`.
        """
        precisions = self._precisions() or [batch.dtype]
        for precision in [self._precision] if self._precision in precisions else precisions:
            yield batch.to(precision)

    def keep_precision(self, batch) -> None:
        """The network has answered to this batch: all have its precision from now on."""
        self._precision = batch.dtype

    def _precisions(self) -> list:
        network = self._wrapper._model
        for tensors in (network.parameters(), network.buffers()):
            sizes: Counter = Counter()
            for tensor in tensors:
                if tensor.is_floating_point():
                    sizes[tensor.dtype] += tensor.numel()
            if sizes:
                return list(dict.fromkeys([next(iter(sizes)), sizes.most_common(1)[0][0]]))
        return []


def _stacked(images: Sequence, out=None):
    """Tensors of one shape as one tensor, ``out`` if there is one. On the CPU one thread copies, into memory that is aligned
    as torch's.

    torch.stack has all threads wait for each other: on a busy machine as long as a fifth of AlexNet's pass, and ten times as
    long as a GPU takes to answer where 16 threads prepare images.
    """
    import torch

    first = images[0]
    if first.device.type != "cpu" or first.dtype == torch.bfloat16:  # which numpy does not know
        return torch.stack(images, out=out)
    arrays = [image.detach().numpy() for image in images]
    if out is not None:
        np.stack(arrays, out=out.numpy())
        return out
    n_bytes = sum(array.nbytes for array in arrays)
    memory = np.empty(n_bytes + ALIGNMENT, np.uint8)
    memory = memory[-memory.ctypes.data % ALIGNMENT :][:n_bytes]
    batch = memory.view(arrays[0].dtype).reshape(len(arrays), *arrays[0].shape)
    return torch.from_numpy(np.stack(arrays, out=batch))


PIXELS = "pixel_values"
"""Under this name processors of transformers return images."""


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
    where = next((f" for {p}" for p, said in failed if others and said == str(error) and p not in said), "")
    damaged = next((p for p, _ in failed if is_damaged_copy(Path(p))), None)
    return where if damaged is None else f"{where}; {damaged} is a damaged copy, fitted to the field of view: delete it"


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
