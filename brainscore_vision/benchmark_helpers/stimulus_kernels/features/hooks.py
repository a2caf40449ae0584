"""What layers of a PyTorch network answer, taken at the moment they answer, as arrays of one row per image.

Brain-Score's PytorchWrapper keeps a view of a layer's answer until the pass is over. On the CPU a later module that works
in place (ReLU(inplace=True), ``out += identity``) writes into that view; on a GPU the answer was copied before. Here an
answer is always copied when the layer gives it. Answers that are no single tensor, precisions that numpy does not know,
networks without parameters, modules that are called several times and answers whose first axis is not the images' are
read here too. Where Brain-Score gives the layer's answer, these are the same numbers to the last bit.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import inspect
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, MutableMapping, Sequence

import numpy as np
from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper

from ..errors import ModelOutputError, StimulusKernelError, UnmappedRegionError
from .answers import LayerAnswer
from .as_written import AS_WRITTEN, alone_with
from .held_state import held_state, same_state
from .network import asked
from .shown import ShownImages, explained
from .source_text import failure

CALL_MARK = "#"
"""``relu#0`` is the first call of a module ``relu`` in a pass, ``relu#1`` the second."""

NOTES_ATTRIBUTE = "notes_on_images"
"""Of a wrapper, where whoever made it chose how images are prepared: what a Score says of that, sentences."""

REFUSALS = (RuntimeError, ValueError, TypeError, LookupError, AssertionError)
"""What networks raise for inputs of a size that they are not made for."""

MOST_LOOKS = 3
"""Passes in which is looked whether a network holds what it did not hold before: some keep a shape or a grid from the first."""

VALUES = frozenset(
    "__array__ __bool__ __contains__ __float__ __format__ __index__ __int__ __repr__ allclose argwhere equal is_nonzero item "
    "masked_select nonzero numpy tolist unique unique_consecutive".split()
)
"""Functions of torch that give what a tensor holds to Python, as values or as a shape."""

_logger = logging.getLogger(__name__)


class _EnoughAnswers(BaseException):
    """Ends a pass; no Exception, which a network's own code may catch."""


