// The page's parts that need no browser: names, frames in time, the server's clock, messages, quality.

import assert from 'node:assert/strict';
import test from 'node:test';
import { ARKIT, INDEX, REGIONS, arkitIndex, matchNames } from '../../bodies/web/src/names.js';
import { ServerClock } from '../../bodies/web/src/clock.js';
import { LEVELS, Quality, SOFTWARE_START } from '../../bodies/web/src/quality.js';
import { POSE_REST, Track, poseBlend } from '../../bodies/web/src/tracks.js';
import { decode, pictureMessage, shortId } from '../../bodies/web/src/wire.js';

const near = (a, b, tolerance = 1e-6) => assert.ok(Math.abs(a - b) <= tolerance, `${a} is not ${b}`);
const frame = (stamp, value, more = {}) => ({ stamp, revision: 0, utterance: 1, values: new Float32Array(52).fill(value), ...more });
const face = () => new Track(new Float32Array(52));

test('names in the spellings in use', () => {
  const jaw = ['jawOpen', 'JawOpen', 'jaw_open', 'JAWOPEN', 'mesh.jawOpen', 'mesh:jawOpen', 'Face.jawOpen', 'blendShape1.jawOpen', 'Head_jawOpen'];
  for (const name of jaw) assert.equal(arkitIndex(name), INDEX.jawOpen, name);
  const blink = ['eyeBlinkLeft', 'EyeBlinkLeft', 'eyeBlink_L', 'eyeBlink.L', 'eyeBlinkL', 'eyeBlink_Left', 'eye_blink_left', 'mesh.eyeBlink_L', 'eyeBlink L'];
  for (const name of blink) assert.equal(arkitIndex(name), INDEX.eyeBlinkLeft, name);
  assert.equal(arkitIndex('mouthLeft'), INDEX.mouthLeft);
  assert.equal(arkitIndex('mouth_R'), INDEX.mouthRight);
  assert.equal(arkitIndex('jaw_L'), INDEX.jawLeft);
  assert.equal(arkitIndex('browInnerUp_L'), INDEX.browInnerUp);
  assert.equal(arkitIndex('cheekPuff_R'), INDEX.cheekPuff);
  for (const name of ['', 'viseme_aa', 'mouthOpen', 'Fcl_ALL_Joy', 'smile', 'jaw', 'left', null, 7, {}, 'a'.repeat(999)]) {
    assert.equal(arkitIndex(name), -1, String(name).slice(0, 20));
  }
  const { found, missing, unused } = matchNames(['browInnerUp_L', 'browInnerUp_R', 'jawOpen', 'other']);
  assert.deepEqual(found.get(INDEX.browInnerUp), [0, 1]);
  assert.equal(missing.length, 50);
  assert.deepEqual(unused, ['other']);
});

test('every region holds shapes, and no shape belongs to two', () => {
  const all = Object.values(REGIONS).flat();
  assert.equal(new Set(all).size, all.length);
  assert.ok(all.length >= 50);
});

test('frames are read between their stamps', () => {
  const track = face();
  track.push(frame(1000, 0), 1000);
  track.push(frame(1033, 1), 1000);
  near(track.sample(1000)[0], 0);
  near(track.sample(1016.5)[0], 0.5, 1e-5);
  near(track.sample(1033)[0], 1);
});

test('a stream that stops is held, then eased to rest', () => {
  const track = face();
  track.push(frame(1000, 0.8), 1000);
  near(track.sample(1450)[0], 0.8, 1e-5);
  const half = track.sample(1750)[0];
  assert.ok(half > 0.2 && half < 0.6);
  near(track.sample(2100)[0], 0);
  assert.equal(track.moving(2500), false);
});

test('a higher revision replaces what waits, a lower one is refused', () => {
  const track = face();
  for (let k = 0; k < 10; k++) track.push(frame(1000 + 33 * k, 0.9, { revision: 1 }), 1000);
  track.push(frame(1099, 0.1, { revision: 2 }), 1000);
  assert.equal(track.frames.length, 4);
  assert.equal(track.push(frame(1200, 0.9, { revision: 1 }), 1000), false);
  near(track.sample(1200)[0], 0.1, 1e-5);
});

test('frames out of order find their place, doubled ones replace each other', () => {
  const track = face();
  for (const [stamp, value] of [[1000, 0], [1066, 0.4], [1033, 0.2], [1033, 0.2]]) track.push(frame(stamp, value), 1000);
  assert.deepEqual(track.frames.map((f) => f.stamp), [1000, 1033, 1066]);
  near(track.sample(1050)[0], 0.3, 0.01);
});

