"""cortexctl learn, command by command."""
