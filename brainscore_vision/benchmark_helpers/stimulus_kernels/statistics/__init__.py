"""What is computed from responses and predictions: ceilings, reliability, similarity, normalisations, bootstrap, comparison."""
