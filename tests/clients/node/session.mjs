// One phoenix.js client under test: promises over its callbacks, each with a deadline and a name.
//
// Nothing in here knows what a case expects. A wait that does not end says what it waited for, so a
// failing case reads as a sentence.

import { createInterface } from "node:readline"
import WebSocket from "ws"

export const VERSIONS = ["1.7.21", "1.8.12", "1.8.16"]

const DEADLINE_MS = 15_000

/** Rejects with `what` when `promise` has not settled in time. */
export function within(promise, what, deadlineMs = DEADLINE_MS) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${deadlineMs} ms for ${what}`)), deadlineMs)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** Everything a callback was called with, in order, with a way to wait for the next one. */
export class Recorder {
  constructor(what) {
    this.what = what
    this.seen = []
    this.taken = 0
    this.waiting = []
  }

  record(value) {
    this.seen.push(value)
    this.waiting.splice(0).forEach(wake => wake())
  }

  /** Resolves with the oldest value that was not taken yet. */
  async next() {
    const position = this.taken++
    while (this.seen.length <= position) {
      await within(new Promise(wake => this.waiting.push(wake)), `${this.what} number ${position + 1}`)
    }
    return this.seen[position]
  }

  /** Resolves once `count` values were recorded. */
  async reached(count) {
    while (this.seen.length < count) {
      await within(new Promise(wake => this.waiting.push(wake)), `${count} of ${this.what}`)
    }
    return this.seen.slice(0, count)
  }
}

/** A socket of one phoenix.js version, with its opens, closes and errors recorded. */
export class Session {
  static async start(url, version, options = {}) {
    const { Socket } = await import(`phoenix-${version.replaceAll(".", "-")}`)
    return new Session(new Socket(url, { transport: WebSocket, ...options }))
  }

  /** Starts a session and waits until it is connected. */
  static async connected(url, version, options = {}) {
    const session = await Session.start(url, version, options)
    session.socket.connect()
    await session.opens.next()
    return session
  }

  constructor(socket) {
    this.socket = socket
    this.opens = new Recorder("socket opens")
    this.closes = new Recorder("socket closes")
    this.errors = new Recorder("socket errors")
    this.messages = new Recorder("messages")
    socket.onOpen(() => this.opens.record(true))
    socket.onClose(event => this.closes.record(event))
    socket.onError(error => this.errors.record(error))
    socket.onMessage(message => this.messages.record(message))
  }

  channel(topic, params = {}) {
    return new Member(this.socket.channel(topic, params))
  }

  /** A channel that has joined. */
  async joined(topic, params = {}) {
    const member = this.channel(topic, params)
    await member.join()
    return member
  }

  /** Sends one message that the channel objects of phoenix.js would not send by themselves. */
  raw(message) {
    const ref = this.socket.makeRef()
    this.socket.push({ join_ref: ref, payload: {}, ref, ...message })
    return ref
  }

  disconnect() {
    return within(new Promise(done => this.socket.disconnect(done)), "the socket to disconnect")
  }
}

/** One channel of a session. */
export class Member {
  constructor(channel) {
    this.channel = channel
    this.joins = new Recorder(`joins of ${channel.topic}`)
    this.refusals = new Recorder(`refused joins of ${channel.topic}`)
    this.errors = new Recorder(`errors of ${channel.topic}`)
    this.closes = new Recorder(`closes of ${channel.topic}`)
    channel.onError(reason => this.errors.record(reason))
    channel.onClose(reason => this.closes.record(reason))
  }

  /** Joins, and resolves with the server's answer to the first join. */
  async join() {
    this.ask()
    return this.joins.next()
  }

  /** Joins, and resolves with the reason of the refusal. */
  async refused() {
    this.ask()
    const reason = await this.refusals.next()
    // phoenix.js tries again for ever; the case has seen what it wanted.
    this.channel.leave()
    return reason
  }

  ask() {
    this.channel.join()
      .receive("ok", response => this.joins.record(response))
      .receive("error", response => this.refusals.record(response))
  }

  /** Pushes, and resolves with `[status, response]`. */
  push(event, payload = {}, timeoutMs = 10_000) {
    const answered = new Promise(resolve => {
      const push = this.channel.push(event, payload, timeoutMs)
      for (const status of ["ok", "error", "timeout"]) {
        push.receive(status, response => resolve([status, response]))
      }
    })
    return within(answered, `a reply to ${event}`)
  }

  listen(event) {
    const recorder = new Recorder(`${event} on ${this.channel.topic}`)
    this.channel.on(event, payload => recorder.record(payload))
    return recorder
  }

  leave() {
    const left = new Promise(resolve => {
      this.channel.leave().receive("ok", () => resolve("ok")).receive("timeout", () => resolve("timeout"))
    })
    return within(left, `leaving ${this.channel.topic}`)
  }
}

let answers

/** Asks the test that started this program to do something to the server, and waits until it is done. */
export async function steer(command) {
  answers ??= createInterface({ input: process.stdin })[Symbol.asyncIterator]()
  process.stdout.write(`steer ${command}\n`)
  const { value } = await within(answers.next(), `the server to ${command}`, 60_000)
  if (value !== "done") throw new Error(`steer ${command}: ${value}`)
}

export function bytes(...values) {
  return Uint8Array.from(values).buffer
}

export function list(buffer) {
  if (!(buffer instanceof ArrayBuffer)) throw new Error(`expected an ArrayBuffer, got ${JSON.stringify(buffer)}`)
  return [...new Uint8Array(buffer)]
}
