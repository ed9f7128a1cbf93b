"""A conversation as people have it, made into one that every provider takes.

system      everything that system messages say, in order, apart from the turns
turns       user, assistant and tool messages: nothing blank, no two of a role in a row, each tool call followed by
            its results, ids unique, names and arguments as every provider takes them
"""

from cortexd.providers.conversation.calls import CallNames
from cortexd.providers.conversation.turns import Conversation, Manners, arranged

__all__ = ["CallNames", "Conversation", "Manners", "arranged"]
