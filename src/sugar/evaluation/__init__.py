"""Floor 4: what a model is worth. Trains nothing, and chooses nothing on test data."""
