"""What can be wrong with a model's source."""


class ModelSourceError(ValueError):
    """A model that cannot be found under its name, or is not what can be scored."""


class ModelImportError(ValueError):
    """A model's code that Python cannot read, that imports what is not there, or that ends the program."""
