// What a person does on the page: styles, emoji, pictures, keyframes, interrupt, strengths, a head of one's own.

import { EMOJI } from './emoji.js';
import { INDEX } from './names.js';

const PICTURE_SIDE = 512;
const MAX_PICTURE_FILE = 40_000_000;
const KEYFRAMES = {
  smile: { mouthSmileLeft: 0.85, mouthSmileRight: 0.85, cheekSquintLeft: 0.5, cheekSquintRight: 0.5, eyeSquintLeft: 0.3, eyeSquintRight: 0.3 },
  surprise: { jawOpen: 0.35, browInnerUp: 0.9, browOuterUpLeft: 0.8, browOuterUpRight: 0.8, eyeWideLeft: 0.8, eyeWideRight: 0.8 },
  frown: { browDownLeft: 0.85, browDownRight: 0.85, mouthFrownLeft: 0.6, mouthFrownRight: 0.6, noseSneerLeft: 0.3, noseSneerRight: 0.3 },
  kiss: { mouthPucker: 0.95, mouthFunnel: 0.3 },
  wink: { eyeBlinkLeft: 1, mouthSmileLeft: 0.6, cheekSquintLeft: 0.5 },
  'eyes shut': { eyeBlinkLeft: 1, eyeBlinkRight: 1 },
};

export const by = (id) => document.getElementById(id);

export class Controls {
  // page: { connection, sound, gains, shownWeights(), loadFile(file), defaultHead(), face() }
  constructor(page) {
    this.page = page;
    this.styles();
    this.emoji();
    this.pictures();
    this.keyframes();
    this.strengths();
    this.files();
    this.keys();
    by('sound').addEventListener('click', () => this.toggleSound());
    by('interrupt').addEventListener('click', () => this.interrupt());
    by('avatar').addEventListener('change', (event) => page.choose(event.target.value));
    by('face').addEventListener('click', () => page.face());
  }

  note(text, bad = false) {
    const line = by('note');
    line.textContent = text;
    line.classList.toggle('bad', bad);
    clearTimeout(this.fade);
    if (!bad) this.fade = setTimeout(() => (line.textContent = ''), 8000);
  }

  async ask(promise, doing) {
    this.note(`${doing} …`);
    try {
      this.note(await promise);
    } catch (error) {
      this.note(error.message, true);
    }
  }

  get strength() {
    return Number(by('strength').value);
  }

  style(text) {
    const fields = { text, strength: this.strength };
    return this.ask(this.page.connection.request('style', fields), text ? `“${text.slice(0, 40)}”` : 'neutral');
  }

