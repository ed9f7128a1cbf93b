"""The parts of the spend page: bars, their legend, budgets as rings, and who asks the router for them."""
