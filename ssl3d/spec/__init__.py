"""Parts of a spec that are no plugin."""
