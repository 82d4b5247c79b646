"""What a config is, finding plugins, the registry, options in words."""
