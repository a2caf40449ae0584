"""Signals that end a sweep, also where Python swallows what their handlers raise."""

import signal
import weakref

import pytest

from brainscore_vision.benchmarks.laion_fmri_7t.sweep.interrupts import ENDING, interrupts


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_interrupts(number):
    before = [signal.getsignal(n) for n in ENDING]
    with pytest.raises(KeyboardInterrupt) as caught, interrupts():
        signal.raise_signal(number)
    assert caught.value.args == (number,)
    assert [signal.getsignal(n) for n in ENDING] == before


def test_nothing_happens_without_a_signal():
    with interrupts() as check:
        check()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("number", ENDING)
def test_a_signal_in_a_callback_is_not_lost(number):
    """Exceptions in callbacks of weak references go no further than a line on the standard error."""

    class Something:
        pass

    with interrupts() as check:
        something = Something()
        reference = weakref.ref(something, lambda _: signal.raise_signal(number))
        del something
        assert reference() is None
        with pytest.raises(KeyboardInterrupt) as caught:
            check()
    assert caught.value.args == (number,)
