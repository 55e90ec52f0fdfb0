"""M2D-CLAP (Niizumi et al. 2025): a vision transformer on log-mel patches, and BERT."""
