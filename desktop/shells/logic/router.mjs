// The router: followed by the owner of its name, never started. Calls go to that owner's unique name.
//
// `bus` is what gio.js and dbus.mjs give: call(target, method, signature, values, done, failed), listen(target, member, heard, options)
// and follow(name, appeared, vanished), the last two with the function that ends it as their result. A target is
// [destination, path, interface].

import {laterDays} from './clock.mjs';
import {BUS_NAME, INTERFACE, METHODS, OBJECT_PATH} from './facts.mjs';

const PROPERTIES = 'org.freedesktop.DBus.Properties';
const DENIED = new Set([
    'org.freedesktop.DBus.Error.AccessDenied',
    'org.freedesktop.DBus.Error.InteractiveAuthorizationRequired',
]);
// method -> what of the model its answer goes to; asked together, one round at a time
const ROUND = [['GetBudget', 'budgets'], ['GetStats', 'stats'], ['ListRequests', 'running']];
const nobody = () => {};

export class Router {
    // Puts what the router says into `model`; `hears` has changed, came and left.
    constructor(bus, model, hears) {
        this._bus = bus;
        this._model = model;
        this._hears = hears;
        this._forget('');
        this._ends = [];
        this._unfollow = bus.follow(BUS_NAME, owner => this._appeared(owner), () => this._vanished());
    }

    close() {
        this._unfollow();
        this._deafen();
        this._forget('');
    }

    cancel(requestId) {
        this._call('Cancel', [requestId], nobody);
    }

    // Ask how budgets, running requests and ledger stand. While one round is under way the next waits for its end.
    refresh() {
        if (!this._owner)
            return;
        if (this._asking) {
            this._askAgain = true;
            return;
        }
        for (const [method, learns] of ROUND)
            this._ask(method, learns);
    }

    _forget(owner) {
        this._owner = owner;
        this._subscription = 0;
        this._early = null; // costs that come before the answer to Subscribe
        this._asking = 0;
        this._askAgain = false;
    }

    _appeared(owner) {
        this._deafen();
        this._forget(owner);
        this._listen();
        this._model.routerThere();
        this._hears.came();
        this._subscribe();
        this._askProviders();
        this._checkClock();
        this.refresh();
        this._hears.changed();
    }

    _vanished() {
        this._deafen();
        this._forget('');
        this._model.routerAway();
        this._hears.left();
        this._hears.changed();
    }

    _listen() {
        const ours = [this._owner, OBJECT_PATH, INTERFACE];
        const properties = [this._owner, OBJECT_PATH, PROPERTIES];
        this._ends = [
            this._bus.listen(ours, 'CostIncurred', (...cost) => this._cost(cost), {unicast: true}),
            this._bus.listen(ours, 'BudgetThreshold', () => this.refresh(), {unicast: true}),
            this._bus.listen(ours, 'BudgetHeld', holdId => this._learn('held', holdId), {unicast: true}),
            this._bus.listen(ours, 'HoldEnded', holdId => this._holdEnded(holdId), {unicast: true}),
            this._bus.listen(ours, 'ProviderStateChanged', (name, state) => this._providerState(name, state), {}),
            this._bus.listen(ours, 'PeriodStarted', () => this._period(), {}),
            this._bus.listen(properties, 'PropertiesChanged', (_, news) => this._properties(news), {arg0: INTERFACE}),
        ];
    }

    _deafen() {
        for (const end of this._ends)
            end();
        this._ends = [];
    }

    // Subscribe, and let go of an earlier subscription: the snapshot says where the sums are now. Costs of the new one may
    // come before its number does; they count after the snapshot.
    _subscribe() {
        const before = this._subscription;
        this._early = [];
        this._call('Subscribe', [{}], (number, snapshot) => {
            const early = this._early;
            this._subscription = number;
            this._early = null;
            this._model.snapshot(snapshot);
            early.forEach(cost => this._cost(cost));
            this._call('ListHolds', [], rows => this._learn('holds', rows));
            this._hears.changed();
            if (before)
                this._call('Unsubscribe', [before], nobody);
        }, error => this._refused(error));
    }

    _refused(error) {
        if (DENIED.has(error)) {
            this._model.learnt({refused: true});
            this._hears.changed();
        }
    }

    _cost(cost) {
        const {subscription} = cost[cost.length - 1];
        if (this._early && subscription !== this._subscription) {
            this._early.push(cost);
        } else if (subscription === this._subscription) {
            const [requestId, taskType, provider, model, , details] = cost;
            this._model.cost(requestId, taskType, provider, model, details);
            this._hears.changed();
            this.refresh();
        }
    }

    _learn(event, value) {
        this._model[event](value);
        this._hears.changed();
    }

    // What was allowed may have raised a cap.
    _holdEnded(holdId) {
        this._learn('holdEnded', holdId);
        this.refresh();
    }

    _providerState(name, state) {
        this._model.providerState(name, state);
        this._hears.changed();
        if (state === 'unconfigured')
            this._askProviders();
    }

    _period() {
        this._subscribe();
        this._checkClock();
        this.refresh();
    }

    _properties(news) {
        if ('Providers' in news)
            this._askProviders();
        if ('ActiveRequests' in news)
            this.refresh();
    }

    _askProviders() {
        this._call('ListProviders', [], rows => {
            this._model.providers(rows);
            this._hears.changed();
        });
    }

    _checkClock() {
        const [since, until] = laterDays(new Date());
        this._call('GetUsage', [{since, until}], rows => {
            this._model.learnt({clock_wrong: rows.some(row => row.requests > 0)});
            this._hears.changed();
        });
    }

    _ask(method, learns) {
        this._asking++;
        this._call(method, [], answer => {
            this._model[learns](answer);
            this._oneAnswered();
        }, () => this._oneAnswered());
    }

    _oneAnswered() {
        if (--this._asking)
            return;
        this._hears.changed();
        if (this._askAgain) {
            this._askAgain = false;
            this.refresh();
        }
    }

    // What the owner of now answers; the answer of one that has left meanwhile is nobody's.
    _call(method, values, done, failed = nobody) {
        const owner = this._owner;
        if (!owner)
            return;
        const [face, signature] = METHODS[method];
        const still = then => (...answer) => owner === this._owner && then(...answer);
        this._bus.call([owner, OBJECT_PATH, face], method, signature, values, still(done), still(failed));
    }
}
