// Requests in a fixed number of menu entries, so that an entry never changes under the pointer. A slot is null or
// {request, ended}: one that has ended stays until the menu is closed.

export const SLOTS = 5;

export function empty() {
    return Array(SLOTS).fill(null);
}

// Where the menu is closed, the oldest requests in order; while it is open each entry keeps its request.
export function assigned(slots, running, menuOpen) {
    if (!menuOpen)
        return empty().map((_, place) => started(running[place]));
    const kept = slots.map(slot => slot && now(slot, running));
    const held = idsIn(kept);
    const waiting = running.filter(request => !held.has(request.request_id));
    return kept.map(slot => slot || started(waiting.shift()));
}

// How many of `running` have no entry.
export function beyond(slots, running) {
    const held = idsIn(slots);
    return running.filter(request => !held.has(request.request_id)).length;
}

function started(request) {
    return request ? {request, ended: false} : null;
}

function now(slot, running) {
    const found = running.find(request => request.request_id === slot.request.request_id);
    return found ? {request: found, ended: false} : {request: slot.request, ended: true};
}

function idsIn(slots) {
    return new Set(slots.filter(Boolean).map(slot => slot.request.request_id));
}