class LayerReader:
    """Reads layers of the network in a PytorchWrapper. Holds nothing of the wrapper's that outlives :meth:`reading`.

    Parameters
    ----------
    wrapper : PytorchWrapper
    identifier : str
        Of the model, for messages.

    Attributes
    ----------
    images : ShownImages
        What the network is shown.
    read : tuple of str
        Layers that were read last.
    keeps : bool
        Whether answers stay on the network's device: :attr:`kept` has them, and the wrapper gets one number of each. False
        unless it is set, and where :attr:`may_keep` is.
    kept : dict of str to torch.Tensor
        Layer to its answers to the last batch, shape (n_images, ...).
    """

    def __init__(self, wrapper: PytorchWrapper, identifier: str, say: Callable[[str], None] = _logger.warning):
        self._wrapper, self._identifier, self._say = wrapper, identifier, say
        self.images = ShownImages(wrapper, identifier, say)
        self.read: tuple[str, ...] = ()
        self.keeps, self.kept = False, {}
        self._notes: dict[str, list[str]] = {}
        self._axes: dict[str, int] = {}
        self._rows: Counter = Counter()
        self._answers: Counter = Counter()
        self._n_calls: dict[str, int] = {}
        self._leaves_nothing: dict[tuple[str, ...], bool] = {}
        self._n_looks: Counter = Counter()
        self._decides = False  # by values of tensors: how often a layer is called may depend on the images
        self._n_stopping = 0  # batches of which layers behind the recorded ones are not needed

    def notes_on(self, layers: Sequence[str]) -> list[str]:
        """What was chosen for the user in the images or in the answers of layers, one sentence each."""
        of_images = getattr(self._wrapper, NOTES_ATTRIBUTE, ())
        return [*of_images, *(note for layer in layers for note in self._notes.get(layer, ()))]

    def may_keep(self, device: str) -> bool:
        """Whether answers can stay on a device: the network's own, of a wrapper without ways of its own.

        Hooks on batches, such as Brain-Score's PCA, are given arrays and decide what the features are.
        """
        import torch

        return (
            torch.device(device).type == self._wrapper._device.type
            and _is_plain(self._wrapper, "register_hook", "_tensor_to_numpy", "get_activations")
            and getattr(self._wrapper._extractor, "get_activations", None) == self._wrapper.get_activations
            and not getattr(self._wrapper._extractor, "_batch_activations_hooks", None)
        )

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """While this is open, whatever asks the wrapper for activations gets the answers of this class.

        A wrapper with ways of its own (another ``get_activations``, ``register_hook`` ...) keeps them, and what it reads is
        copied at once.
        """
        wrapper, extractor = self._wrapper, self._wrapper._extractor
        plain_hooks = _is_plain(wrapper, "register_hook", "_tensor_to_numpy")
        ask = getattr(extractor, "get_activations", None)  # extractors of other kinds have neither
        prepare = getattr(extractor, "preprocess", None)
        self.read, self._rows, self._answers = (), Counter(), Counter()
        with contextlib.ExitStack() as changes:

            def replace(owner, name: str, value) -> None:
                changes.enter_context(replaced(owner, name, value))

            plain = plain_hooks and _is_plain(wrapper, "get_activations") and ask == wrapper.get_activations
            if prepare is not None:
                prepare = explained(prepare, self._identifier)
                replace(extractor, "preprocess", functools.partial(self.images.prepare, prepare) if plain else prepare)
            if plain:
                replace(extractor, "get_activations", self.get_activations)
            else:
                if ask is not None:
                    replace(extractor, "get_activations", functools.partial(self._counted, ask))
                copying = functools.partial(self._register_copying, wrapper.register_hook)
                replace(wrapper, "register_hook", self._register_hook if plain_hooks else copying)
            yield

    def get_activations(self, images, layer_names: Sequence[str]) -> OrderedDict:
        """Answers of layers to one batch of preprocessed images.

        Parameters
        ----------
        images : sequence of numpy.ndarray or torch.Tensor
        layer_names : sequence of str

        Returns
        -------
        OrderedDict of str to numpy.ndarray, shape (n_images, ...)

        Raises
        ------
        ModelOutputError
            An answer without a tensor, or without one axis that follows the number of images.
        UnmappedRegionError
            A layer, or a call of it, that does not happen.
        """
        self.read, self.kept = tuple(layer_names), {}
        batch = self.images.as_batch(images)
        # layers that whole passes called once have answered when they are called: the layers behind them are not needed, unless
        # they clear away what those before them have left in the network
        stops = all(self._n_calls.get(name) == 1 for name in layer_names) and self._leaves_nothing.get(self.read, False)
        stops = stops and not self._decides
        if stops:
            self._n_stopping += 1
            # but for the 1st, 2nd, 4th, 8th ..., to notice images that decide how often a layer is called
            stops = self._n_stopping.bit_count() != 1
        batch, answers, calls = self._answered(batch, layer_names, stop_after=len(layer_names) if stops else None)
        self._check_calls(batch, layer_names, calls)
        self._n_calls.update({name: max(n, self._n_calls.get(name, 0)) for name, n in calls.items()})
        tensors = {name: self._tensor(name, answers[name]) for name in layer_names}
        new = [name for name in layer_names if name not in self._axes]
        if new:
            self._find_axes(batch, new, tensors)
        activations = OrderedDict()
        for name in layer_names:
            for note in filter(None, (self.images.note, self.images.lots)):
                self._note(name, note)
            self._note_calls(name, calls)
            tensor, axis = tensors.pop(name), self._axes[name]
            if tensor.ndim <= axis or tensor.shape[axis] != len(batch):
                raise self._wrong_axes(name, len(batch), tuple(tensor.shape), None)
            answer = tensor.movedim(axis, 0)
            if self.keeps:
                self.kept[name] = answer
                answer = answer.reshape(len(batch), -1)[:, :1].cpu()
            activations[name] = np.ascontiguousarray(answer.numpy())
        return activations

    def _counted(self, get_activations, images, layer_names):
        """In place of a ``get_activations`` that is not PytorchWrapper's: what it asks for, with the calls of each layer."""
        self._rows, self._answers = Counter(), Counter()
        activations = get_activations(images, layer_names)
        for name, rows in self._rows.items():
            times = min(self._answers[name], rows // max(1, len(images)))
            if times > 1:
                self._note(
                    name,
                    f"{name} of {self._identifier} is called {_times(times)} per image; its wrapper's own get_activations "
                    f"decides what is recorded, usually the last call.",
                )
        return activations

    def _count(self, name: str, answer) -> None:
        self._answers[name] += 1
        self._rows[name] += answer.shape[0] if answer.ndim else 0
        if name not in self.read:
            self.read = (*self.read, name)

    def _register_hook(self, layer, layer_name: str, target_dict: MutableMapping):
        """In place of the wrapper's method, where a ``get_activations`` that is not PytorchWrapper's calls it."""

        def take(_module, _inputs, output):
            answer = self._tensor(layer_name, LayerAnswer.of(output)).numpy()
            self._count(layer_name, answer)
            target_dict[layer_name] = answer

        return layer.register_forward_hook(take)

    def _register_copying(self, register, layer, layer_name, target_dict, *arguments, **options):
        return register(layer, layer_name, _Copying(target_dict, self._count), *arguments, **options)

    def _answered(self, batch, layer_names: Sequence[str], stop_after: int | None) -> tuple:
        """:meth:`_pass` of a batch in the first precision that the network answers to, and the batch in that one."""
        failed = None
        for shown in self.images.in_precisions(batch):
            try:
                answers, calls = self._pass(shown, layer_names, stop_after)
            except ModelOutputError as error:
                failed = failed or error
            else:
                self.images.keep_precision(shown)
                return shown, answers, calls
        raise failed

    def _pass(self, batch, layer_names: Sequence[str], stop_after: int | None = None) -> tuple[dict, Counter]:
        """Show a batch; the answers of layers, their tensors copied, and how often each module was called.

        The pass ends after ``stop_after`` answers, if that is a number. If not, the first few find out whether it may.
        """
        import torch

        network, answers, calls = self._wrapper._model, {}, Counter()
        names = tuple(layer_names)
        looks = stop_after is None and batch.device.type == "cpu" and not self._leaves_nothing.get(names, False)
        looks = looks and self._n_looks[names] < MOST_LOOKS
        before, when_answered = [], []
        wanted = {name: resolve_layer(self._wrapper, name) for name in layer_names}

        def take(name, call, _module, _inputs, output):
            if call is None or calls[name] == call:
                answers[name] = LayerAnswer.of(output, self.keeps)
            calls[name] += 1
            if looks and len(answers) == len(wanted) and not when_answered:
                when_answered.append(same_state(before, held_state(network)))
            if len(answers) == stop_after:
                raise _EnoughAnswers

        with alone_with([network]), contextlib.ExitStack() as hooked, torch.no_grad(), AS_WRITTEN:
            network.eval()
            for name, (module, call) in wanted.items():
                try:
                    handle = module.register_forward_hook(functools.partial(take, name, call))
                except RuntimeError as error:  # torch.jit.script allows no hooks
                    raise ModelOutputError(
                        f"Layers are recorded by hooks, which {name!r} of {self._identifier} does not take ({error}). "
                        f"Commit the network as it was before torch.jit.script, or record a module of your own that calls it."
                    ) from error
                hooked.callback(handle.remove)
            if looks:
                before += held_state(network)
            try:
                network(batch, **getattr(self._wrapper, "_forward_kwargs", {}))
            except StimulusKernelError:
                raise
            except _EnoughAnswers:
                pass
            except Exception as error:
                raise ModelOutputError(
                    f"A network answers to the images that its preprocessing makes; {self._identifier} was shown "
                    f"{_shape(tuple(batch.shape))} ({batch.dtype}) and failed with {failure(error)}. "
                    f"{remedy(error, network)}"
                ) from error
        if looks:
            self._n_looks[names] += 1
            self._leaves_nothing[names] = when_answered == [True]
        return answers, calls

    def _check_calls(self, batch, layer_names: Sequence[str], calls: Counter) -> None:
        for name in layer_names:
            call = resolve_layer(self._wrapper, name)[1]
            stopped = self._n_stopping > 2  # see get_activations
            if call is None and stopped and self._n_calls.get(name) == 1 < calls[name]:
                raise ModelOutputError(
                    f"A layer's last answer in a pass is recorded; {self._identifier} calls {name!r} once for some images and "
                    f"{_times(calls[name])} for others. Say which call is meant: {name}{CALL_MARK}0 is the first."
                )
            if calls[name] == 0:
                called = self._called(batch)
                nearest = difflib.get_close_matches(name, called, n=3, cutoff=0.0)
                offered = f"The nearest of the layers that it calls are {', '.join(map(repr, nearest))}."
                raise UnmappedRegionError(
                    f"A region is mapped to a layer that answers when the network sees images; in evaluation "
                    f"{self._identifier} never calls {name!r}. "
                    f"{offered if called else 'It calls no layer that can be recorded (is it compiled, by torch.jit?).'}"
                )
            if call is not None and call >= calls[name]:
                first = name[: name.rindex(CALL_MARK)]
                raise UnmappedRegionError(
                    f"{name!r} is call {call} of the layer {first!r}, counted from 0; {self._identifier} calls it "
                    f"{_times(calls[name])} per pass. Its calls are "
                    f"{', '.join(f'{first}{CALL_MARK}{i}' for i in range(min(calls[name], 8)))}"
                    f"{' ...' if calls[name] > 8 else ''}."
                )

    def _called(self, batch) -> list[str]:
        """Names of the modules that a pass calls."""
        import torch

        network, called = self._wrapper._model, {}
        with alone_with([network]), contextlib.ExitStack() as hooked, torch.no_grad(), AS_WRITTEN:
            for name, module in network.named_modules():
                if name:
                    note = functools.partial(lambda name, *_: called.update({name: True}), name)
                    hooked.callback(module.register_forward_hook(note).remove)
            network(batch[:2], **getattr(self._wrapper, "_forward_kwargs", {}))
        return list(called)

    def _tensor(self, name: str, answer: LayerAnswer):
        if answer.tensor is None:
            raise ModelOutputError(
                f"A layer that is recorded answers with real numbers in a tensor; {name!r} of {self._identifier} answers with "
                f"{answer.kind}{answer.problem}. Map the region to another layer, e.g. one inside or around it."
            )
        if answer.place:
            self._note(name, f"{name} of {self._identifier} answers with {answer.kind}; {answer.place} is recorded.")
        return answer.tensor

    def _find_axes(self, batch, names: Sequence[str], tensors: dict) -> None:
        """Which axis of an answer is the images': the one that follows when another number of images is shown."""
        import torch

        n, other = len(batch), 1 if len(batch) == 2 else 2
        shapes = {name: tuple(tensors[name].shape) for name in names}
        try:
            few = batch[:other] if n >= other else batch.repeat_interleave(other, dim=0)
            with _values_asked() as values:  # not where answers count: some layers compute in another way inside
                answers, _ = self._pass(few, names)
            # what TorchScript does is seen by nobody
            scripted = any(isinstance(module, torch.jit.ScriptModule) for module in self._wrapper._model.modules())
            self._decides = self._decides or bool(values) or scripted
            others = {name: tuple(self._tensor(name, answers[name]).shape) for name in names}
        except REFUSALS as error:  # a network may be made for one number of images; it has answered for that one
            _logger.debug("%s does not answer to %d images: %r", self._identifier, other, error)
            others, self._decides = dict.fromkeys(names), True  # nothing is known of it
        for name in names:
            axes = image_axes(shapes[name], others[name], n, other)
            if len(axes) != 1:
                raise self._wrong_axes(name, n, shapes[name], others[name], other)
            self._axes[name] = axes[0]

    def _wrong_axes(self, name: str, n: int, shape, other_shape, other: int = 0) -> ModelOutputError:
        answered = f"{_shape(shape)} to {n} images" + (f" and {_shape(other_shape)} to {other}" if other_shape else "")
        if other_shape is None:
            reason = f"{'several axes have' if shape.count(n) > 1 else 'no axis has'} that size"
        elif len(shape) != len(other_shape):
            reason = "the number of axes changes with that of the images"
        else:
            following = [i for i, sizes in enumerate(zip(shape, other_shape, strict=True)) if sizes[0] != sizes[1]]
            if not following:
                reason = "no axis follows the number of images, so it says nothing about single ones"
            elif len(following) > 1:
                reason = (
                    f"axes {', '.join(map(str, following))} follow the number of images, so it is about pairs of images, or "
                    f"its size depends on them"
                )
            elif shape[following[0]] % n == 0:
                reason = (
                    f"axis {following[0]} holds {shape[following[0]] // n} rows per image (windows, tokens or crops?)"
                )
            else:
                reason = f"axis {following[0]} does not hold one row per image"
        return ModelOutputError(
            f"A layer that is recorded answers once for each image, along one axis; {name!r} of {self._identifier} answers "
            f"{answered}: {reason}. Map the region to another layer, e.g. the block around it."
        )

    def _note_calls(self, name: str, calls: Counter) -> None:
        if calls[name] > 1 and resolve_layer(self._wrapper, name)[1] is None:
            self._note(
                name,
                f"{name} of {self._identifier} is called {_times(calls[name])} per image; the last call is recorded. "
                f"{name}{CALL_MARK}0 to {name}{CALL_MARK}{calls[name] - 1} name each of them.",
            )

    def _note(self, name: str, sentence: str) -> None:
        new = not any(sentence in notes for notes in self._notes.values())
        notes = self._notes.setdefault(name, [])
        if sentence not in notes:
            notes.append(sentence)
        if new:
            self._say(sentence)


def _is_mask(index) -> bool:
    return str(getattr(index, "dtype", "")) in ("torch.bool", "torch.uint8")


def _parts(index=()) -> tuple:
    return index if isinstance(index, tuple) else ()


@contextlib.contextmanager
def _values_asked() -> Iterator[list[str]]:
    """Names of functions that code in the block has called to get values of tensors into Python, to decide by."""
    from torch.overrides import TorchFunctionMode

    asked = []

    class Noting(TorchFunctionMode):
        def __torch_function__(self, function, _types, arguments=(), options=None):
            name, index = function.__name__, arguments[1:2]
            by_mask = name == "__getitem__" and any(_is_mask(part) for part in (*index, *_parts(*index)))
            if name in VALUES or by_mask or (name == "where" and len(arguments) == 1):
                asked.append(name)
            return function(*arguments, **(options or {}))

    with Noting():
        yield asked


def remedy(error: Exception, network=None) -> str:
    """What helps a network that failed on a batch of images, which is all that it was given."""
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return "Give its wrapper a smaller batch_size."
    if isinstance(error, TypeError) or _takes_text_first(network):
        return (
            "It is called with the images alone: of a model of images and text, commit the part that sees images "
            "(model.visual), or a module whose forward calls it (encode_image)."
        )
    return (
        "If it wants another size, make it with as_brain_model(network, ..., image_size=64); if it wants other channels or "
        "values, with preprocessing=FUNCTION; if it answers to a fixed number of images alone, put it into a module that fills "
        "up smaller batches."
    )


def _takes_text_first(network) -> bool:
    """Whether images are not the first of what a network takes: models of transformers for images and text."""
    forward = asked(network, "forward")
    with contextlib.suppress(TypeError, ValueError):  # no signature
        return "pixel_values" in list(inspect.signature(forward).parameters)[1:]
    return False


def resolve_layer(wrapper: PytorchWrapper, name: str):
    """Module of a layer's name, and the call that the name asks for; None for the last one.

    A wrapper with hooks of its own decides itself what it makes of several calls, and knows no numbers of calls.

    Raises
    ------
    AssertionError
        As :meth:`PytorchWrapper.get_layer`, if there is no such layer.
    """
    try:
        return _module(wrapper, name), None
    except AssertionError:
        module_name, mark, call = name.rpartition(CALL_MARK)
        if not mark or not call.isdecimal() or not reads_calls(wrapper):
            raise
        return _module(wrapper, module_name), int(call)


def _module(wrapper: PytorchWrapper, name: str):
    try:
        return wrapper.get_layer(name)
    except AttributeError:  # get_layer cannot look into a scripted network
        modules = dict(wrapper._model.named_modules())
        assert name in modules, f"No submodule found for layer {name}"
        return modules[name]


def layer_names(wrapper: PytorchWrapper) -> list[str]:
    """Names of a network's modules, those that hold others too."""
    return [name for name, _ in wrapper._model.named_modules() if name]


def nearest_layers(name: str, known: Sequence[str]) -> str:
    """A sentence about the layers of a network, for someone who asked for one that it lacks."""
    if not known:
        return "It has no layers inside: give torch.nn.Sequential(network) in its place, whose layer '0' it is."
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.0)
    return f"The nearest of its {len(known)} layers are {', '.join(map(repr, nearest))}."


