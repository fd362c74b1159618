"""What PyEPO's generators (arXiv 2206.14234) have in common, by its description."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


def polynomial(
    key: PRNGKeyArray,
    instances: int,
    problem_key: PRNGKeyArray,
    *,
    outputs: int,
    features: int,
    degree: int,
    width: float,
) -> tuple[Float[Array, "instances features"], Float[Array, "instances outputs"], Float[Array, "instances outputs"]]:
    """x ~ N(0, I_p), ((B x) / sqrt p + 3)^degree with B Bernoulli(1/2), and noise ~ U[1 - width, 1 + width].

    - `problem_key`: of the matrix B; the same for training and test data.
    """
    key_x, key_noise = jax.random.split(key)
    x = jax.random.normal(key_x, (instances, features))
    mix = jax.random.bernoulli(problem_key, 0.5, (features, outputs)).astype(jnp.float32)
    noise = jax.random.uniform(key_noise, (instances, outputs), minval=1 - width, maxval=1 + width)
    return x, (x @ mix / jnp.sqrt(jnp.float32(features)) + 3) ** degree, noise
