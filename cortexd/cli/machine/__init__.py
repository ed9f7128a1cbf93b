"""This machine in an administrator's hands: key files, the unit, a bug report."""
