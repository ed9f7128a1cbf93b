"""With pydbus (Debian: python3-pydbus): an answer. Streams are out of its reach."""

import sys

from gi.repository import GLib
from pydbus import SystemBus

NAME, PATH = "org.cortexlinux.LLMRouter", "/org/cortexlinux/LLMRouter"
TIMEOUT_S = 600

prompt = sys.argv[1] if len(sys.argv) > 1 else "What is a cgroup?"
router = SystemBus().get(NAME, PATH)[NAME]
messages = [{"role": GLib.Variant("s", "user"), "content": GLib.Variant("s", prompt)}]
options = {"max_tokens": GLib.Variant("i", 200)}

content, metadata = router.CompleteWithOptions("user_chat", messages, options, timeout=TIMEOUT_S)
print(f"{content}\n{metadata['cost_nano_usd'] / 1e9:.9f} USD")
