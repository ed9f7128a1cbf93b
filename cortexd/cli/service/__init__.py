"""cortexd as a service of a machine that has no package of it: what is put where, and how it is taken away."""
