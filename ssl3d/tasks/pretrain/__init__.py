"""Masked pre-training, from a spec to a folder with an encoder."""
