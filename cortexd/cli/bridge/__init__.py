"""The user's bridge as a person sees to it: its units in the hands of their own systemd, its port, its state."""
