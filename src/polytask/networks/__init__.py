"""Pure modules: trunks, task conditioning, heads. Arrays in, arrays out."""

from polytask.networks.actor import GaussianActor as GaussianActor
from polytask.networks.adapters import AdaptedDense as AdaptedDense
from polytask.networks.adapters import LowRank as LowRank
from polytask.networks.adapters import adapted as adapted
from polytask.networks.bronet import BroNet as BroNet
from polytask.networks.conditioning import NoTaskFeatures as NoTaskFeatures
from polytask.networks.conditioning import OneHotTasks as OneHotTasks
from polytask.networks.conditioning import TaskEmbedding as TaskEmbedding
from polytask.networks.conditioning import make_conditioning as make_conditioning
from polytask.networks.critic import CriticEnsemble as CriticEnsemble
from polytask.networks.encoder import Encoder as Encoder
from polytask.networks.encoder import ImageFeatures as ImageFeatures
from polytask.networks.factory import ENCODERS as ENCODERS
from polytask.networks.factory import TRUNKS as TRUNKS
from polytask.networks.factory import check_trunk as check_trunk
from polytask.networks.factory import make_encoder as make_encoder
from polytask.networks.factory import make_trunk as make_trunk
from polytask.networks.layers import Dense as Dense
from polytask.networks.layers import Head as Head
from polytask.networks.layers import LayerNorm as LayerNorm
from polytask.networks.layers import TaskHead as TaskHead
from polytask.networks.mlp import MLP as MLP
from polytask.networks.moving import Moving as Moving
from polytask.networks.moving import split as split
from polytask.networks.trunk import Trunk as Trunk
