"""The shape of the package: who imports whom, what is documented, what stays light, where randomness comes from."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "polytask"
FILES = sorted(SOURCE.rglob("*.py"))
TREES = {path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text()) for path in FILES}

MATHEMATICS = {"losses", "networks", "combine", "affinity"}
A_KIND = {"config", "evaluation", "lazy", "runs", "training", "tasks", "random"}
# What a package may import from polytask besides itself. Every module belongs to one of these.
MAY_IMPORT = {
    "random": set(),
    "lazy": set(),
    "machine": set(),
    "cluster": {"machine"},
    "hosts": set(),
    "config": set(),
    "plugins": set(),
    "losses": set(),
    "networks": {"losses", "plugins"},
    "combine": {"losses", "networks", "plugins"},
    "affinity": {"lazy", "losses", "networks", "combine"},
    "tasks": {"config", "plugins", "random"},
    "replay": {"tasks"},
    "stepping": {"cluster", "tasks", "random", "machine"},
    "evaluation": {"lazy", "tasks", "stepping", "random"},
    "agents": {*MATHEMATICS, "config", "lazy", "plugins", "replay", "tasks"},
    "runs": {"affinity", "lazy", "tasks", "evaluation", "machine"},
    "training": {"config", "hosts", "lazy", "plugins", "runs"},
    "transfer": {*MATHEMATICS, *A_KIND, "agents", "plugins", "replay", "stepping"},
    "fleets": {"losses", "networks", "plugins", *A_KIND},
    "supervised": {*MATHEMATICS, "plugins", "transfer", *A_KIND},
    "decisions": {"losses", *A_KIND},
    "policies": {"agents", "networks", "stepping", *A_KIND},
    "datasets": {"evaluation", "policies", "replay", "runs", "stepping", "tasks", "training", "random"},
    "offline": {"agents", "datasets", "policies", "stepping", *A_KIND},
    "online": {"agents", "networks", "policies", "replay", "stepping", "transfer", *A_KIND},
    "evolution": {"networks", "problems", "supervised", *A_KIND},
    "problems": {"machine", "plugins", "losses", "networks", "supervised", "decisions", "tasks", "random"},
    "export": {"agents", "lazy", "networks", "policies", "runs", "tasks"},
    "sweeps": {"config", "evaluation", "machine", "runs", "training"},
    "report": {"lazy", "tasks", "evaluation", "affinity", "runs", "sweeps", "training"},
    "speed": {"agents", "online", "replay", "runs", "stepping", "tasks", "random"},
    "claims": {
        *MATHEMATICS,
        *("supervised", "decisions", "evolution", "online", "problems", "replay", "tasks", "stepping", "agents"),
        "evaluation",
        *("report", "runs", "training", "transfer", "random"),
    },
    "commands": {
        *MATHEMATICS,
        *A_KIND,
        *("claims", "datasets", "decisions", "export", "fleets", "online", "plugins", "policies", "problems", "report"),
        *("cluster", "hosts", "speed", "supervised", "sweeps", "transfer"),
    },
    "cli": {"", "commands", "machine", "runs", "stepping"},
    "__main__": {"cli"},
    "": {"agents", "lazy", "online", "policies", "report", "tasks", "training"},  # polytask itself
}
# The table of kinds and what a kind is asked for by name stand above all kinds: they import them when they are asked.
LATE = {("supervised", "problems"), ("decisions", "problems")}


def package(name: str) -> str:
    """The package that a file or a dotted name under polytask belongs to."""
    first = name.removesuffix(".py").replace("/", ".").split(".")[0]
    return "" if first in ("__init__", "__version__") else first


def imports(tree: ast.Module) -> Iterator[str]:
    """Every module imported anywhere in the file, by its absolute name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the direction"
            if node.module == "polytask":
                yield from (f"polytask.{alias.name}" for alias in node.names)
            elif node.module:
                yield node.module


def test_imports_point_downwards():
    wrong = {}
    for name, tree in TREES.items():
        own = package(name)
        seen = {package(i.removeprefix("polytask.")) for i in imports(tree) if i.startswith("polytask.")}
        allowed = MAY_IMPORT[own] | {below for above, below in LATE if above == own and not at_once(tree, below)}
        if seen - {own} - allowed:
            wrong[name] = f"imports {seen - {own} - allowed}, and may import {allowed} only"
    assert wrong == {}


def at_once(tree: ast.Module, below: str) -> bool:
    """Whether a file imports a package when it is imported itself."""
    top = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
    return any(name.startswith(f"polytask.{below}") for name in imports(top))


def test_the_rules_allow_no_cycle():
    order = TopologicalSorter(MAY_IMPORT).static_order()
    assert set(order) == set(MAY_IMPORT)


def test_no_package_asks_for_the_kind_of_training():
    """But for the table of kinds, and the kinds themselves."""
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare) and package(name) in ("commands", "report", "runs"):
                asked = ast.dump(node)
                assert not any(
                    f"value='{kind}'" in asked for kind in ("online", "offline", "supervised", "decisions")
                ), name


def test_modules_classes_and_functions_are_documented():
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    missing = [name for name, tree in TREES.items() if not ast.get_docstring(tree)]
    for name, tree in TREES.items():
        public = [node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
        missing += [f"{name}:{node.lineno} {node.name}" for node in public if not ast.get_docstring(node)]
    assert missing == []


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


# NumPy's explicit generators; all other names in numpy.random act on the global one.
EXPLICIT = {"Generator", "Philox", "SeedSequence", "RandomState", "default_rng"}


def test_no_global_randomness():
    """Keys come from polytask.random, generators from there or from a fixed seed."""
    for name, node in ((name, node) for name, tree in TREES.items() for node in ast.walk(tree)):
        where = f"{name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Attribute) and dotted(node.value) in ("np.random", "numpy.random"):
            assert node.attr in EXPLICIT, f"{where} uses NumPy's global generator"
        elif isinstance(node, ast.Attribute) and dotted(node.value) == "jax.random" and name != "random.py":
            assert node.attr not in ("PRNGKey", "key"), f"{where} makes a key of its own"
        elif isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] in EXPLICIT:
            assert node.args or node.keywords, f"{where} draws its seed from the machine"
    assert [name for name, tree in TREES.items() if "random" in set(imports(tree))] == []


HEAVY = ("jax", "equinox", "optax", "envpool", "mujoco", "gymnasium", "scipy", "matplotlib", "tensorboardX")
ENGINES = ("jax", "equinox", "optax", "matplotlib", "tensorboardX")


def loaded(modules: tuple[str, ...], watched: tuple[str, ...]) -> list[str]:
    """Which of `watched` a fresh interpreter has loaded after importing each of `modules`, where any."""
    code = (
        "import importlib, sys\n"
        f"for module in {modules!r}:\n"
        "    importlib.import_module(module)\n"
        f"    print(*[f'{{module}}: {{m}}' for m in {watched!r} if m in sys.modules], sep='\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split("\n")


LIGHT = ("polytask", "polytask.supervised", "polytask.decisions", "polytask.problems", "polytask.tasks.registry")


@pytest.mark.parametrize(
    ("modules", "banned"),
    [
        ((*LIGHT, "polytask.cli"), HEAVY),
        (("polytask.report",), ("jax", "equinox", "optax", "envpool", "mujoco")),
        (("polytask.stepping.worker",), ENGINES),
    ],
)
def test_what_an_import_leaves_out(modules, banned):
    assert [line for line in loaded(modules, banned) if line] == []
