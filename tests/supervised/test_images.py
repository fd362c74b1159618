"""Tasks with a label at every pixel: losses, what is counted, images read as they are needed, and a run of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.combine import make_combiner
from polytask.networks import EncoderDecoder
from polytask.supervised import HeadSpec, OptimiserConfig, SupervisedConfig, TrunkConfig
from polytask.supervised.dense import counts, judged, pixel_losses
from polytask.supervised.examples import mirrored
from polytask.supervised.pictures import drawn, no_pictures
from polytask.supervised.problem import make_image_problem
from polytask.supervised.spec import groups
from polytask.supervised.training import advance, init, make_setup

TASKS = (
    HeadSpec("kind", "segmentation", 3),
    HeadSpec("far", "depth"),
    HeadSpec("facing", "normals", 3),
    HeadSpec("inside", "mask"),
)
COUNT, HEIGHT, WIDTH = 12, 8, 12


def arrays(seed=0):
    """Images of squares: the label of each task can be told from the colours."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (COUNT, HEIGHT, WIDTH, 3), np.uint8)
    inside = np.zeros((COUNT, HEIGHT, WIDTH), np.uint8)
    for i in range(COUNT):
        row, column = rng.integers(0, HEIGHT - 4), rng.integers(0, WIDTH - 4)
        inside[i, row : row + 4, column : column + 4] = 1
    images[..., 0] += 150 * inside
    facing = np.zeros((COUNT, HEIGHT, WIDTH, 3), np.int8)
    facing[..., 2] = 127 * (1 - inside)
    facing[..., 0] = 127 * inside
    labels = {"kind": inside * 2, "far": 1000 + 2000 * inside.astype(np.uint16), "facing": facing, "inside": inside}
    return images, labels


def problem(tasks=TASKS, **changes):
    images, labels = arrays()
    index = np.arange(COUNT)
    parts = index[:6], index[6:9], index[9:]
    return make_image_problem(
        "squares", tasks, images, labels | changes, parts, "ab12", {"far": 1e-3, "facing": 1 / 127}
    )


def perfect(examples):
    """Outputs that say the labels."""
    kind, far, facing, inside = examples.targets
    shares = [20 * jax.nn.one_hot(kind[..., 0], 3), far[..., 0, :], facing[..., 0, :], 40 * inside[..., 0, :] - 20]
    return jnp.concatenate(shares, axis=-1)


def by_group(examples, outputs):
    for group, target in zip(groups(TASKS), examples.targets, strict=True):
        own = outputs[..., group.start : group.stop]
        yield group, own.reshape(*outputs.shape[:-1], len(group.tasks), group.outputs), target


def test_labels_are_read_in_their_units():
    images, labels = arrays()
    got = problem().validation.take(np.array([2, 0]))
    np.testing.assert_allclose(got.inputs, images[[8, 6]] / 255, rtol=1e-6)
    np.testing.assert_array_equal(got.targets[0][..., 0], labels["kind"][[8, 6]])
    np.testing.assert_allclose(got.targets[1][..., 0, 0], labels["far"][[8, 6]] / 1000, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(got.targets[2], axis=-1), 1, rtol=1e-6)


def test_labels_that_are_said_have_no_loss_and_full_score():
    examples = problem().test.whole()
    for group, given, target in by_group(examples, perfect(examples)):
        np.testing.assert_allclose(pixel_losses(group, given, target), 0, atol=1e-4)
        found = judged(group.kind, counts(group, given, target).sum(0))
        np.testing.assert_allclose(found.score, 1, atol=1e-6)
        np.testing.assert_allclose(found.error, 0, atol=0.1)


def test_what_is_wrong_is_counted_as_the_metrics_have_it():
    examples = problem().test.whole()
    constant = jnp.zeros((3, HEIGHT, WIDTH, 8)).at[..., 0].set(1.0).at[..., 3].set(2.0).at[..., 6].set(1.0)
    share = 16 / (HEIGHT * WIDTH)
    found = {g.kind: judged(g.kind, counts(g, o, t).sum(0)) for g, o, t in by_group(examples, constant)}
    np.testing.assert_allclose(found["segmentation"].score, (1 - share) / 2, rtol=1e-5)  # of two classes one is found
    np.testing.assert_allclose(found["segmentation"].error, share, rtol=1e-5)
    np.testing.assert_allclose(found["depth"].error, 1.0, rtol=1e-5)
    np.testing.assert_allclose(found["normals"].error, 90 * share, rtol=1e-4)
    np.testing.assert_allclose(found["mask"].score, 2 * share / (1 + share), rtol=1e-5)  # all is taken for the mask


