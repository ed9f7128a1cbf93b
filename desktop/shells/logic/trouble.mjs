// Bad states and the state that the icon shows. Their order and their words are the applet's (facts.mjs).

import {TROUBLES} from './facts.mjs';
import {configured} from './view.mjs';

const gone = absence => view => view.service === 'away' && view.absence === absence;
const there = holds => view => view.service === 'there' && holds(view);
const anyBudget = (view, severity) => view.budgets.some(budget => budget.severity === severity);

const usedUp = (view, own) =>
    view.budgets.some(budget => (budget.scope === 'own') === own && budget.severity === 'exceeded');

export const APPLIES = {
    no_bus: view => view.service === 'no_bus',
    not_installed: gone('not_installed'),
    masked: gone('masked'),
    failed: gone('failed'),
    restarting: gone('restarting'),
    stopped: gone('resting'),
    refused: there(view => view.refused),
    ledger_full: there(view => !view.ledger_writable),
    not_allowed: there(view => view.allowed === false),
    no_key: there(view => !configured(view)),
    clock_wrong: view => view.clock_wrong,
    held: there(view => view.holds.length > 0),
    used_up: there(view => usedUp(view, false)),
    own_cap_used_up: there(view => usedUp(view, true)),
};

// The first that applies, or null: name, state, meaning, step, command, words.
export function troubleOf(view) {
    return TROUBLES.find(trouble => APPLIES[trouble.name](view)) || null;
}

export function stateOf(view) {
    const trouble = troubleOf(view);
    if (trouble)
        return trouble.state;
    if (view.service !== 'there' || view.sums.day_nano_usd === null)
        return 'loading';
    return anyBudget(view, 'warning') ? 'warn' : 'ok';
}