  styles() {
    by('style-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.lastStyle = by('style').value.trim();
      this.style(this.lastStyle);
    });
    by('strength').addEventListener('change', () => this.lastStyle !== undefined && this.style(this.lastStyle));
  }

  emoji() {
    const list = by('emoji');
    for (const [style, signs] of Object.entries(EMOJI)) {
      for (const sign of signs.split(' ')) {
        const button = document.createElement('button');
        button.type = 'button';
        button.textContent = sign;
        button.title = style;
        button.setAttribute('aria-label', `${style} ${sign}`);
        button.addEventListener('click', () => {
          by('style').value = this.lastStyle = sign;
          this.style(sign);
        });
        list.append(button);
      }
    }
  }

  // The picture is shrunk before it is sent; what cannot be decoded here goes as it is, and the server says why not.
  async picture(file) {
    if (file.size > MAX_PICTURE_FILE) return this.note(`${file.name} has ${Math.round(file.size / 1e6)} MB: at most 40 MB`, true);
    let bytes;
    try {
      const bitmap = await createImageBitmap(file);
      const scale = Math.min(1, PICTURE_SIDE / Math.max(bitmap.width, bitmap.height));
      const canvas = new OffscreenCanvas(Math.max(1, Math.round(bitmap.width * scale)), Math.max(1, Math.round(bitmap.height * scale)));
      canvas.getContext('2d').drawImage(bitmap, 0, 0, canvas.width, canvas.height);
      bytes = await (await canvas.convertToBlob({ type: 'image/png' })).arrayBuffer();
    } catch {
      return this.note(`${file.name} is no picture that can be read`, true);
    }
    this.lastStyle = undefined;
    return this.ask(this.page.connection.picture(bytes, this.strength), `style of ${file.name}`);
  }

  pictures() {
    by('picture').addEventListener('change', (event) => {
      const [file] = event.target.files;
      if (file) this.picture(file);
      event.target.value = '';
    });
  }

  keyframe(weights) {
    return this.ask(this.page.connection.request('keyframe', { weights }), 'keyframe');
  }

  keyframes() {
    const list = by('keyframes');
    const add = (name, weights) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = name;
      button.addEventListener('click', () => this.keyframe(weights()));
      list.append(button);
    };
    for (const [name, weights] of Object.entries(KEYFRAMES)) add(name, () => weights);
    add('as shown now', () => {
      const shown = this.page.shownWeights();
      const rounded = (v) => Math.min(1, Math.max(0, Math.round(v * 1000) / 1000));
      return Object.fromEntries(Object.entries(INDEX).map(([name, i]) => [name, rounded(shown[i])]).filter(([, v]) => v > 0.01));
    });
  }

  interrupt() {
    return this.ask(this.page.connection.request('interrupt'), 'interrupt');
  }

  strengths() {
    const show = (slider) => (by(`${slider.id}-value`).textContent = Number(slider.value).toFixed(2));
    for (const slider of document.querySelectorAll('input[type=range]')) {
      slider.addEventListener('input', () => {
        show(slider);
        if (slider.dataset.region) this.page.gains[slider.dataset.region] = Number(slider.value);
      });
      show(slider);
    }
  }

  files() {
    const { page } = this;
    by('head-file').addEventListener('change', (event) => {
      const [file] = event.target.files;
      if (file) page.loadFile(file);
      event.target.value = '';
    });
    by('head-default').addEventListener('click', () => page.defaultHead());
    const body = document.body;
    let depth = 0;
    addEventListener('dragenter', (event) => {
      if (![...event.dataTransfer.types].includes('Files')) return;
      depth++;
      body.classList.add('dropping');
    });
    addEventListener('dragleave', () => {
      depth = Math.max(0, depth - 1);
      if (!depth) body.classList.remove('dropping');
    });
    addEventListener('dragover', (event) => event.preventDefault());
    addEventListener('drop', (event) => {
      event.preventDefault();
      depth = 0;
      body.classList.remove('dropping');
      const [file] = event.dataTransfer.files;
      if (!file) return;
      if (/^image\//.test(file.type)) this.picture(file);
      else page.loadFile(file);
    });
  }

  keys() {
    addEventListener('keydown', (event) => {
      if (event.key === 'Escape') this.interrupt();
      else if (event.key === '/' && !/input|textarea|select/i.test(document.activeElement?.tagName ?? '')) {
        event.preventDefault();
        by('style').focus();
      }
    });
  }

  async toggleSound() {
    const { sound, connection } = this.page;
    try {
      await (sound.on ? sound.disable() : sound.enable());
    } catch (error) {
      this.note(`this browser plays no sound: ${error.message}`, true);
    }
    connection.listening = sound.on;
    const button = by('sound');
    button.setAttribute('aria-pressed', String(sound.on));
    button.textContent = sound.on ? 'Sound on' : 'Sound off';
  }

  // What of a file's shapes was understood.
  showMatch(head) {
    const { found, missing, unused, stands, bones } = head.match;
    by('match').hidden = !head.own;
    by('head-default').hidden = !head.own;
    by('head-name').textContent = head.name;
    const parts = [`${found.length} of 52 shapes found`];
    if (stands.length) parts.push(`${stands.length} of VRM’s own stand in (${stands.join(', ')})`);
    parts.push(bones.length ? `turns: ${bones.join(', ')}` : 'no head or eye bones: those do not turn');
    by('match-summary').textContent = parts.join('; ');
    by('match-missing').textContent = missing.length ? missing.join(', ') : 'none';
    by('match-unused').textContent = unused.length ? unused.slice(0, 80).join(', ') : 'none';
  }
}
