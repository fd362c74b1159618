"""How far predictions are from the truth under a metric, for real, binary and categorical outputs."""

from typing import Literal

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy
from jaxtyping import Array, Float

Output = Literal["real", "binary", "categorical"]
"""What a predictor's outputs are: numbers; logits of independent events; logits of one choice."""

MetricValues = Float[Array, "rows outputs"] | Float[Array, "rows outputs outputs"]
"""One metric for each row: its diagonal, or the whole matrix."""

_ROOT_FLOOR = 1e-12  # keeps the square root's derivative finite where a divergence underflows to zero


def divergences(
    prediction: Float[Array, "rows outputs"], target: Float[Array, "rows outputs"], output: Output = "real"
) -> Float[Array, "rows outputs"]:
    """Twice the divergence of each output from its target: zero at the target, positive elsewhere.

    - real: (p - y)^2.
    - binary, p a logit: 2 KL(y || sigmoid(p)), with y in [0, 1].
    - categorical, p the logits of one choice: 2 (y log(y / q) + q - y), q = softmax(p). Summed over the outputs this is
      2 KL(y || q); the term q - y, which then cancels, is what keeps every single output's divergence non-negative and
      zero at q = y only, so that any positive weights still have the truth as their minimum.

    The factor two makes all of them start as the square of the deviation, in its natural unit.
    """
    if output == "real":
        return jnp.square(prediction - target)
    if output == "binary":
        likelihood = target * jax.nn.log_sigmoid(prediction) + (1 - target) * jax.nn.log_sigmoid(-prediction)
        return 2 * (xlogy(target, target) + xlogy(1 - target, 1 - target) - likelihood)
    if output == "categorical":
        log_probs = jax.nn.log_softmax(prediction, axis=-1)
        return 2 * (xlogy(target, target) - target * log_probs + jnp.exp(log_probs) - target)
    raise ValueError(f"output is {output!r}; it must be 'real', 'binary' or 'categorical'")


def squared_errors(
    prediction: Float[Array, "*rows outputs"], target: Float[Array, "*rows outputs"], output: Output = "real"
) -> Float[Array, "*rows outputs"]:
    """(p - y)^2, of probabilities where p are logits: Brier's score of each output, which is proper and bounded."""
    if output == "binary":
        prediction = jax.nn.sigmoid(prediction)
    elif output == "categorical":
        prediction = jax.nn.softmax(prediction, axis=-1)
    return jnp.square(prediction - target)


def residuals(
    prediction: Float[Array, "rows outputs"], target: Float[Array, "rows outputs"], output: Output = "real"
) -> Float[Array, "rows outputs"]:
    """Signed roots of the divergences (deviance residuals): p - y for real outputs; positive where p is too high."""
    if output == "real":
        return prediction - target
    mean = jax.nn.sigmoid(prediction) if output == "binary" else jax.nn.softmax(prediction, axis=-1)
    divergence = jnp.maximum(divergences(prediction, target, output), 0)
    floor = max(_ROOT_FLOOR, float(jnp.finfo(divergence.dtype).tiny))
    return jnp.sign(mean - target) * jnp.sqrt(divergence + floor)


def metric_loss(
    values: MetricValues,
    prediction: Float[Array, "rows outputs"],
    target: Float[Array, "rows outputs"],
    output: Output = "real",
) -> Float[Array, ""]:
    """The mean over rows of r^T Lambda r, r the residuals (TaskMet, arXiv 2312.05250, for real outputs).

    With a diagonal metric that is the sum of the outputs' divergences, each times its weight; a full metric also weighs
    joint deviations. For binary and categorical outputs this extension is ours.
    """
    values = values.astype(prediction.dtype)
    if values.ndim == 2:
        rows = jnp.sum(values * divergences(prediction, target, output), axis=-1)
    else:
        r = residuals(prediction, target, output)
        rows = jnp.einsum("ri,rij,rj->r", r, values, r)
    return jnp.mean(rows)
