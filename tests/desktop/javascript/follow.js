// The extension without a shell, on the bus at an address: prints each picture that a panel would draw. Its input is what a
// person does: {"menu": true} opens the menu, {"click": 50} clicks the entry of that id.

import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import System from 'system';

import {Bus, clock} from '../../../desktop/gnome-shell/gio.js';
import {Spending} from '../../../desktop/shells/logic/spending.mjs';

const FLAGS = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION;
const loop = new GLib.MainLoop(null, false);
const bus = new Bus(Gio.DBusConnection.new_for_address_sync(System.programArgs[0], FLAGS, null, null));
const spending = new Spending(bus, clock, picture => print(JSON.stringify(picture)), text => text);
const input = new Gio.DataInputStream({base_stream: new Gio.UnixInputStream({fd: 0})});

function obey({menu, click}) {
    if (menu !== undefined)
        spending.menu(menu);
    if (click !== undefined)
        spending.clicked(click);
}

function readOn() {
    input.read_line_async(GLib.PRIORITY_DEFAULT, null, (_, result) => {
        const [line] = input.read_line_finish_utf8(result);
        if (line === null) {
            loop.quit();
            return;
        }
        obey(JSON.parse(line));
        readOn();
    });
}

readOn();
loop.run();
spending.close();
bus.close();
