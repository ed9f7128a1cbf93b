"""cortexctl chat: a conversation at the terminal."""
