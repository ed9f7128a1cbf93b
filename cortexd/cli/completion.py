"""Completion scripts for bash and zsh: the commands as they are now, written down as two tables.

Static on purpose: Tab answers at once and starts no Python.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from cortexd.domain.own_cap import HoldAnswer
from cortexd.domain.tasks import TaskType

_FILES = "<files>"
# what a free text stands for, by its name in the help
_VALUES = {"TYPE": [item.value for item in TaskType], "system|session|ADDRESS": ["system", "session"]}
_PREFERENCES = [*(f"{item.value}=" for item in TaskType)]
_CLEARED = ["strategy", "learned", "local-only", "secrets", "excluded", "on-break"]
_POSITIONAL = {
    "[TASK=PROVIDER]...": _PREFERENCES,
    "[TASK|strategy|learned|local-only|secrets|excluded|on-break]...": [*TaskType, *_CLEARED],
    "ID|last": ["last"],
    "good|bad|SCORE": ["good", "bad"],
    "[HOLD] today|once|refuse": [item.value for item in HoldAnswer],
}

_BASH = """\
# bash completion for cortexctl
_cortexctl() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} at=cortexctl words= i
    if [[ $current == = ]]; then current=
    elif [[ $previous == = ]]; then previous=${COMP_WORDS[COMP_CWORD-2]}; fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$at ${COMP_WORDS[i]}" in
            @PATHS@) at="$at ${COMP_WORDS[i]}" ;;
        esac
    done
    case "$at $previous" in
@VALUES@
        *) case "$at" in
@WORDS@
        esac ;;
    esac
    if [[ $words == *'<files>'* && $current != -* ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    else
        mapfile -t COMPREPLY < <(compgen -W "${words/<files>/}" -- "$current")
    fi
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -F _cortexctl cortexctl
"""
_ZSH = """\
#compdef cortexctl
_cortexctl() {
    local current=${words[CURRENT]} previous=${words[CURRENT-1]} at=cortexctl found= word
    for word in ${words[2,CURRENT-1]}; do
        case "$at $word" in
            @PATHS@) at="$at $word" ;;
        esac
    done
    if [[ $current == --*=* ]]; then previous=${current%%=*}; compset -P '*='; fi
    case "$at $previous" in
@VALUES@
        *) case "$at" in
@WORDS@
        esac ;;
    esac
    if [[ $found == *'<files>'* && $current != -* ]]; then _files; else compadd -- ${=found/<files>/}; fi
}
if [[ ${funcstack[1]} == _cortexctl ]]; then _cortexctl "$@"; else compdef _cortexctl cortexctl; fi
"""


def script(root: click.Context, shell: str) -> str:
    """`root`: the context of the whole command line; `shell`: bash or zsh."""
    variable, text = {"bash": ("words", _BASH), "zsh": ("found", _ZSH)}[shell]
    commands = list(_commands(root, "cortexctl"))
    values = [
        f"        {_patterns(path, option)}) {variable}='{' '.join(_option_values(option))}' ;;"
        for path, command in commands
        for option in _options(command)
        if not option.is_flag
    ]
    words = [f"            '{path}') {variable}='{' '.join(_words(command))}' ;;" for path, command in commands]
    paths = "|".join(f"'{path}'" for path, _command in commands[1:])
    return text.replace("@PATHS@", paths).replace("@VALUES@", "\n".join(values)).replace("@WORDS@", "\n".join(words))


def _commands(ctx: click.Context, path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command by its whole path, from the outermost on."""
    yield path, ctx.command
    if isinstance(ctx.command, click.Group):
        for name in ctx.command.list_commands(ctx):
            command = ctx.command.get_command(ctx, name)
            assert command is not None
            yield from _commands(click.Context(command, parent=ctx, info_name=name), f"{path} {name}")


def _options(command: click.Command) -> list[click.Option]:
    return [parameter for parameter in command.params if isinstance(parameter, click.Option)]


def _patterns(path: str, option: click.Option) -> str:
    return "|".join(f"'{path} {name}'" for name in option.opts)


def _words(command: click.Command) -> list[str]:
    """What may stand next: subcommands, options, and the values of what is no option."""
    words = list(command.list_commands(click.Context(command))) if isinstance(command, click.Group) else []
    for option in _options(command):
        words += [name for name in (*option.opts, *option.secondary_opts) if name.startswith("--")]
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            words += _argument_values(parameter)
    return [*words, "--help"]


def _option_values(option: click.Option) -> list[str]:
    return _typed_values(option) or _VALUES.get(option.metavar or "", [])


def _argument_values(argument: click.Argument) -> list[str]:
    return _typed_values(argument) or _POSITIONAL.get(argument.metavar or "", [])


def _typed_values(parameter: click.Parameter) -> list[str]:
    if isinstance(parameter.type, click.Choice):
        return list(parameter.type.choices)
    return [_FILES] if isinstance(parameter.type, click.Path) else []
