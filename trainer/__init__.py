"""Multi-task training, from a recipe to a calibrated checkpoint, and its evaluation."""
