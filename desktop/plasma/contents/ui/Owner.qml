// Who owns a name on the system bus, by its unique name.
import QtQuick
import org.kde.plasma.workspace.dbus as DBus

DBus.DBusServiceWatcher {
    id: watcher

    required property var bus
    required property var appeared
    required property var vanished
    readonly property var daemon: ["org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus"]

    busType: DBus.BusType.System
    onRegisteredChanged: look()
    Component.onCompleted: Qt.callLater(() => registered || vanished())

    function look() {
        if (registered)
            bus.call(daemon, "GetNameOwner", "(s)", [watchedService], name => appeared(name), () => vanished());
        else
            vanished();
    }
}
