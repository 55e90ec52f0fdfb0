"""MS-CLAP 2023 (Elizalde et al. 2023): HTSAT on a log-mel picture, and GPT-2."""
