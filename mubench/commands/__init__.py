"""The verbs of the command line, one a module; the module's docstring is its --help."""
