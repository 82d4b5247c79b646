"""Building and installing libraries that publish no usable wheel.

Nothing here imports torch when it is imported: the command line stays quick.
"""
