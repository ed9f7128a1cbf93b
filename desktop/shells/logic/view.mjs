// All that is known at a moment, and how each event changes it: every function gives a new view. The keys are those of the
// applet's View (cortex_llm_applet/logic/view.py).

import {filled} from './figures.mjs';

const LAST_COSTS = 5;

// `service` is unknown, there, away or no_bus; `absence` says why it is away (absence.mjs); `allowed` is null as long as
// polkit did not say.
export function unknown() {
    return {
        service: 'unknown', absence: 'resting', sums: filled('sums', {}), budgets: [], providers: [], running: [], holds: [],
        costs: [], ledger_writable: true, allowed: null, refused: false, clock_wrong: false,
    };
}

export function changed(view, news) {
    return Object.assign({}, view, news);
}

// Whether some provider can be asked; true as long as nobody has said.
export function configured(view) {
    return view.providers.length === 0 || view.providers.some(provider => provider.configured);
}

// The newest cost first, each once.
export function withCost(view, cost, sums) {
    const others = view.costs.filter(item => item.request_id !== cost.request_id);
    return changed(view, {sums, costs: [cost, ...others].slice(0, LAST_COSTS)});
}

export function withProviderState(view, name, state) {
    const providers = view.providers.map(item => item.name === name ? Object.assign({}, item, {state}) : item);
    return changed(view, {providers});
}

// Sums and budgets stay, shown as stale; what ran has ended with the router.
export function away(view, service = 'away') {
    return changed(view, {service, running: [], holds: [], absence: 'resting'});
}

export function there(view) {
    return changed(view, {service: 'there', refused: false});
}

// A day, and perhaps a month, went by while the router was away: nobody has said what the new one's sums are.
export function forgotten(view, month) {
    const sums = {day_nano_usd: null, month_nano_usd: month ? null : view.sums.month_nano_usd};
    return changed(view, {sums, budgets: []});
}
