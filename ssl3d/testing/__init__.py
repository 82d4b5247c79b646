"""Kits that a component's own tests subclass."""
