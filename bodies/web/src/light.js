// Light that makes a face worth looking at: a warm key, a cool fill, a rim from behind, and a soft studio around.
// Two ways to draw it: physical materials for graphics cards, and a shader that lights vertices for software rendering.

import {
  BackSide, BoxGeometry, Color, DirectionalLight, DoubleSide, FrontSide, Group, Mesh, MeshBasicMaterial,
  NoColorSpace, PMREMGenerator, Scene, ShaderMaterial, SphereGeometry, Vector3,
} from 'three';

const KEY = { from: [-0.55, 0.62, 0.75], colour: 0xfff0e0, power: 2.6 };
const FILL = { from: [0.85, 0.05, 0.7], colour: 0xcfe0ff, power: 0.55 };
const RIM = { from: [0.7, 0.5, -0.75], colour: 0xdde8ff, power: 1.0 };

export function lamps() {
  const group = new Group();
  for (const { from, colour, power } of [KEY, FILL, RIM]) {
    const lamp = new DirectionalLight(colour, power);
    lamp.position.set(...from);
    group.add(lamp);
  }
  return group;
}

// A small studio of glowing panels, blurred into an environment map.
export function studio(renderer) {
  const scene = new Scene();
  const wall = new MeshBasicMaterial({ color: new Color(0.16, 0.18, 0.2), side: BackSide });
  scene.add(new Mesh(new SphereGeometry(10, 24, 12), wall));
  const panel = (x, y, z, w, h, r, g, b) => {
    const material = new MeshBasicMaterial({ color: new Color(r, g, b), side: DoubleSide });
    const mesh = new Mesh(new BoxGeometry(w, h, 0.05), material);
    mesh.position.set(x, y, z);
    mesh.lookAt(0, 0, 0);
    scene.add(mesh);
  };
  panel(-4, 4.5, 5, 4, 4, 9, 8.2, 7.4);
  panel(5.5, 0.5, 4, 3, 5, 2.2, 2.6, 3.2);
  panel(0, 7, 0, 7, 7, 1.9, 2.0, 2.2);
  panel(4, 3, -6, 3, 5, 2.2, 2.5, 3);
  panel(0, -7, 1, 8, 8, 0.34, 0.28, 0.24);
  const generator = new PMREMGenerator(renderer);
  const texture = generator.fromScene(scene, 0.03).texture;
  generator.dispose();
  scene.traverse((o) => {
    o.geometry?.dispose();
    o.material?.dispose();
  });
  return texture;
}

const LAMP = (light) => ({
  value: { from: new Vector3(...light.from).normalize(), colour: new Color(light.colour).multiplyScalar(light.power) },
});

const LIT = /* glsl */ `
struct Lamp { vec3 from; vec3 colour; };
uniform Lamp key; uniform Lamp fill; uniform Lamp rim;
vec3 surroundings(vec3 n) {
  vec3 sky = vec3(0.52, 0.56, 0.63), side = vec3(0.27, 0.28, 0.31), ground = vec3(0.15, 0.125, 0.115);
  return n.y > 0.0 ? mix(side, sky, n.y) : mix(side, ground, -n.y);
}
vec3 wrapped(float d, vec3 wrap) { return max((vec3(d) + wrap) / (1.0 + wrap), 0.0); }
vec3 shade(vec3 n, vec3 wrap) {
  return surroundings(n) + (key.colour * wrapped(dot(n, key.from), wrap) + fill.colour * wrapped(dot(n, fill.from), wrap)
    + rim.colour * 2.2 * wrapped(dot(n, rim.from), wrap * 0.3)) * 0.5;
}
float shine(vec3 n, vec3 v, vec3 from, float power) {
  return pow(max(dot(n, normalize(from + v)), 0.0), power);
}
vec3 tone(vec3 c) { return c * (1.0 + c * 0.12) / (1.0 + c * 0.62); }
`;

