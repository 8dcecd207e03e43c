// A head from a GLB or VRM file: its shapes found by name, its eyes and its head joint turned, its vertices moved.

import { Box3, Quaternion, Vector3 } from 'three';
import { GLTFLoader } from 'three/examples/jsm/loaders/GLTFLoader.js';
import { Deformer, SkinnedDeformer } from './deform.js';
import { vertexLit } from './light.js';
import { INDEX, matchNames } from './names.js';

export const MAX_FILE = 200_000_000;
const MAX_VERTICES = 1_000_000;
// Turn of an eye at eyeLook... = 1, radians (runtime/eyes.py has the same).
export const TURN = { In: 0.55, Out: 0.64, Up: 0.44, Down: 0.615 };

// What a person can do about a file that is no head.
export class HeadError extends Error {}

function checkBytes(bytes, name) {
  if (bytes.byteLength > MAX_FILE) throw new HeadError(`${name} has ${Math.round(bytes.byteLength / 1e6)} MB: at most ${MAX_FILE / 1e6} MB can be shown`);
  const view = new DataView(bytes);
  if (bytes.byteLength < 20 || view.getUint32(0, true) !== 0x46546c67) throw new HeadError(`${name} is no GLB or VRM file (binary glTF)`);
  if (view.getUint32(4, true) !== 2) throw new HeadError(`${name} is glTF ${view.getUint32(4, true)}: only version 2 can be shown`);
  const length = view.getUint32(8, true);
  if (length > bytes.byteLength) throw new HeadError(`${name} is truncated: ${bytes.byteLength} of ${length} bytes are there`);
  const chunk = view.getUint32(12, true);
  if (view.getUint32(16, true) !== 0x4e4f534a || 20 + chunk > length) throw new HeadError(`${name} is damaged: its JSON is not where it belongs`);
  let tree;
  try {
    tree = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 20, chunk)));
  } catch {
    throw new HeadError(`${name} is damaged: its JSON cannot be read`);
  }
  if (!(tree.meshes?.length > 0)) throw new HeadError(`${name} holds no mesh`);
  const vertices = (tree.accessors ?? []).reduce((most, a) => Math.max(most, a?.count ?? 0), 0);
  if (vertices > 8 * MAX_VERTICES) throw new HeadError(`${name} names ${vertices} values in one list: too large to be shown`);
  for (const buffer of tree.buffers ?? []) {
    if (buffer.uri && !buffer.uri.startsWith('data:')) throw new HeadError(`${name} needs another file (${String(buffer.uri).slice(0, 60)}): save it as one GLB`);
  }
  return tree;
}

// Nodes by the names they have in the file: the loader makes names unique, and drops some of their signs.
function nodeNames(gltf) {
  const names = new Map();
  for (const [object, place] of gltf.parser.associations) {
    if (object.isObject3D && place.nodes !== undefined) names.set(object, gltf.parser.json.nodes[place.nodes]?.name ?? '');
  }
  return names;
}

async function parse(bytes, name, tree) {
  const loader = new GLTFLoader();
  const used = tree.extensionsUsed ?? [];
  const vrm = used.includes('VRM') || used.includes('VRMC_vrm');
  let tools = null;
  if (vrm) {
    tools = await import('./vrm.js');
    tools.register(loader);
  }
  if (used.includes('EXT_meshopt_compression') || used.includes('KHR_meshopt_compression')) {
    const { MeshoptDecoder } = await import('three/examples/jsm/libs/meshopt_decoder.module.js');
    loader.setMeshoptDecoder(MeshoptDecoder);
  }
  if ((tree.extensionsRequired ?? []).includes('KHR_draco_mesh_compression')) {
    throw new HeadError(`${name} is packed with Draco: save it without, or with meshopt`);
  }
  let gltf;
  try {
    gltf = await loader.parseAsync(bytes, '');
  } catch (error) {
    throw new HeadError(`${name} cannot be read: ${String(error?.message ?? error).slice(0, 160)}`);
  }
  return { gltf, tools };
}

export class Head {
  // own: a file of the user's (its match is of interest), not the head that ships.
  static async load(bytes, { name, own = false, light = false }) {
    const tree = checkBytes(bytes, name);
    const { gltf, tools } = await parse(bytes, name, tree);
    return new Head(gltf, tools, { name, own, light });
  }

