"""Equal-budget search of a method's settings on validation forget sets (docs/search.md)."""
