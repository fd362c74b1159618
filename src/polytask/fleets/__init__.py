"""Fleets: which vehicle serves which sites, in which order.

The names below are imported when they are first used, so that the command line's help costs nothing.
"""

from typing import TYPE_CHECKING

from polytask.lazy import exports

if TYPE_CHECKING:
    from polytask.fleets.checking import Checked as Checked
    from polytask.fleets.checking import check as check
    from polytask.fleets.instance import Family as Family
    from polytask.fleets.instance import Fleet as Fleet
    from polytask.fleets.instance import make_fleet as make_fleet

_HOME = {
    "Checked": "checking",
    "check": "checking",
    "Family": "instance",
    "Fleet": "instance",
    "make_fleet": "instance",
}

__getattr__, __dir__ = exports(__name__, _HOME)
