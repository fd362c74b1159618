"""Loss weights learned by descent on a regularised loss: uncertainty weighting and IMTL-L."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from polytask.combine.adam import Adam, adam_init, adam_step
from polytask.combine.base import Info, Inputs, Weighting

State = tuple[Float[Array, " tasks"], Adam]


def uw(learning_rate: float = 1e-3) -> Weighting:
    """The gradient of sum_i L_i / (2 exp s_i) + s_i / 2 with learned s_i = log sigma_i^2 (Kendall, Gal & Cipolla 2018,
    arXiv 1705.07115, equation 10): weights 1 / (2 exp s_i), where s_i tends to log L_i.

    - `learning_rate`: of Adam on s, from 0.

    Deviations: s has an optimiser of its own, instead of being one more parameter of the network (and of its weight
    decay); all losses count as regression, as in common use. The weights' overall size is part of the method and is
    kept at scale "paper" only.
    """

    def init(tasks: int) -> State:
        return jnp.zeros(tasks), adam_init(tasks)

    def weigh(inputs: Inputs, state: State) -> tuple[Float[Array, " tasks"], State, Info]:
        weights = jnp.exp(-state[0]) / 2
        after = adam_step(state[0], 0.5 - weights * inputs.losses, state[1], inputs.present, learning_rate)
        return jnp.where(inputs.present, weights, 0.0), after, {"log_variance": state[0]}

    return Weighting("losses", init, weigh)


def imtl_l(learning_rate: float = 1e-3) -> Weighting:
    """The gradient of sum_i exp(s_i) L_i - s_i with learned s_i (Liu et al. 2021, "Towards impartial multi-task
    learning", equation 7): weights exp(s_i), which tend to 1 / L_i.

    - `learning_rate`: of Adam on s, from 0.

    Deviation: s has an optimiser of its own, as in `uw`. The weights' overall size is kept at scale "paper" only.
    """

    def init(tasks: int) -> State:
        return jnp.zeros(tasks), adam_init(tasks)

    def weigh(inputs: Inputs, state: State) -> tuple[Float[Array, " tasks"], State, Info]:
        weights = jnp.exp(state[0])
        after = adam_step(state[0], weights * inputs.losses - 1, state[1], inputs.present, learning_rate)
        return jnp.where(inputs.present, weights, 0.0), after, {"log_weight": state[0]}

    return Weighting("losses", init, weigh)
