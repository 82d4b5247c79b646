"""A store: the prepared volumes of a spec in a folder, which runs read in place of the files."""
