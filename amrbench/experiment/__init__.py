"""From recipes and a protocol to finished runs."""
