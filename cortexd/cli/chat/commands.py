"""The chat's own commands: /model, /task, /cost and the like, a row each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cortexd.cli.chat.conversation import LABEL
from cortexd.cli.shown.terminal import print_note, print_text
from cortexd.domain.money import format_usd
from cortexd.domain.tasks import TaskType
from cortexd.errors import InvalidArgument

if TYPE_CHECKING:
    from cortexd.cli.chat.chat import Chat

AUTO = "auto"


class Left(Exception):
    """The chat is over."""


@dataclass(frozen=True, slots=True)
class _Command:
    argument: str
    help: str
    run: Callable[[Chat, str], None]
    values: tuple[str, ...] = ()


def is_one(typed: str) -> bool:
    """A slash and letters: a path, and text that begins with two slashes, is none."""
    name = typed.split(maxsplit=1)[0]
    return name.startswith("/") and name[1:].isalpha()


def obey(chat: Chat, typed: str) -> None:
    """Raises InvalidArgument for what is none, Left, and what the command raises."""
    name, _, argument = typed.partition(" ")
    command = _COMMANDS.get(name.lower())
    if command is None:
        raise InvalidArgument(f"{name} is no command of the chat. /help lists them.")
    command.run(chat, argument.strip())


def completions(typed: str) -> Sequence[str]:
    """What may stand for a line that begins like that."""
    name, space, _ = typed.partition(" ")
    if not space:
        return [f"{item} " if row.argument else item for item, row in _COMMANDS.items() if item.startswith(typed)]
    row = _COMMANDS.get(name)
    whole = [f"{name} {value}" for value in (row.values if row else ())]
    return [item for item in whole if item.startswith(typed)]


def _model(chat: Chat, argument: str) -> None:
    if not argument:
        providers = chat.wait(lambda client: client.providers())
        names = [f"{item.name}/{model}" for item in providers if item.configured for model in item.models]
        print_text(f"{_chosen(chat)}; there are {', '.join(names) or 'none yet'}, and {AUTO}")
        return
    for key in ("provider", "model"):
        chat.options.pop(key, None)
    if argument != AUTO:
        names = [item.name for item in chat.wait(lambda client: client.providers())]
        provider, _, model = argument.partition("/")
        chat.options |= _given(provider, model) if provider in names else {"model": argument}
    print_note(_chosen(chat))


def _given(provider: str, model: str) -> dict[str, str]:
    return {"provider": provider, "model": model} if model else {"provider": provider}


def _chosen(chat: Chat) -> str:
    chosen = "/".join(chat.options[key] for key in ("provider", "model") if key in chat.options)
    return f"asking {chosen}" if chosen else "asking whom cortexd chooses"


def _task(chat: Chat, argument: str) -> None:
    known = [item.value for item in TaskType]
    if argument and argument not in known:
        raise InvalidArgument(f"{argument} is no task type. Take one of {', '.join(known)}.")
    chat.task = argument or chat.task
    print_note(f"task {chat.task}")


def _cost(chat: Chat, _argument: str) -> None:
    """By the ledger, which knows of interrupted answers too."""
    talk = chat.conversation
    rows = chat.wait(lambda client: client.usage(since=talk.began, group_by="label", label=LABEL))
    found = next((row for row in rows if row.label == talk.name), None)
    total = format_usd(found.cost_nano_usd) if found else format_usd(0)
    known = "" if found is None or found.cost_known else "at most "
    for number, turn in enumerate(talk.turns, 1):
        cost = "interrupted" if turn.cost_nano_usd is None else format_usd(turn.cost_nano_usd)
        print_text(f"{number}. {cost} {turn.provider} {turn.model}".rstrip())
    print_text(f"This chat: {known}{total}; requests: {found.requests if found else 0}.")


def _retry(chat: Chat, _argument: str) -> None:
    said = chat.unanswered
    if not said:
        turn = chat.conversation.take_back()
        if turn is None:
            raise InvalidArgument("There is nothing to ask again yet.")
        said = turn.said
    chat.say(said)


def _report(score: float) -> Callable[[Chat, str], None]:
    def report(chat: Chat, reason: str) -> None:
        turn = next((turn for turn in reversed(chat.conversation.turns) if turn.request_id), None)
        if turn is None:
            raise InvalidArgument("There is no answer to judge yet.")
        chat.wait(lambda client: client.report_outcome(turn.request_id, score, reason=reason))
        print_note("noted, thank you")

    return report


def _save(chat: Chat, argument: str) -> None:
    if not argument:
        raise InvalidArgument("Say where: /save notes.md, or /save notes.json.")
    file = Path(argument).expanduser()
    talk = chat.conversation
    try:
        with file.open("x", encoding="utf-8", errors="replace") as stream:
            if file.suffix == ".json":
                import json

                json.dump(talk.as_json(), stream, ensure_ascii=False, indent=2)
            else:
                stream.write(talk.as_markdown())
    except FileExistsError:
        raise InvalidArgument(f"{file} exists already. Choose another name.") from None
    print_note(f"written to {file}; turns: {len(talk.turns)}")


def _new(chat: Chat, _argument: str) -> None:
    chat.conversation.empty()
    chat.unanswered = ""
    chat.keep()
    print_note("begun anew")


def _help(_chat: Chat, _argument: str) -> None:
    for name, row in _COMMANDS.items():
        print_text(f"{f'{name} {row.argument}':<24}{row.help}")


def _quit(_chat: Chat, _argument: str) -> None:
    raise Left


_COMMANDS = {
    "/model": _Command(
        "[NAME]", f"ask this provider, model, or provider/model; {AUTO}: whom cortexd chooses", _model, (AUTO,)
    ),
    "/task": _Command("[TYPE]", "what the chat is for", _task, tuple(item.value for item in TaskType)),
    "/cost": _Command("", "what each turn and the whole chat cost", _cost),
    "/retry": _Command("", "ask for the last answer again", _retry),
    "/good": _Command("[WHY]", "the last answer served", _report(1.0)),
    "/bad": _Command("[WHY]", "it did not", _report(0.0)),
    "/save": _Command("FILE", "write the chat down, as Markdown or, by the name, as JSON", _save),
    "/new": _Command("", "forget what was said", _new),
    "/help": _Command("", "this list", _help),
    "/quit": _Command("", "leave, as Ctrl-D does", _quit),
}
