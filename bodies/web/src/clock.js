// The server's clock as this page knows it: of the last pings the quickest one counts.

const KEPT = 12;

export class ServerClock {
  constructor() {
    this.samples = [];
    this.offset = null; // server - performance.now(), ms
    this.roundTrip = null;
  }

  // A ping that left at t0 and came back at t1 (performance.now()) with the server's time in between.
  answer(t0, t1, server) {
    if (![t0, t1, server].every(Number.isFinite) || t1 < t0) return;
    const offset = server - (t0 + t1) / 2;
    if (this.offset !== null && Math.abs(offset - this.offset) > 1000) this.samples = []; // the clock was set
    this.samples.push({ trip: t1 - t0, offset });
    if (this.samples.length > KEPT) this.samples.shift();
    const best = this.samples.reduce((a, b) => (b.trip < a.trip ? b : a));
    this.offset = best.offset;
    this.roundTrip = best.trip;
  }

  forget() {
    this.samples = [];
  }

  get known() {
    return this.offset !== null;
  }

  at(local) {
    return local + this.offset;
  }
}
