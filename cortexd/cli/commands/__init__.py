"""One file per command, each with a click command named `command`, imported when it is used."""
