"""The desktop's part of the demo: real panels on screens without a monitor, and their pictures."""
