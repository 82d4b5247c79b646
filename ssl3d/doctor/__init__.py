"""`ssl3d doctor`: does this installation work, and what to do about each part that does not.

Nothing here imports torch when it is imported: the command line stays quick. What may crash or
hang (torch, backbones, sparse libraries) is tried in processes of their own.
"""
