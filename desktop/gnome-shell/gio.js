// A bus and a clock of Gio's and GLib's, for logic/. No call starts a service.

import Gio from 'gi://Gio';
import GLib from 'gi://GLib';

import {dayOf} from './logic/clock.mjs';

const TIMEOUT_MS = 10000;

export class Bus {
    constructor(connection) {
        this._connection = connection;
        this._closing = new Gio.Cancellable();
    }

    get uniqueName() {
        return this._connection.get_unique_name();
    }

    // After this no answer comes any more.
    close() {
        this._closing.cancel();
    }

    // `done` gets the reply's values as plain JavaScript, `failed` the error's D-Bus name, or '' for one of the bus. In a
    // dictionary of variants every value is a text.
    call([destination, path, face], method, signature, values, done, failed) {
        const body = new GLib.Variant(signature, values.map(packed));
        const answered = (connection, result) => {
            if (!this._closing.is_cancelled())
                answer(connection, result, done, failed);
        };
        this._connection.call(
            destination, path, face, method, body, null, Gio.DBusCallFlags.NO_AUTO_START, TIMEOUT_MS, this._closing, answered
        );
    }

    // `heard` gets the signal's arguments. `unicast`: it is sent to us alone, and needs no rule on the bus.
    listen([sender, path, face], member, heard, {arg0 = null, unicast = false}) {
        const flags = unicast ? Gio.DBusSignalFlags.NO_MATCH_RULE : Gio.DBusSignalFlags.NONE;
        const id = this._connection.signal_subscribe(
            sender, face, member, path, arg0, flags, (...signal) => heard(...signal[5].recursiveUnpack())
        );
        return () => this._connection.signal_unsubscribe(id);
    }

    follow(name, appeared, vanished) {
        const id = Gio.bus_watch_name_on_connection(
            this._connection, name, Gio.BusNameWatcherFlags.NONE, (_, __, owner) => appeared(owner), () => vanished()
        );
        return () => Gio.bus_unwatch_name(id);
    }
}

// The system bus, or null where it cannot be reached.
export function systemBus() {
    try {
        return new Bus(Gio.DBus.system);
    } catch {
        return null;
    }
}

export const clock = {
    now: () => GLib.get_monotonic_time() / 1000,
    today: () => dayOf(new Date()),
    after(milliseconds, then) {
        let source = GLib.timeout_add(GLib.PRIORITY_DEFAULT, Math.ceil(milliseconds), () => {
            source = 0;
            then();
            return GLib.SOURCE_REMOVE;
        });
        return () => {
            if (source)
                GLib.source_remove(source);
            source = 0;
        };
    },
};

function answer(connection, result, done, failed) {
    let values;
    try {
        values = connection.call_finish(result).recursiveUnpack();
    } catch (error) {
        failed(Gio.DBusError.get_remote_error(error) || '');
        return;
    }
    done(...values);
}

function packed(value) {
    if (Array.isArray(value))
        return value.map(packed);
    if (typeof value !== 'object')
        return value;
    return Object.fromEntries(Object.entries(value).map(([key, text]) => [key, new GLib.Variant('s', text)]));
}
