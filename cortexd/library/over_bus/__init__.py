"""The rooms behind `LLMRouter(bus=...)`: the same surface over the running daemon, with the system's keys.

Standard library and dbus-next only, as cortexd.client has it; of cortexd.library only what is light.
"""
