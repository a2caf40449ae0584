"""What several test files share: models, datasets and benchmarks of known truth, checks of the installation."""
