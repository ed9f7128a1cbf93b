// Days of the local clock, as text: 2026-11-29.

const DAY_MS = 86400000;

export function dayOf(date) {
    const two = number => String(number).padStart(2, '0');
    return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

// The first and last day to look for costs that no right clock has written yet.
export function laterDays(date) {
    const noon = new Date(date.getFullYear(), date.getMonth(), date.getDate(), 12);
    return [2, 366].map(days => dayOf(new Date(noon.getTime() + days * DAY_MS)));
}

// Until the next local day begins; at least one, so that a timer never spins.
export function secondsToMidnight(date) {
    const tomorrow = new Date(date.getFullYear(), date.getMonth(), date.getDate() + 1);
    return Math.max(1, Math.ceil((tomorrow - date) / 1000));
}

export function monthChanged(before, after) {
    return before.slice(0, 7) !== after.slice(0, 7);
}
