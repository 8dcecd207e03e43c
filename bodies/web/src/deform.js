// Morph targets and small skeletons, applied on the processor. A face moves few of its vertices at a time, so sparse
// sums are quicker than reading every target of every vertex from a texture, above all where there is no graphics card.

import { BufferAttribute, DynamicDrawUsage, Matrix3, Matrix4, Mesh } from 'three';

const STILL = 1e-6; // share of the mesh's size: a vertex that moves less is left out
const FEW_BONES = 4;

function reader(attribute) {
  const { array, itemSize, normalized } = attribute;
  if (attribute.isInterleavedBufferAttribute || itemSize !== 3) {
    return (i, axis) => attribute.getComponent(i, axis);
  }
  let scale = 1;
  if (normalized) scale = array.BYTES_PER_ELEMENT === 1 ? 1 / (array instanceof Int8Array ? 127 : 255)
    : 1 / (array instanceof Int16Array ? 32767 : 65535);
  return (i, axis) => array[3 * i + axis] * scale;
}

function dense(attribute) {
  const read = reader(attribute);
  const out = new Float32Array(attribute.count * 3);
  for (let i = 0, k = 0; i < attribute.count; i++) {
    for (let axis = 0; axis < 3; axis++, k++) {
      const value = read(i, axis);
      out[k] = Number.isFinite(value) ? value : 0;
    }
  }
  return out;
}

function sparse(position, normal, count, still) {
  const p = position && reader(position);
  const n = normal && reader(normal);
  const rows = [];
  for (let i = 0; i < count; i++) {
    const move = p ? Math.abs(p(i, 0)) + Math.abs(p(i, 1)) + Math.abs(p(i, 2)) : 0;
    const turn = n ? Math.abs(n(i, 0)) + Math.abs(n(i, 1)) + Math.abs(n(i, 2)) : 0;
    if (move > still || turn > 0.01) rows.push(i);
  }
  const offsets = new Float32Array(rows.length * 3);
  const turns = new Float32Array(n ? rows.length * 3 : 0);
  rows.forEach((i, k) => {
    for (let axis = 0; axis < 3; axis++) {
      if (p) offsets[3 * k + axis] = p(i, axis) || 0;
      if (n) turns[3 * k + axis] = n(i, axis) || 0;
    }
  });
  return { rows: Uint32Array.from(rows, (i) => 3 * i), offsets, turns };
}

// The influences of one mesh, made into positions and normals. The mesh's own morph attributes are taken away.
export class Deformer {
  constructor(mesh) {
    this.mesh = mesh;
    const geometry = (mesh.geometry = mesh.geometry.clone());
    const { position, normal } = geometry.attributes;
    const morph = geometry.morphAttributes;
    this.relative = geometry.morphTargetsRelative;
    this.points = dense(position);
    if (!normal) geometry.computeVertexNormals();
    this.normals = dense(geometry.attributes.normal);
    geometry.computeBoundingSphere();
    const still = STILL * geometry.boundingSphere.radius;
    const targets = Math.max(morph.position?.length ?? 0, morph.normal?.length ?? 0);
    this.targets = [];
    for (let i = 0; i < targets; i++) {
      this.targets.push(sparse(morph.position?.[i], morph.normal?.[i], position.count, still));
    }
    if (!this.relative) this.makeRelative();
    geometry.morphAttributes = {};
    this.position = new BufferAttribute(new Float32Array(this.points), 3).setUsage(DynamicDrawUsage);
    this.normal = new BufferAttribute(new Float32Array(this.normals), 3).setUsage(DynamicDrawUsage);
    geometry.setAttribute('position', this.position);
    geometry.setAttribute('normal', this.normal);
    this.last = new Float32Array(targets).fill(NaN);
  }

  makeRelative() {
    for (const target of this.targets) {
      target.rows.forEach((row, k) => {
        for (let axis = 0; axis < 3; axis++) {
          target.offsets[3 * k + axis] -= this.points[row + axis];
          if (target.turns.length) target.turns[3 * k + axis] -= this.normals[row + axis];
        }
      });
    }
  }

  // Whether the influences have changed since the last time.
  changed() {
    const now = this.mesh.morphTargetInfluences ?? [];
    for (let i = 0; i < this.last.length; i++) if (Math.abs(now[i] - this.last[i]) > 1e-4 || Number.isNaN(this.last[i])) return true;
    return false;
  }

