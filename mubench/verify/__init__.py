"""The checks that any method must pass (`mubench verify`), ours or a user's."""
