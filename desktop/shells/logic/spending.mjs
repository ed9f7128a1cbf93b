// This user's spending as a panel shows it, followed by signals alone. `clock` has now(), monotonic milliseconds;
// today(), the local day; and after(milliseconds, then), whose result calls it off. `bus` as in router.mjs.

import {secondsToMidnight} from './clock.mjs';
import {Permission, Unit, onWakeUp} from './machine.mjs';
import {slotOf} from './menu.mjs';
import {Model} from './model.mjs';
import {Pacer} from './pacing.mjs';
import {Router} from './router.mjs';

const nothing = () => {};

export class Spending {
    // `draw` gets each picture, at most four a second; `say` translates.
    constructor(bus, clock, draw, say) {
        this._clock = clock;
        this._draw = draw;
        this._say = say;
        this._pacer = new Pacer();
        this._callOffDraw = this._callOffMidnight = nothing;
        this._model = new Model(() => clock.today());
        if (bus)
            this._follow(bus);
        else
            this._model.routerAway('no_bus');
        this.changed();
    }

    close() {
        this._callOffDraw();
        this._callOffMidnight();
        for (const end of this._ends || [])
            end();
    }

    changed() {
        const delay = this._pacer.wanted(this._clock.now());
        if (delay !== null)
            this._callOffDraw = this._clock.after(delay, () => this._drawNow());
    }

    // A panel says that its menu was opened, or closed.
    menu(open) {
        this._model.menu(open);
        if (open && this._router)
            this._router.refresh();
        this.changed();
    }

    // A click on an entry of the menu.
    clicked(id) {
        const slot = slotOf(id);
        const requestId = slot === null ? null : this._model.requestIn(slot);
        if (requestId && this._router)
            this._router.cancel(requestId);
    }

    _follow(bus) {
        const learns = key => value => this._learnt({[key]: value});
        const unit = new Unit(bus, learns('absence'));
        const permission = new Permission(bus, learns('allowed'));
        this._router = new Router(bus, this._model, {
            changed: () => this.changed(),
            came: () => this._came(unit, permission),
            left: () => this._left(unit),
        });
        const endWakeUp = onWakeUp(bus, () => this._midnight());
        this._ends = [() => this._router.close(), () => unit.rest(), () => permission.close(), endWakeUp];
    }

    _came(unit, permission) {
        this._callOffMidnight();
        unit.rest();
        permission.ask();
    }

    // Only while the router is away does anybody have to look at the clock: else it says when a day begins.
    _left(unit) {
        unit.watch();
        this._awaitMidnight();
    }

    _awaitMidnight() {
        this._callOffMidnight();
        const delay = 1000 * secondsToMidnight(new Date());
        this._callOffMidnight = this._clock.after(delay, () => this._midnight());
    }

    _midnight() {
        if (this._model.dayOver())
            this.changed();
        if (this._model.view.service !== 'there')
            this._awaitMidnight();
    }

    _learnt(news) {
        this._model.learnt(news);
        this.changed();
    }

    _drawNow() {
        this._pacer.drew(this._clock.now());
        this._draw(this._model.picture(this._say));
    }
}
