"""From recordings and sentences to features, splits in memory and batches."""
