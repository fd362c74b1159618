"""What the agent has seen: raw transitions per task, and the scale of their returns."""

from polytask.replay.buffer import Replay as Replay
from polytask.replay.returns import ReturnBounds as ReturnBounds
