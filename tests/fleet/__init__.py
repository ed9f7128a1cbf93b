"""A fleet of daemons that share one ledger while its parts are killed: `script/fleet-chaos`."""
