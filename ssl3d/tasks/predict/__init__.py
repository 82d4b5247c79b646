"""Prediction: what fine-tuned models say of files."""
