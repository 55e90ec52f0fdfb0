"""Benchmark suite for Audio Moment Retrieval."""
