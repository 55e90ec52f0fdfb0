"""Recipes, protocols and studies: find, read, check and compare them."""
