"""How good the texts of a pack are."""
