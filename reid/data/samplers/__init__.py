"""Which images share a batch."""
