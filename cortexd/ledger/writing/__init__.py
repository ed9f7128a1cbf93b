"""What is written: one thread, and what requests become in its transactions."""
