"""What cortexd costs, measured against the bare SDKs on the same upstream in the same run.

    python -m bench [--json FILE] [--quick] [CASE…]     measure; `script/bench` sets the stage for it

A case is one file in `bench/cases/` with a `CASE`: its name, the figures that it promises, and a function from a
`Lab` (what there is to measure with) to those figures. A file that is there is found; nothing else lists it.
"""
