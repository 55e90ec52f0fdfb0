"""Pure functions on arrays and tensors: spans, targets, metrics and their confidence intervals."""
