"""When the sounds of a scene sound and how loudly, whatever they are: shared by data sets of mixed scenes."""
