"""What people write: recipes, protocols and studies; how they are found, checked and laid over each other."""
