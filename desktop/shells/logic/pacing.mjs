// How often a panel is drawn: at once after a quiet time, at most four times a second, and of the last change always.

export const REDRAW_MS = 250;

export class Pacer {
    // Times are of one monotonic clock, in milliseconds.
    constructor() {
        this._notBefore = 0;
        this._waiting = false;
    }

    // Something changed: in how many milliseconds to draw, or null where a drawing is on its way already.
    wanted(now) {
        if (this._waiting)
            return null;
        this._waiting = true;
        return Math.max(0, this._notBefore - now);
    }

    drew(now) {
        this._waiting = false;
        this._notBefore = now + REDRAW_MS;
    }
}
