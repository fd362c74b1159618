"""The shape of the package: who imports whom, what is documented, what stays light, where randomness comes from."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "polytask"
FILES = sorted(SOURCE.rglob("*.py"))
TREES = {path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text()) for path in FILES}

# What a package may import from polytask besides itself. Packages that are not listed stand at the top.
MAY_IMPORT = {
    "losses": set(),
    "networks": {"losses"},
    "combine": {"losses", "networks"},
    "affinity": {"losses", "networks", "combine"},
    "supervised": {"losses", "networks", "combine", "affinity", "evaluation", "runtime", "tasks", "random"},
    "decisions": {"losses", "evaluation", "runtime", "random"},
    "problems": {"losses", "networks", "supervised", "decisions", "tasks", "random"},
    "replay": set(),
    "tasks": {"random"},
    "stepping": {"tasks", "random", "machine"},
    "agents": {"losses", "networks", "combine", "affinity", "replay", "tasks"},
    "evaluation": {"tasks", "stepping", "random", "policy"},
    "report": {"tasks", "evaluation", "affinity"},
    "runtime": {"tasks", "stepping", "replay", "agents", "affinity", "evaluation", "random", "machine"},
    "claims": {
        *("losses", "networks", "combine", "affinity", "supervised", "decisions", "problems", "replay", "tasks"),
        *("stepping", "agents", "evaluation", "report", "runtime", "random"),
    },
}


def package(name: str) -> str:
    """The package that a file or a dotted name under polytask belongs to."""
    return name.removesuffix(".py").replace("/", ".").split(".")[0]


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


@pytest.mark.parametrize("name", [n for n in TREES if package(n) in MAY_IMPORT])
def test_imports_point_downwards(name):
    own = package(name)
    seen = {package(i.removeprefix("polytask.")) for i in imports(TREES[name]) if i.startswith("polytask.")}
    assert seen - {own} <= MAY_IMPORT[own], f"{name} may import polytask.{{{', '.join(sorted(MAY_IMPORT[own]))}}} only"


def test_the_rules_allow_no_cycle():
    """But for evaluation, which loads a policy from a run folder."""
    for name, below in MAY_IMPORT.items():
        for other in below:
            assert name not in MAY_IMPORT.get(other, set()), f"{name} and {other} may import each other"


@pytest.mark.parametrize("name", TREES)
def test_modules_classes_and_functions_are_documented(name):
    tree = TREES[name]
    assert ast.get_docstring(tree), f"{name} needs a docstring"
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    public = [node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
    missing = [f"{node.name} (line {node.lineno})" for node in public if not ast.get_docstring(node)]
    assert not missing, f"{name}: without a docstring: {', '.join(missing)}"


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


# NumPy's explicit generators; all other names in numpy.random act on the global one.
EXPLICIT = {"Generator", "Philox", "SeedSequence", "RandomState", "default_rng"}


@pytest.mark.parametrize("name", TREES)
def test_no_global_randomness(name):
    """Keys come from polytask.random, generators from there or from a fixed seed."""
    tree = TREES[name]
    for node in ast.walk(tree):
        where = f"{name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Attribute) and dotted(node.value) in ("np.random", "numpy.random"):
            assert node.attr in EXPLICIT, f"{where} uses NumPy's global generator"
        elif isinstance(node, ast.Attribute) and dotted(node.value) == "jax.random" and name != "random.py":
            assert node.attr not in ("PRNGKey", "key"), f"{where} makes a key of its own"
        elif isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] in EXPLICIT:
            assert node.args or node.keywords, f"{where} draws its seed from the machine"
    assert "random" not in set(imports(tree)), f"{name} imports Python's random"


HEAVY = ("jax", "equinox", "optax", "envpool", "mujoco", "gymnasium", "scipy", "matplotlib", "tensorboardX")
ENGINES = ("jax", "equinox", "optax", "matplotlib", "tensorboardX")


def loaded(module: str, watched: tuple[str, ...]) -> list[str]:
    """Which of `watched` a fresh interpreter has loaded after importing `module`."""
    code = f"import sys, {module}; print(*[m for m in {watched!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("module", "banned"),
    [
        ("polytask", HEAVY),
        ("polytask.cli", HEAVY),
        ("polytask.supervised", HEAVY),
        ("polytask.decisions", HEAVY),
        ("polytask.problems", HEAVY),
        ("polytask.tasks.registry", HEAVY),
        ("polytask.report", ("jax", "equinox", "optax", "envpool", "mujoco")),
        ("polytask.stepping.worker", ENGINES),
    ],
)
def test_what_an_import_leaves_out(module, banned):
    file = SOURCE.parent / module.replace(".", "/")
    if not (file.is_dir() or file.with_suffix(".py").exists()):
        pytest.skip(f"{module} does not exist yet")
    assert loaded(module, banned) == []
