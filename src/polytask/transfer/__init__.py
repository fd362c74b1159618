"""What a trained model gives to new tasks.

One vocabulary for all of it: a *source run* is only read; its *target tasks* are those that it meets; what is *copied*
from it, what of that *may move* while the target tasks are learned, and what *must not change*.

The names below are imported when they are first used, so that importing the package costs nothing.
"""

from typing import TYPE_CHECKING

from polytask.lazy import exports

if TYPE_CHECKING:
    from polytask.transfer.logit_fusion import Expert as Expert
    from polytask.transfer.logit_fusion import Fused as Fused
    from polytask.transfer.logit_fusion import LogitFusion as LogitFusion
    from polytask.transfer.logit_fusion import fuse_logits as fuse_logits

_HOME = {
    "Expert": "logit_fusion",
    "Fused": "logit_fusion",
    "LogitFusion": "logit_fusion",
    "fuse_logits": "logit_fusion",
}

__getattr__, __dir__ = exports(__name__, _HOME)
