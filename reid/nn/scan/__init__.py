"""The selective state-space scan and its backends."""
