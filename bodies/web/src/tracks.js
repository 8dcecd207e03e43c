// Frames in order of the moment at which they are to be seen, read at any moment in between.

const HOLD_MS = 500; // a stream that stops is held this long,
const EASE_MS = 500; // then takes this long to come to rest
const BRIDGE_MS = 250; // two frames that lie farther apart than this are not joined by a line
const PAST_MS = 10_000, FUTURE_MS = 5_000;
const LONGEST = 256;

export class Track {
  // rest: values of the face at rest; blend(a, b, share, out) mixes two frames.
  constructor(rest, blend = linear) {
    this.rest = Float32Array.from(rest);
    this.blend = blend;
    this.frames = [];
    this.revisions = new Map();
    this.counts = { taken: 0, old: 0, replaced: 0, refused: 0 };
    this.out = Float32Array.from(rest);
  }

  // Takes { stamp, revision, utterance, values }; false if it is refused.
  push(frame, now) {
    if (!(frame.stamp > now - PAST_MS && frame.stamp < now + FUTURE_MS)) {
      this.counts.refused++;
      return false;
    }
    const key = frame.utterance ?? 0;
    const known = this.revisions.get(key);
    if (known !== undefined && frame.revision < known) {
      this.counts.old++;
      return false;
    }
    const replaces = known === undefined || frame.revision > known;
    this.revisions.delete(key);
    this.revisions.set(key, frame.revision);
    if (this.revisions.size > 32) this.revisions.delete(this.revisions.keys().next().value);
    let at = this.frames.length;
    while (at > 0 && this.frames[at - 1].stamp >= frame.stamp) at--;
    const ahead = this.frames.length - at;
    if (ahead && (replaces || this.frames[at].stamp === frame.stamp)) {
      this.counts.replaced += replaces ? ahead : 1;
      this.frames.splice(at, replaces ? ahead : 1, frame); // what waited from here on is no longer to be seen
    } else this.frames.splice(at, 0, frame); // in its place, also when it comes out of order
    if (this.frames.length > LONGEST) this.frames.shift();
    this.counts.taken++;
    return true;
  }

  clear() {
    this.frames = [];
    this.revisions.clear();
  }

  // Values at a moment, in an array that is used again; `fresh` tells whether a frame is near.
  sample(now) {
    const frames = this.frames;
    while (frames.length > 1 && frames[1].stamp <= now) frames.shift();
    const [a, b] = frames;
    if (!a || (a.stamp > now && !this.shown)) {
      this.out.set(this.rest);
    } else if (a.stamp > now) {
      this.ease(this.shown, now, a);
    } else if (b && b.stamp - a.stamp <= BRIDGE_MS) {
      this.blend(a.values, b.values, (now - a.stamp) / (b.stamp - a.stamp), this.out);
      this.shown = a;
    } else {
      this.ease(a, now);
      this.shown = a;
    }
    return this.out;
  }

  ease(last, now) {
    const t = (now - last.stamp - HOLD_MS) / EASE_MS;
    if (t <= 0) this.out.set(last.values);
    else if (t >= 1) this.out.set(this.rest);
    else this.blend(last.values, this.rest, 0.5 - 0.5 * Math.cos(Math.PI * t), this.out);
  }

  // Whether anything moves at that moment.
  moving(now) {
    const last = this.frames[this.frames.length - 1];
    return last !== undefined && now < last.stamp + HOLD_MS + EASE_MS + 100;
  }

  // How far ahead the newest frame is, ms.
  ahead(now) {
    const last = this.frames[this.frames.length - 1];
    return last ? last.stamp - now : -Infinity;
  }
}

export function linear(a, b, share, out) {
  for (let i = 0; i < out.length; i++) out[i] = a[i] + share * (b[i] - a[i]);
}

// Quaternion xyzw by normalised interpolation on the nearer side, then three numbers by a line.
export function poseBlend(a, b, share, out) {
  let dot = 0;
  for (let i = 0; i < 4; i++) dot += a[i] * b[i];
  const sign = dot < 0 ? -1 : 1;
  let length = 0;
  for (let i = 0; i < 4; i++) {
    out[i] = a[i] + share * (sign * b[i] - a[i]);
    length += out[i] * out[i];
  }
  length = Math.sqrt(length) || 1;
  for (let i = 0; i < 4; i++) out[i] /= length;
  for (let i = 4; i < 7; i++) out[i] = a[i] + share * (b[i] - a[i]);
}

export const POSE_REST = [0, 0, 0, 1, 0, 0, 0];
