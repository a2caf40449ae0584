"""Errors of the engine: each says the rule, what was received and what to do."""


class StimulusKernelError(ValueError):
    """A rule of the engine is broken; nothing that was computed before is lost."""


class ModelOutputError(StimulusKernelError):
    """A model answered with something that cannot be scored (nan, other stimuli, other features)."""


class NotAbleError(ModelOutputError, NotImplementedError):
    """A model is asked for what it cannot do by its nature: Brain-Score's models say so by a NotImplementedError."""


class UnmappedRegionError(StimulusKernelError, KeyError):
    """A model says nothing about the region that a benchmark asks for."""

    def __str__(self) -> str:  # KeyError would show the message's repr
        return str(self.args[0])


class ResponsesError(StimulusKernelError):
    """Measured responses break a rule that a metric relies on."""


class StorageError(StimulusKernelError, OSError):
    """A folder of the engine cannot hold what has to be written."""
