"""Fitted encoders: ridge regressions from a layer to responses, kept in a file, that answer any image."""
