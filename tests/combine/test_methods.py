"""Each method against its definition, written out in NumPy, over several steps."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.combine import combine_gradients, make_combiner
from polytask.combine.draws import random_orders
from tests.combine.cases import KEY, assert_close

RNG = np.random.default_rng(11)
STEPS, TASKS, PARAMETERS = 5, 3, 6
GRADIENTS = RNG.normal(size=(STEPS, TASKS, PARAMETERS)).astype(np.float32)
LOSSES = RNG.uniform(0.5, 3, size=(STEPS, TASKS)).astype(np.float32)
KEYS = jax.random.split(KEY, STEPS)


@cache
def program(name, **options):
    """All steps at the paper's scale, in one scan."""
    made = make_combiner(name, scale="paper", **options)

    def step(state, inputs):
        g, loss, key, there = inputs
        done = combine_gradients(made, g, loss, state, key=key, present=there)
        return done.state, (done.gradient, done.info)

    def scan(gradients, losses, keys, present):
        first = made.init(jnp.zeros(gradients.shape[2:]), losses.shape[1])
        return jax.lax.scan(step, first, (gradients, losses, keys, present))

    return jax.jit(scan)


def run(name, gradients=GRADIENTS, losses=LOSSES, keys=KEYS, present=None, **options):
    """What each step gives, and the last state, in NumPy."""
    present = np.ones(losses.shape, bool) if present is None else present
    state, (combined, info) = jax.device_get(program(name, **options)(gradients, losses, keys, present))
    return combined, info, state


def constant(values, steps, tasks=TASKS):
    """The same gradients and losses at every step."""
    gradients = np.broadcast_to(values, (steps, *np.shape(values))).astype(np.float32)
    return {"gradients": gradients, "keys": jax.random.split(KEY, steps)}


class Adam:
    """Kingma & Ba, Algorithm 1, in float64."""

    def __init__(self, rate):
        self.rate, self.m, self.v, self.t = rate, 0.0, 0.0, 0

    def __call__(self, value, gradient):
        self.t += 1
        self.m = 0.9 * self.m + 0.1 * gradient
        self.v = 0.999 * self.v + 0.001 * gradient**2
        return value - self.rate * (self.m / (1 - 0.9**self.t)) / (np.sqrt(self.v / (1 - 0.999**self.t)) + 1e-8)


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def test_linear_weights():
    for name, weights, options in (
        ("sum", [1, 1, 1], {}),
        ("mean", [1 / 3] * 3, {}),
        ("constant", [2, 0, -1], {"weights": (2.0, 0.0, -1.0)}),
    ):
        assert_close(run(name, **options)[0], np.einsum("t,stp->sp", np.float64(weights), GRADIENTS))


@pytest.mark.parametrize("distribution", ["normal", "dirichlet"])
def test_rlw_draws_what_it_says(distribution):
    made = make_combiner("rlw", distribution=distribution, scale="paper")
    draw = jax.jit(jax.vmap(lambda k: combine_gradients(made, jnp.zeros((3, 1)), jnp.ones(3), (), key=k).info))
    weights = np.asarray(draw(jax.random.split(KEY, 4000))["weights"])
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(weights.mean(0), 1 / 3, atol=0.02)
    if distribution == "dirichlet":  # the flat one: variance (n - 1) / (n^2 (n + 1))
        np.testing.assert_allclose(weights.var(0), 2 / 36, rtol=0.08)
    else:
        log_ratio = np.log(weights[:, 0] / weights[:, 1])
        np.testing.assert_allclose(log_ratio.var(), 2, rtol=0.1)


@pytest.mark.parametrize(("name", "limit"), [("uw", lambda loss: 1 / (2 * loss)), ("imtl_l", lambda loss: 1 / loss)])
def test_learned_weights_arrive_at_their_optimum(name, limit):
    losses = np.broadcast_to(np.float32([0.1, 1, 20]), (600, 3))
    zeros = constant(np.zeros((3, 1)), 600)
    _, info, _ = run(name, losses=losses, learning_rate=0.03, **zeros)
    np.testing.assert_allclose(info["weights"][0], {"uw": 0.5, "imtl_l": 1.0}[name])
    np.testing.assert_allclose(info["weights"][-1], limit(losses[0]), rtol=0.05)