def reads_calls(wrapper: PytorchWrapper) -> bool:
    """Whether single calls of a layer can be recorded, and what a layer answers is what is recorded."""
    return _is_plain(wrapper, "register_hook", "get_activations", "_tensor_to_numpy")


def _is_plain(wrapper: PytorchWrapper, *methods: str) -> bool:
    """Whether a wrapper does things as PytorchWrapper does: some are subclasses with ways of their own."""
    return all(inspect.getattr_static(wrapper, m) is inspect.getattr_static(PytorchWrapper, m) for m in methods)


def image_axes(shape: tuple, other_shape: tuple | None, n: int, other: int) -> list[int]:
    """Axes that may be the images', of answers to ``n`` and to ``other`` images (None: not known)."""
    if other_shape is None:
        return [i for i, size in enumerate(shape) if size == n]
    if len(shape) != len(other_shape):
        return []
    following = [i for i, sizes in enumerate(zip(shape, other_shape, strict=True)) if sizes[0] != sizes[1]]
    return following if all((shape[i], other_shape[i]) == (n, other) for i in following) else []


@contextlib.contextmanager
def replaced(owner, name: str, value) -> Iterator[None]:
    """An attribute of an object, for a while another one."""
    was_own, before = name in vars(owner), getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if was_own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


class _Copying(MutableMapping):
    """Passes entries on to another mapping, arrays as copies."""

    def __init__(self, target: MutableMapping, count):
        self._target, self._count = target, count

    def __setitem__(self, key, value):
        self._target[key] = np.array(value) if isinstance(value, np.ndarray) else value
        if hasattr(value, "shape"):
            self._count(key, value)

    def __getitem__(self, key):
        return self._target[key]

    def __delitem__(self, key):
        del self._target[key]

    def __iter__(self):
        return iter(self._target)

    def __len__(self):
        return len(self._target)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _shape(sizes: tuple) -> str:
    return " × ".join(map(str, sizes)) or "one number"
