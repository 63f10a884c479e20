"""Attacks on the forgetting: what they are done to, one file each, and how they are carried out."""
