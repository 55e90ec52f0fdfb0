"""The contract with plugins: an abstract part and a protocol for each slot, grouped in files by kind."""
