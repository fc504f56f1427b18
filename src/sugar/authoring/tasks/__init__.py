"""What models are asked for: one file a kind of knowledge text, with the shape of its answer."""
