"""The daemon's side of the bus: calls in, replies and signals out, callers and polkit."""
