"""The old address of `simulated`, which stands beside this package now. Neither is shipped."""
