"""What TaskMet costs and how exact it is, on Cubic. Prints the tables of docs/task_losses.md.

    python benchmarks/taskmet.py results      # ten seeds of every method, as one program each
    python benchmarks/taskmet.py speed        # an outer step against a direct 2x2 solve plus the inner loop
    python benchmarks/taskmet.py residual     # the error of the gradient where the inner loop stops early
    python benchmarks/taskmet.py omd          # OMD's inverse by conjugate gradients: what it costs, how exact it is

The yardstick of `speed` is written out by hand for a line: the inner loop by its explicit gradient, the Hessian and the
mixed derivative in closed form, one 2x2 solve. Both take turns in one process, and what is printed is the ratio.
"""

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from polytask.losses import (
    conjugate_gradient,
    dfl,
    direct,
    hypergradient,
    optimal_model_gradient,
    raise_failures,
    run,
    task_loss_of,
)
from polytask.losses.learner import draw, take
from polytask.losses.optimiser import optimiser_step
from polytask.losses.quality import decision_quality
from polytask.problems import cartpole, cubic
from polytask.problems.model_agent import Agent, Settings, Transitions, make_agent
from polytask.problems.model_training import draws

SEEDS, STEPS = 10, 1000
INNER, BATCH, RIDGE = 100, 10, 1e-5


def results() -> None:
    """Decision quality, squared error, flips and seconds of each method."""
    keys = jax.vmap(jax.random.key)(jnp.arange(SEEDS))

    def slow_dfl(key: Array, weight: float) -> Any:
        """DFL at a tenth of the learning rate."""
        key_train, key_test, key_line, key_run, key_random = jax.random.split(key, 5)
        loss = task_loss_of(cubic.cubic_problem())
        line = eqx.nn.Linear(1, 1, key=key_line)
        learner = dfl(line, loss, error_weight=weight, optimiser=optax.adam(0.01))
        state, history = run(learner, cubic.cubic(key_train, cubic.TRAIN), key_run, STEPS)
        test = cubic.cubic(key_test, cubic.TEST)
        return decision_quality(cubic.cubic_problem(), learner.predictor(state), test, key_random), state, history

    ways: dict[str, Callable[[Array], Any]] = {
        name: lambda key, name=name: cubic.run_cubic(name, key, STEPS) for name in cubic.METHODS
    }
    ways["dfl, lr 0.01"] = lambda key: slow_dfl(key, 0.0)
    ways["dfl+mse, lr 0.01"] = lambda key: slow_dfl(key, 1.0)
    print("| method | decision quality | worst seed | lines that rise | squared error | s per seed |")
    print("|---|---|---|---|---|---|")
    for name, way in ways.items():
        program = jax.jit(jax.vmap(way)).lower(keys).compile()
        start = time.perf_counter()
        quality, state, _ = jax.block_until_ready(program(keys))
        seconds = (time.perf_counter() - start) / SEEDS
        raise_failures(state.failure)
        decisions, rising = np.asarray(quality.decision), int((state.parameters.weight > 0).sum())
        print(
            f"| {name} | {decisions.mean():.3f} ± {decisions.std(ddof=1):.3f} | {decisions.min():.3f} | "
            f"{rising} of {SEEDS} | {quality.squared_error.mean():.2f} | {seconds:.2f} |",
            flush=True,
        )


