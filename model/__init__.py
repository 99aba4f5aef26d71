"""What server and trainer share: the network, its parts, and checkpoints of it."""
