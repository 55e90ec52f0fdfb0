"""Pure functions on arrays and tensors: spans, targets, metrics, and how sure a metric is."""
