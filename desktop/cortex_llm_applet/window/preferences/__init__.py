"""The parts of the preferences page: the rows, and who keeps what they change."""
