"""Logged data: sets of transitions that were written before a training begins, in Minari's format or D4RL's.

Nothing is downloaded. A set is called `data:FILE`, see `polytask.datasets.names`.
"""
