"""The protocol of evaluation, scores, and statistics over tasks and seeds."""
