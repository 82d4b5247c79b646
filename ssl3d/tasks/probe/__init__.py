"""Probes: what can be read off a frozen encoder, beside one that was never trained."""
