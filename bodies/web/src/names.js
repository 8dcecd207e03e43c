// The 52 ARKit names, and how files in the wild spell them.

export const ARKIT = [
  'eyeBlinkLeft', 'eyeLookDownLeft', 'eyeLookInLeft', 'eyeLookOutLeft', 'eyeLookUpLeft', 'eyeSquintLeft',
  'eyeWideLeft', 'eyeBlinkRight', 'eyeLookDownRight', 'eyeLookInRight', 'eyeLookOutRight', 'eyeLookUpRight',
  'eyeSquintRight', 'eyeWideRight', 'jawForward', 'jawLeft', 'jawRight', 'jawOpen', 'mouthClose', 'mouthFunnel',
  'mouthPucker', 'mouthLeft', 'mouthRight', 'mouthSmileLeft', 'mouthSmileRight', 'mouthFrownLeft',
  'mouthFrownRight', 'mouthDimpleLeft', 'mouthDimpleRight', 'mouthStretchLeft', 'mouthStretchRight',
  'mouthRollLower', 'mouthRollUpper', 'mouthShrugLower', 'mouthShrugUpper', 'mouthPressLeft', 'mouthPressRight',
  'mouthLowerDownLeft', 'mouthLowerDownRight', 'mouthUpperUpLeft', 'mouthUpperUpRight', 'browDownLeft',
  'browDownRight', 'browInnerUp', 'browOuterUpLeft', 'browOuterUpRight', 'cheekPuff', 'cheekSquintLeft',
  'cheekSquintRight', 'noseSneerLeft', 'noseSneerRight', 'tongueOut',
];

export const INDEX = Object.fromEntries(ARKIT.map((name, i) => [name, i]));

const KEYS = new Map(ARKIT.map((name, i) => [name.toLowerCase(), i]));

const SIDES = { l: 'left', r: 'right', left: 'left', right: 'right' };

// Index of the ARKit shape that a name stands for, or -1. Known: jawOpen, JawOpen, jaw_open, eyeBlink_L, eyeBlink.L,
// EyeBlinkLeft, eyeBlinkL, mesh.jawOpen, mesh:jawOpen, blendShape1.eyeBlink_L, browInnerUp_L (both halves).
export function arkitIndex(name) {
  if (typeof name !== 'string' || name.length > 200) return -1;
  const sided = name.match(/^(.*?)(?:[._\s-]+(left|right|l|r)|(?<=[a-z])(L|R))$/i);
  const bases = [];
  if (sided && (sided[2] || /[LR]$/.test(name))) {
    const side = SIDES[(sided[2] || sided[3]).toLowerCase()];
    bases.push([sided[1], side]);
  }
  bases.push([name, '']);
  for (const [base, side] of bases) {
    const pieces = base.split(/[.:|/]/);
    for (const candidate of [base, pieces[pieces.length - 1], base.replace(/^[A-Za-z0-9]+_(?=[A-Za-z]+)/, '')]) {
      const plain = candidate.replace(/[^A-Za-z0-9]/g, '').toLowerCase();
      if (KEYS.has(plain + side)) return KEYS.get(plain + side);
      if (side && (plain === 'browinnerup' || plain === 'cheekpuff')) return KEYS.get(plain);
    }
  }
  return -1;
}

// What of a list of names is understood: { found: Map(shape index -> [places]), missing: [names], unused: [names] }.
export function matchNames(names) {
  const found = new Map();
  const unused = [];
  names.forEach((name, place) => {
    const i = arkitIndex(name);
    if (i < 0) unused.push(name);
    else if (found.has(i)) found.get(i).push(place);
    else found.set(i, [place]);
  });
  return { found, missing: ARKIT.filter((_, i) => !found.has(i)), unused };
}

// Regions whose strength the page can change; shapes that belong to none stay as they are.
export const REGIONS = {
  mouth: ARKIT.map((n, i) => (/^(jaw|mouth|tongue|cheekPuff)/.test(n) ? i : -1)).filter((i) => i >= 0),
  brows: ARKIT.map((n, i) => (/^(brow|noseSneer)/.test(n) ? i : -1)).filter((i) => i >= 0),
  eyes: ARKIT.map((n, i) => (/^(eye|cheekSquint)/.test(n) ? i : -1)).filter((i) => i >= 0),
};
