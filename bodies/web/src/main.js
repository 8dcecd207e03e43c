// The avatar page: a head that follows the topics.

import { Connection } from './connection.js';
import { Controls, by } from './controls.js';
import { Head, HeadError, MAX_FILE } from './head.js';
import { ARKIT, REGIONS } from './names.js';
import { WeightPlot, drawWave } from './plots.js';
import { Sound } from './sound.js';
import { Stage } from './stage.js';
import { Stats } from './stats.js';
import { POSE_REST, Track, poseBlend } from './tracks.js';
import { FACE, POSE, SOUND, shortId } from './wire.js';

const PANEL_MS = 120;

class Page {
  constructor() {
    const options = new URLSearchParams(location.search);
    const quality = options.has('quality') ? Math.min(7, Math.max(0, Number(options.get('quality')) | 0)) : null;
    this.wanted = options.get('avatar');
    this.face52 = new Track(new Float32Array(ARKIT.length));
    this.pose = new Track(POSE_REST, poseBlend);
    this.gains = { mouth: 1, brows: 1, eyes: 1, head: 1 };
    this.weights = new Float32Array(ARKIT.length);
    this.posed = Float32Array.from(POSE_REST);
    this.stats = new Stats();
    this.head = null;
    this.firstShown = null;
    this.lastFrame = 0;
    this.interval = 16;
    this.stage = new Stage(by('canvas'), { quality });
    this.connection = new Connection(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/socket`);
    this.sound = new Sound(this.connection.clock);
    this.plot = new WeightPlot(by('weights'), by('legend'));
    this.controls = new Controls(this);
    this.listen();
    this.defaultHead();
    requestAnimationFrame((t) => this.frame(t));
    setInterval(() => this.panel(), PANEL_MS);
  }

  // ------------------------------------------------------------------------------------------------ what comes

  listen() {
    const on = (type, act) => this.connection.addEventListener(type, (event) => act(event.detail));
    on('state', ({ connected, text }) => {
      by('state').textContent = text;
      by('state').classList.toggle('off', !connected);
      if (!connected) this.sound.silence();
    });
    on('stream', (message) => this.stream(message));
    on('hello', (message) => {
      this.policy = message.sound;
      this.own = message.own;
      by('sound').hidden = message.sound === 'never';
      if (!this.connection.namespace) this.choose(this.wanted ?? message.own);
    });
    on('avatars', ({ names }) => this.avatars(names));
    on('clock', (clock) => {
      this.playback = clock;
      if (clock.utterance) this.sound.start(shortId(clock.utterance), clock.start);
      this.hear();
    });
    on('style', ({ prompt, nearest, known }) => {
      const text = known || !prompt ? nearest[0] ?? 'neutral' : `“${prompt}” is not known: neutral`;
      by('style-now').textContent = prompt && known && prompt !== nearest[0] ? `${prompt} → ${text}` : text;
    });
    on('interrupted', () => this.sound.silence());
  }

  stream(message) {
    const { clock } = this.connection;
    if (!clock.known) return;
    const now = clock.at(performance.now());
    if (message.kind === FACE) {
      if (this.face52.push(message, now)) this.stats.came(message.stamp - now);
    } else if (message.kind === POSE) this.pose.push(message, now);
    else if (message.kind === SOUND) this.sound.push(message);
  }

  avatars(names) {
    const list = by('avatar');
    list.replaceChildren(...names.map((name) => new Option(name, name, false, name === this.connection.namespace)));
    by('avatar-row').hidden = names.length < 2;
    if (this.wanted && names.includes(this.wanted)) this.choose(this.wanted);
  }

  choose(namespace) {
    this.connection.watch(namespace);
    by('avatar').value = namespace;
    this.face52.clear();
    this.pose.clear();
    this.sound.silence();
    this.sound.starts.clear();
  }

  // The loudspeaker of the machine and that of the page do not speak at once, unless that is asked for.
  hear() {
    const doubled = this.policy === 'auto' && this.playback?.device;
    this.sound.volume = doubled ? 0 : 1;
    by('sound').title = doubled ? 'The machine’s own loudspeaker plays this avatar' : '';
  }

  // ------------------------------------------------------------------------------------------------ the head

  async defaultHead(lite = this.stage.quality.settings.lite) {
    const file = lite ? 'head_lite.glb' : 'head.glb';
    try {
      const response = await fetch(file);
      if (!response.ok) throw new HeadError(`the server has no ${file}`);
      const bytes = await response.arrayBuffer();
      this.use(await Head.load(bytes, { name: 'default head', light: this.stage.quality.settings.light }));
      this.lite = lite;
    } catch (error) {
      this.controls.note(error.message, true);
    }
  }

  async loadFile(file) {
    if (file.size > MAX_FILE) {
      this.controls.note(`${file.name} has ${Math.round(file.size / 1e6)} MB: at most ${MAX_FILE / 1e6} MB can be shown`, true);
      return;
    }
    this.controls.note(`reading ${file.name} …`);
    try {
      const bytes = await file.arrayBuffer();
      this.use(await Head.load(bytes, { name: file.name, own: true, light: this.stage.quality.settings.light }));
      this.controls.note(`${file.name} is shown`);
    } catch (error) {
      if (!(error instanceof HeadError)) console.error(error);
      this.controls.note(`${error instanceof HeadError ? error.message : `${file.name} cannot be shown: ${error.message}`}; the head stays`, true);
    }
  }

  use(head) {
    head.dress(this.stage.quality.settings.light);
    this.stage.show(head);
    this.head = head;
    this.controls.showMatch(head);
  }

  face() {
    this.stage.look();
  }

  shownWeights() {
    return this.weights;
  }

  // ------------------------------------------------------------------------------------------------ every frame

  frame(t) {
    requestAnimationFrame((next) => this.frame(next));
    const { clock } = this.connection;
    if (this.firstShown === null && this.stage.drawn) this.firstShown = t;
    const elapsed = Math.min(Math.max(t - this.lastFrame, 1), 100);
    this.lastFrame = t;
    this.interval += 0.1 * (Math.min(elapsed, 50) - this.interval);
    if (!clock.known) {
      this.stage.draw(this.weights, this.posed, elapsed / 1000);
      return;
    }
    const seen = clock.at(t) + this.interval; // what is drawn now is on the screen one frame later
    this.weights.set(this.face52.sample(seen));
    this.posed.set(this.pose.sample(seen));
    for (const region of ['mouth', 'brows', 'eyes']) this.scale(region);
    if (this.gains.head !== 1) poseBlend(POSE_REST, this.posed, this.gains.head, this.posed);
    const moving = this.face52.moving(seen);
    if (!this.stage.draw(this.weights, this.posed, elapsed / 1000) || !moving) return;
    const now = performance.now();
    this.stats.drew(now);
    this.plot.add(seen, this.weights);
    this.shown = { stamp: seen };
    if (this.stage.quality.drawn(now)) this.adapt();
  }

  scale(region) {
    const gain = this.gains[region];
    if (gain === 1) return;
    for (const i of REGIONS[region]) this.weights[i] = Math.min(1, this.weights[i] * gain);
  }

  adapt() {
    this.stage.adopt();
    const { lite } = this.stage.quality.settings;
    if (lite !== this.lite && this.head && !this.head.own) this.defaultHead(lite);
  }

  // Figures and plots, some times a second.
  panel() {
    if (document.visibilityState !== 'visible') return;
    const { clock } = this.connection;
    const now = performance.now();
    by('fps').textContent = `${this.stats.fps(now).toFixed(0)} fps`;
    if (!clock.known) return;
    const server = clock.at(now);
    const ahead = Stats.median(this.stats.aheads.slice(-30));
    const delay = this.playback?.delay;
    by('latency').textContent = delay === undefined || ahead === null ? '–' : `${Math.round(1000 * delay)} ms`;
    by('ahead').textContent = ahead === null ? '–' : `${ahead >= 0 ? '' : '−'}${Math.abs(ahead).toFixed(0)} ms`;
    by('trip').textContent = clock.roundTrip === null ? '–' : `${clock.roundTrip.toFixed(1)} ms`;
    if (this.face52.moving(server) || this.drewStill !== true) {
      this.plot.draw(server);
      drawWave(by('wave'), this.sound, server);
      this.drewStill = !this.face52.moving(server);
    }
  }
}

try {
  window.avatarPage = new Page();
} catch (error) {
  by('note').textContent = error.message;
  by('note').classList.add('bad');
  throw error;
}
