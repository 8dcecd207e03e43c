// The socket to the server: opens again whenever it is lost, asks for the time, sends requests and awaits answers.

import { ServerClock } from './clock.js';
import { decode, pictureMessage } from './wire.js';

const TOO_MANY = 4016;
const PATIENCE_MS = 8000;
const SILENCE_MS = 9000;

export class Connection extends EventTarget {
  constructor(url) {
    super();
    this.url = url;
    this.clock = new ServerClock();
    this.waiting = new Map();
    this.next = 1;
    this.tries = 0;
    this.namespace = '';
    this.open();
    document.addEventListener('visibilitychange', () => this.watch());
    addEventListener('online', () => this.retry());
  }

  get connected() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  open() {
    clearTimeout(this.timer);
    const socket = (this.socket = new WebSocket(this.url));
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => {
      this.tries = 0;
      this.heard = performance.now();
      this.clock.forget();
      this.tell('state', { connected: true, text: 'connected' });
      this.watch();
      this.ping(6);
    };
    socket.onmessage = (event) => this.receive(event.data);
    socket.onclose = (event) => {
      if (socket !== this.socket) return;
      clearTimeout(this.pinger);
      for (const { reject } of this.waiting.values()) reject(new Error('the connection was lost'));
      this.waiting.clear();
      const full = event.code === TOO_MANY;
      const pause = full ? 10_000 : Math.min(250 * 1.6 ** this.tries++, 4000);
      const text = full ? event.reason : 'connection lost, trying again';
      this.tell('state', { connected: false, text });
      this.timer = setTimeout(() => this.open(), pause * (0.8 + 0.4 * Math.random()));
    };
  }

  retry() {
    if (this.socket.readyState === WebSocket.CLOSED) this.open();
  }

  // A burst of pings at first, then one a second; a server that has fallen silent counts as lost.
  ping(quick) {
    clearTimeout(this.pinger);
    if (!this.connected) return;
    if (performance.now() - this.heard > SILENCE_MS && document.visibilityState === 'visible') {
      this.socket.close();
      return;
    }
    this.socket.send(JSON.stringify({ type: 'ping', t: performance.now() }));
    this.pinger = setTimeout(() => this.ping(quick - 1), quick > 0 ? 60 : 1000);
  }

  // A hidden page watches nothing, so that nothing is sent to it.
  watch(namespace = this.namespace) {
    this.namespace = namespace;
    const wanted = document.visibilityState === 'visible' || this.listening ? namespace : '';
    if (this.connected) this.socket.send(JSON.stringify({ type: 'watch', namespace: wanted }));
  }

  receive(data) {
    this.heard = performance.now();
    if (data instanceof ArrayBuffer) {
      const message = decode(data);
      if (message) this.tell('stream', message);
      return;
    }
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (message.type === 'pong') this.clock.answer(message.t, performance.now(), message.now);
    else if (message.type === 'answer') {
      const waiting = this.waiting.get(message.id);
      if (!waiting) return;
      this.waiting.delete(message.id);
      clearTimeout(waiting.timer);
      if (message.ok) waiting.resolve(message.text);
      else waiting.reject(new Error(message.text));
    } else this.tell(message.type, message);
  }

  // Resolves with the server's words, or rejects with its reason.
  request(type, fields = {}) {
    return this.await((id) => JSON.stringify({ type, id, ...fields }));
  }

  picture(bytes, strength) {
    return this.await((id) => pictureMessage(id, strength, bytes));
  }

  await(message) {
    if (!this.connected) return Promise.reject(new Error('not connected to the avatar'));
    const id = this.next++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(id);
        reject(new Error('no answer'));
      }, PATIENCE_MS);
      this.waiting.set(id, { resolve, reject, timer });
      this.socket.send(message(id));
    });
  }

  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
