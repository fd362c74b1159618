"""Atari 2600 games (the Arcade Learning Environment, Bellemare et al. 2013, arXiv 1207.4708), played in EnvPool."""

from typing import TYPE_CHECKING

import numpy as np

from polytask.tasks.options import TaskOptions
from polytask.tasks.spaces import Choices, Image
from polytask.tasks.spec import TaskSpec
from polytask.tasks.suite import EnvPoolTask, Suite

if TYPE_CHECKING:
    import gymnasium

SKIP = 4
"""Frames of the emulator for each action, unless told otherwise."""
FRAMES = 108_000
"""Frames of the emulator after which an episode is truncated: half an hour of play (Mnih et al. 2015)."""

# Game, actions of its minimal set in EnvPool 1.2.5, and the scores of random play and of a human tester, episodes
# beginning with up to 30 no-ops: those that DQN Zoo normalises by, dqn_zoo/atari_data.py at
# github.com/google-deepmind/dqn_zoo, commit 359945d.
_SCORED = """
alien 18 227.8 7127.7, amidar 10 5.8 1719.5, assault 7 222.4 742.0, asterix 9 210.0 8503.3,
asteroids 14 719.1 47388.7, atlantis 4 12850.0 29028.1, bank-heist 18 14.2 753.1,
battle-zone 18 2360.0 37187.5, beam-rider 9 363.9 16926.5, berzerk 18 123.7 2630.4, bowling 6 23.1 160.7,
boxing 18 0.1 12.1, breakout 4 1.7 30.5, centipede 18 2090.9 12017.0, chopper-command 18 811.0 7387.8,
crazy-climber 9 10780.5 35829.4, defender 18 2874.5 18688.9, demon-attack 6 152.1 1971.0,
double-dunk 18 -18.6 -16.4, enduro 9 0.0 860.5, fishing-derby 18 -91.7 -38.7, freeway 3 0.0 29.6,
frostbite 18 65.2 4334.7, gopher 8 257.6 2412.5, gravitar 18 173.0 3351.4, hero 18 1027.0 30826.4,
ice-hockey 18 -11.2 0.9, jamesbond 18 29.0 302.8, kangaroo 18 52.0 3035.0, krull 18 1598.0 2665.5,
kung-fu-master 14 258.5 22736.3, montezuma-revenge 18 0.0 4753.3, ms-pacman 9 307.3 6951.6,
name-this-game 6 2292.3 8049.0, phoenix 8 761.4 7242.6, pitfall 18 -229.4 6463.7, pong 6 -20.7 14.6,
private-eye 18 24.9 69571.3, qbert 6 163.9 13455.0, riverraid 18 1338.5 17118.0, road-runner 18 11.5 7845.0,
robotank 18 2.2 11.9, seaquest 18 68.4 42054.7, skiing 3 -17098.1 -4336.9, solaris 18 1236.3 12326.7,
space-invaders 6 148.0 1668.7, star-gunner 18 664.0 10250.0, surround 5 -10.0 6.5, tennis 18 -23.8 -8.3,
time-pilot 10 3568.0 5229.2, tutankham 8 11.4 167.6, up-n-down 6 533.4 11693.2, venture 18 0.0 1187.5,
video-pinball 9 16256.9 17667.9, wizard-of-wor 10 563.5 4756.5, yars-revenge 18 3092.9 54576.9,
zaxxon 18 32.5 9173.3
"""
# Games without such scores.
_OTHERS = """
adventure 18, air-raid 6, atlantis2 4, backgammon 3, basic-math 6, blackjack 4, carnival 6, casino 4,
crossbow 18, darkchambers 18, donkey-kong 18, earthworld 18, elevator-action 18, entombed 18, et 18,
flag-capture 18, frogger 5, galaxian 6, hangman 18, haunted-house 18, human-cannonball 18, journey-escape 16,
kaboom 4, keystone-kapers 14, king-kong 6, klax 18, koolaid 9, laser-gates 18, lost-luggage 9, mario-bros 18,
miniature-golf 18, mr-do 10, othello 10, pacman 5, pitfall2 18, pooyan 6, sir-lancelot 6, space-war 18,
superman 18, tetris 5, tic-tac-toe-3d 10, trondead 18, turmoil 12, video-checkers 5, video-chess 10,
video-cube 18, word-zapper 18
"""
_ROWS = [row.split() for row in f"{_SCORED},{_OTHERS}".split(",")]

ACTIONS = {game: int(count) for game, count, *_ in _ROWS}
SCORES = {game: (float(scores[0]), float(scores[1])) for game, _, *scores in _ROWS if scores}
"""What random play and a human tester score."""


def spec(task: str, options: TaskOptions) -> TaskSpec:
    """The facts of `atari/<game>`; needs no simulator. Normalised scores are 0 for random play and 1 for a human's."""
    skip = options.frame_skip or SKIP
    horizon = options.horizon or FRAMES // skip
    size, channels = options.frame_size, 3 if options.colour else 1
    return TaskSpec(
        name=f"atari/{task}",
        suite="atari",
        observation=Image(size, size, channels, options.stack or 4),
        action=Choices((ACTIONS[task],)),
        horizon=horizon,
        discount=options.discount_over(horizon),
        score_range=SCORES.get(task),
        engine="envpool",
        options=(
            ("frame_skip", skip),
            ("sticky_actions", options.sticky_actions),
            ("life_loss", options.life_loss),
        ),
    )


def envpool_id(task: str) -> str:
    """EnvPool's name of a game, such as "SpaceInvaders-v5" for "space-invaders"."""
    return "".join(word[:1].upper() + word[1:] for word in task.split("-")) + "-v5"


def _envpool(spec: TaskSpec) -> EnvPoolTask:
    image = spec.observation
    options = {option[0]: option[1] for option in spec.options}
    assert isinstance(image, Image)
    arguments = {
        "frame_skip": options["frame_skip"],
        "repeat_action_probability": options["sticky_actions"],
        "episodic_life": options["life_loss"],
        "img_height": image.height,
        "img_width": image.width,
        "gray_scale": image.channels == 1,
        "stack_num": 1,
    }
    return EnvPoolTask(envpool_id(spec.task), arguments, lambda given: np.moveaxis(given[0], 0, -1))


def _build(spec: TaskSpec, seed: int, render: bool) -> "gymnasium.Env":
    from polytask.tasks.pool import PoolEnv

    return PoolEnv(spec, seed)


SUITE = Suite(
    name="atari",
    spec=spec,
    build=_build,
    tasks=tuple(sorted(ACTIONS)),
    groups={"57": tuple(SCORES)},
    envpool=_envpool,
)
