"""The machines that share a ledger, for who runs them."""
