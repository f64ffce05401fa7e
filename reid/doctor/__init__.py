"""What of this machine and its software works, which is the fastest, and what to do about it."""
