"""The command line: finds the command, and turns what goes wrong into a message and an exit code."""

import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from polytask.machine import keep_freed_memory

# name: (module of polytask.commands with `name(arguments) -> exit code`, summary). The modules are imported one at a
# time, and import what is heavy when they work, so that help comes at once.
COMMANDS = {
    "train": ("train", "train on many tasks, in simulators or from data, or go on with a run"),
    "evolve": ("evolve", "evolve one population of components for several problems"),
    "resume": ("train", "go on with a run from its newest checkpoint"),
    "sweep": ("sweep", "train every combination of some settings, several runs at a time"),
    "extend": ("extend", "add tasks to a trained run, which keeps what it has learned"),
    "evaluate": ("evaluate", "measure a trained agent in environments of its own; videos"),
    "predict": ("predict", "answer for new rows of a table"),
    "export": ("export", "write a policy as ONNX, StableHLO or NumPy files"),
    "record": ("record", "write a run's transitions as data sets"),
    "report": ("report", "write report.html about one run, or comparing several"),
    "affinity": ("affinity", "show which tasks help and which hurt each other"),
    "group": ("group", "choose groups of tasks to train together"),
    "solve": ("solve", "route a fleet, with a trained model or another solver"),
    "reproduce": ("reproduce", "check statements of papers by running them"),
    "tasks": ("tasks", "list the tasks and their facts"),
    "problems": ("problems", "make the data of a problem"),
    "diff": ("diff", "compare two checkpoints bit for bit"),
    "bench": ("bench", "measure how fast this machine trains"),
}

_HELP = f"""usage: polytask [-h] [--version] COMMAND ...

One model, many tasks: train it online in simulators, and see how it does.

commands:
{chr(10).join(f"  {name:<10}{summary}" for name, (_, summary) in COMMANDS.items())}

examples:
  polytask train                         a first look: three tasks, ten minutes
  polytask train metaworld/mt10          in earnest
  polytask train dmc/cheetah-run dmc/walker-walk gym/Pendulum-v1 --steps 50000
  polytask train problems/multidigits --combine pcgrad     from data
  polytask train sales.csv --targets price,sold            from a table
  polytask evaluate runs/metaworld-mt10-brc-seed0 --video

`polytask COMMAND --help` lists a command's options.
With POLYTASK_DEBUG=1 in the environment errors come with their traceback.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0, 1 for a failure, 2 for a wrong use, 130 after Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _dispatch(given)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # a reader such as `head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        code = _exit_code(error)
        if code is None or os.environ.get("POLYTASK_DEBUG") == "1":
            raise
        print("\n".join([f"error: {error}", *getattr(error, "__notes__", [])]), file=sys.stderr)
        return code


def _dispatch(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help", "help"):
        print(_HELP, end="")
        return 0
    if given[0] == "--version":
        from polytask import __version__

        print(f"polytask {__version__}")
        return 0
    name, rest = given[0], given[1:]
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        nearest = f"Did you mean {close[0]}?" if close else f"There are {', '.join(COMMANDS)}."
        print(f"error: unknown command '{name}'. {nearest}", file=sys.stderr)
        return 2
    keep_freed_memory()
    module = importlib.import_module(f"polytask.commands.{COMMANDS[name][0]}")
    return getattr(module, name)(rest)


def _exit_code(error: Exception) -> int | None:
    """The code of an error whose message says all that a person needs; None for one that needs its traceback."""
    from polytask.runs.storage import StorageError
    from polytask.stepping.base import TaskFailure

    if isinstance(error, StorageError | TaskFailure | OSError):
        return 1
    if isinstance(error, ImportError):
        return 2
    if not _raised_here(error):
        return None
    return 2 if isinstance(error, ValueError) else 1 if isinstance(error, RuntimeError | FloatingPointError) else None


def _raised_here(error: Exception) -> bool:
    """Whether polytask itself raised the error, and so has worded it; what comes from JAX or NumPy is a fault."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals.get("__name__", "").startswith("polytask.")
