"""Ridge regression from a kernel: one decomposition of the training stimuli serves every penalty and every subject."""
