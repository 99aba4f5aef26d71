"""The worker: batches of sentences in over gRPC, embeddings and every head's answer out."""
