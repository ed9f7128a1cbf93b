"""Answers that are held for a while: for the same request id, and for equal questions."""
