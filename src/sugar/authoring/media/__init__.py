"""What models are shown: frames and videos of clips."""
