"""What makes parts of the documentation; nothing of it is installed."""
