"""Features made by other toolkits: what their arrays may be called, and how they are read."""
