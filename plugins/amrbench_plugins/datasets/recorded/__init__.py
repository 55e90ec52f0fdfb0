"""Scenes that are mixed from folders of recorded takes, by the laws of scenes."""
