"""Stimulus × stimulus kernels: accumulating them from features, waiting on disk, keeping them, telling them apart."""
