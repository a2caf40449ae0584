"""Single trials of the subjects on disk: reading, checking, writing and averaging them."""
