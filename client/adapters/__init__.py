"""Stand-ins for the classes of other libraries, which answer from a worker."""
