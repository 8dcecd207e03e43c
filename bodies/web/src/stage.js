// The picture: renderer, camera, light, and the head in it. Draws only when something has changed.

import { Color, PerspectiveCamera, Scene, SRGBColorSpace, ACESFilmicToneMapping, NoToneMapping, Vector3, WebGLRenderer } from 'three';
import { OrbitControls } from 'three/examples/jsm/controls/OrbitControls.js';
import { lamps, studio } from './light.js';
import { Quality } from './quality.js';

const BACKDROP = 0x1b2126;

// Whether pictures are drawn by the processor.
function isSoftware(gl) {
  const info = gl.getExtension('WEBGL_debug_renderer_info');
  const name = String(info ? gl.getParameter(info.UNMASKED_RENDERER_WEBGL) : gl.getParameter(gl.RENDERER));
  return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(name);
}

function probe() {
  const gl = document.createElement('canvas').getContext('webgl2', { failIfMajorPerformanceCaveat: false });
  if (!gl) return null;
  const software = isSoftware(gl);
  gl.getExtension('WEBGL_lose_context')?.loseContext();
  return { software };
}

export class Stage {
  constructor(canvas, { quality = null } = {}) {
    const found = probe();
    if (!found) throw new Error('this browser offers no WebGL 2: turn on hardware acceleration, or use another browser');
    this.canvas = canvas;
    this.software = found.software;
    this.quality = new Quality({ software: found.software, fixed: quality });
    this.renderer = new WebGLRenderer({ canvas, antialias: !found.software, alpha: false, powerPreference: 'high-performance', stencil: false });
    this.renderer.outputColorSpace = SRGBColorSpace;
    this.scene = new Scene();
    this.scene.background = new Color(BACKDROP);
    this.camera = new PerspectiveCamera(20, 1, 0.02, 20);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.enableDamping = false;
    this.controls.enablePan = false;
    this.controls.addEventListener('change', () => (this.dirty = true));
    this.head = null;
    this.dirty = true;
    this.drawn = 0;
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
    this.adopt();
    this.resize();
  }

  // Light, tone and resolution of the present quality.
  adopt() {
    const { light } = this.quality.settings;
    this.renderer.toneMapping = light ? NoToneMapping : ACESFilmicToneMapping;
    this.renderer.toneMappingExposure = 1.1;
    if (!light && !this.lamps) {
      this.scene.add((this.lamps = lamps()));
      this.scene.environment = studio(this.renderer);
      this.scene.environmentIntensity = 0.42;
    }
    this.head?.dress(light);
    this.resize();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
    if (!width || !height) return;
    const ratio = Math.min(this.quality.settings.ratio, this.software ? 1 : devicePixelRatio);
    // where the processor draws, the picture has no more dots than a face needs
    const most = this.software ? Math.sqrt(420_000 / (width * height)) : 3;
    const scale = Math.min(ratio, most * Math.min(1, this.quality.settings.ratio));
    this.renderer.setPixelRatio(scale);
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.place();
    this.dirty = true;
  }

  show(head) {
    this.head?.dispose();
    this.head = head;
    this.scene.add(head.root);
    this.look();
  }

  // The camera faces the head again.
  look() {
    this.placed = null;
    this.place();
    this.dirty = true;
  }

  place() {
    if (!this.head) return;
    const { centre, height } = this.head;
    const narrow = Math.min(1, this.camera.aspect / 0.8);
    const distance = height / (2 * Math.tan((this.camera.fov * Math.PI) / 360)) / narrow;
    if (this.placed) { // keep the user's view; only the distance follows the window
      const away = this.camera.position.clone().sub(this.controls.target).multiplyScalar(distance / this.placed);
      this.camera.position.copy(this.controls.target).add(away);
    } else {
      this.controls.target.copy(centre);
      this.camera.position.copy(centre).add(new Vector3(0, 0.02 * height, distance));
    }
    this.placed = distance;
    this.controls.minDistance = 0.3 * distance;
    this.controls.maxDistance = 4 * distance;
    this.camera.near = distance / 50;
    this.camera.far = distance * 20;
    this.camera.updateProjectionMatrix();
    this.controls.update();
  }

  // Draws the head with these weights and pose, if anything has changed; true if it drew.
  draw(weights, pose, seconds) {
    if (!this.head) return false;
    let moved = this.head.apply(weights, pose);
    moved = this.head.update(seconds) || moved;
    if (!moved && !this.dirty) return false;
    this.renderer.render(this.scene, this.camera);
    this.dirty = false;
    this.drawn++;
    return true;
  }
}
