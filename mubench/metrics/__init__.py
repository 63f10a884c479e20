"""Metrics: pure functions of stored predictions."""
