"""The page Providers: how each stands, why, and the next step."""

from __future__ import annotations

from cortex_llm_applet.logic.figures import Provider
from cortex_llm_applet.logic.lines import Line, Lines, joined
from cortex_llm_applet.logic.trouble import State
from cortex_llm_applet.logic.view import View
from cortex_llm_applet.texts import N_, _

# state -> its icon and what it means
_STATES = {
    "ok": (State.OK, N_("answers")),
    "degraded": (State.WARN, N_("fails now and then")),
    "open": (State.ERROR, N_("failed repeatedly and is avoided for now")),
    "unconfigured": (State.UNCONFIGURED, N_("is not set up")),
}
_LOADING = "loading"
_ITSELF = N_("It is tried again by itself.")
_SEE = N_("Look at its server, or wait: it is tried again by itself.")
# the router's word -> what happened, and the next step
_FAILURES = {
    "authentication": (N_("its key is not accepted"), N_("Set a valid key: sudo cortexctl credentials set {name}")),
    "quota": (N_("its account has no money left"), N_("Top up the account at the provider.")),
    "rate_limited": (N_("it takes no more requests for now"), _ITSELF),
    "overloaded": (N_("it is overloaded"), _ITSELF),
    "server_error": (N_("it reported an error of its own"), _ITSELF),
    "timeout": (N_("it gave no answer in time"), _ITSELF),
    "first_token_timeout": (N_("it gave no word in time"), _ITSELF),
    "connection": (
        N_("it could not be reached"),
        N_("See whether this computer is online."),
    ),
    "malformed_answer": (N_("its answer was not understood"), _ITSELF),
    _LOADING: (N_("its model is being loaded"), N_("Wait a moment.")),
}
# of a server on this computer
_LOCAL_FAILURES = {"connection", "timeout", "first_token_timeout", "server_error"}


def in_use(view: View) -> Lines:
    """Those that are set up, in the service's order."""
    return tuple(_line(item) for item in view.providers if item.configured)


def not_set_up(view: View) -> Lines:
    return tuple(_line(item) for item in view.providers if not item.configured)


def state_in_words(state: str) -> tuple[State, str]:
    """Its icon, and what it means; the word itself where it is one of a newer service."""
    icon, meaning = _STATES.get(state, (State.LOADING, state))
    return icon, _(meaning) if meaning else ""


def _line(provider: Provider) -> Line:
    icon, meaning = state_in_words(provider.state)
    why, step = _why(provider)
    where = _("on this computer") if provider.local else ""
    said = joined((provider.default_model, where, joined((meaning, why), ": ")))
    return Line(provider.name, provider.name, joined((said, step), "\n"), state=icon)


def _why(provider: Provider) -> tuple[str, str]:
    """Why it is not ok, and the next step; both empty where nothing is to be done."""
    if not provider.configured:
        if provider.has_key or provider.local:
            return "", provider.hint
        return "", _("Set its key: sudo cortexctl credentials set {name}").format(name=provider.name)
    if provider.state == "ok" or not provider.last_failure:
        return "", ""
    why, step = _FAILURES.get(provider.last_failure, (provider.last_failure, _ITSELF))
    if provider.local and provider.last_failure in _LOCAL_FAILURES:
        step = _SEE
    return _(why), _(step).format(name=provider.name)
