"""`python -m polytask` is the command line."""

import sys

from polytask.cli import main

if __name__ == "__main__":
    sys.exit(main())
