"""The daemon's side of the bus: calls in, replies and signals out, and who the callers are."""
