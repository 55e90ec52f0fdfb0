"""Self-contained HTML pages: what a run, a comparison or a recording of one's own looks and sounds like."""
