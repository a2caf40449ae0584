"""Errors of a sweep as a whole; what goes wrong with one model is a recorded failure instead."""


class SweepError(RuntimeError):
    """A sweep that cannot run as asked; says the rule, what was received, and the remedy."""


class UnknownNamesError(ValueError):
    """Models or benchmarks that do not exist.

    Parameters
    ----------
    problems : list of str
        One message per name.
    """

    def __init__(self, problems: list[str]):
        self.problems = problems
        super().__init__("\n".join(problems))
