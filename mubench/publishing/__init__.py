"""Unlearned models for others: their cards, and their way to the Hugging Face hub."""
