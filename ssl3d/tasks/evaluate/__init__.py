"""Evaluation: predictions against labels, or a run on labelled volumes."""
