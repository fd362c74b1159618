"""What a combiner is: task gradients (and losses) to one gradient, as pure functions with an explicit state."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

Scale = Literal["sum", "mean", "paper"]
"""How long the combined gradient is. T tasks with one and the same gradient g give T g ("sum"), g ("mean"), or what the
method's paper prints ("paper"). Learning rates can be compared between methods only at one and the same scale."""

Info = dict[str, Array]
"""What a method can tell about a step: always "weights" where it weighs; "residual" where it solves a problem: the
optimality residual (KKT or duality gap), relative to the problem's own scale, so that 0 is exact and 1e-6 is good."""

Response = Callable[[Float[Array, ""]], Float[Array, ""]]
"""What a method makes of n tasks with one and the same gradient g, as a multiple of g: n -> multiple."""


class Inputs(NamedTuple):
    """What a weighting may look at, for T tasks.

    `present` marks the tasks that take part in this step; the others have arbitrary gramian rows and losses, get weight
    zero and leave their part of the state untouched. The Gramian is normalised to a largest diagonal of one, so that
    gradients of any scale stay within float32 (all is in JAX's default float type): the true one is
    scale**2 * gramian. `cross` is J J'^T, with J' the task gradients of an independent batch, normalised like the
    Gramian; only where the caller gives such a batch.
    """

    gramian: Float[Array, "tasks tasks"]
    losses: Float[Array, " tasks"]
    present: Bool[Array, " tasks"]
    key: PRNGKeyArray
    scale: Float[Array, ""] | float = 1.0
    cross: Float[Array, "tasks tasks"] | None = None


class Weighting(NamedTuple):
    """Weights from the Gramian of the task gradients, or from the losses alone.

    - `needs`: "losses" promises never to look at `inputs.gramian` (it is zero then): one backward pass suffices.
    - `init(tasks)`: the first state, a pytree of arrays.
    - `weigh(inputs, state)`: weights (tasks,) as the paper scales them, zero for absent tasks; the next state; what
      there is to tell.
    - `response`: see `Response`; None where it depends on the data: the weights are then divided by their sum.
    - `positive`: the method takes logarithms of losses, or divides by them: a loss that is not positive is a fault.
    - `observe(state, losses, present)`: the next state, given the losses after the step on the same batch.
    - `independent`: the method looks at `inputs.cross`, and is biased without.
    """

    needs: Literal["losses", "gramian"]
    init: Callable[[int], Any]
    weigh: Callable[[Inputs, Any], tuple[Float[Array, " tasks"], Any, Info]]
    response: Response | None = None
    positive: bool = False
    observe: Callable[[Any, Float[Array, " tasks"], Bool[Array, " tasks"]], Any] | None = None
    independent: bool = False


class Aggregator(NamedTuple):
    """One gradient from per-task gradients; for methods that no weights express.

    - `init(params, tasks)`: the first state; `params` gives the gradient's structure.
    - `aggregate(gradients, losses, present, key, state)`: `gradients` is like the parameters with a leading task axis,
      zero for absent tasks.
    - `response`: see `Response`; None where it depends on the data: the gradient is then divided by the sum of
      info["weights"].
    - `positive`: as in `Weighting`.
    """

    init: Callable[[PyTree, int], Any]
    aggregate: Callable[
        [PyTree, Float[Array, " tasks"], Bool[Array, " tasks"], PRNGKeyArray, Any], tuple[PyTree, Any, Info]
    ]
    response: Response | None = None
    positive: bool = False


class Selector(NamedTuple):
    """One of several gradients, chosen by the losses that a step along each would lead to.

    - `init(params, tasks)`: the first state; `params` gives the gradient's structure.
    - `select(scale, gradients, losses, present, key, state, losses_after)`: the gradient at that scale; the rest as in
      `Aggregator`. `losses_after(gradient)` is the task losses after a step along a gradient.
    - `learning_rate`: of the step of gradient descent that is looked at, where the caller gives no other step.
    - `step_own`: whether the step that is looked at also changes what tasks do not share.
    """

    init: Callable[[PyTree, int], Any]
    select: Callable[..., tuple[PyTree, Any, Info]]
    learning_rate: float | None
    step_own: bool
    positive: bool = True


@dataclasses.dataclass(frozen=True)
class Combiner:
    """A method at a scale; made by `make_combiner`.

    A trainer serves all methods alike if it asks two questions: `needs_independent`, and `observes`.
    """

    name: str
    method: Weighting | Aggregator | Selector
    scale: Scale

    @property
    def needs_independent(self) -> bool:
        """Whether the method is unbiased only with the losses on a second batch, `combined_gradient`'s
        `independent`."""
        return isinstance(self.method, Weighting) and self.method.independent

    @property
    def observes(self) -> bool:
        """Whether the method learns from the losses after the optimiser's step: give them to `observe`."""
        return isinstance(self.method, Weighting) and self.method.observe is not None

    def init(self, params: PyTree, tasks: int, *, shared: PyTree | None = None) -> PyTree:
        """The first state for `tasks` tasks: a pytree of arrays, for `jit`, `scan` and checkpoints.

        - `params`: leaves that are no arrays of floats have no gradient, and so no part in the state.
        - `shared`: which leaves of `params` are combined, as in `combined_gradient`.
        """
        if isinstance(self.method, Weighting):
            return self.method.init(tasks)
        trained = eqx.filter(params, eqx.is_inexact_array)
        return self.method.init(trained if shared is None else eqx.filter(trained, shared), tasks)

    def observe(
        self, state: PyTree, losses: Float[Array, " tasks"], present: Bool[Array, " tasks"] | None = None
    ) -> PyTree:
        """The next state, given the losses after the optimiser's step on the same batch. Only FAMO learns from them,
        and it also runs without. Where a present task's loss cannot be learned from, the state stays as it was."""
        if not isinstance(self.method, Weighting) or self.method.observe is None:
            return state
        losses = losses.astype(float)
        present = jnp.ones(losses.shape, bool) if present is None else present
        fault = (present & ~(jnp.isfinite(losses) & ((losses > 0) | (not self.method.positive)))).any()
        after = self.method.observe(state, losses, present)
        return jax.tree.map(lambda old, new: jnp.where(fault, old, new), state, after)


class Combined(NamedTuple):
    """The combined gradient, like the parameters; the task losses; what the loss function gave beside them; the
    combiner's next state; and what there is to tell: "weights" (where the method weighs; as applied, at the combiner's
    scale), "nonfinite" (the present tasks whose loss or gradient is NaN or infinite, or whose loss is not positive
    where the method needs that), "losses" (by name, where the loss function gave a dictionary or a list) and the
    method's own entries. The gradient has the parameters' types, and None where they are no arrays of floats."""

    gradient: PyTree
    losses: Float[Array, " tasks"]
    aux: Any
    state: PyTree
    info: dict[str, Any]