def test_dwa():
    _, info, _ = run("dwa", period=2, temperature=2.0)
    means = LOSSES[:4].reshape(2, 2, TASKS).mean(1).astype(np.float64)
    np.testing.assert_allclose(info["weights"][:4], 1, rtol=1e-6)
    np.testing.assert_allclose(info["weights"][4], 3 * softmax(means[1] / means[0] / 2), rtol=1e-5)


@pytest.mark.parametrize("kappa", [0.0, 1.6, 7.5])
def test_lps(kappa):
    _, info, _ = run("lps", period=2, kappa=kappa)
    compressed = np.log(LOSSES[:4].reshape(2, 2, TASKS).mean(1).astype(np.float64) + 1 + 1e-6)
    inverse = compressed[0].sum() / compressed[0]
    rate = compressed[1] / compressed[0] * compressed[0].sum() / compressed[1].sum()
    later = np.maximum(rate.mean() + kappa * (rate - rate.mean()), 0)
    np.testing.assert_allclose(info["weights"][:2], 1, rtol=1e-6)
    np.testing.assert_allclose(info["weights"][2], 3 * inverse / inverse.sum(), rtol=1e-5)
    np.testing.assert_allclose(info["weights"][4], 3 * later / later.sum(), rtol=1e-4)


def test_lps_weighs_the_task_that_lags_more_and_never_below_zero():
    losses = np.ones((6, 3), np.float32)
    losses[2:, 0] = [0.5, 0.5, 0.1, 0.1]
    _, info, _ = run("lps", losses=losses, period=2, kappa=50.0, **constant(np.ones((3, 1)), 6))
    assert info["weights"][4, 0] == 0
    np.testing.assert_allclose(info["weights"].sum(1), 3, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "objective"),
    [
        ("gls", {}, lambda x: jnp.exp(jnp.log(x).mean())),
        ("stch", {"mu": 0.3}, lambda x: 0.3 * jax.nn.logsumexp(x / 3 / 0.3)),
        (
            "stch",
            {"mu": 2.0, "preferences": (1.0, 2.0, 3.0), "ideal": (0.1, 0.2, 0.3)},
            lambda x: 2.0 * jax.nn.logsumexp(jnp.arange(1.0, 4) * (x - jnp.array([0.1, 0.2, 0.3])) / 2.0),
        ),
    ],
)
def test_scalarizations_are_gradients_of_their_objectives(name, options, objective):
    _, info, _ = run(name, **options)
    value, weights = jax.jit(jax.vmap(jax.value_and_grad(objective)))(LOSSES)
    np.testing.assert_allclose(info["weights"], weights, rtol=1e-4)
    np.testing.assert_allclose(info["objective"], value, rtol=1e-4)


def famo_reference(before, after):
    """The weights of each step, given the losses before and after each."""
    logits, adam, weights = np.zeros(TASKS), Adam(0.025), []
    for old, new in zip(before.astype(np.float64), after.astype(np.float64), strict=True):
        z = softmax(logits)
        weights.append(z / old / (z / old).sum())
        delta = np.log(old) - np.log(new)
        logits = adam(logits, z * (delta - z @ delta) + 1e-3 * logits)
    return np.stack(weights)


def test_famo():
    """With the losses after each step, as in the paper; without, the next batch's take their place."""
    after = LOSSES * np.float32([0.9, 0.5, 1.1])
    made = make_combiner("famo", scale="paper")

    def step(state, inputs):
        loss, new = inputs
        done = combine_gradients(made, jnp.zeros((TASKS, 1)), loss, state, key=KEY)
        return made.observe(done.state, new), done.info["weights"]

    _, weights = jax.jit(lambda *x: jax.lax.scan(step, made.init(jnp.zeros(1), TASKS), x))(LOSSES, after)
    np.testing.assert_allclose(weights, famo_reference(LOSSES, after), rtol=1e-4)
    without = run("famo")[1]["weights"]
    np.testing.assert_allclose(without, famo_reference(LOSSES, np.roll(LOSSES, -1, axis=0)), rtol=1e-4)


