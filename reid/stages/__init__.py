"""One file per DVC stage: read inputs, call the rooms below, write outputs."""
