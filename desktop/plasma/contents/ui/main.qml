// Today's spend in Plasma's panel; a click shows the menu that the applet has too.
pragma ComponentBehavior: Bound

import QtQuick
import QtQuick.Layouts
import org.kde.kirigami as Kirigami
import org.kde.plasma.components as PlasmaComponents
import org.kde.plasma.core as PlasmaCore
import org.kde.plasma.plasmoid
import "../logic/clock.mjs" as Days
import "../logic/menu.mjs" as Menu
import "../logic/spending.mjs" as Live

PlasmoidItem {
    id: root

    property var picture: ({state: "loading", label: "—", title: "", tooltip: "", icon_words: "", menu: []})
    property var spending: null
    readonly property bool hearsCosts: bus.signals !== null // each by itself, or else only their sum

    // somebody reads it, so that its entries keep their places: on the desktop it is never closed
    readonly property bool open: Plasmoid.formFactor === PlasmaCore.Types.Planar ? hovered : expanded
    property bool hovered: false

    toolTipMainText: picture.title
    toolTipSubText: picture.tooltip
    onOpenChanged: if (spending) spending.menu(open)
    Component.onCompleted: spending = new Live.Spending(bus, clock, drawn => picture = drawn, text => i18n(text))
    Component.onDestruction: spending.close()

    Bus { id: bus }

    QtObject {
        id: clock

        readonly property Component timer: Component { Timer {} }

        function now() { return Date.now(); }
        function today() { return Days.dayOf(new Date()); }
        function after(milliseconds, then) {
            let one = timer.createObject(root, {interval: milliseconds});
            const end = () => {
                if (one)
                    one.destroy();
                one = null;
            };
            one.triggered.connect(() => {
                end();
                then();
            });
            one.start();
            return end;
        }
    }

    compactRepresentation: MouseArea {
        Layout.minimumWidth: shown.implicitWidth
        Layout.preferredWidth: shown.implicitWidth
        implicitHeight: Kirigami.Units.iconSizes.small
        Accessible.role: Accessible.Button
        Accessible.name: `${root.picture.title}, ${root.picture.icon_words}`
        Accessible.onPressAction: clicked(null)
        onClicked: root.expanded = !root.expanded

        RowLayout {
            id: shown

            anchors.fill: parent
            spacing: Kirigami.Units.smallSpacing

            Kirigami.Icon {
                Layout.preferredWidth: Kirigami.Units.iconSizes.small
                Layout.preferredHeight: Kirigami.Units.iconSizes.small
                source: Qt.resolvedUrl(`../icons/cortex-llm-${root.picture.state}.svg`)
            }
            PlasmaComponents.Label { text: root.picture.label }
        }
    }

    fullRepresentation: ColumnLayout {
        Layout.minimumWidth: Kirigami.Units.gridUnit * 18
        Layout.preferredWidth: Kirigami.Units.gridUnit * 22
        Layout.minimumHeight: implicitHeight
        spacing: Kirigami.Units.smallSpacing

        HoverHandler { onHoveredChanged: root.hovered = hovered }
        Repeater {
            model: root.picture.menu.length // the entries are always the same ones; only what is in them changes

            Loader {
                required property int index
                readonly property var entry: root.picture.menu[index]

                Layout.fillWidth: true
                Layout.leftMargin: Kirigami.Units.smallSpacing
                Layout.rightMargin: Kirigami.Units.smallSpacing
                visible: entry.visible && (root.hearsCosts || !Menu.isOfCosts(entry.id))
                sourceComponent: entry.separator ? separator : Menu.slotOf(entry.id) === null ? words : button
            }
        }
        Item { Layout.fillHeight: true }
    }

    Component {
        id: separator
        Kirigami.Separator {}
    }
    Component {
        id: words
        PlasmaComponents.Label {
            text: parent.entry.label
            opacity: parent.entry.enabled ? 1 : 0.6
            wrapMode: Text.Wrap
        }
    }
    Component {
        id: button
        PlasmaComponents.Button {
            text: parent.entry.label
            enabled: parent.entry.enabled
            onClicked: root.spending.clicked(parent.entry.id)
        }
    }
}
