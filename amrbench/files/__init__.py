"""The file formats, one module each; they know no recipes, models or runs."""
