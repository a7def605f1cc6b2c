// A Phoenix client in a few lines: the V2 serializer in JSON, heartbeats, join, leave and push. It tells
// whoever listens of every frame in both directions, and never reconnects: that is the person's decision.
//
//   [join_ref, ref, topic, event, payload]

/** Milliseconds between heartbeats, as of phoenix.js. */
const HEARTBEAT_MS = 30000

export class Client extends EventTarget {
  #socket = null
  #ref = 0
  /** The join_ref of each joined topic. */
  #joins = new Map()
  /** What is waited for, by ref. */
  #waiting = new Map()

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN
  }

  /** The topics that are joined. */
  get topics() {
    return [...this.#joins.keys()]
  }

  /** Connects to `url`, the socket's path; parameters are sent in the query, as Phoenix wants them. */
  connect(url, params = {}) {
    this.disconnect()
    this.#joins.clear()
    this.#waiting.clear()
    const address = new URL(`${url.replace(/\/+$/, "")}/websocket`)
    for (const [name, value] of Object.entries({ ...params, vsn: "2.0.0" })) address.searchParams.set(name, value)
    const socket = (this.#socket = new WebSocket(address))
    this.#tell("note", `connecting to ${address}`)
    let beat = 0
    socket.addEventListener("open", () => {
      this.#tell("note", "open")
      beat = setInterval(() => this.#send(null, "phoenix", "heartbeat", {}), HEARTBEAT_MS)
    })
    socket.addEventListener("message", (event) => {
      // One that is saying goodbye may still speak when the next is there.
      if (socket === this.#socket) this.#hear(event.data)
    })
    socket.addEventListener("close", (event) => {
      clearInterval(beat)
      this.#end(socket, event)
    })
    this.#changed()
  }

  disconnect() {
    this.#socket?.close(1000)
  }

  /** Joins a topic; what comes of it is told as a reply. */
  join(topic, payload) {
    const ref = this.#next()
    this.#waiting.set(ref, (status) => {
      if (status === "ok") this.#joins.set(topic, ref)
      this.#changed()
    })
    this.#write([ref, ref, topic, "phx_join", payload])
  }

  leave(topic) {
    const ref = this.#send(this.#joins.get(topic) ?? null, topic, "phx_leave", {})
    this.#waiting.set(ref, () => {
      this.#joins.delete(topic)
      this.#changed()
    })
  }

  push(topic, event, payload) {
    return this.#send(this.#joins.get(topic) ?? null, topic, event, payload)
  }

  #send(joinRef, topic, event, payload) {
    const ref = this.#next()
    this.#write([joinRef, ref, topic, event, payload])
    return ref
  }

  #write(message) {
    const text = JSON.stringify(message)
    this.#socket.send(text)
    this.#tell("out", text)
  }

  #hear(data) {
    if (typeof data !== "string") {
      this.#tell("in", `${data.size ?? data.byteLength} bytes of a binary message`)
      return
    }
    this.#tell("in", data)
    const [joinRef, ref, topic, event, payload] = JSON.parse(data)
    if (event === "phx_reply") {
      this.#waiting.get(ref)?.(payload.status)
      this.#waiting.delete(ref)
    } else if ((event === "phx_close" || event === "phx_error") && this.#joins.get(topic) === joinRef) {
      this.#joins.delete(topic)
      this.#changed()
    }
  }

  #end(socket, { code, reason }) {
    if (socket !== this.#socket) return
    this.#socket = null
    this.#joins.clear()
    this.#waiting.clear()
    const hint = code === 1006 ? ": it ended without a goodbye, or was never let in (see check_origin and the refusals of the overview)" : ""
    this.#tell("note", `closed with ${code}${reason ? ` (${reason})` : ""}${hint}`)
  }

  #next() {
    this.#ref += 1
    return String(this.#ref)
  }

  #tell(way, text) {
    this.dispatchEvent(new CustomEvent("frame", { detail: { way, text, at: new Date() } }))
    if (way === "note") this.#changed()
  }

  #changed() {
    this.dispatchEvent(new Event("change"))
  }
}
