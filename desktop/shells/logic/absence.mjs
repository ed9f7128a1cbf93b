// Why the router is away, by its unit's properties as systemd has them and by what the bus could start.

const FAILING = new Set(['activating', 'deactivating']);

// `unit`: LoadState, ActiveState, SubState and NRestarts; null where there is no systemd. `activatable`: the bus knows how
// to start the service. One of masked, not_installed, failed, restarting, resting (the next request starts it).
export function absenceOf(unit, activatable) {
    const state = unit || {};
    if (state.LoadState === 'masked')
        return 'masked';
    if (!activatable && (state.LoadState || 'not-found') === 'not-found')
        return 'not_installed';
    if (state.ActiveState === 'failed')
        return 'failed';
    if (state.SubState === 'auto-restart' || (FAILING.has(state.ActiveState) && state.NRestarts))
        return 'restarting';
    return 'resting';
}
