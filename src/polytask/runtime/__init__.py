"""What a run needs around the training itself: its folder, checkpoints, logs, display and provenance."""
