// What a panel shows of a view.

import {usd} from './amounts.mjs';
import {IN_WORDS} from './facts.mjs';
import {entries, leftNano, nextStep, put, tightest} from './menu.mjs';
import {beyond} from './slots.mjs';
import {stateOf, troubleOf} from './trouble.mjs';

// `label` is what stands beside the icon; `icon_words` says the icon to who cannot see it.
export function pictureOf(view, slots, say) {
    const state = stateOf(view);
    const trouble = troubleOf(view);
    const label = usd(view.sums.day_nano_usd);
    return {
        state, label,
        title: put(say('Language models today: {amount}'), {amount: label}),
        tooltip: tooltip(view, trouble, state, say),
        icon_words: say(trouble && trouble.words || IN_WORDS[state]),
        menu: entries(view, slots, beyond(slots, view.running), say),
    };
}

function tooltip(view, trouble, state, say) {
    const month = put(say('This month: {amount}'), {amount: usd(view.sums.month_nano_usd)});
    const said = trouble ? [say(trouble.meaning), nextStep(trouble, say)] : [say(IN_WORDS[state])];
    const left = leftNano(view.budgets) === null ? [] : [tightest(view.budgets, say)];
    return [month, ...left, ...said].join('\n');
}
