"""mubench: the benchmark runner for machine unlearning."""

__version__ = "0.1.0"
