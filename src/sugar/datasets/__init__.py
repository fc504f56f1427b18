"""Floor 1: reading data sets, storing them, splitting them, and making batches of them."""
