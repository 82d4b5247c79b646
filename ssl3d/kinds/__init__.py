"""What can be plugged in: the interface of each kind of component, and the base of its options."""
