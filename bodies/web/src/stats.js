// Frame rate and timing of the last seconds.

export class Stats {
  constructor() {
    this.frames = []; // times at which a moving face was drawn, ms
    this.errors = []; // picture against stamp, ms
    this.aheads = []; // how long before its moment a frame comes, ms
  }

  drew(now) {
    this.frames.push(now);
    if (this.frames.length > 240) this.frames.splice(0, 120);
  }

  came(ahead) {
    this.aheads.push(ahead);
    if (this.aheads.length > 120) this.aheads.splice(0, 60);
  }

  // How far from its moment the picture was shown.
  shown(error) {
    this.errors.push(error);
    if (this.errors.length > 240) this.errors.splice(0, 120);
  }

  fps(now) {
    const recent = this.frames.filter((t) => t > now - 2000);
    return recent.length > 1 ? (1000 * (recent.length - 1)) / (recent.at(-1) - recent[0]) : 0;
  }

  static median(values) {
    if (!values.length) return null;
    const sorted = [...values].sort((a, b) => a - b);
    return sorted[sorted.length >> 1];
  }
}
