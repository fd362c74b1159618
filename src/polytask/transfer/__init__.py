"""What a trained model gives to new tasks.

One vocabulary for all of it: a *source run* is only read; its *target tasks* are those that it meets; what is *copied*
from it, what of that *may move* while the target tasks are learned, and what *must not change*.
"""
