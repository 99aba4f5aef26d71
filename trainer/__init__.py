"""Training: today the heads of the embedded starter model."""
