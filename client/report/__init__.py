"""What every page is made of: the frame, its look, tables and plots."""
