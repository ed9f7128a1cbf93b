"""One module per schema revision; keeping/revisions.py lists them in order."""
