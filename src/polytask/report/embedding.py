"""The learned task embeddings: which tasks the agent holds to be alike."""

import numpy as np
from jaxtyping import Float, Int

from polytask.report import figures, html, maps
from polytask.report.material import Material
from polytask.report.methods import Method

# Above this many tasks points are labelled by their number in the matrix.
_MOST_NAMES = 14


def cosines(embedding: Float[np.ndarray, "tasks features"]) -> Float[np.ndarray, "tasks tasks"]:
    """Cosine similarity of every pair of tasks; 0 for a zero vector."""
    norm = np.linalg.norm(embedding, axis=1, keepdims=True)
    unit = np.divide(embedding, norm, out=np.zeros_like(embedding), where=norm > 0)
    return unit @ unit.T


def cluster_order(similarity: Float[np.ndarray, "tasks tasks"]) -> Int[np.ndarray, " tasks"]:
    """Tasks in the leaf order of average-linkage clustering, so that alike tasks are neighbours."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    distance = np.clip(1 - (similarity + similarity.T) / 2, 0, None)
    np.fill_diagonal(distance, 0)
    return leaves_list(linkage(squareform(distance, checks=False), "average", optimal_ordering=True)).astype(int)


def principal_plane(
    similarity: Float[np.ndarray, "tasks tasks"],
) -> tuple[Float[np.ndarray, "tasks 2"], tuple[float, float]]:
    """PCA of the unit embeddings from their cosines: coordinates, and the two directions' shares of the spread.

    The cosines are the Gram matrix of the unit vectors, and do not depend on the rotation of the embedding space;
    so several seeds can be averaged before, which vectors could not be.
    """
    centred = similarity - similarity.mean(0) - similarity.mean(1)[:, None] + similarity.mean()
    values, vectors = np.linalg.eigh((centred + centred.T) / 2)
    values, vectors = np.clip(values[::-1], 0, None), vectors[:, ::-1]
    vectors = vectors * np.where(vectors[np.abs(vectors).argmax(0), range(len(values))] < 0, -1, 1)
    total = float(values.sum()) or 1.0
    return vectors[:, :2] * np.sqrt(values[:2]), (float(values[0]) / total, float(values[1]) / total)


def _charts(method: Method, material: Material) -> str:
    found = [r.evaluations.embedding for r in method.runs if r.evaluations.embedding is not None]
    found = [e for e in found if len(e) == len(method.specs)]
    if not found:
        return html.missing(
            "There is no map: no task embedding was recorded (the agent has none, or it was not evaluated yet)."
        )
    if len(method.specs) < 3:
        return html.missing(f"There is no map: it takes at least three tasks, and there are {len(method.specs)}.")
    similarity = np.mean([cosines(e) for e in found], axis=0)
    order = cluster_order(similarity)
    similarity = similarity[np.ix_(order, order)]
    names = [material.names[method.names[i]] for i in order]
    points, shares = principal_plane(similarity)
    numbered = len(names) > _MOST_NAMES
    labels = [str(i + 1) for i in range(len(names))] if numbered else names
    matrix = maps.cosine_map(similarity, names, numbered)
    plane = figures.embedding_map(points, shares, labels, f"Task embeddings of {method.label} in the plane", names)
    scale = '<p class="note">cosine −1<span class="scale both"></span>1</p>'
    apart = np.where(np.eye(len(names), dtype=bool), -np.inf, similarity)
    i, j = np.unravel_index(int(np.argmax(apart)), apart.shape)
    mean = f", mean over {len(found)} seeds" if len(found) > 1 else ""
    first = (
        f"{names[i]} and {names[j]} are the most alike (cosine {similarity[i, j]:.2f}{mean}); tasks are ordered by "
        "clustering, so that blocks on the diagonal are families of tasks."
    )
    second = (
        f"The same embeddings in the plane of their two main directions (PCA, {sum(shares):.0%} of the spread): "
        f"near means alike as far as the plane can show{', numbers as in the matrix' if numbered else ''}."
    )
    kind = "pair" if len(names) <= 20 else "apart"
    return f'<div class="{kind}">{html.figure(matrix + scale, first)}{html.figure(plane, second)}</div>'


def embedding(material: Material) -> str:
    """The section on task embeddings: their cosines and a map; nothing where there is one task."""
    if len(material.specs) == 1 or not any(
        r.evaluations.embedding is not None or r.schema.learner == "agent" for m in material.methods for r in m.runs
    ):
        return ""
    bodies = [
        html.missing("Single-task agents have no task embedding.") if m.agents == "single" else _charts(m, material)
        for m in material.methods
    ]
    parts = html.by_method([m.label for m in material.methods], bodies)
    return html.section("embedding", "What the agent holds to be alike", parts)
