"""Trained agents to act with: loading one, measuring it, filming it, and what is recorded of it.

Every kind of training that ends with an agent which acts shares this. The names below are imported when they are first
used.
"""

from typing import TYPE_CHECKING

from polytask.lazy import exports

if TYPE_CHECKING:
    from polytask.policies.policy import Policy as Policy
    from polytask.policies.policy import load as load

_HOME = {"Policy": "policy", "load": "policy"}

__getattr__, __dir__ = exports(__name__, _HOME)
