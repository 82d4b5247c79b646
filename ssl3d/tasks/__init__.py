"""What is trained: a spec, its model, its run."""
