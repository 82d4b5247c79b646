"""Labelled volumes: found, split by person, cut and changed into batches for fine-tuning."""
