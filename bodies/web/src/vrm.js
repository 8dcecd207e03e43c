// VRM files: their expressions count as shapes, their humanoid bones as joints. Loaded only for such a file.

import { VRMLoaderPlugin, VRMUtils } from '@pixiv/three-vrm';
import { INDEX, arkitIndex } from './names.js';

// For avatars that have no perfect-sync expressions: what VRM's own few stand for, at best.
const STANDS = {
  aa: (w) => w[INDEX.jawOpen] * (1 - 0.7 * Math.max(w[INDEX.mouthPucker], w[INDEX.mouthFunnel])),
  ou: (w) => Math.min(1, 1.3 * w[INDEX.mouthPucker]),
  oh: (w) => Math.min(1, 1.3 * w[INDEX.mouthFunnel]),
  ih: (w) => 0.4 * (w[INDEX.mouthStretchLeft] + w[INDEX.mouthStretchRight]),
  happy: (w) => 0.3 * (w[INDEX.mouthSmileLeft] + w[INDEX.mouthSmileRight]),
  sad: (w) => 0.3 * (w[INDEX.mouthFrownLeft] + w[INDEX.mouthFrownRight]),
  angry: (w) => 0.3 * (w[INDEX.browDownLeft] + w[INDEX.browDownRight]),
  surprised: (w) => 0.5 * w[INDEX.browInnerUp],
  blinkLeft: (w) => w[INDEX.eyeBlinkLeft],
  blinkRight: (w) => w[INDEX.eyeBlinkRight],
};

export function register(loader) {
  loader.register((parser) => new VRMLoaderPlugin(parser, { autoUpdateHumanBones: true }));
}

export function prepare(vrm) {
  VRMUtils.rotateVRM0(vrm);
  VRMUtils.combineSkeletons(vrm.scene);
  vrm.humanoid.resetNormalizedPose();
  for (const [side, sign] of [['left', -1], ['right', 1]]) { // arms down from the T pose
    const arm = vrm.humanoid.getNormalizedBoneNode(`${side}UpperArm`);
    if (arm) arm.rotation.z = sign * 1.2;
  }
  if (vrm.lookAt) vrm.lookAt.autoUpdate = false;
  vrm.update(0);
  vrm.scene.updateMatrixWorld(true);
}

// Adds what the expressions of a VRM stand for to `found`; how to drive them.
export function match(vrm, found, unused) {
  const manager = vrm.expressionManager;
  const expressions = manager?.expressions ?? [];
  const drivers = [];
  const rest = [];
  for (const expression of expressions) {
    const shape = arkitIndex(expression.expressionName);
    if (shape >= 0) {
      if (!found.has(shape)) drivers.push([expression.expressionName, shape]);
      found.add(shape);
    } else rest.push(expression.expressionName);
  }
  const stands = found.size < 10 ? rest.filter((name) => STANDS[name]) : [];
  rest.filter((name) => !stands.includes(name)).forEach((name) => unused.add(name));
  return {
    stands,
    apply(weights) {
      for (const [name, shape] of drivers) manager.setValue(name, weights[shape]);
      for (const name of stands) manager.setValue(name, STANDS[name](weights));
    },
  };
}
