"""`ssl3d tune`: measure the ways to convolve on a machine, and keep what was found."""