def test_missing_pixels_take_no_part():
    _, labels = arrays()
    there = problem().test.whole()
    blanked = {"kind": labels["kind"].copy(), "far": labels["far"].copy(), "facing": labels["facing"].copy()}
    blanked["kind"][:, :4], blanked["far"][:, :4], blanked["facing"][:, :4] = 255, 0, 0
    half = problem(**blanked).test.whole()
    wrong = perfect(there).at[:, :4].set(7.0)
    for group, given, target in list(by_group(half, wrong))[:3]:
        np.testing.assert_allclose(pixel_losses(group, given, target), 0, atol=1e-4)
        assert judged(group.kind, counts(group, given, target).sum(0)).score == pytest.approx(1, abs=1e-6)


def test_an_image_without_a_label_at_all_has_no_loss_and_a_finite_derivative():
    examples = problem().test.whole()
    empty = [jnp.full_like(examples.targets[0], 255), *(jnp.zeros_like(t) for t in examples.targets[1:])]
    zero = jnp.zeros((3, HEIGHT, WIDTH, 8))

    def total(outputs):
        pieces = by_group(type(examples)(examples.inputs, tuple(empty), examples.present), outputs)
        return sum(pixel_losses(*one).sum() for one in pieces)

    assert np.isfinite(jax.grad(total)(zero)).all()


def test_mirrored_twice_is_the_same_and_normals_turn():
    examples = problem().train.whole()
    flip = jnp.array([True, False] * 3)
    once = mirrored(TASKS, examples, flip)
    np.testing.assert_array_equal(once.inputs[0], examples.inputs[0, :, ::-1])
    np.testing.assert_array_equal(once.targets[2][0, ..., 0], -examples.targets[2][0, :, ::-1, :, 0])
    for one, other in zip(jax.tree.leaves(mirrored(TASKS, once, flip)), jax.tree.leaves(examples), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shape", [(8, 12, 3), (9, 7, 3)])
def test_features_stand_at_every_pixel(shape):
    def features():
        return EncoderDecoder(shape, 2, 2, key=jax.random.key(0))(jnp.zeros((2, *shape)))

    assert jax.eval_shape(features).shape == (2, *shape[:2], 2)


def test_what_cannot_be_is_said():
    with pytest.raises(ValueError, match="cannot be halved 4 times"):
        EncoderDecoder((8, 12, 3), 2, 4, key=jax.random.key(0))
    with pytest.raises(ValueError, match="normals has 3 outputs"):
        HeadSpec("facing", "normals")
    with pytest.raises(ValueError, match="do not mix"):
        groups((HeadSpec("a", "mask"), HeadSpec("b", "binary")))
    with pytest.raises(ValueError, match=r"'far': labels are \(12, 8\)"):
        problem(far=np.zeros((COUNT, HEIGHT)))


@pytest.fixture(scope="module")
def learned():
    """A setup of two of the tasks, its state after 200 steps, and what was measured."""
    own = problem().only(["far", "inside"])
    config = SupervisedConfig(
        trunk=TrunkConfig(width=8, depth=1),
        optimiser=OptimiserConfig(learning_rate=1e-2),
        batch_size=3,
        steps=200,
        eval_every=200,
    )
    setup = make_setup(own, config, make_combiner("sum"))
    state, found = jax.jit(lambda: advance(setup, init(setup, jax.random.key(0)), jax.random.key(1)))()
    return setup, state, found


def test_pixels_are_learned_from_stored_images(learned):
    _, _, found = learned
    assert (found.test.score > 0.9).all()
    assert found.test.rows.tolist() == [3, 3]


def test_pictures_show_image_label_and_prediction(learned):
    setup, state, _ = learned
    examples = setup.problem.test.whole()
    outputs = np.asarray(setup.model(state.best)(examples.inputs))
    tiles = drawn(setup.problem.tasks, examples, outputs)
    assert tiles.shape == no_pictures(setup.problem).shape == (3, 5, HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(tiles[:, 0], arrays()[0][9:])
    np.testing.assert_array_equal(tiles[:, 3, ..., 0], 255 * arrays()[1]["inside"][9:])
    assert np.abs(tiles[:, 3].astype(int) - tiles[:, 4]).mean() < 40


@pytest.mark.slow
def test_a_run_of_images_resumes_exactly_and_shows_pictures(tmp_path):
    from tests.small import command

    whole, halves = tmp_path / "whole", tmp_path / "halves"
    own = ["problems/tests.supervised.test_images:problem", "--tasks", "kind", "facing", "--trunk.width", "2"]
    fast = ["--trunk.depth", "1", "--batch-size", "4", "--eval-every", "2", "--no-tensorboard"]
    code, out, err = command("train", *own, *fast, "--steps", "4", "--run", str(whole), report=True)
    assert (code, err) == (0, "")
    assert "of memory for a step" in out
    assert command("train", *own, *fast, "--steps", "2", "--run", str(halves))[0] == 0
    assert command("resume", str(halves), "--steps", "4")[0] == 0
    assert command("diff", str(whole), str(halves))[0] == 0
    page = (whole / "report.html").read_text()
    assert page.count('class="tile"') == 3 * 5
    code, out, _ = command("evaluate", str(whole))
    assert code == 0
    for said in ("mIoU", "in 11.25°", "degrees"):
        assert said in out
