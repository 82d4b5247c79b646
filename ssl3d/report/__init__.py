"""What a run leaves to judge it by: environment, curves, slices, and how files are written."""
