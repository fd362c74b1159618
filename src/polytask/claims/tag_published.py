"""What TAG's authors published: affinities between tasks, and the groupings that they imply.

From the code of Fifty et al. 2021 (github.com/google-research/google-research, folder tag; Apache 2.0).
"""

import numpy as np
from jaxtyping import Float

TASKONOMY = ("segmentation", "depth", "normals", "keypoints", "edges")
CELEBA = (
    *("5_o_Clock_Shadow", "Black_Hair", "Blond_Hair", "Brown_Hair", "Goatee"),
    *("Mustache", "No_Beard", "Rosy_Cheeks", "Wearing_Hat"),
)

# A row is what the tasks do to one task, in the order above, 0 for itself.
_TO = {
    "taskonomy": (
        (0.0, 0.115374, 0.0489104, 0.00454725, 0.00877614),
        (0.413559, 0.0, 0.291415, 0.0135365, 0.0739569),
        (0.139824, 0.220962, 0.0, 0.0104938, 0.0764597),
        (0.0210985, 0.013366, 0.010729, 0.0, 0.689736),
        (0.056692, 0.0366834, 0.0360067, 0.303721, 0.0),
    ),
    "celeba": (
        (0.0, -83.3355, -86.0517, -82.4207, -81.9744, -86.0242, -49.0376, -87.3711, -86.7703),
        (-188.157, 0.0, -184.529, -147.502, -189.465, -190.998, -185.285, -190.658, -189.419),
        (-121.054, -109.584, 0.0, -106.022, -122.622, -124.403, -117.204, -120.556, -123.259),
        (-143.721, -112.179, -139.848, 0.0, -145.427, -146.783, -142.397, -146.299, -146.227),
        (-85.5323, -92.2116, -95.7504, -91.7411, 0.0, -65.4274, -45.951, -98.5988, -95.6829),
        (-30.2233, -32.6972, -34.7838, -33.4752, -0.839664, 0.0, -15.2715, -35.2066, -34.3704),
        (-109.479, -147.502, -152.395, -148.489, -127.316, -147.136, 0.0, -157.477, -156.158),
        (-74.9788, -74.2494, -72.0494, -73.8316, -76.4519, -76.4983, -75.2114, 0.0, -77.0038),
        (-109.371, -100.85, -113.525, -110.645, -110.264, -116.102, -106.512, -119.352, 0.0),
    ),
}

GROUPINGS: dict[tuple[str, int], tuple[tuple[str, ...], ...]] = {
    ("taskonomy", 2): (("segmentation", "depth", "normals"), ("keypoints", "edges")),
    ("taskonomy", 3): (("segmentation", "depth"), ("depth", "normals"), ("keypoints", "edges")),
    ("celeba", 2): (("5_o_Clock_Shadow", "No_Beard"), CELEBA[1:]),
}
"""By data set and number of groups."""


def published(name: str) -> tuple[tuple[str, ...], Float[np.ndarray, "tasks tasks"]]:
    """The tasks and the affinities [source][recipient], in the units of the data set."""
    return TASKONOMY if name == "taskonomy" else CELEBA, np.array(_TO[name]).T
