"""Shadow models: originals and retrained models at other training seeds, many of them trained at once."""
