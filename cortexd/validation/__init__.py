"""Plain dictionaries (from the bus, JSON or Python) into the domain's structures, each error naming its path.

Everything that a caller sends passes here once; what comes out is well formed, bounded and safe to send on.
"""

from cortexd.validation.bounds import Bounds
from cortexd.validation.content import base64_length, content_hash, images_of, prompt_bytes
from cortexd.validation.messages import check_asked, parse_messages
from cortexd.validation.options import parse_options, parse_raw_options
from cortexd.validation.own_caps import OwnCapWish, parse_hold_answer, parse_own_budget
from cortexd.validation.queries import (
    BudgetWish,
    LearningWish,
    OutcomeWish,
    UsageWish,
    parse_batch_options,
    parse_budget,
    parse_learning_query,
    parse_outcome,
    parse_preferences,
    parse_usage_query,
)

__all__ = [
    "Bounds",
    "BudgetWish",
    "LearningWish",
    "OutcomeWish",
    "OwnCapWish",
    "UsageWish",
    "base64_length",
    "check_asked",
    "content_hash",
    "images_of",
    "parse_batch_options",
    "parse_budget",
    "parse_hold_answer",
    "parse_learning_query",
    "parse_messages",
    "parse_options",
    "parse_outcome",
    "parse_own_budget",
    "parse_preferences",
    "parse_raw_options",
    "parse_usage_query",
    "prompt_bytes",
]