  constructor(gltf, tools, { name, own, light }) {
    this.name = name;
    this.root = gltf.scene;
    this.deformers = [];
    this.names = nodeNames(gltf);
    this.drivers = []; // { influences, places: [[shape, place], ...] }
    this.vrm = gltf.userData?.vrm ?? null;
    this.root.updateMatrixWorld(true);
    if (this.vrm) tools.prepare(this.vrm);
    this.collect(tools);
    this.joints(own);
    this.materials = new Map(); // mesh -> { full, light }
    this.dress(light);
    this.frame();
  }

  // Shapes by name, over all meshes (and a VRM's expressions).
  collect(tools) {
    const meshes = [];
    this.root.traverse((o) => {
      if (o.isMesh) meshes.push(o);
      o.frustumCulled = false;
    });
    const count = meshes.reduce((n, m) => n + (m.geometry.attributes.position?.count ?? 0), 0);
    if (count > MAX_VERTICES) throw new HeadError(`${this.name} has ${count} vertices: at most ${MAX_VERTICES} can be shown`);
    const found = new Set();
    const unused = new Set();
    this.stands = [];
    for (const mesh of meshes) {
      const names = Object.entries(mesh.morphTargetDictionary ?? {});
      if (!names.length) continue;
      const match = matchNames(names.map(([n]) => n));
      match.unused.forEach((n) => unused.add(n));
      const places = [];
      for (const [shape, spots] of match.found) {
        found.add(shape);
        for (const spot of spots) places.push([shape, names[spot][1]]);
      }
      if (places.length) this.drivers.push({ influences: mesh.morphTargetInfluences, places });
    }
    if (this.vrm) this.expressions = tools.match(this.vrm, found, unused);
    if (!found.size && !this.expressions?.stands.length) {
      throw new HeadError(
        unused.size
          ? `${this.name} has ${unused.size} shapes, but none with an ARKit name (such as jawOpen): ${[...unused].slice(0, 4).join(', ')} …`
          : `${this.name} has no morph targets: its face cannot move`,
      );
    }
    this.match = {
      found: Object.entries(INDEX).filter(([, i]) => found.has(i)).map(([n]) => n),
      missing: Object.entries(INDEX).filter(([, i]) => !found.has(i)).map(([n]) => n),
      unused: [...unused],
      stands: this.expressions?.stands ?? [],
    };
    this.meshes = meshes.map((mesh) => {
      const morphs = (mesh.geometry.morphAttributes.position?.length ?? 0) > 0;
      if (SkinnedDeformer.suits(mesh)) this.deformers.push(new SkinnedDeformer(mesh));
      else if (morphs) this.deformers.push(new Deformer(mesh));
      else return mesh;
      return this.deformers.at(-1).mesh;
    });
  }

  joints(own) {
    const nodes = [];
    this.root.traverse((o) => {
      const name = this.names.get(o);
      if (name && o !== this.root) nodes.push([name, o]);
    });
    const bone = (pattern) => nodes.find(([name]) => pattern.test(name))?.[1] ?? null;
    const human = this.vrm?.humanoid;
    this.joint = human?.getNormalizedBoneNode('head') ?? bone(/^head$/i) ?? bone(/(^|[:_. ])head([_. ]?(x|jnt|joint|bone))?$/i);
    if (this.joint?.isMesh && !this.joint.children.length) this.joint = null;
    this.eyes = ['Left', 'Right'].map((side) => ({
      side,
      node: human?.getNormalizedBoneNode(`${side.toLowerCase()}Eye`)
        ?? bone(new RegExp(`(^|[:_.])(${side}Eye|Eye${side}|eye[_.]?${side[0]})$`, 'i')),
    })).filter((eye) => eye.node);
    for (const eye of this.eyes) { // an eye's bone may lie any way round: turns are given in the world's axes
      eye.rest = eye.node.quaternion.clone();
      eye.axes = eye.node.parent.getWorldQuaternion(new Quaternion()).invert();
    }
    if (this.joint) {
      this.jointRest = { turn: this.joint.quaternion.clone(), place: this.joint.position.clone() };
      const parent = new Quaternion();
      this.joint.parent.getWorldQuaternion(parent);
      this.jointWorld = parent;
      this.jointScale = this.joint.parent.getWorldScale(new Vector3()).x || 1;
    }
    this.match.bones = [this.joint && 'head', ...this.eyes.map((e) => `eye ${e.side.toLowerCase()}`)].filter(Boolean);
    this.own = own;
  }

