"""Who asks, and who may: the actions that requests need, and the authorities that decide about them."""

from cortexd.authority.authorization import Action, Authorizer, Caller, action_for

__all__ = ["Action", "Authorizer", "Caller", "action_for"]
