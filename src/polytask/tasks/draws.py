"""The random numbers of EnvPool's simulators, in Python."""

import math
from typing import Any

import numpy as np

_WORD = 2.0**32


class StdRandom(np.random.RandomState):
    """Draws what C++'s `std::mt19937` with libstdc++'s distributions draws from the same seed.

    EnvPool draws its goals and initial states this way. Handed to the official simulators, this generator makes an
    episode begin in the same state there: one seed means one stream of episodes, whichever engine steps it, and
    benchmarks/parity.py can compare the two. Only the methods that the simulators call are replaced.
    """

    def _canonical(self) -> float:
        """`std::generate_canonical<double, 53>`: two words of 32 bits, the low one first."""
        low, high = super().randint(0, 2**32, size=2, dtype=np.uint32)
        return (float(low) + float(high) * _WORD) / (_WORD * _WORD)

    def _polar(self) -> float:
        """A fresh `std::normal_distribution` (Marsaglia's polar method; its second number is thrown away)."""
        while True:
            x, y = 2.0 * self._canonical() - 1.0, 2.0 * self._canonical() - 1.0
            square = x * x + y * y
            if 0.0 < square <= 1.0:
                return y * math.sqrt(-2.0 * math.log(square) / square)

    def _fill(self, draw: Any, size: Any) -> Any:
        if size is None:
            return draw()
        return np.array([draw() for _ in range(int(np.prod(size)))]).reshape(size)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        if size is None and np.ndim(low) + np.ndim(high) == 0 and low == high:
            return low  # LQR's damping, for which EnvPool draws nothing
        if size is None and np.ndim(low) + np.ndim(high):
            size = np.broadcast_shapes(np.shape(low), np.shape(high))
        return low + (np.asarray(high) - low)[()] * self._fill(self._canonical, size)

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        return loc + scale * self._fill(self._polar, size)

    def randn(self, *shape: int) -> Any:
        return self._fill(self._polar, shape or None)

    def rand(self, *shape: int) -> Any:
        return self._fill(self._canonical, shape or None)

    def randint(self, low: Any, high: Any = None, size: Any = None, dtype: Any = int) -> Any:
        """`std::uniform_int_distribution`, but for its rejections, which have odds of one in 2^32 / (high - low)."""
        first, end = (0, low) if high is None else (low, high)
        word = int(super().randint(0, 2**32, dtype=np.uint32))
        return first + word * (end - first) // 2**32

    def choice(self, a: Any, size: Any = None, replace: Any = True, p: Any = None) -> Any:
        """EnvPool's manipulator, the one task that chooses, asks for the second option before the first."""
        order = [1, 0, *range(2, len(a))]
        place = int(np.searchsorted(np.cumsum(np.asarray(p)[order]), self._canonical()))
        return a[order[min(place, len(order) - 1)]]
