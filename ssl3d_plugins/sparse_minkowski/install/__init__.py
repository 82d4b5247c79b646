"""`ssl3d install minkowski`: build the library for the torch that is here, and install it.

Nothing here imports torch when it is imported: the command line stays quick.
"""
