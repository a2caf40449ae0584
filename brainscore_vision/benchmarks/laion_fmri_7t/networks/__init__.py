"""Where a model comes from: a registered name, a function of a module or of a file."""
