"""The walk-through behind script/demo, and its stage: a private bus with real users and simulated providers."""
