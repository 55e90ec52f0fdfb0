"""The commands besides `run`, one file a command; no other room but the command line and `api` uses them."""
