"""The bridge: an HTTP endpoint of one user's own, for programs that speak a vendor's API and not D-Bus.

It runs as its user, and asks the service on the bus as any program of his does: polkit, budgets and the ledger hold as
ever, and the service has no listener. What is here knows HTTP and the vendors' forms; it decides nothing.
"""
