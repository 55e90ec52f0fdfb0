"""Data sets that are mixed from local copies of public corpora."""
