// Small pictures of what goes on: the sound around now, and a few weights of the last seconds.

import { INDEX } from './names.js';
import { RATE } from './sound.js';

const CURVES = [
  ['jawOpen', '#7fd1c7'], ['mouthPucker', '#f2b36b'], ['mouthSmileLeft', '#e88fb4'],
  ['browInnerUp', '#9fb4ff'], ['eyeBlinkLeft', '#c7cdd4'],
];
const SPAN_MS = 4000;

// A canvas as large as it is shown, cleared; null while it is not shown.
function fresh(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return null;
  const ratio = Math.min(devicePixelRatio, 2);
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext('2d');
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

// The wave from two seconds ago to half a second ahead; a line marks what is heard now.
export function drawWave(canvas, sound, now) {
  const area = fresh(canvas);
  if (!area) return;
  const { pen, width, height } = area;
  const from = now - 2000, span = 2500;
  const middle = height / 2;
  const high = new Float32Array(width), low = new Float32Array(width);
  for (const { at, values } of sound.wave) {
    const start = ((at - from) / span) * width;
    const step = ((1000 / RATE) / span) * width;
    if (start > width || start + step * values.length < 0) continue;
    for (let i = 0; i < values.length; i += 4) {
      const x = (start + step * i) | 0;
      if (x < 0 || x >= width) continue;
      if (values[i] > high[x]) high[x] = values[i];
      if (values[i] < low[x]) low[x] = values[i];
    }
  }
  const here = ((now - from) / span) * width;
  for (const [colour, a, b] of [['#7fd1c7', 0, here], ['#4d6a70', here, width]]) {
    pen.fillStyle = colour;
    for (let x = Math.floor(a); x < b && x < width; x++) {
      const top = Math.max(0.5, high[x] * middle * 1.2), bottom = Math.max(0.5, -low[x] * middle * 1.2);
      pen.fillRect(x, middle - top, 1, top + bottom);
    }
  }
  pen.fillStyle = '#e9eef2';
  pen.fillRect(here, 0, 1, height);
}

export class WeightPlot {
  constructor(canvas, legend) {
    this.canvas = canvas;
    this.rows = [];
    for (const [name, colour] of CURVES) {
      const item = document.createElement('li');
      const swatch = document.createElement('i');
      swatch.style.background = colour;
      const value = document.createElement('output');
      item.append(swatch, name, value);
      legend.append(item);
      this.rows.push({ place: INDEX[name], colour, value });
    }
    this.past = [];
  }

  add(now, weights) {
    this.past.push([now, ...this.rows.map((row) => weights[row.place])]);
    while (this.past.length && this.past[0][0] < now - SPAN_MS) this.past.shift();
  }

  draw(now) {
    const area = fresh(this.canvas);
    if (!area) return;
    const { pen, width, height } = area;
    this.rows.forEach(({ colour, value }, k) => {
      pen.strokeStyle = colour;
      pen.lineWidth = 1.4;
      pen.beginPath();
      for (const row of this.past) {
        pen.lineTo(width * (1 + (row[0] - now) / SPAN_MS), height - 2 - (height - 4) * row[k + 1]);
      }
      pen.stroke();
      value.textContent = (this.past.at(-1)?.[k + 1] ?? 0).toFixed(2);
    });
  }
}
