// The extension's model without a bus: for each line of its input, a list of events [name, value…], it prints the picture
// that is shown after them.

import Gio from 'gi://Gio';

import {Model} from '../../../desktop/shells/logic/model.mjs';

const CALLS = {
    router_there: model => model.routerThere(),
    router_away: (model, service) => model.routerAway(service),
    absence: (model, absence) => model.learnt({absence}),
    refused: model => model.learnt({refused: true}),
    allowed: (model, allowed) => model.learnt({allowed}),
    clock: (model, wrong) => model.learnt({clock_wrong: wrong}),
    snapshot: (model, row) => model.snapshot(row),
    cost: (model, ...cost) => model.cost(...cost),
    provider_state: (model, name, state) => model.providerState(name, state),
    providers: (model, rows) => model.providers(rows),
    budgets: (model, rows) => model.budgets(rows),
    running: (model, rows) => model.running(rows),
    holds: (model, rows) => model.holds(rows),
    held: (model, details) => model.held(details.hold_id),
    hold_ended: (model, holdId) => model.holdEnded(holdId),
    stats: (model, row) => model.stats(row),
    menu: (model, open) => model.menu(open),
    day_over: model => model.dayOver(),
};

function pictureAfter(events) {
    let today = '2026-11-29';
    const model = new Model(() => today);
    for (const [name, ...values] of events) {
        if (name === 'day')
            [today] = values;
        else
            CALLS[name](model, ...values);
    }
    const picture = model.picture(text => text);
    return Object.assign(picture, {cancels: [0, 1, 2, 3, 4].map(slot => model.requestIn(slot))});
}

const input = new Gio.DataInputStream({base_stream: new Gio.UnixInputStream({fd: 0})});
for (;;) {
    const [line] = input.read_line_utf8(null);
    if (line === null)
        break;
    print(JSON.stringify(pictureAfter(JSON.parse(line))));
}
