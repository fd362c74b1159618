"""What each task counts in the losses of critics and actor, by its temperature."""

from jaxtyping import Array, Float, Int

from polytask.agents.config import BRCConfig, SACConfig
from polytask.losses import temperature_weights


def row_weights(
    config: BRCConfig | SACConfig, log_temperature: Float[Array, "*tasks"], task_ids: Int[Array, " batch"]
) -> Float[Array, " batch"] | None:
    """Of each row, 1 in the mean over the tasks; None where all count the same."""
    if config.task_balancing == "none":
        return None
    return temperature_weights(log_temperature, config.task_balancing)[task_ids]


def weighted(
    losses: Float[Array, "*members batch"], weights: Float[Array, " batch"] | None
) -> Float[Array, "*_ batch"]:
    """Each row's losses times its weight, where there are weights."""
    return losses if weights is None else losses * weights.reshape(*[1] * (losses.ndim - 1), -1)


def weight_metrics(config: BRCConfig | SACConfig, log_temperature: Float[Array, "*tasks"]) -> dict[str, Array]:
    """The tasks' weights as metrics, named as a combiner's are; none where all count the same."""
    if config.task_balancing == "none":
        return {}
    weights = temperature_weights(log_temperature, config.task_balancing)
    return {"critic_weight": weights, "actor_weight": weights}
