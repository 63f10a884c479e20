"""Tasks: where raw splits come from. Nothing here knows of models or methods."""
