"""What several processes share of a training: rows of each batch, gradients, statistics, weights."""
