"""Floor 0: joint layouts, clips and their transforms, in NumPy."""
