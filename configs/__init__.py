"""One file per data set and method; each has a get_config(variant)."""
