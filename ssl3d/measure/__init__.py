"""From outputs to numbers."""
