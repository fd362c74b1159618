"""Models that evolve: components that tasks share, and lock, so that no task forgets (µ2Net)."""
