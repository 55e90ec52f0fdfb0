"""What the commands do besides running recipes, one file a command. Nothing else of the core uses these."""