def test_gradnorm():
    _, info, _ = run("gradnorm", alpha=1.5)
    w, adam, expected = np.ones(TASKS), Adam(0.025), []
    for g, loss in zip(GRADIENTS.astype(np.float64), LOSSES.astype(np.float64), strict=True):
        expected.append(w)
        norms = np.linalg.norm(g, axis=1)
        norms /= norms.max()
        r = loss / LOSSES[0]
        target = (w * norms).mean() * (r / r.mean()) ** 1.5
        w = adam(w, np.sign(w * norms - target) * norms)
        w = TASKS * w / w.sum()
    np.testing.assert_allclose(info["weights"], expected, rtol=1e-4)


def test_gradnorm_with_alpha_zero_makes_lengths_equal():
    gradients = np.eye(3) * [1, 4, 10]
    combined, info, _ = run("gradnorm", losses=np.ones((800, 3), np.float32), alpha=0.0, **constant(gradients, 800))
    np.testing.assert_allclose(combined[-1], combined[-1].mean(), rtol=0.15)
    np.testing.assert_allclose(info["weights"].sum(1), 3, rtol=1e-5)


def test_gradvac():
    beta = 0.3
    combined, info, _ = run("gradvac", beta=beta)
    targets = np.zeros((TASKS, TASKS))
    orders = np.asarray(jax.jit(jax.vmap(lambda key: random_orders(key, TASKS)))(KEYS))
    for step, g in enumerate(GRADIENTS.astype(np.float64)):
        total = np.zeros(PARAMETERS)
        for i, order in enumerate(orders[step]):
            turned = g[i].copy()
            for j in order[order != i]:
                own, other, t = np.linalg.norm(turned), np.linalg.norm(g[j]), targets[i, j]
                phi = turned @ g[j] / (own * other)
                if phi < t:
                    amount = own * (t * np.sqrt(1 - phi**2) - phi * np.sqrt(1 - t**2)) / (other * np.sqrt(1 - t**2))
                    turned += amount * g[j]
                    assert np.isclose(turned @ g[j] / (np.linalg.norm(turned) * other), t)
                targets[i, j] = (1 - beta) * t + beta * phi
            total += turned
        assert_close(combined[step], total, relative=1e-4)
        np.testing.assert_allclose(info["target_cosine"][step], targets, atol=1e-4)
    assert_close(run("gradvac", beta=0.0)[0], run("pcgrad")[0])


def test_graddrop():
    keys = jax.random.split(KEY, 4000)
    gradients = np.broadcast_to(GRADIENTS[:1], (4000, TASKS, PARAMETERS))
    losses = np.ones((4000, TASKS), np.float32)
    combined, _, _ = run("graddrop", gradients, losses, keys)
    positive, negative = np.maximum(GRADIENTS[0], 0).sum(0), np.minimum(GRADIENTS[0], 0).sum(0)
    kept = np.isclose(combined, positive, rtol=1e-4, atol=1e-6)
    assert (kept | np.isclose(combined, negative, rtol=1e-4, atol=1e-6)).all()
    probability = 0.5 * (1 + GRADIENTS[0].sum(0) / np.abs(GRADIENTS[0]).sum(0))
    np.testing.assert_allclose(kept.mean(0), probability, atol=0.04)
    assert_close(run("graddrop", leak=1.0)[0], GRADIENTS.sum(1))


def test_db_mtl():
    combined, _, _ = run("db_mtl", beta=0.9, sigma=0.5)
    b = np.zeros((TASKS, PARAMETERS))
    for step in range(STEPS):
        decay = 0.9 / (step + 1) ** 0.5
        b = decay * b + (1 - decay) * GRADIENTS[step] / LOSSES[step][:, None].astype(np.float64)
        lengths = np.linalg.norm(b, axis=1)
        assert_close(combined[step], lengths.max() * (b / lengths[:, None]).sum(0), relative=1e-4)


