"""The cap that a person sets on the own spending: setting it, and answering what it holds."""
