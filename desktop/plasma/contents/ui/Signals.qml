// Signals of one interface of one object; Plasma calls a function that is named like the signal, and complains of a
// signal that has none.
import org.kde.plasma.workspace.dbus as DBus
import "plain.mjs" as Plain

DBus.SignalWatcher {
    required property var heard

    busType: DBus.BusType.System

    function tell(member, values) {
        heard(member, Plain.plain(Array.from(values)));
    }

    // the router's
    function dbusCostIncurred() { tell("CostIncurred", arguments); }
    function dbusBudgetThreshold() { tell("BudgetThreshold", arguments); }
    function dbusProviderStateChanged() { tell("ProviderStateChanged", arguments); }
    function dbusPeriodStarted() { tell("PeriodStarted", arguments); }
    function dbusBudgetHeld() { tell("BudgetHeld", arguments); }
    function dbusHoldEnded() { tell("HoldEnded", arguments); }
    function dbusTotalsChanged() {}
    // properties'
    function dbusPropertiesChanged() { tell("PropertiesChanged", arguments); }
    // polkit's, logind's, systemd's
    function dbusChanged() { tell("Changed", arguments); }
    function dbusPrepareForSleep() { tell("PrepareForSleep", arguments); }
    function dbusReloading() { tell("Reloading", arguments); }
    function dbusPrepareForShutdown() {}
    function dbusSessionNew() {}
    function dbusSessionRemoved() {}
    function dbusUserNew() {}
    function dbusUserRemoved() {}
    function dbusSeatNew() {}
    function dbusSeatRemoved() {}
    function dbusUnitNew() {}
    function dbusUnitRemoved() {}
    function dbusJobNew() {}
    function dbusJobRemoved() {}
    function dbusStartupFinished() {}
    function dbusUnitFilesChanged() {}
}
