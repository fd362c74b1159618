"""BRC: Bigger, Regularized, Categorical (arXiv 2505.23150).

Outline of one update: (1) the critics' distribution at the next state, averaged over the target ensemble, is shifted by
the normalised reward and the entropy bonus, projected on the bins and learned by cross-entropy; (2) the target critic
follows; (3) the actor maximises the updated critics' expected value plus entropy; (4) the temperature follows its
target. Rewards are divided, per task, by the largest return seen. The defaults are those of the official code
where it and the paper differ; the paper's choices are switches of `BRCConfig`.
"""

from polytask.agents.brc.learning import ALGORITHM as ALGORITHM
from polytask.agents.brc.learning import ENTROPY_PER_DIMENSION as ENTROPY_PER_DIMENSION
from polytask.agents.brc.learning import actor_step as actor_step
from polytask.agents.brc.learning import critic_step as critic_step
from polytask.agents.brc.learning import diagnose as diagnose
from polytask.agents.brc.learning import measure_affinity as measure_affinity
from polytask.agents.brc.learning import update as update
from polytask.agents.brc.losses import actor_loss as actor_loss
from polytask.agents.brc.losses import critic_loss as critic_loss
from polytask.agents.brc.losses import critic_target as critic_target
from polytask.agents.brc.losses import values as values
from polytask.agents.brc.scale import reward_scale as reward_scale
from polytask.agents.brc.scale import scaled as scaled
from polytask.agents.brc.state import BRCState as BRCState
from polytask.agents.brc.state import init as init
from polytask.agents.brc.state import make_optimisers as make_optimisers
