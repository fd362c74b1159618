"""One idea of a training: what every kind of training is, and the only loop that trains."""
