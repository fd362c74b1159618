"""How a network's parts are mixed for each task, and which tasks are routed alike."""

import numpy as np
from jaxtyping import Float

from polytask.report import html, maps
from polytask.report.embedding import cluster_order, cosines
from polytask.report.material import Material
from polytask.report.methods import Method


def likeness(layers: tuple[Float[np.ndarray, "tasks _ _"], ...]) -> Float[np.ndarray, "tasks tasks"]:
    """Cosine of every pair of tasks' weights, of all layers together."""
    return cosines(np.concatenate([layer.reshape(len(layer), -1) for layer in layers], axis=1))


def _charts(method: Method, material: Material) -> str:
    found = [r.evaluations.routing for r in method.runs if r.evaluations.routing]
    found = [layers for layers in found if len(layers[0]) == len(method.specs)]
    if not found:
        return html.missing("There are no routes: the network mixes nothing, or was not evaluated yet.")
    similarity = np.mean([likeness(layers) for layers in found], axis=0)
    order = cluster_order(similarity) if len(similarity) > 2 else np.arange(len(similarity))
    similarity = similarity[np.ix_(order, order)]
    names = [material.names[method.names[i]] for i in order]
    first = tuple(layer[order] for layer in found[0])
    largest = max(float(np.abs(layer).max()) for layer in first)
    shares = all(np.allclose(layer.sum(axis=-1), 1, atol=1e-2) and (layer >= 0).all() for layer in first)
    weights = maps.route_map(first, names, 1.0 if shares else largest or 1.0, "part")
    seed = "" if len(found) == 1 else ", of the first seed: parts of other seeds have another order"
    scale = (
        '<p class="note">share 0<span class="scale up"></span>1</p>'
        if shares
        else f'<p class="note">weight −{largest:.2f}<span class="scale both"></span>{largest:.2f}</p>'
    )
    spread = max(float(np.ptp(layer, axis=0).max()) for layer in first)
    mixed = (
        f"What each task takes of a layer's parts, in blocks of one mixture each, mean over what it observed{seed}. "
        f"Two tasks differ in a weight by {spread:.2f} at most."
    )
    if len(names) < 2:
        return html.figure(weights + scale, mixed)
    apart = np.where(np.eye(len(names), dtype=bool), np.nan, similarity)
    near, far = (np.unravel_index(int(f(apart)), apart.shape) for f in (np.nanargmax, np.nanargmin))
    mean = f", mean over {len(found)} seeds" if len(found) > 1 else ""
    alike = (
        f"How alike tasks are routed, by the cosine of their weights{mean}: most {names[near[0]]} and {names[near[1]]} "
        f"({similarity[near]:.3f}), least {names[far[0]]} and {names[far[1]]} ({similarity[far]:.3f})."
    )
    numbered = len(names) > 14
    matrix = maps.cosine_map(similarity, names, numbered)
    between = '<p class="note">cosine −1<span class="scale both"></span>1</p>'
    return f'<div class="apart">{html.figure(weights + scale, mixed)}{html.figure(matrix + between, alike)}</div>'


def routing(material: Material) -> str:
    """The section on routes; empty where no run has any."""
    if not any(run.evaluations.routing for method in material.methods for run in method.runs):
        return ""
    parts = html.by_method([m.label for m in material.methods], [_charts(m, material) for m in material.methods])
    return html.section("routing", "How tasks are routed", parts)
