"""cortexctl: the service for people and shell scripts."""
