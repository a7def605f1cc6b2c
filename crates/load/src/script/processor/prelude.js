// What functions of a script find around them. `host` is the crowd; the rest is JavaScript.
(function (host, environment) {
  'use strict';
  const pending = new Map();
  const timers = new Map();
  const cache = new Map();
  const shared = new Map();
  let exported = {};
  let current = 0;
  let timer = 0;

  const shown = (value) => {
    if (typeof value === 'string') return value;
    if (value instanceof Error) return String(value.stack ? `${value}\n${value.stack}` : value);
    if (typeof value === 'function') return `[function ${value.name}]`;
    try {
      return JSON.stringify(value) ?? String(value);
    } catch {
      return String(value);
    }
  };
  const print = (...values) => host.line(values.map(shown).join(' '));
  globalThis.console = { log: print, info: print, warn: print, error: print, debug: print, trace: print };

  globalThis.setTimeout = (callback, wait = 0, ...values) => {
    if (typeof callback !== 'function') throw new TypeError('setTimeout expects a function');
    timer += 1;
    host.alarm(timer, Number(wait) || 0, current);
    timers.set(timer, { callback, values, owner: current });
    pending.get(current)?.timers.add(timer);
    return timer;
  };
  globalThis.clearTimeout = (which) => {
    const found = timers.get(which);
    if (!found) return;
    timers.delete(which);
    pending.get(found.owner)?.timers.delete(which);
    host.cancel(which);
  };
  globalThis.setImmediate = (callback, ...values) => setTimeout(callback, 0, ...values);
  globalThis.queueMicrotask = (callback) => void Promise.resolve().then(callback);
  globalThis.process = Object.freeze({
    env: environment,
    nextTick: (callback, ...values) => queueMicrotask(() => callback(...values)),
  });

  const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  const base64 = (bytes) => {
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
    let text = '';
    for (let at = 0; at < bytes.length; at += 3) {
      const bits = (bytes[at] << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
      for (let place = 0; place < 4; place += 1) {
        const known = at + place <= bytes.length;
        text += known ? letters[(bits >> (18 - 6 * place)) & 63] : '=';
      }
    }
    return text;
  };
  class Bytes extends Uint8Array {
    toString(encoding) {
      if (encoding === 'hex') return hex(this);
      if (encoding === 'base64') return base64(this);
      throw new TypeError(`expected 'hex' or 'base64', found ${encoding}`);
    }
  }
  const randomBytes = (count) => Bytes.from(host.random(count));
  const randomUUID = () => {
    const bytes = randomBytes(16);
    bytes[6] = (bytes[6] & 15) | 64;
    bytes[8] = (bytes[8] & 63) | 128;
    const text = hex(bytes);
    return [text.slice(0, 8), text.slice(8, 12), text.slice(12, 16), text.slice(16, 20), text.slice(20)].join('-');
  };
  const randomInt = (least, most) => {
    if (most === undefined) [least, most] = [0, least];
    return least + Math.floor(Math.random() * (most - least));
  };
  const getRandomValues = (array) => {
    new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(host.random(array.byteLength));
    return array;
  };
  const modules = {
    crypto: { randomUUID, randomBytes, randomInt, getRandomValues },
    'timers/promises': {
      setTimeout: (wait, value) => new Promise((resolve) => setTimeout(resolve, wait, value)),
    },
  };
  globalThis.crypto = modules.crypto;
  globalThis[Symbol.for('modules')] = modules;

  const requireFrom = (base) => (name) => {
    const known = modules[name.replace(/^node:/, '')];
    if (known) return known;
    const path = host.resolve(base, name);
    if (!cache.has(path)) {
      const module = { exports: {} };
      cache.set(path, module);
      if (path.endsWith('.json')) {
        module.exports = JSON.parse(host.source(path));
      } else {
        const folder = path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '.';
        host.compile(path).call(module.exports, module, module.exports, requireFrom(path), path, folder);
      }
    }
    return cache.get(path).exports;
  };

  const events = {
    emit(kind, name, value) {
      if (kind === 'customStat') [kind, name, value] = ['histogram', name?.stat, name?.value];
      if (kind === 'counter' || kind === 'rate' || kind === 'histogram' || kind === 'summary') {
        host.metric(kind, String(name), kind === 'rate' ? 1 : Number(value));
      } else if (kind === 'error') {
        host.metric('counter', `errors.${name?.message ?? name}`, 1);
      }
      return true;
    },
    on() {
      return this;
    },
  };

  const failed = (id, error) => {
    const message = error instanceof Error ? error.code || error.message || error.name : error;
    host.fail(id, String(message ?? 'an error without a message'), String(error?.stack ?? ''));
  };
  const kept = (vars) => {
    const own = {};
    for (const [name, value] of Object.entries(vars ?? {})) {
      if (!shared.has(name) || shared.get(name) !== value) own[name] = value;
    }
    return JSON.stringify(own);
  };

  return {
    share: (name, text) => void shared.set(name, JSON.parse(text)),
    main: (path) => void (exported = requireFrom('')(`./${path}`)),
    adopt: (module) => void (exported = { ...(module.default ?? {}), ...module }),
    names: () => Object.keys(exported).filter((name) => typeof exported[name] === 'function'),
    // Who is gone waits for nothing any more.
    forget(id) {
      const call = pending.get(id);
      for (const which of call?.timers ?? []) {
        timers.delete(which);
        host.cancel(which);
      }
      return pending.delete(id);
    },
    call(id, name, kind, text) {
      const { vars, scenario, wanted } = JSON.parse(text);
      for (const [key, value] of shared) vars[key] = value;
      const context = { vars, scenario, _uid: id };
      Object.defineProperty(context, 'ws', {
        get() {
          throw new Error('context.ws is not there: use steps to send and to wait');
        },
      });
      const finish = (error, result) => {
        if (!pending.delete(id)) return;
        if (error) return failed(id, error);
        try {
          host.finish(id, kept(context.vars), Boolean(result), wanted ? JSON.stringify(wanted) : undefined);
        } catch (wrong) {
          failed(id, wrong);
        }
      };
      pending.set(id, { finish, timers: new Set() });
      current = id;
      try {
        const run = exported[name];
        let arguments_ = [context, events, finish];
        if (kind === 'while') arguments_ = [context, (goesOn) => finish(null, goesOn)];
        if (kind === 'connect') arguments_ = [wanted, context, finish];
        const result = run(...arguments_);
        if (typeof result?.then === 'function') {
          result.then(
            (value) => finish(null, value),
            (error) => finish(error ?? new Error('rejected')),
          );
        } else if (run.length < arguments_.length) {
          finish(null, result);
        }
      } catch (error) {
        finish(error ?? new Error('an error without a message'));
      }
    },
    fire(which, owner) {
      const found = timers.get(which);
      if (!found) return;
      timers.delete(which);
      pending.get(owner)?.timers.delete(which);
      current = owner;
      try {
        found.callback(...found.values);
      } catch (error) {
        const call = pending.get(owner);
        if (call) call.finish(error ?? new Error('an error without a message'));
        else print(error);
      }
    },
  };
});
