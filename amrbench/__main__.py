"""`python -m amrbench`: the command line, also where the folder of scripts is not on the path."""

from amrbench.cli import main

main()
