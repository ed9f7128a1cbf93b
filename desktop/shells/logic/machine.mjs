// What the machine says about the router: systemd of its unit, polkit of whether this user may ask, logind of sleep.
// `bus` as in router.mjs.

import {absenceOf} from './absence.mjs';
import {ASK_ACTION, BUS_NAME, UNIT} from './facts.mjs';

const DBUS = ['org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus'];
const SYSTEMD = ['org.freedesktop.systemd1', '/org/freedesktop/systemd1', 'org.freedesktop.systemd1.Manager'];
const UNIT_FACES = ['org.freedesktop.systemd1.Unit', 'org.freedesktop.systemd1.Service'];
const POLKIT = ['org.freedesktop.PolicyKit1', '/org/freedesktop/PolicyKit1/Authority', 'org.freedesktop.PolicyKit1.Authority'];
const LOGIND = ['org.freedesktop.login1', '/org/freedesktop/login1', 'org.freedesktop.login1.Manager'];
const PROPERTIES = 'org.freedesktop.DBus.Properties';
const nobody = () => {};

// Says why the router is away, and again when that changes, from watch() to rest().
export class Unit {
    constructor(bus, said) {
        this._bus = bus;
        this._said = said;
        this._round = 0; // answers to an earlier one are late
        this._path = '';
        this._ends = [];
    }

    watch() {
        this.rest();
        this._ends.push(this._bus.listen(SYSTEMD, 'Reloading', active => active || this._look(), {}));
        this._bus.call(SYSTEMD, 'Subscribe', '()', [], nobody, nobody); // it sends no signals otherwise
        this._look();
    }

    rest() {
        if (this._path)
            this._bus.call(SYSTEMD, 'Unsubscribe', '()', [], nobody, nobody);
        for (const end of this._ends)
            end();
        this._ends = [];
        this._path = '';
        this._round++;
    }

    _look() {
        const number = ++this._round;
        this._bus.call(DBUS, 'ListActivatableNames', '()', [], names => {
            if (number === this._round)
                this._load(number, names.includes(BUS_NAME));
        }, nobody);
    }

    _load(number, activatable) {
        const unknown = () => this._say(number, null, activatable);
        this._bus.call(SYSTEMD, 'LoadUnit', '(s)', [UNIT], path => {
            if (number !== this._round)
                return;
            this._follow(path);
            this._read(number, path, activatable, {}, UNIT_FACES);
        }, unknown);
    }

    // One interface of the unit after the other; a unit that is not there has no Service.
    _read(number, path, activatable, known, [face, ...rest]) {
        if (!face) {
            this._say(number, known, activatable);
            return;
        }
        this._bus.call(
            [SYSTEMD[0], path, PROPERTIES], 'GetAll', '(s)', [face],
            values => this._read(number, path, activatable, Object.assign({}, known, values), rest),
            () => this._say(number, known, activatable)
        );
    }

    _follow(path) {
        if (path === this._path)
            return;
        this._path = path;
        this._ends.push(this._bus.listen([SYSTEMD[0], path, PROPERTIES], 'PropertiesChanged', () => this._look(), {}));
    }

    _say(number, unit, activatable) {
        if (number === this._round)
            this._said(absenceOf(unit, activatable));
    }
}

// Says whether polkit lets this connection's user ask, with a password or without (null: it does not say), and again when
// rules change.
export class Permission {
    constructor(bus, said) {
        this._bus = bus;
        this._said = said;
        this._end = bus.listen(POLKIT, 'Changed', () => this.ask(), {});
    }

    ask() {
        const subject = ['system-bus-name', {name: this._bus.uniqueName}];
        this._bus.call(
            POLKIT, 'CheckAuthorization', '((sa{sv})sa{ss}us)', [subject, ASK_ACTION, {}, 0, ''],
            ([allowed, withPassword]) => this._said(allowed || withPassword), () => this._said(null)
        );
    }

    close() {
        this._end();
    }
}

// Calls `woke` when the computer comes back from sleep: timers do not count what it slept. The result ends it.
export function onWakeUp(bus, woke) {
    return bus.listen(LOGIND, 'PrepareForSleep', begins => begins || woke(), {});
}
