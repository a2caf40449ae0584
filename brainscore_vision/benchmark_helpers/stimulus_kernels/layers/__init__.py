"""From a network's layers to layer × region scores: which layer predicts which region, on training stimuli alone."""
