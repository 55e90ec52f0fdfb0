"""From batches to weights and predictions: the loop, stages in a store, and what soups are given."""
