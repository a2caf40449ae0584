"""Images of the dataset: where they are, and what people saw of them."""