test('stamps of another clock are refused', () => {
  const track = face();
  for (const stamp of [0, -1e18, 1e18, NaN, Infinity]) assert.equal(track.push(frame(stamp, 1), 50_000), false);
  assert.equal(track.counts.refused, 5);
  near(track.sample(50_000)[0], 0);
});

test('a new utterance takes over', () => {
  const track = face();
  for (let k = 0; k < 30; k++) track.push(frame(1000 + 33 * k, 0.9), 1000);
  track.push(frame(1300, 0.2, { utterance: 2 }), 1200);
  near(track.sample(1400)[0], 0.2, 1e-5);
});

test('head turns on the nearer side', () => {
  const out = new Float32Array(7);
  poseBlend([0, 0, 0, 1, 0, 0, 0], [0, 0, -0.6, -0.8, 0.01, 0, 0], 0.5, out);
  near(Math.hypot(...out.slice(0, 4)), 1, 1e-6);
  assert.ok(out[2] > 0.3 && out[3] > 0.9);
  near(out[4], 0.005);
  near(new Track(POSE_REST, poseBlend).sample(0)[3], 1);
});

test('the quickest ping tells the time', () => {
  const clock = new ServerClock();
  assert.equal(clock.known, false);
  clock.answer(0, 100, 5000);
  clock.answer(200, 204, 5180);
  clock.answer(300, 500, 5310);
  near(clock.at(0), 4978);
  near(clock.roundTrip, 4);
  clock.answer(600, 604, 99_000); // the server was started again with another clock
  near(clock.at(602), 99_000);
  clock.answer(NaN, 1, 2);
  clock.answer(10, 5, 2);
  near(clock.at(602), 99_000);
});

test('messages that are not ours are left alone', () => {
  for (const bytes of [[], [9], [1, 2, 3], [2], new Array(127).fill(1), [3, 0, 0]]) {
    assert.equal(decode(Uint8Array.from(bytes).buffer), null);
  }
  const bad = new DataView(new ArrayBuffer(128));
  bad.setUint8(0, 1);
  bad.setFloat64(16, NaN, true);
  assert.equal(decode(bad.buffer), null);
  const pose = new DataView(new ArrayBuffer(44));
  pose.setUint8(0, 2);
  pose.setFloat32(16, NaN, true);
  assert.equal(decode(pose.buffer), null);
});

test('a frame and a picture, byte by byte', () => {
  const view = new DataView(new ArrayBuffer(24 + 104));
  view.setUint8(0, 1);
  view.setUint32(4, 3, true);
  view.setUint32(8, 77, true);
  view.setUint32(12, shortId('hello'), true);
  view.setFloat64(16, 1234.5, true);
  view.setUint16(24 + 2 * INDEX.jawOpen, 65535, true);
  const message = decode(view.buffer);
  assert.deepEqual([message.revision, message.frame, message.utterance, message.stamp], [3, 77, 0x3610a686, 1234.5]);
  assert.equal(message.values[INDEX.jawOpen], 1);
  assert.equal(message.values.length, ARKIT.length);
  const sent = pictureMessage(7, 0.5, Uint8Array.from([9, 8]).buffer);
  assert.deepEqual([...sent], [1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 63, 9, 8]);
});

function run(quality, fps, seconds, from = 0) {
  let now = from;
  for (; now < from + 1000 * seconds; now += 1000 / fps) quality.drawn(now);
  return now;
}

test('a slow page draws less, and does not try again at once', () => {
  const quality = new Quality({ software: true });
  assert.equal(quality.level, SOFTWARE_START);
  let now = run(quality, 24, 5);
  assert.equal(quality.level, SOFTWARE_START + 1);
  now = run(quality, 60, 20, now);
  assert.equal(quality.level, SOFTWARE_START + 1, 'the level above was too slow a moment ago');
  now = run(quality, 60, 80, now);
  assert.ok(quality.level < SOFTWARE_START + 1);
  run(quality, 5, 60, now);
  assert.equal(quality.level, LEVELS.length - 1);
});

test('software never draws with the materials of graphics cards, and pauses are not slowness', () => {
  const quality = new Quality({ software: true });
  run(quality, 60, 300);
  assert.ok(LEVELS[quality.level].light);
  const paused = new Quality({ software: false });
  for (let k = 0; k < 50; k++) paused.drawn(1000 * k);
  assert.equal(paused.level, 0);
  const fixed = new Quality({ software: true, fixed: 2 });
  run(fixed, 3, 30);
  assert.equal(fixed.level, 2);
});
