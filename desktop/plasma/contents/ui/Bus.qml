// The system bus, for logic/router.mjs. Calls go to unique names, so that none starts the router.
import QtQuick
import org.kde.plasma.workspace.dbus as DBus
import "plain.mjs" as Plain

QtObject {
    id: bus

    readonly property string uniqueName: ""
    // null where Plasma's QML cannot listen to signals, before 6.4
    readonly property Component signals: available("Signals.qml")
    readonly property Component changes: signals ? null : available("Changes.qml")
    readonly property Component owner: available("Owner.qml")
    property var pending: new Set() // or a reply may be collected before it comes

    function call(target, method, signature, values, done, failed) {
        const [service, path, iface] = target;
        const reply = DBus.SystemBus.asyncCall({service, path, iface, member: method, arguments: values, signature});
        pending.add(reply);
        reply.finished.connect(() => {
            pending.delete(reply);
            if (reply.isError)
                failed(reply.error.name);
            else
                done(...Plain.plain(reply.values));
        });
    }

    function listen(target, member, heard, {arg0 = null}) {
        const [service, path, iface] = target;
        const wanted = (name, values) => name === member && (arg0 === null || values[0] === arg0);
        if (signals)
            return made(signals, {service, path, iface, heard: (name, values) => wanted(name, values) && heard(...values)});
        // all that is known is that something changed: what asks for everything is told
        return member === "PeriodStarted" ? made(changes, {path, heard}) : () => {};
    }

    function follow(name, appeared, vanished) {
        return made(owner, {watchedService: name, bus, appeared, vanished});
    }

    function available(file) {
        const component = Qt.createComponent(file);
        return component.status === Component.Ready ? component : null;
    }

    function made(component, properties) {
        const one = component.createObject(bus, properties);
        return () => one.destroy();
    }
}
