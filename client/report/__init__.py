"""The page about a labelling run."""
