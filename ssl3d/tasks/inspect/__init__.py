"""An honest look at a data set: what is in each file, and what follows for a spec."""
