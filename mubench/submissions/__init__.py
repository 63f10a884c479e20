"""Results that groups hand to each other: records without models and predictions, checked on both sides."""
