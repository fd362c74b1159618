"""A policy that polytask has trained, in NumPy alone: `Policy(folder).act(observation, task)`.

The folder holds policy.json and policy.npz. Networks are a layer-normalised residual trunk (BroNet) or a plain one
(MLP), with convolutions before it where there are images.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np


class Policy:
    """Acts in each of the tasks that it was trained on, as the best of the policy: nothing is drawn."""

    def __init__(self, folder: Any) -> None:
        self.facts = json.loads((Path(folder) / "policy.json").read_text())
        with np.load(Path(folder) / "policy.npz") as arrays:
            self.w = {name: arrays[name] for name in arrays.files}
        self.tasks = {task["name"]: task for task in self.facts["tasks"]}

    def act(self, observation: Any, task: str) -> Any:
        """The action for one observation of a task, in the task's own units; for one that chooses, the
        choice, or an array of several.

        An observation is a vector; a dictionary of vectors and images by name, or an image, where the task has those:
        uint8, whole stacks of frames, channels last.
        """
        facts = self.tasks[task]
        vector = np.zeros((1, self.facts["observations"]), np.float32)
        images = [np.zeros((1, *shape), np.uint8) for shape in self.facts["images"]]
        done = 0
        for name, place, size in facts["parts"]:
            part = np.asarray(observation[name] if name else observation)
            if place < 0:
                vector[0, done : done + size] = part
                done += size
            else:
                images[place][0, ..., : part.shape[-1]] = part
        (row,) = self.rows(vector, np.array([facts["row"]]), images)
        if facts["sizes"]:
            chosen = np.unravel_index(int(row[-1]), facts["sizes"])
            return chosen[0] if len(chosen) == 1 else np.array(chosen)
        low, high = np.array(facts["low"], np.float32), np.array(facts["high"], np.float32)
        return (high + low) / 2 + (high - low) / 2 * row[: len(low)]

    def rows(self, vector: np.ndarray, ids: np.ndarray, images: Any = ()) -> np.ndarray:
        """Padded actions in [-1, 1], and the chosen index behind them where tasks choose, of padded observations.

        Shapes: (batch, observations), (batch,) rows of tasks, and (batch, height, width, channels) for each image.
        """
        x, features = vector, self.w["features"][ids]
        if "moments/mean" in self.w:
            scale = 1 / np.sqrt(self.w["moments/variance"] + np.float32(0.01) ** 2)
            x = np.clip((x - self.w["moments/mean"][ids]) * scale[ids], -10, 10)
        if len(images):
            seen = np.concatenate([self._encoded(i, own) for i, own in enumerate(images)], axis=1)
            if "film/kernel" in self.w:
                grown, shift = np.split(self._dense("film", features), 2, axis=1)
                seen = seen * (1 + grown) + shift
            x = np.concatenate([x, seen * self.w["present"][ids]], axis=1)
        actions = self.w["action_mask"][ids]
        if "actor/mean/dense/kernel" in self.w:
            hidden = self._trunk("actor/trunk", np.concatenate([x, features], axis=1))
            actions = np.tanh(self._head("actor/mean", hidden, ids)) * actions
        if not self.facts["members"]:
            return actions
        inputs = np.concatenate([x, actions, features], axis=1)
        q = np.mean([self._values(f"critic/{i}", inputs, ids) for i in range(self.facts["members"])], axis=0)
        best = np.where(self.w["choice_mask"][ids], q, -np.inf).argmax(axis=1)
        return np.concatenate([actions, best[:, None].astype(np.float32)], axis=1)

    def _values(self, name: str, inputs: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """The value of every choice: (batch, choices)."""
        outputs = self._head(f"{name}/head", self._trunk(f"{name}/trunk", inputs), ids)
        outputs = outputs.reshape(len(ids), self.w["choice_mask"].shape[1], -1)
        if outputs.shape[2] == 1:
            return outputs[..., 0]
        weights = np.exp(outputs - outputs.max(axis=2, keepdims=True))
        bins = np.linspace(-self.facts["v_max"], self.facts["v_max"], outputs.shape[2], dtype=np.float32)
        return weights @ bins / weights.sum(axis=2)

    def _dense(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.w[f"{name}/kernel"] + self.w[f"{name}/bias"]

    def _norm(self, name: str, x: np.ndarray) -> np.ndarray:
        mean = x.mean(axis=-1, keepdims=True)
        variance = np.maximum((x * x).mean(axis=-1, keepdims=True) - mean * mean, 0)
        return (x - mean) / np.sqrt(variance + np.float32(1e-6)) * self.w[f"{name}/scale"] + self.w[f"{name}/bias"]

    def _trunk(self, name: str, x: np.ndarray) -> np.ndarray:
        layer = 0
        while f"{name}/layers/{layer}/kernel" in self.w:
            x, layer = _relu(self._dense(f"{name}/layers/{layer}", x)), layer + 1
        if layer:
            return x
        x, block = _relu(self._norm(f"{name}/norm", self._dense(f"{name}/dense", x))), f"{name}/blocks/0"
        while f"{block}/dense_0/kernel" in self.w:
            hidden = _relu(self._norm(f"{block}/norm_0", self._dense(f"{block}/dense_0", x)))
            x = x + self._norm(f"{block}/norm_1", self._dense(f"{block}/dense_1", hidden))
            block = f"{name}/blocks/{int(block.rpartition('/')[2]) + 1}"
        return x

    def _head(self, name: str, x: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Of one head for all tasks, or of the one of each row's task."""
        y = self._dense(f"{name}/dense", x)
        return y if self.facts["heads"] == 1 else y.reshape(len(y), self.facts["heads"], -1)[np.arange(len(y)), ids]

    def _encoded(self, place: int, images: np.ndarray) -> np.ndarray:
        name, x = f"encoder/{place}", images.astype(np.float32) / 255
        for i, (size, stride) in enumerate(self.facts["convolutions"][place]):  # the Nature network
            x = _relu(self._dense(f"{name}/convolutions/{i}/dense", _patches(x, size, stride)))
        stage = 0
        while f"{name}/stages/{stage}/first/dense/kernel" in self.w:  # IMPALA's
            own, stage = f"{name}/stages/{stage}", stage + 1
            x = _max_pool(self._dense(f"{own}/first/dense", _patches(_padded(x), 3, 1)))
            for block in range(2):
                hidden = self._dense(f"{own}/blocks/{block}/0/dense", _patches(_padded(_relu(x)), 3, 1))
                x = x + self._dense(f"{own}/blocks/{block}/1/dense", _patches(_padded(_relu(hidden)), 3, 1))
        x = _relu(x) if stage else x
        return self._norm(f"{name}/norm", self._dense(f"{name}/dense", x.reshape(len(x), -1)))


