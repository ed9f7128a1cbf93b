"""With PySide6: an answer, in the event loop of a Qt program."""

import sys

from PySide6.QtCore import SLOT, QCoreApplication, QObject, Slot
from PySide6.QtDBus import QDBusConnection, QDBusError, QDBusMessage

NAME, PATH = "org.cortexlinux.LLMRouter", "/org/cortexlinux/LLMRouter"
TIMEOUT_MS = 600_000


class Asking(QObject):
    """The slots say the types of the reply: without them its dictionary is a QDBusArgument that Python cannot read."""

    @Slot(str, "QVariantMap")
    def answered(self, content, metadata):
        print(f"{content}\n{metadata['cost_nano_usd'] / 1e9:.9f} USD")
        application.quit()

    @Slot(QDBusError, QDBusMessage)
    def failed(self, error, _call):
        print(f"{error.name()}: {error.message()}", file=sys.stderr)
        application.exit(1)


prompt = sys.argv[1] if len(sys.argv) > 1 else "What is a cgroup?"
application = QCoreApplication(sys.argv)
asking = Asking()
call = QDBusMessage.createMethodCall(NAME, PATH, NAME, "CompleteWithOptions")
call.setArguments(["user_chat", [{"role": "user", "content": prompt}], {"max_tokens": 200}])
QDBusConnection.systemBus().callWithCallback(
    call, asking, SLOT("answered(QString,QVariantMap)"), SLOT("failed(QDBusError,QDBusMessage)"), TIMEOUT_MS
)
sys.exit(application.exec())