def by_hand(key: Array, outer_steps: int) -> Array:
    """TaskMet on Cubic written out for a line, without the library: the yardstick of `speed`."""
    key_train, key_metric, key_run = jax.random.split(key, 3)
    data, loss = cubic.cubic(key_train, cubic.TRAIN), task_loss_of(cubic.cubic_problem())
    network = eqx.nn.MLP(1, 1, 200, 1, key=key_metric)
    phi, static = eqx.partition((network, jnp.float32(0)), eqx.is_inexact_array)
    inner_adam, outer_adam = optax.adam(0.1), optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))

    def weights(phi: Any, x: Array) -> Array:
        net, floor = eqx.combine(phi, static)
        return jnp.square(jax.vmap(net)(x.reshape(-1, 1))).reshape(x.shape[:-1]) + jnp.exp(floor)

    def gradient(theta: Array, w: Array, x: Array, y: Array) -> Array:
        error = 2 * w * (theta[0] * x[..., 0] + theta[1] - y[..., 0])
        return jnp.stack([jnp.mean(error * x[..., 0]), jnp.mean(error)])

    def outer(carry: Any, number: Array) -> tuple[Any, Array]:
        theta, inner_state, phi, outer_state = carry
        own = jax.random.fold_in(key_run, number)
        every = weights(phi, data.x)

        def inner(i: Array, pair: Any) -> Any:
            index = draw(cubic.TRAIN, BATCH, jax.random.fold_in(own, i))
            found = gradient(pair[0], every[index], data.x[index], data.y[index])
            return optimiser_step(inner_adam, pair[0], found, pair[1])

        theta, inner_state = jax.lax.fori_loop(0, INNER, inner, (theta, inner_state))
        index = draw(cubic.TRAIN, BATCH, jax.random.fold_in(own, INNER))
        x, y = data.x[index], data.y[index]
        value = lambda t: jnp.mean(jax.vmap(loss, (0, 0, None))(t[0] * x + t[1], y, None))  # noqa: E731
        task, g = jax.value_and_grad(value)(theta)
        w = weights(phi, x)
        cross = jnp.mean(2 * w * x[..., 0])
        hessian = jnp.array([[jnp.mean(2 * w * x[..., 0] ** 2), cross], [cross, jnp.mean(2 * w)]])
        u = jnp.linalg.solve(hessian @ hessian + RIDGE * jnp.eye(2), hessian @ g)
        slope = jax.grad(lambda p: -jnp.vdot(u, gradient(theta, weights(p, x), x, y)))(phi)
        phi, outer_state = optimiser_step(outer_adam, phi, slope, outer_state)
        return (theta, inner_state, phi, outer_state), task

    theta = jnp.zeros(2)
    start = (theta, inner_adam.init(theta), phi, outer_adam.init(phi))
    return jax.lax.scan(outer, start, jnp.arange(outer_steps))[1]


