"""The work behind most commands, one file each; only `api` and the command line import it."""
