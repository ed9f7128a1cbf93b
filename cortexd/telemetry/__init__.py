"""What operators see of the daemon beside the bus: the journal, metrics, a line for each request."""
