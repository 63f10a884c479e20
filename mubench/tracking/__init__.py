"""Who else is told of a run, while it works and when it is done (docs/tracking.md)."""
