// The menu as a table of entries {id, label, enabled, visible, separator} with fixed ids, the applet's own
// (cortex_llm_applet/logic/menu.py). `say` puts a text into the person's language.

import {MISSING, usd} from './amounts.mjs';
import {ENTRIES, LEFT, LEFT_IN_WORDS, LEFT_OF_ANY} from './facts.mjs';
import {SLOTS} from './slots.mjs';
import {troubleOf} from './trouble.mjs';

const BUDGET_ENTRIES = 8;
const LAST_COSTS = 5;

// `more`: how many running requests have no slot.
export function entries(view, slots, more, say) {
    const running = slots.some(Boolean);
    return [
        ...trouble(view, say),
        read(ENTRIES.TODAY, put(say('Today: {amount}'), {amount: usd(view.sums.day_nano_usd)})),
        read(ENTRIES.MONTH, put(say('This month: {amount}'), {amount: usd(view.sums.month_nano_usd)})),
        read(ENTRIES.LEFT, tightest(view.budgets, say), view.budgets.length > 1),
        ...fixed(ENTRIES.BUDGETS, BUDGET_ENTRIES, view.budgets.map(budget => left(budget, say))),
        separator(20),
        entry(ENTRIES.COSTS_HEAD, {label: say(view.costs.length ? 'Last requests' : 'No request yet')}),
        ...fixed(ENTRIES.COSTS, LAST_COSTS, view.costs.map(cost => spent(cost, say))),
        separator(40, running),
        entry(ENTRIES.RUNNING_HEAD, {label: say('Running; a click cancels'), visible: running}),
        ...slots.map((slot, place) => underWay(ENTRIES.RUNNING + place, slot, say)),
        entry(ENTRIES.MORE, {label: put(say('and {count} more'), {count: more}), visible: more > 0}),
    ];
}

// Which slot an entry is of, or null.
export function slotOf(id) {
    return ENTRIES.RUNNING <= id && id < ENTRIES.RUNNING + SLOTS ? id - ENTRIES.RUNNING : null;
}

// Whether an entry is of the last requests: their head, its separator, and each of them.
export function isOfCosts(id) {
    return ENTRIES.COSTS_HEAD - 1 <= id && id < ENTRIES.COSTS + LAST_COSTS;
}

// `text` with its {places} filled.
export function put(text, values) {
    return text.replace(/\{(\w+)\}/g, (_, key) => String(values[key]));
}

function entry(id, values) {
    return Object.assign({id, label: '', enabled: false, visible: true, separator: false}, values);
}

function separator(id, visible = true) {
    return entry(id, {separator: true, visible});
}

// What is only read is enabled: panels grey out the rest.
function read(id, label, visible = true) {
    return entry(id, {label, visible, enabled: true});
}

function trouble(view, say) {
    const found = troubleOf(view);
    return [
        read(ENTRIES.TROUBLE, found ? say(found.meaning) : '', Boolean(found)),
        read(ENTRIES.STEP, found ? nextStep(found, say) : '', Boolean(found)),
        separator(3, Boolean(found)),
    ];
}

// Of the tightest budget; null where there is none, or nobody knows.
export function leftNano(budgets) {
    const known = budgets.map(budget => budget.remaining_nano_usd).filter(nano => nano !== null);
    return known.length ? Math.max(0, Math.min(...known)) : null;
}

export function tightest(budgets, say) {
    return put(say('Left to spend now: {left}'), {left: usd(leftNano(budgets))});
}

// What to do, in the person's language.
export function nextStep(trouble, say) {
    return put(say(trouble.step), {command: trouble.command});
}

function fixed(first, count, labels) {
    return Array(count).fill(first).map((id, place) => read(id + place, labels[place] || '', place < labels.length));
}

function left(budget, say) {
    const text = LEFT[`${budget.scope} ${budget.period}`] || LEFT_OF_ANY;
    const nano = budget.remaining_nano_usd;
    const amounts = {left: usd(nano === null ? null : Math.max(0, nano)), limit: usd(budget.limit_nano_usd)};
    return `${put(say(text), {name: budget.name})}: ${put(say(LEFT_IN_WORDS), amounts)}`;
}

function spent(cost, say) {
    const exact = usd(cost.cost_nano_usd);
    const amount = cost.cost_known ? exact : put(say('at most {amount}'), {amount: exact});
    return `${cost.task_type}   ${cost.model || cost.provider || MISSING}   ${amount}`;
}

function underWay(id, slot, say) {
    if (!slot)
        return entry(id, {visible: false});
    const {request, ended} = slot;
    const task = request.task_type;
    if (ended)
        return entry(id, {label: put(say('Ended: {task}'), {task})});
    const model = request.model || request.provider;
    if (model)
        return read(id, put(say('Cancel {task} ({model})'), {task, model}));
    return read(id, put(say('Cancel {task}'), {task}));
}
