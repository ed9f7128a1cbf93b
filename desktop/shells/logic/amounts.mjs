// Money for a person, as cortexctl shows it. An amount that is not known (null) is a dash, never 0.

export const MISSING = '—';
// from this many nano-dollars on, so many decimals
const DECIMALS = [[1e9, 2], [1e6, 4], [1e3, 6], [1, 9]];

// Cents when large, and never so short that a cost looks like nothing.
export function usd(nano) {
    if (nano === null)
        return MISSING;
    const [, decimals] = DECIMALS.find(([least]) => Math.abs(nano) >= least) || [0, 2];
    const signed = halfEven(nano, 10 ** (9 - decimals));
    const whole = Math.abs(signed);
    const dollar = 10 ** decimals;
    const cents = String(whole % dollar).padStart(decimals, '0');
    return `$${signed < 0 ? '-' : ''}${Math.floor(whole / dollar)}.${cents}`;
}

function halfEven(nano, unit) {
    const whole = Math.floor(nano / unit);
    const rest = nano - whole * unit;
    const up = 2 * rest > unit || (2 * rest === unit && whole % 2 !== 0);
    return up ? whole + 1 : whole;
}
