"""The grounded motion language: what joints show, in a small fixed vocabulary."""
