"""One step: hide, encode what is visible, densify, decode, restore."""
