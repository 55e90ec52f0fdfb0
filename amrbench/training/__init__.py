"""From batches to weights: one loop, stages that are found by their content, and what soups may ask."""
