// What the router says, with the keys of its replies; keys not known here are ignored, and so are values of another type.
// A number that is not known is null.

const KINDS = {
    budget: {
        scope: '', name: '', period: '', limit_nano_usd: null, remaining_nano_usd: null, resets_at: '', severity: '',
    },
    provider: {name: '', state: '', configured: false},
    request: {request_id: '', task_type: '', provider: '', model: ''},
    sums: {day_nano_usd: null, month_nano_usd: null},
};

// One of KINDS from those keys of `row` that it has, where their values are of its types.
export function filled(kind, row) {
    const made = Object.assign({}, KINDS[kind]);
    for (const key of Object.keys(made)) {
        if (fits(made[key], row[key]))
            made[key] = row[key];
    }
    return made;
}

export function rowsOf(kind, rows) {
    return rows.map(row => filled(kind, row));
}

export function costOf(requestId, taskType, provider, model, details) {
    const nano = details.cost_nano_usd;
    return {
        request_id: requestId, task_type: taskType, provider, model,
        cost_nano_usd: Number.isInteger(nano) ? nano : null,
        cost_known: details.cost_known === undefined ? true : Boolean(details.cost_known),
    };
}

function fits(usual, value) {
    return usual === null ? Number.isInteger(value) : typeof value === typeof usual;
}
