"""Files that the release ships beside betas and images: embeddings and segmentations."""
