"""cortexctl batch, in the order a line goes through it: lines, items, in_flight, output."""
