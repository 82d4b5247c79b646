"""The decoder `wavelet`. Importing this loads no torch."""
