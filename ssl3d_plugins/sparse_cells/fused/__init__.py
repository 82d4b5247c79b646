"""A way to convolve across cells in one kernel, written in Triton.

Gathering, products and the bias are one kernel, so halo boxes never exist in memory. Sums are in
single precision and in a fixed order: no atomic additions, so results repeat bit for bit. Triton is
imported, and kernels are compiled, when one is first launched.
"""
