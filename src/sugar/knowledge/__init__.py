"""What is known about each action in words: packs of texts, their embeddings, and checks of both."""
