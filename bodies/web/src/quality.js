// How much is drawn follows from how quickly it is drawn: resolution first, then materials, then a lighter head.

export const LEVELS = [
  { light: false, lite: false, ratio: 2 },
  { light: false, lite: false, ratio: 1.25 },
  { light: false, lite: false, ratio: 1 },
  { light: true, lite: false, ratio: 1 },
  { light: true, lite: true, ratio: 1 },
  { light: true, lite: true, ratio: 0.8 },
  { light: true, lite: true, ratio: 0.65 },
  { light: true, lite: true, ratio: 0.5 },
];
export const SOFTWARE_START = 5;
const LOW_FPS = 31; // below this for two windows: one level down
const HIGH_FPS = 44; // above this for some windows: one level up
const WINDOW_MS = 1500;
const WARM_UP_MS = 1000; // shaders are built and files read in the first moments of a level
const PATIENCE = 4; // good windows before going up
const GRUDGE_MS = 60_000; // a level that was too slow is not tried again for so long

export class Quality {
  constructor({ software, fixed = null }) {
    this.software = software;
    this.fixed = fixed;
    this.level = fixed ?? (software ? SOFTWARE_START : 0);
    this.best = software ? 3 : 0;
    this.slow = new Map();
    this.restart();
  }

  get settings() {
    return LEVELS[this.level];
  }

  restart() {
    this.began = this.warm = null;
    this.frames = 0;
    this.good = this.bad = 0;
  }

  // Called for every frame that was drawn while the face moved; true if the level changed.
  drawn(now) {
    this.warm ??= now + WARM_UP_MS;
    if (this.began === null || now < this.warm || now - this.last > 400) { // a pause is no slowness
      this.began = this.last = now;
      this.frames = 0;
      return false;
    }
    this.last = now;
    this.frames++;
    if (now - this.began < WINDOW_MS) return false;
    const fps = (1000 * this.frames) / (now - this.began);
    this.began = now;
    this.frames = 0;
    return this.fixed === null && this.judge(fps, now);
  }

  judge(fps, now) {
    this.bad = fps < LOW_FPS ? this.bad + 1 : 0;
    if (this.bad > 1 && this.level < LEVELS.length - 1) {
      this.slow.set(this.level, now);
      this.level += fps < 0.6 * LOW_FPS && this.level < LEVELS.length - 2 ? 2 : 1;
      this.restart();
      return true;
    }
    this.good = fps > HIGH_FPS ? this.good + 1 : 0;
    const up = this.level - 1;
    if (this.good >= PATIENCE && up >= this.best && now - (this.slow.get(up) ?? -Infinity) > GRUDGE_MS) {
      this.level = up;
      this.restart();
      return true;
    }
    return false;
  }
}
