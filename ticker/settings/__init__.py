"""Settings: the model of them, readers of single values, and the loader that puts them together."""
