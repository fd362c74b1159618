"""Task gradients to one gradient: pure maths on pytrees. Knows no agent, environment, logger or config."""

from polytask.combine.base import Aggregator as Aggregator
from polytask.combine.base import Combined as Combined
from polytask.combine.base import Combiner as Combiner
from polytask.combine.base import Inputs as Inputs
from polytask.combine.base import Scale as Scale
from polytask.combine.base import Selector as Selector
from polytask.combine.base import Weighting as Weighting
from polytask.combine.engines import Engine as Engine
from polytask.combine.engines import PerTask as PerTask
from polytask.combine.factory import COMBINERS as COMBINERS
from polytask.combine.factory import make_combiner as make_combiner
from polytask.combine.finite import check_finite as check_finite
from polytask.combine.representation import representation_gradient as representation_gradient
from polytask.combine.step import combine_gradients as combine_gradients
from polytask.combine.step import combined_gradient as combined_gradient
