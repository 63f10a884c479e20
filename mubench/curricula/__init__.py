"""How much each example counts while a method unlearns."""
