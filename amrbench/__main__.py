"""`python -m amrbench`: the command line, also where the folder of scripts is not on the path."""

import sys

from amrbench.cli import main

sys.argv[0] = "amrbench"  # For messages that repeat the command.
main()
