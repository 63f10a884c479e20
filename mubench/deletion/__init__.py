"""Choosing the forget set: a strategy a module, all deterministic in `seed.forget` and nested by ratio."""
