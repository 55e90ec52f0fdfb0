"""The audio side of aiSFX (Ma and Lerch 2022) and the sentences of MiniLM (Wang et al. 2020)."""
