"""The contract with plugins: one abstract part and one protocol for each slot, a file for each kind."""
