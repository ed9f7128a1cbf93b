// The view and its slots, changed by one event after the other.

import {monthChanged} from './clock.mjs';
import {costOf, filled, rowsOf} from './figures.mjs';
import {pictureOf} from './picture.mjs';
import {assigned, empty} from './slots.mjs';
import * as view from './view.mjs';

export class Model {
    // `today` gives the local day, as clock.mjs has it.
    constructor(today) {
        this.view = view.unknown();
        this._today = today;
        this._sumsOf = today();
        this._slots = empty();
        this._menuOpen = false;
    }

    picture(say) {
        return pictureOf(this.view, this._slots, say);
    }

    routerThere() {
        this.view = view.there(this.view);
    }

    routerAway(service) {
        this.view = view.away(this.view, service);
        this._assign();
    }

    // Takes any of absence, refused, allowed and clock_wrong.
    learnt(news) {
        this.view = view.changed(this.view, news);
    }

    snapshot(row) {
        this._sums(filled('sums', row));
    }

    cost(requestId, taskType, provider, model, details) {
        const sums = filled('sums', details);
        this.view = view.withCost(this.view, costOf(requestId, taskType, provider, model, details), sums);
        this._sums(sums);
    }

    providerState(name, state) {
        this.view = view.withProviderState(this.view, name, state);
    }

    providers(rows) {
        this.learnt({providers: rowsOf('provider', rows)});
    }

    budgets(rows) {
        this.learnt({budgets: rowsOf('budget', rows).filter(budget => !['pause', 'app'].includes(budget.scope))});
    }

    running(rows) {
        this.learnt({running: rowsOf('request', rows)});
        this._assign();
    }

    // The ids of the questions that wait for this user's answer.
    holds(rows) {
        this.learnt({holds: rows.map(row => row.hold_id).filter(Boolean)});
    }

    held(holdId) {
        this.learnt({holds: [...this.view.holds.filter(known => known !== holdId), holdId]});
    }

    holdEnded(holdId) {
        this.learnt({holds: this.view.holds.filter(known => known !== holdId)});
    }

    stats(row) {
        const service = row.service || {};
        this.learnt({ledger_writable: service.ledger_writable !== false});
    }

    menu(open) {
        this._menuOpen = open;
        this._assign();
    }

    // The id of the request that this entry of the menu cancels, or null.
    requestIn(slot) {
        const held = this._slots[slot];
        return held && !held.ended ? held.request.request_id : null;
    }

    // Forget the sums of a day that has passed while nobody could say what comes after it; says whether it did.
    dayOver() {
        const today = this._today();
        if (this.view.service === 'there' || today === this._sumsOf)
            return false;
        this.view = view.forgotten(this.view, monthChanged(this._sumsOf, today));
        this._sumsOf = today;
        return true;
    }

    _sums(sums) {
        this.learnt({sums});
        this._sumsOf = this._today();
    }

    _assign() {
        this._slots = assigned(this._slots, this.view.running, this._menuOpen);
    }
}
