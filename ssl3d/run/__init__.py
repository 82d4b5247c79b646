"""The training loop and what watches it; knows no task."""
