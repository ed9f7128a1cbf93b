"""The simulated vendors under the name that collected cases from outside this checkout import them by."""

from simulated import *  # noqa: F403
