"""A run is a folder: its configuration, checkpoints, logs and what they say."""
