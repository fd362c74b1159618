"""Online training: agents that act in simulators."""