def _relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def _padded(x: np.ndarray) -> np.ndarray:
    return np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))


def _patches(x: np.ndarray, size: int, stride: int) -> np.ndarray:
    """What a kernel sees at every place: (batch, rows, columns, size * size * channels), as kernels have it."""
    block = stride if size % stride == 0 else 1
    rows, columns = ((side - size) // stride + 1 for side in x.shape[1:3])
    height, width = ((count - 1) * stride + size for count in (rows, columns))
    x = x[:, :height, :width].reshape(len(x), height // block, block, width // block, block, x.shape[3])
    x = x.transpose(0, 1, 3, 2, 4, 5).reshape(len(x), height // block, width // block, -1)
    step, count = stride // block, size // block
    last = (rows - 1) * step + 1, (columns - 1) * step + 1
    cut = [x[:, i : i + last[0] : step, j : j + last[1] : step] for i in range(count) for j in range(count)]
    return np.concatenate(cut, axis=-1)


def _max_pool(x: np.ndarray) -> np.ndarray:
    """The largest of 3 x 3, two apart; sides are halved and rounded up."""
    for axis in (1, 2):
        count = (x.shape[axis] + 1) // 2
        before = max(2 * (count - 1) + 3 - x.shape[axis], 0)
        pads = [(before // 2, before - before // 2) if i == axis else (0, 0) for i in range(4)]
        x = np.pad(x, pads, constant_values=-np.inf)
        places = np.arange(count) * 2
        x = np.maximum(np.maximum(x.take(places, axis), x.take(places + 1, axis)), x.take(places + 2, axis))
    return x
