"""Whether a dataset can be trusted: the rules that scoring relies on, and noise ceilings side by side."""
