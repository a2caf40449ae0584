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


def test_the_first_waits_for_a_check_and_the_second_does_not():
    with pytest.raises(KeyboardInterrupt) as caught, interrupts() as check:  # noqa: PT012 - the block's end raises
        signal.raise_signal(signal.SIGINT)  # raises nothing here
        with pytest.raises(KeyboardInterrupt):
            check()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert caught.value.args == (signal.SIGINT,)


def test_nothing_happens_without_a_signal():
    with interrupts() as check:
        check()


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_in_a_callback_is_not_lost(number, capfd):
    """What a weak reference's callback raises goes no further than a traceback on the standard error: nothing is raised."""

    class Something:
        pass

    with pytest.raises(KeyboardInterrupt) as caught, interrupts() as check:  # noqa: PT012 - set up where signals are held
        something = Something()
        reference = weakref.ref(something, lambda _: signal.raise_signal(number))
        del something
        assert reference() is None
        check()
    assert caught.value.args == (number,)
    assert "Traceback" not in capfd.readouterr().err
