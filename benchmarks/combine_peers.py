"""The peers' half of combine.py: what a step costs in TorchJD or LibMTL relative to their own unitary scalarization.

combine.py runs this with an interpreter that has torch, and torchjd or what LibMTL needs; it prints JSON. LibMTL has
no package that installs: `--libmtl` is a checkout of https://github.com/median-research-group/LibMTL.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from combine_model import DEPTH, INPUTS, ROWS, ROWS_EACH, WIDTH, paired

# Our name -> their class and its arguments.
SCALARIZERS = {
    "mean": ("Mean", {}), "rlw": ("Random", {}), "uw": ("UW", {}), "dwa": ("DWA", {}), "gls": ("GeometricMean", {}),
    "imtl_l": ("IMTLL", {}), "stch": ("STCH", {"mu": 1.0}), "famo": ("FAMO", {}),
}  # fmt: skip
AGGREGATORS = {
    "mean": ("Mean", {}), "rlw": ("Random", {}), "mgda": ("MGDA", {}), "pcgrad": ("PCGrad", {}),
    "gradvac": ("GradVac", {}), "graddrop": ("GradDrop", {}), "cagrad": ("CAGrad", {"c": 0.5}),
    "imtl_g": ("IMTLG", {}), "nash_mtl": ("NashMTL", {}), "fairgrad": ("FairGrad", {"alpha": 2.0}),
    "aligned": ("AlignedMTL", {}), "upgrad": ("UPGrad", {}), "dual_proj": ("DualProj", {}), "config": ("ConFIG", {}),
    "excess_mtl": ("ExcessMTL", {}),
}  # fmt: skip
LIBMTL = {
    "rlw": ("RLW", {}), "uw": ("UW", {}), "gls": ("GLS", {}), "mgda": ("MGDA", {"mgda_gn": "none"}),
    "pcgrad": ("PCGrad", {}), "gradvac": ("GradVac", {"GradVac_beta": 0.5, "GradVac_group_type": 0}),
    "graddrop": ("GradDrop", {"leak": 0.0}), "cagrad": ("CAGrad", {"calpha": 0.5, "rescale": 1}),
    "imtl_g": ("IMTL", {}), "fairgrad": ("FairGrad", {"FairGrad_alpha": 2.0}), "aligned": ("Aligned_MTL", {}),
    "nash_mtl": ("Nash_MTL", {"update_weights_every": 1, "optim_niter": 20, "max_norm": 1.0}),
    "upgrad": ("UPGrad", {"UPGrad_norm_eps": 1e-4, "UPGrad_reg_eps": 1e-4}),
    "excess_mtl": ("ExcessMTL", {"robust_step_size": 1e-2}),
}  # fmt: skip


class Model:
    """The model of combine.py in torch, with its data."""

    def __init__(self, setting: str, tasks: int) -> None:
        import torch
        from torch import nn

        torch.manual_seed(0)
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
        layers = [
            layer for i in range(DEPTH) for layer in (nn.Linear(WIDTH if i else INPUTS, WIDTH, bias=False), nn.ReLU())
        ]
        self.setting, self.tasks = setting, tasks
        self.trunk = nn.Sequential(*layers)
        self.heads = nn.ModuleList(nn.Linear(WIDTH, 1, bias=False) for _ in range(tasks))
        rows = ROWS_EACH * tasks if setting == "own rows" else ROWS
        self.x, self.y = torch.randn(rows, INPUTS), torch.randn(tasks, ROWS)
        self.optimiser = torch.optim.SGD([*self.trunk.parameters(), *self.heads.parameters()], lr=1e-6)

    def losses(self, z: Any) -> list[Any]:
        """One for each task; `z` is one representation, or one for each task."""
        if self.setting == "own rows":
            z, y = z.split(ROWS_EACH), self.y[:, :ROWS_EACH]
        else:
            z, y = z if isinstance(z, list) else [z] * self.tasks, self.y
        parts = zip(self.heads, z, y, strict=True)
        return [(head(part)[:, 0] - target).square().mean() for head, part, target in parts]

    def finish(self) -> None:
        self.optimiser.step()
        self.optimiser.zero_grad()

    def unitary(self) -> None:
        import torch

        torch.stack(self.losses(self.trunk(self.x))).sum().backward()
        self.finish()


def torchjd_steps(model: Model, name: str) -> dict[str, Callable[[], Any]]:
    """Functions that build a step of TorchJD, for each of its ways that serves the method."""
    import torch
    import torchjd.aggregation as aggregation
    import torchjd.scalarization as scalarization
    from torchjd.autogram import Engine
    from torchjd.autojac import jac_to_grad, mtl_backward

    trunk, x, losses = model.trunk, model.x, model.losses

    def by_scalarizer() -> Callable[[], None]:
        kind, options = SCALARIZERS[name]
        first = [model.tasks] if kind in ("UW", "IMTLL", "FAMO") else []
        scalarizer = getattr(scalarization, kind)(*first, **options)

        def step() -> None:
            scalarizer(torch.stack(losses(trunk(x)))).backward()
            model.finish()

        return step

    def by_jacobian() -> Callable[[], None]:
        kind, options = AGGREGATORS[name]
        aggregator = getattr(aggregation, kind)(**({"n_tasks": model.tasks} if kind == "NashMTL" else options))

        def step() -> None:
            z = trunk(x)
            if model.setting == "representation":
                leaf = z.detach().requires_grad_()
                features = leaf * 1
                mtl_backward(losses(features), features=[features], shared_params=[leaf])
                jac_to_grad([leaf], aggregator)
                z.backward(leaf.grad)
            else:
                mtl_backward(losses(z), features=z)
                jac_to_grad(trunk.parameters(), aggregator)
            model.finish()

        return step

    def by_gramian() -> Callable[[], None]:
        kind, options = AGGREGATORS[name]
        weighting, engine = getattr(aggregation, f"{kind}Weighting")(**options), Engine(trunk, batch_dim=None)

        def step() -> None:
            each = torch.stack(losses(trunk(x)))
            weights = weighting(engine.compute_gramian(each))
            each.backward(weights)
            model.finish()

        return step

    if name in SCALARIZERS:
        return {"by scalarizer": by_scalarizer}
    if name not in AGGREGATORS:
        return {}
    both = hasattr(aggregation, f"{AGGREGATORS[name][0]}Weighting") and model.setting != "representation"
    return {"by Jacobian": by_jacobian} | ({"by Gramian": by_gramian} if both else {})


def libmtl_steps(model: Model, name: str) -> dict[str, Callable[[], Any]]:
    """A function that builds a step of LibMTL: its weighting on a module that offers what its trainer's model does."""
    import importlib

    import torch

    if name not in LIBMTL:
        return {}
    kind, options = LIBMTL[name]
    weighting = getattr(importlib.import_module(f"LibMTL.weighting.{kind}"), kind)
    by_features = model.setting == "representation"

    class Weighted(weighting):
        def get_share_params(self) -> Any:
            return model.trunk.parameters()

        def zero_grad_share_params(self) -> None:
            model.trunk.zero_grad(set_to_none=False)

    def build() -> Callable[[], None]:
        made = Weighted()
        made.task_num, made.device, made.rep_grad = model.tasks, torch.device("cpu"), by_features
        made.task_name = [str(task) for task in range(model.tasks)]
        made.init_param()

        def step() -> None:
            z = model.trunk(model.x)
            if by_features:
                made.rep = z
                made.rep_tasks = {task: z.detach().clone().requires_grad_() for task in made.task_name}
                z = list(made.rep_tasks.values())
            made.backward(torch.stack(model.losses(z)), **options)
            model.finish()

        return step

    return {"LibMTL": build}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--setting", required=True)
    parser.add_argument("--tasks", type=int, required=True)
    parser.add_argument("--pairs", type=int, required=True)
    parser.add_argument("--methods", nargs="+", required=True)
    parser.add_argument("--libmtl", help="a checkout of LibMTL, to measure it and not TorchJD")
    parser.add_argument("--cpu-time", action="store_true")
    given = parser.parse_args()
    if given.libmtl:
        package = sys.modules["LibMTL"] = type(sys)("LibMTL")  # without its trainer, which imports more
        package.__path__ = [f"{given.libmtl}/LibMTL"]
    found: dict[str, Any] = {}
    for name in given.methods:
        model, results, faults = Model(given.setting, given.tasks), [], []
        try:
            ways = (libmtl_steps if given.libmtl else torchjd_steps)(model, name)
        except Exception as fault:
            ways, faults = {}, [f"{type(fault).__name__}: {fault}".splitlines()[0]]
        for way, build in ways.items():
            try:
                results.append(paired(build(), model.unitary, given.pairs, given.cpu_time) | {"way": way})
            except Exception as fault:  # What does not run is reported, and the rest goes on.
                faults.append(f"{way}: {type(fault).__name__}: {fault}".splitlines()[0])
        if results:
            found[name] = min(results, key=lambda result: result["ratio"])  # the cheaper where two ways work
        elif faults:
            found[name] = {"fault": "; ".join(faults)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
