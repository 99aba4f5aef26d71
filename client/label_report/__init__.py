"""The report of a labelling run."""
