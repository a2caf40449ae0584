"""Errors of the dataset layer: each says the rule, what was received and what to do."""


class DatasetError(ValueError):
    """The dataset at hand breaks a rule that scoring relies on."""


class MissingDataError(DatasetError, FileNotFoundError):
    """A folder or file that is needed is not there."""


class SchemaError(DatasetError):
    """A file is there, but does not have the form of the dataset folder (see the README of this package)."""
