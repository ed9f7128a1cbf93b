// Before Plasma 6.4 QML cannot listen to signals, and a program's output comes when the program ends: busctl waits for one
// signal and ends. The answer is read a moment later, when the next busctl listens already.
import QtQuick
import org.kde.plasma.plasma5support as Support

Support.DataSource {
    id: source

    required property string path
    required property var heard
    property int round: 0 // or the output of the last one would be taken for the next one's
    property Timer moment: Timer {
        interval: 250
        onTriggered: source.heard()
    }

    engine: "executable"
    onNewData: (name, data) => {
        disconnectSource(name);
        if (data["exit code"] !== 0)
            return; // a busctl that cannot wait: the menu asks when it is opened
        listen();
        moment.restart();
    }
    Component.onCompleted: listen()

    function listen() {
        round++;
        connectSource(`busctl --system wait ${path} org.freedesktop.DBus.Properties PropertiesChanged >/dev/null # ${round}`);
    }
}
