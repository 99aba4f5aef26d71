"""The embedded starter model: heads over the packaged all-MiniLM-L6-v2 encoder."""
