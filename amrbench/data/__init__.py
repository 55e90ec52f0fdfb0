"""From recordings and sentences to features, feature datasets and batches."""
