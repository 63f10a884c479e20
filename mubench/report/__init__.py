"""Records in, text out: nothing here imports torch."""