const VERTEX = /* glsl */ `
#include <common>
#include <uv_pars_vertex>
#include <skinning_pars_vertex>
${LIT}
uniform vec3 base; uniform vec3 wrap; uniform float gloss; uniform float sharp;
varying vec3 vLight; varying vec3 vShine;
#ifdef EYE
varying vec3 vN; varying vec3 vV;
#endif
#ifdef TEXTURED
varying vec2 vUv;
#endif
void main() {
  vec3 objectNormal = normal;
  vec3 transformed = position;
  #include <skinbase_vertex>
  #include <skinnormal_vertex>
  #include <skinning_vertex>
  vec4 world = modelMatrix * vec4(transformed, 1.0);
  vec3 n = normalize(mat3(modelMatrix) * objectNormal);
  vec3 v = normalize(cameraPosition - world.xyz);
  #ifdef TWO_SIDED
  if (dot(n, v) < 0.0) n = -n;
  #endif
  vec3 albedo = base;
  #if defined(USE_COLOR) || defined(USE_COLOR_ALPHA)
  albedo *= color.rgb;
  #endif
  float edge = 1.0 - max(dot(n, v), 0.0);
  edge *= edge * edge;
  vec3 glow = gloss * (key.colour * shine(n, v, key.from, sharp) * 0.34 + fill.colour * shine(n, v, fill.from, sharp) * 0.2)
    + edge * (rim.colour * max(dot(n, rim.from) + 0.25, 0.0) * 0.24 + surroundings(n) * 0.05);
  vLight = sqrt(tone(albedo * shade(n, wrap)));
  vShine = glow * (0.6 + 0.4 * sqrt(albedo));
  #ifdef EYE
  vN = n; vV = v;
  #endif
  #ifdef TEXTURED
  vUv = uv;
  #endif
  gl_Position = projectionMatrix * viewMatrix * world;
}`;

const FRAGMENT = /* glsl */ `
varying vec3 vLight; varying vec3 vShine;
#ifdef TEXTURED
uniform sampler2D image; varying vec2 vUv;
#endif
#ifdef EYE
${LIT}
varying vec3 vN; varying vec3 vV;
#endif
uniform float opacity; uniform float cut;
void main() {
  vec4 c = vec4(vLight, opacity);
  #ifdef TEXTURED
  vec4 texel = texture2D(image, vUv);
  c *= texel;
  #endif
  #ifdef CUT
  if (c.a < cut) discard;
  #endif
  c.rgb += vShine;
  #ifdef EYE
  vec3 n = normalize(vN), v = normalize(vV);
  c.rgb += vec3(0.95) * smoothstep(0.35, 0.75, shine(n, v, key.from, 260.0)) + vec3(0.16, 0.18, 0.2) * shine(n, v, fill.from, 60.0);
  #endif
  gl_FragColor = c;
}`;

// How a material of the head looks under the vertex light: red wraps further round skin than blue, eyes are wet.
const LOOKS = [
  [/skin|face|head|wolf3d_skin/i, { wrap: [0.42, 0.26, 0.18], gloss: 0.13, sharp: 16 }],
  [/eye(?!lash|brow)|cornea|iris/i, { wrap: [0.3, 0.3, 0.32], gloss: 0.0, sharp: 30, eye: true }],
  [/teeth|tooth/i, { wrap: [0.3, 0.28, 0.26], gloss: 0.5, sharp: 50 }],
  [/mouth|tongue|gum/i, { wrap: [0.3, 0.16, 0.14], gloss: 0.3, sharp: 40 }],
  [/./, { wrap: [0.2, 0.2, 0.2], gloss: 0.05, sharp: 20 }],
];

// The vertex-lit stand-in of a material.
export function vertexLit(material, geometry) {
  const look = LOOKS.find(([pattern]) => pattern.test(material.name || ''))?.[1] ?? LOOKS.at(-1)[1];
  const map = material.map?.clone() ?? null; // read as it is coded: light is put on in display space
  if (map) map.colorSpace = NoColorSpace;
  const clear = material.transparent || material.alphaTest > 0;
  const defines = {};
  if (map) defines.TEXTURED = '';
  if (look.eye) defines.EYE = '';
  if (clear) defines.CUT = '';
  if (material.side === DoubleSide) defines.TWO_SIDED = '';
  const lit = new ShaderMaterial({
    name: material.name,
    defines,
    vertexShader: VERTEX,
    fragmentShader: FRAGMENT,
    uniforms: {
      key: LAMP(KEY), fill: LAMP(FILL), rim: LAMP(RIM),
      base: { value: material.color?.clone() ?? new Color(1, 1, 1) },
      wrap: { value: new Vector3(...look.wrap) },
      gloss: { value: look.gloss }, sharp: { value: look.sharp },
      image: { value: map }, opacity: { value: material.opacity ?? 1 },
      cut: { value: material.transparent ? 0.02 : Math.max(material.alphaTest, 0.3) },
    },
    transparent: material.transparent, depthWrite: material.depthWrite, side: material.side ?? FrontSide,
    vertexColors: Boolean(geometry.attributes.color) && material.vertexColors,
  });
  lit.toneMapped = false;
  return lit;
}
