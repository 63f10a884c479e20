"""What the metrics themselves are worth: how well each tells original models from retrained ones."""