def speed(repeats: int = 5, steps: int = 30) -> None:
    """Milliseconds of an outer step of ten vmapped seeds, in turns."""
    keys = jax.vmap(jax.random.key)(jnp.arange(SEEDS))
    solvers = {"conjugate gradients, 5 steps": conjugate_gradient(), "direct": direct()}
    ways: dict[str, Callable[[Array], Any]] = {"by hand": lambda key: by_hand(key, steps)}
    for name, solver in solvers.items():
        learner = lambda key, s=solver: cubic.cubic_learner("taskmet", key, s)  # noqa: E731
        # 400 steps more are taken before the first outer step; they are four steps' worth of inner loop.
        ways[name] = lambda key, make=learner: run(make(key), cubic.cubic(key, cubic.TRAIN), key, steps - 4)[1]
    programs = {name: jax.jit(jax.vmap(way)).lower(keys).compile() for name, way in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(repeats):
        for name, program in programs.items():
            start = time.perf_counter()
            jax.block_until_ready(program(keys))
            times[name].append(time.perf_counter() - start)
    base = times["by hand"]
    print("| | ms per outer step and seed | ratio to by hand |\n|---|---|---|")
    for name, taken in times.items():
        each = 1e3 * statistics.median(taken) / steps / SEEDS
        ratios = [a / b for a, b in zip(taken, base, strict=True)]
        print(f"| {name} | {each:.2f} | {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |")


def residual() -> None:
    """The relative error of the hypergradient after n inner steps, on a full batch of Cubic under a drawn metric."""
    key = jax.random.key(0)
    data = cubic.cubic(key, 40)
    problem = cubic.cubic_problem(epsilon=0.1)
    loss = task_loss_of(problem)
    network = eqx.nn.MLP(1, 1, 16, 1, key=jax.random.key(1))
    phi, static = eqx.partition(network, eqx.is_inexact_array)
    x, y = data.x.reshape(-1, 1), data.y.reshape(-1)

    def inner(theta: Array, phi: Any) -> Array:
        w = jnp.square(jax.vmap(eqx.combine(phi, static))(x)[:, 0]) + 0.5
        return jnp.mean(w * jnp.square(theta[0] * x[:, 0] + theta[1] - y))

    def outer(theta: Array) -> Array:
        return jnp.mean(jax.vmap(loss, (0, 0, None))(theta[0] * data.x + theta[1], data.y, None))

    def reached(steps: int) -> Array:
        step = lambda theta, _: (theta - 0.2 * jax.grad(inner)(theta, phi), None)  # noqa: E731
        return jax.lax.scan(step, jnp.array([1.0, 1.0]), length=steps)[0]

    find = jax.jit(lambda theta: hypergradient(inner, outer, theta, phi, direct()))
    exact = find(reached(500)).gradient
    size = optax.tree.norm(exact)
    print("| inner steps | inner residual | relative error of the gradient |\n|---|---|---|")
    for steps in (0, 2, 5, 10, 20, 40, 80):
        found = find(reached(steps))
        error = optax.tree.norm(optax.tree.sub(found.gradient, exact)) / size
        print(f"| {steps} | {found.inner_residual:.1e} | {error:.1e} |")


def played(settings: Settings, key: Array) -> tuple[Transitions, Array]:
    """Transitions of a random policy on CartPole, and the places of a minibatch for each."""
    drawn = draws(settings, key, settings.steps)

    def step(before: cartpole.Episode, now: Any) -> tuple[cartpole.Episode, Transitions]:
        after, fell = cartpole.advance(before, now.action, now.noise)
        row = Transitions(before.observation, now.action, after.observation, 1 - fell.astype(jnp.float32))
        fresh = cartpole.start(now.state, now.fresh_noise)
        return jax.tree.map(lambda a, b: jnp.where(fell, a, b), fresh, after), row

    begin = cartpole.start(drawn.state[0], drawn.fresh_noise[0])
    return jax.lax.scan(step, begin, drawn)[1], (drawn.rows * settings.steps).astype(jnp.int32)


def omd(seeds: int = 5, warm: int = 2000, steps: int = 30) -> None:
    """An update of the CartPole agent and the inverse that it finds, by iterations; the agent was trained by OMD."""
    settings = Settings("omd", 0, warm, evaluate_every=warm)
    learning = make_agent(settings, jax.random.key(0))[0]

    def trained(inverse: int | None, agent: Agent, data: Transitions, index: Array) -> Agent:
        method = "omd" if inverse is None else "omd-cg"
        own = dataclasses.replace(
            learning, settings=dataclasses.replace(settings, method=method, inverse_steps=inverse or 1)
        )

        def step(agent: Agent, chosen: Array) -> tuple[Agent, None]:
            return own.update(agent, take(data, chosen), jnp.int32(1), jnp.float32(0))[0], None

        return jax.lax.scan(step, agent, index)[0]

    def gap(inverse: int, agent: Agent, data: Transitions, index: Array) -> Array:
        batch = take(data, index[0])
        return optimal_model_gradient(
            lambda q, model: learning.bellman_under(q, model, agent.target, batch),
            lambda q: learning.true_bellman(q, agent.target, batch),
            agent.q,
            agent.model,
            conjugate_gradient(inverse),
        ).solve_residual

    keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
    data, index = jax.jit(jax.vmap(lambda key: played(settings, key)))(keys)
    agents = jax.jit(jax.vmap(lambda key: make_agent(settings, key)[1]))(keys)
    agents = jax.jit(jax.vmap(lambda *given: trained(None, *given)))(agents, data, index)
    few = index[:, :steps]
    programs = {
        inverse: jax.jit(jax.vmap(lambda *given, i=inverse: trained(i, *given))).lower(agents, data, few).compile()
        for inverse in (None, 10, 100)
    }
    times = {inverse: [] for inverse in programs}
    for _ in range(5):
        for inverse, program in programs.items():
            start = time.process_time()
            jax.block_until_ready(program(agents, data, few))
            times[inverse].append(1e3 * (time.process_time() - start) / steps)
    print(f"| inverse | ms of processor time per update of {seeds} seeds | ratio | residual |\n|---|---|---|---|")
    for inverse, taken in times.items():
        ratio = statistics.median(a / b for a, b in zip(taken, times[None], strict=True))
        left = ""
        if inverse is not None:
            found = jax.jit(jax.vmap(lambda *given, i=inverse: gap(i, *given)))(agents, data, few)
            left = f"{found.mean():.2f} ({found.min():.2f} to {found.max():.2f})"
        print(f"| {inverse or 'identity'} | {statistics.median(taken):.1f} | {ratio:.0f} | {left} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=("results", "speed", "residual", "omd"))
    {"results": results, "speed": speed, "residual": residual, "omd": omd}[parser.parse_args().table]()