def simplex(y):
    """The Euclidean projection, by bisection on the shift."""
    low, high = y.min() - 1, y.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(y - middle, 0).sum() > 1 else (low, middle)
    return np.maximum(y - low, 0)


def test_moco():
    combined, info, _ = run("moco", beta=0.5, gamma=0.1, rho=0.2)
    y, weights = np.zeros((TASKS, PARAMETERS)), np.full(TASKS, 1 / TASKS)
    for step in range(STEPS):
        root = (step + 1) ** 0.5
        y += 0.5 / root * (GRADIENTS[step] - y)
        weights = simplex(weights - 0.1 / root * (y @ y.T + 0.2 * np.eye(TASKS)) @ weights)
        assert_close(combined[step], weights @ y, relative=1e-4)
    assert not np.isnan(info["weights"]).any()


def test_modo():
    other = RNG.normal(size=GRADIENTS.shape).astype(np.float32)
    made = make_combiner("modo", scale="paper", gamma=0.05, rho=0.1)

    def step(state, inputs):
        g, h = inputs
        done = combine_gradients(made, g, jnp.ones(TASKS), state, key=KEY, independent=h)
        return done.state, done.gradient

    _, combined = jax.jit(lambda *x: jax.lax.scan(step, made.init(None, TASKS), x))(GRADIENTS, other)
    weights = np.full(TASKS, 1 / TASKS)
    for g, h, d in zip(GRADIENTS.astype(np.float64), other, combined, strict=True):
        weights = simplex(weights - 0.05 * (g @ h.T @ weights + 0.1 * weights))
        assert_close(d, weights @ g, relative=1e-4)


@pytest.mark.parametrize(("name", "options"), [("modo", {"gamma": 0.05}), ("moco", {"gamma_sigma": 0.0})])
def test_on_fixed_gradients_the_tracked_weights_arrive_at_the_shortest_vector(name, options):
    gradients = np.float32([[1, 0.5, 0], [-0.2, 1, 0.3], [0.6, -0.1, 1]])
    fixed = {"losses": np.ones((500, 3), np.float32), **constant(gradients, 500)}
    assert_close(run(name, **fixed, **options)[0][-1], run("mgda", **fixed)[0][-1], relative=2e-3)


def test_excess_mtl():
    combined, info, _ = run("excess_mtl", step_size=0.7)
    squares, weights, first = np.zeros((TASKS, PARAMETERS)), np.full(TASKS, 1 / TASKS), None
    for step, g in enumerate(GRADIENTS.astype(np.float64)):
        squares += g**2
        excess = (g**2 / np.sqrt(squares)).sum(1)
        if first is None:
            first = excess
        else:
            weights = weights * np.exp(0.7 * excess / first)
            weights /= weights.sum()
        np.testing.assert_allclose(info["weights"][step], weights, rtol=1e-4)
        assert_close(combined[step], weights @ g, relative=1e-4)


MANY_STEPS = [
    ("lps", {"period": 2}), ("dwa", {"period": 2, "temperature": 2.0}), ("uw", {}), ("imtl_l", {}),
    ("famo", {}), ("gradnorm", {"alpha": 1.5}), ("gradvac", {"beta": 0.3}), ("db_mtl", {"beta": 0.9, "sigma": 0.5}),
    ("moco", {"beta": 0.5, "gamma": 0.1, "rho": 0.2}), ("modo", {}), ("excess_mtl", {"step_size": 0.7}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), MANY_STEPS)
def test_a_task_that_never_comes_leaves_no_trace_in_the_state(name, options):
    """Over several steps, in which another task is absent now and then."""
    present = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1], [1, 1, 1]], bool)
    nan = np.full((STEPS, 2), np.nan, np.float32)
    expected, info, _ = run(name, present=present, **options)
    combined, _, state = run(
        name,
        np.concatenate([GRADIENTS, np.broadcast_to(nan[..., None], (STEPS, 2, PARAMETERS))], axis=1),
        np.concatenate([LOSSES, nan], axis=1),
        present=np.concatenate([present, np.zeros((STEPS, 2), bool)], axis=1),
        **options,
    )
    assert_close(combined, expected, relative=1e-4)
    assert not info["nonfinite"].any()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