  // Materials for graphics cards, or the cheaper ones for software rendering.
  dress(light) {
    for (const mesh of this.meshes) {
      if (Array.isArray(mesh.material) || mesh.material.isShaderMaterial) continue;
      let pair = this.materials.get(mesh);
      if (!pair) this.materials.set(mesh, (pair = { full: mesh.material, light: null }));
      if (!this.own && mesh.material.name === 'skin') mesh.material.roughness = 0.6; // hair is part of it
      if (light && !pair.light) pair.light = vertexLit(pair.full, mesh.geometry);
      mesh.material = light ? pair.light : pair.full;
    }
  }

  // Where the camera looks: the face, or what stands for it.
  frame() {
    const box = new Box3();
    const heads = this.deformers.length ? this.deformers.map((d) => d.mesh) : this.meshes;
    for (const deformer of this.deformers) deformer.update();
    this.root.updateMatrixWorld(true);
    for (const mesh of heads) box.expandByObject(mesh, true);
    const size = box.getSize(new Vector3());
    this.height = Math.max(size.y, 0.05);
    this.centre = box.getCenter(new Vector3());
    if (this.joint) {
      const at = this.joint.getWorldPosition(new Vector3());
      const top = box.max.y;
      if (top - at.y > 0.03) {
        this.height = (top - at.y) * 1.8;
        this.centre.set(at.x, at.y + (top - at.y) * 0.36, at.z);
      }
    }
  }

  // weights: 52 in ARKit order; pose: quaternion xyzw and offset, REP-103. True if anything changed.
  apply(weights, pose) {
    for (const { influences, places } of this.drivers) {
      for (const [shape, place] of places) influences[place] = weights[shape];
    }
    this.expressions?.apply(weights);
    const [x, y, z, w, dx, dy, dz] = pose;
    let turned = false;
    if (this.joint) {
      QUATERNION.set(y, z, x, w); // ROS x forward, y left, z up is glTF's z, x, y
      PARENT.copy(this.jointWorld).invert();
      QUATERNION.premultiply(PARENT).multiply(this.jointWorld).multiply(this.jointRest.turn);
      turned = this.joint.quaternion.angleTo(QUATERNION) > 1e-5;
      this.joint.quaternion.copy(QUATERNION);
      SHIFT.set(dy, dz, dx).applyQuaternion(PARENT).divideScalar(this.jointScale).add(this.jointRest.place);
      turned ||= SHIFT.distanceTo(this.joint.position) > 1e-6;
      this.joint.position.copy(SHIFT);
    }
    for (const { side, node, rest, axes } of this.eyes) {
      const look = (way) => TURN[way] * weights[INDEX[`eyeLook${way}${side}`]];
      const outward = side === 'Left' ? 1 : -1;
      const yaw = outward * (look('Out') - look('In'));
      const pitch = look('Down') - look('Up');
      QUATERNION.setFromAxisAngle(UP, yaw).multiply(TILT.setFromAxisAngle(LEFT, pitch));
      node.quaternion.copy(axes).multiply(QUATERNION).multiply(TILT.copy(axes).invert()).multiply(rest);
      turned ||= Math.abs(this[`yaw${side}`] - yaw) > 1e-5 || Math.abs(this[`pitch${side}`] - pitch) > 1e-5;
      this[`yaw${side}`] = yaw;
      this[`pitch${side}`] = pitch;
    }
    return turned;
  }

  update(seconds) {
    this.vrm?.update(seconds);
    let moved = Boolean(this.vrm);
    for (const deformer of this.deformers) moved = deformer.update() || moved;
    return moved;
  }

  dispose() {
    this.root.traverse((o) => o.geometry?.dispose());
    for (const { full, light } of this.materials.values()) {
      for (const material of [full, light]) {
        material?.map?.dispose();
        material?.uniforms?.image?.value?.dispose();
        material?.dispose();
      }
    }
    this.root.removeFromParent();
  }
}

const QUATERNION = new Quaternion(), PARENT = new Quaternion(), TILT = new Quaternion();
const SHIFT = new Vector3(), UP = new Vector3(0, 1, 0), LEFT = new Vector3(1, 0, 0);
