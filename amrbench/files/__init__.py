"""Everything read from disk or written to it, format by format; knows no recipe, model or run."""
