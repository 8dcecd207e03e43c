// Speech, heard in step with the face: pieces are scheduled on the audio clock at the moment the playback clock names.

export const RATE = 16_000;
const SLACK_S = 0.02; // a schedule that is off by more than this is set right
const KEPT = 40; // utterances
const WAVE_S = 3;

export class Sound {
  constructor(clock) {
    this.clock = clock;
    this.context = null;
    this.starts = new Map(); // utterance (short id) -> server time of sample 0, ms
    this.pieces = new Map(); // utterance -> pieces that wait for their start
    this.nodes = new Set();
    this.anchor = null; // { utterance, time }: audio time of sample 0 as scheduled
    this.wave = []; // { at (server ms), values } for drawing
    this.jumps = 0;
  }

  get on() {
    return this.context?.state === 'running';
  }

  // Browsers allow this only in answer to a click or a key.
  async enable() {
    this.context ??= new AudioContext({ sampleRate: RATE, latencyHint: 'interactive' });
    await this.context.resume();
    this.gain ??= new GainNode(this.context);
    this.gain.connect(this.context.destination);
    this.anchor = null;
  }

  async disable() {
    this.silence();
    await this.context?.suspend();
  }

  set volume(value) {
    if (this.gain) this.gain.gain.value = value;
  }

  // Audio time at which something heard at a moment of the server's clock has to be scheduled.
  when(server) {
    const local = server - this.clock.offset;
    const { contextTime, performanceTime } = this.context.getOutputTimestamp();
    if (performanceTime > 0) return contextTime + (local - performanceTime) / 1000;
    const latency = this.context.outputLatency || this.context.baseLatency || 0;
    return this.context.currentTime + (local - performance.now()) / 1000 - latency;
  }

  start(utterance, server) {
    const before = this.starts.get(utterance);
    this.starts.delete(utterance);
    this.starts.set(utterance, server);
    if (this.starts.size > KEPT) this.starts.delete(this.starts.keys().next().value);
    if (before !== undefined && Math.abs(before - server) > 1000 * SLACK_S) this.anchor = null;
    const waiting = this.pieces.get(utterance) ?? [];
    this.pieces.delete(utterance);
    for (const piece of waiting) this.push(piece);
  }

  push(piece) {
    const start = this.starts.get(piece.utterance);
    if (start === undefined) {
      const waiting = this.pieces.get(piece.utterance) ?? [];
      if (waiting.length < 600) waiting.push(piece);
      this.pieces.set(piece.utterance, waiting);
      if (this.pieces.size > 4) this.pieces.delete(this.pieces.keys().next().value);
      return;
    }
    const at = start + (1000 * piece.first) / RATE;
    if (piece.values.length) this.remember(at, piece.values);
    if (this.on && this.clock.known && piece.values.length) this.schedule(piece, start);
  }

  schedule(piece, start) {
    const due = this.when(start);
    if (this.anchor?.utterance !== piece.utterance || Math.abs(this.anchor.time - due) > SLACK_S) {
      if (this.anchor?.utterance === piece.utterance) this.jumps++;
      this.anchor = { utterance: piece.utterance, time: due };
    }
    const time = this.anchor.time + piece.first / RATE;
    const late = this.context.currentTime - time;
    if (late * RATE >= piece.values.length) return; // its moment has passed
    const buffer = new AudioBuffer({ length: piece.values.length, sampleRate: RATE, numberOfChannels: 1 });
    buffer.copyToChannel(piece.values, 0);
    const node = new AudioBufferSourceNode(this.context, { buffer });
    node.connect(this.gain);
    node.start(Math.max(time, 0), Math.max(late, 0));
    this.nodes.add(node);
    node.onended = () => this.nodes.delete(node);
  }

  // An interrupt: nothing more of what waits is heard.
  silence() {
    for (const node of this.nodes) node.stop();
    this.nodes.clear();
    this.anchor = null;
    this.pieces.clear();
    const now = this.clock.known ? this.clock.at(performance.now()) : 0;
    this.wave = this.wave.filter((piece) => piece.at < now);
  }

  remember(at, values) {
    this.wave.push({ at, values });
    const oldest = this.clock.at(performance.now()) - 1000 * WAVE_S;
    while (this.wave.length && this.wave[0].at + (1000 * this.wave[0].values.length) / RATE < oldest) this.wave.shift();
    if (this.wave.length > 4000) this.wave.shift();
  }
}
