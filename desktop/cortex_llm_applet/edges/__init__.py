"""Gio's D-Bus: the router, the panel, notifications, systemd, polkit."""
