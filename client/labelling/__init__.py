"""Labels files of rows."""
