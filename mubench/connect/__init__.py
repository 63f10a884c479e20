"""What lies between two unlearned models: losses along paths from one's weights to the other's."""
