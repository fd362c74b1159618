"""Fleets: which vehicle serves which sites, in which order."""

from polytask.fleets.checking import Checked as Checked
from polytask.fleets.checking import check as check
from polytask.fleets.instance import Family as Family
from polytask.fleets.instance import Fleet as Fleet
from polytask.fleets.instance import make_fleet as make_fleet
