"""Help and usage errors are printed without colours, also where the environment asks for them."""

import os

os.environ["_TYPER_FORCE_DISABLE_TERMINAL"] = "1"  # Read when typer prints its first help.