  update() {
    if (!this.changed()) return false;
    const influences = this.mesh.morphTargetInfluences ?? [];
    const p = this.position.array;
    const n = this.normal.array;
    p.set(this.points);
    n.set(this.normals);
    this.targets.forEach(({ rows, offsets, turns }, i) => {
      const weight = influences[i];
      this.last[i] = weight;
      if (!weight) return;
      const count = rows.length;
      for (let k = 0, j = 0; k < count; k++, j += 3) {
        const row = rows[k];
        p[row] += weight * offsets[j];
        p[row + 1] += weight * offsets[j + 1];
        p[row + 2] += weight * offsets[j + 2];
      }
      if (!turns.length) return;
      for (let k = 0, j = 0; k < count; k++, j += 3) {
        const row = rows[k];
        n[row] += weight * turns[j];
        n[row + 1] += weight * turns[j + 1];
        n[row + 2] += weight * turns[j + 2];
      }
    });
    this.position.needsUpdate = this.normal.needsUpdate = true;
    return true;
  }
}

// A mesh that hangs on a few bones (a head on a neck), posed on the processor after its morphs.
export class SkinnedDeformer extends Deformer {
  static suits(mesh) {
    return mesh.isSkinnedMesh && mesh.skeleton.bones.length <= FEW_BONES;
  }

  // Puts a plain mesh in the skinned one's place.
  constructor(skinned) {
    const mesh = new Mesh(skinned.geometry, skinned.material);
    mesh.name = skinned.name;
    mesh.morphTargetInfluences = skinned.morphTargetInfluences;
    mesh.morphTargetDictionary = skinned.morphTargetDictionary;
    super(mesh);
    skinned.parent.add(mesh);
    skinned.removeFromParent();
    this.skeleton = skinned.skeleton;
    this.bind = skinned.bindMatrix.clone();
    const { skinIndex, skinWeight } = mesh.geometry.attributes;
    const bones = this.skeleton.bones.length;
    this.shares = new Float32Array(bones * skinIndex.count); // bone by bone
    for (let i = 0; i < skinIndex.count; i++) {
      let sum = 0;
      for (let k = 0; k < 4; k++) sum += skinWeight.getComponent(i, k);
      for (let k = 0; k < 4; k++) {
        const bone = skinIndex.getComponent(i, k);
        if (bone < bones) this.shares[bone * skinIndex.count + i] += skinWeight.getComponent(i, k) / (sum || 1);
      }
    }
    mesh.geometry.deleteAttribute('skinIndex');
    mesh.geometry.deleteAttribute('skinWeight');
    this.posed = new Float32Array(16 * bones);
    this.matrices = this.skeleton.bones.map(() => new Matrix4());
    this.shape = new Float32Array(this.points);
    this.shade = new Float32Array(this.normals);
    this.inverse = new Matrix4();
  }

  update() {
    const moved = super.changed();
    if (moved) {
      super.update();
      this.shape.set(this.position.array);
      this.shade.set(this.normal.array);
    }
    const { mesh, skeleton, matrices, posed } = this;
    mesh.updateWorldMatrix(true, false);
    this.inverse.copy(mesh.matrixWorld).invert();
    let turned = moved;
    skeleton.bones.forEach((bone, b) => {
      bone.updateWorldMatrix(true, false);
      matrices[b].copy(this.inverse).multiply(bone.matrixWorld).multiply(skeleton.boneInverses[b]).multiply(this.bind);
      for (let i = 0; i < 16; i++) {
        const value = matrices[b].elements[i];
        if (Math.abs(posed[16 * b + i] - value) > 1e-9 * Math.max(1, Math.abs(value))) turned = true;
        posed[16 * b + i] = value;
      }
    });
    if (turned) this.pose();
    return turned;
  }

  pose() {
    const { shape, shade, shares, posed } = this;
    const p = this.position.array;
    const n = this.normal.array;
    const count = shape.length / 3;
    const bones = this.matrices.length;
    const turn = this.matrices.map((m) => new Matrix3().setFromMatrix4(m).elements);
    p.fill(0);
    n.fill(0);
    for (let b = 0; b < bones; b++) {
      const m = posed.subarray(16 * b, 16 * b + 16);
      const r = turn[b];
      const own = shares.subarray(b * count, (b + 1) * count);
      for (let i = 0, j = 0; i < count; i++, j += 3) {
        const w = own[i];
        if (w === 0) continue;
        const x = shape[j], y = shape[j + 1], z = shape[j + 2];
        p[j] += w * (m[0] * x + m[4] * y + m[8] * z + m[12]);
        p[j + 1] += w * (m[1] * x + m[5] * y + m[9] * z + m[13]);
        p[j + 2] += w * (m[2] * x + m[6] * y + m[10] * z + m[14]);
        const u = shade[j], v = shade[j + 1], t = shade[j + 2];
        n[j] += w * (r[0] * u + r[3] * v + r[6] * t);
        n[j + 1] += w * (r[1] * u + r[4] * v + r[7] * t);
        n[j + 2] += w * (r[2] * u + r[5] * v + r[8] * t);
      }
    }
    this.position.needsUpdate = this.normal.needsUpdate = true;
  }
}
