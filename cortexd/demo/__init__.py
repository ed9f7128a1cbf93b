"""What script/demo and the tests stand on: simulated providers, a private bus and the walk-through."""
