"""Scenes of synthetic sounds, with their queries and windows."""
