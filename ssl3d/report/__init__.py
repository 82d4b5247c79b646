"""What a run leaves to judge it by: environment, curves, pictures, a summary."""
