"""cortexctl completion"""

from __future__ import annotations

import click

from cortexd.cli.shown.terminal import print_text


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print a script that completes commands, options and their values. It runs nothing when it completes.

    \b
      cortexctl completion bash > ~/.local/share/bash-completion/completions/cortexctl
      cortexctl completion zsh > "${fpath[1]}/_cortexctl"
    """
    from cortexd.cli.completion import script

    print_text(script(ctx.find_root(), shell))
