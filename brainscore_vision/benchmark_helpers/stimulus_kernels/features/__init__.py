"""From a network to features: recording layers, looking features up, checking what a model answers, its fingerprint."""
