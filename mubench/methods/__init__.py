"""Unlearning methods: one paper a module."""
