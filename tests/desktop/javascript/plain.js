// For each line of its input, what Plasma's widget makes of it; {"wrapped": x} stands for a value that Plasma wraps.

import Gio from 'gi://Gio';

import {plain} from '../../../desktop/plasma/contents/ui/plain.mjs';

class Wrapped {
    constructor(value) {
        this.value = value;
    }

    toString() {
        return String(this.value);
    }
}

const input = new Gio.DataInputStream({base_stream: new Gio.UnixInputStream({fd: 0})});
for (;;) {
    const [line] = input.read_line_utf8(null);
    if (line === null)
        break;
    const given = JSON.parse(line, (_, value) => value && 'wrapped' in Object(value) ? new Wrapped(value.wrapped) : value);
    print(JSON.stringify(plain(given)));
}
