"""The demo behind script/demo, inside script/private-bus: a walk-through, or with --shell a shell to try things in."""

from __future__ import annotations

import argparse
import os
import sys

from demo.screen import Screen
from demo.stage import Stage, real_keys
from demo.walk import SIMULATED, walk

_INVITATION = """
You are alice (group cortex), on a private system bus that ends with this shell. Try:

  busctl tree org.cortexlinux.LLMRouter
  busctl call --timeout=60 org.cortexlinux.LLMRouter /org/cortexlinux/LLMRouter \\
      org.cortexlinux.LLMRouter Ask ss user_chat "Hello!"
  cortexctl ask "What can you do?"
  cortexctl ask --task system_operation "Install nginx"     (asks for carol's password: secret)
  cortexctl watch &
  cortexctl usage --by app
  cortexctl run -- sh -c 'curl -s "$OPENAI_BASE_URL/chat/completions" --oauth2-bearer "$OPENAI_API_KEY" \\
      --json "{\\"model\\": \\"auto\\", \\"messages\\": [{\\"role\\": \\"user\\", \\"content\\": \\"Hello!\\"}]}"'
  exit
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="script/demo",
        description="Shows what cortexd does, on a private system bus.",
        epilog="script/demo --desktop shows the panel's item and notifications instead; it has --help of its own.",
    )
    parser.add_argument("--shell", action="store_true", help="leave me inside, ready to type the same commands")
    parser.add_argument(
        "--real",
        action="store_true",
        help="the real providers, with ANTHROPIC_API_KEY and MOONSHOT_API_KEY; costs money",
    )
    options = parser.parse_args()
    if options.real and not real_keys(os.environ):
        print("script/demo --real: set ANTHROPIC_API_KEY or MOONSHOT_API_KEY first", file=sys.stderr)
        return 2
    with Stage(Screen(), real=options.real) as stage:
        if options.shell:
            print(_INVITATION if options.real else f"{_INVITATION}\n{SIMULATED}\n")
            if os.environ.get("CORTEXD_USERNS") == "1":
                print("(In a user namespace polkit cannot check passwords, so the system operation will be refused.)\n")
            stage.shell("alice")
        else:
            walk(stage)
    print(
        "\nThe end. Nothing is left behind."
        + ("" if options.shell else " script/demo --shell lets you try it yourself.")
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
