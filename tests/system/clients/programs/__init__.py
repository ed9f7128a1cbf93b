"""What runs in the clients' own environments: these modules import nothing of cortexd's."""
