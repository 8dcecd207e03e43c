// Binary messages of the server (see wire.py), and the pictures that go back.

import { ARKIT } from './names.js';

export const FACE = 1, POSE = 2, SOUND = 3, PICTURE = 1;
const SHAPES = ARKIT.length;

// A binary message as an object, or null if it is none of ours or holds what cannot be shown.
export function decode(buffer) {
  const view = new DataView(buffer);
  const kind = view.byteLength ? view.getUint8(0) : 0;
  if (kind === FACE && view.byteLength === 24 + 2 * SHAPES) {
    const values = new Float32Array(SHAPES);
    for (let i = 0; i < SHAPES; i++) values[i] = view.getUint16(24 + 2 * i, true) / 65535;
    const message = {
      kind, revision: view.getUint32(4, true), frame: view.getUint32(8, true),
      utterance: view.getUint32(12, true), stamp: view.getFloat64(16, true), values,
    };
    return Number.isFinite(message.stamp) ? message : null;
  }
  if (kind === POSE && view.byteLength === 44) {
    const values = new Float32Array(7);
    for (let i = 0; i < 7; i++) values[i] = view.getFloat32(16 + 4 * i, true);
    const stamp = view.getFloat64(8, true);
    return Number.isFinite(stamp) && values.every(Number.isFinite)
      ? { kind, revision: view.getUint32(4, true), stamp, values } : null;
  }
  if (kind === SOUND && view.byteLength >= 12 && view.byteLength % 2 === 0) {
    const count = (view.byteLength - 12) / 2;
    const values = new Float32Array(count);
    for (let i = 0; i < count; i++) values[i] = view.getInt16(12 + 2 * i, true) / 32768;
    return {
      kind, ends: (view.getUint8(1) & 1) === 1, utterance: view.getUint32(4, true),
      first: view.getUint32(8, true), values,
    };
  }
  return null;
}

export function pictureMessage(id, strength, bytes) {
  const out = new Uint8Array(12 + bytes.byteLength);
  const view = new DataView(out.buffer);
  view.setUint8(0, PICTURE);
  view.setUint32(4, id, true);
  view.setFloat32(8, strength, true);
  out.set(new Uint8Array(bytes), 12);
  return out;
}

// CRC-32 of a text's UTF-8 bytes: the short id of an utterance.
export function shortId(text) {
  let crc = ~0;
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return ~crc >>> 0;
}
