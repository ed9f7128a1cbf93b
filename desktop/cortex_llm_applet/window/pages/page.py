"""What each page of the window is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from cortex_llm_applet.edges.live import Live
from cortex_llm_applet.logic.view import View
from cortex_llm_applet.window.toolkit import Gtk


class Page(ABC):
    """`name` is for programs, `title` a text marked with N_, `icon` one of the theme's. __init__ makes `widget`."""

    name: ClassVar[str]
    title: ClassVar[str]
    icon: ClassVar[str]
    widget: Gtk.Widget

    def __init__(self, live: Live) -> None:
        self.live = live

    @abstractmethod
    def show(self, view: View) -> None:
        """Draw `view`. Called only while this page is the one that a person sees: when it becomes so, and after
        changes, at most four times a second."""
