"""A command's conversation with the service, and with polkit's agent."""
