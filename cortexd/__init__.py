"""cortexd: language models as a service of the operating system."""

__version__ = "0.1.0"
