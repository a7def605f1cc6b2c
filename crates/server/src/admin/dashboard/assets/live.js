// What is known of the server: the last minutes, then a sample each second, and how old they are.
//
//   connecting ──sample──► live ──silence, error──► stale ──connected again──► live
//
// A page that nobody looks at asks for nothing: the stream is closed while the tab is hidden and the
// history fills the gap when it is looked at again.

/** Samples kept: as many as the server keeps. */
const KEPT = 600
/** Seconds without a sample after which the numbers are old. */
const SILENCE_S = 3.5
/** Seconds after which a stream that says nothing is taken for dead: none of its ends may know. */
const DEAD_S = 10
/** Waits before the next try, in milliseconds; the last for ever. */
const WAITS = [250, 500, 1000, 2000, 4000]

export class Live extends EventTarget {
  state = "connecting"
  /** Columns of numbers by name, with the seconds of each row in `at`. */
  history = { at: [], columns: {} }
  sample = null
  server = null
  /** When the last sample came, by the page's clock. */
  heard = null
  #source = null
  #tries = 0
  #timer = 0
  /** When the stream was opened or said something last. */
  #since = 0

  start() {
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#close() : this.#open()))
    setInterval(() => this.#check(), 500)
    if (!document.hidden) this.#open()
  }

  /** Calls `listener` now, if there is a sample, and with each that comes; returns how to stop it. */
  follow(listener) {
    const call = () => this.sample && listener(this.sample, this.history)
    this.addEventListener("sample", call)
    call()
    return () => this.removeEventListener("sample", call)
  }

  async #open() {
    this.#close()
    const opened = (this.#source = { close() {} })
    try {
      const [history, server] = await Promise.all([read("/api/v1/history"), read("/api/v1/server").catch(() => null)])
      if (this.#source !== opened) return
      this.history = history
      this.server = server
      this.dispatchEvent(new Event("server"))
    } catch {
      if (this.#source === opened) this.#again()
      return
    }
    const source = (this.#source = new EventSource("/api/v1/events"))
    this.#since = performance.now()
    source.addEventListener("sample", (event) => this.#take(JSON.parse(event.data)))
    source.addEventListener("error", () => {
      if (this.#source === source) this.#again()
    })
  }

  #take(sample) {
    // Before its first look at the shards a server has nothing to say.
    if (sample.at === undefined) return
    const { at, columns } = this.history
    if (at.length === 0 || sample.at > at[at.length - 1]) {
      at.push(sample.at)
      for (const [name, value] of Object.entries(sample)) {
        if (typeof value !== "number" || name === "at") continue
        const column = (columns[name] ??= new Array(at.length - 1).fill(0))
        column.push(value)
      }
      if (at.length > KEPT) {
        at.shift()
        for (const column of Object.values(columns)) column.shift()
      }
    }
    this.sample = sample
    this.heard = this.#since = performance.now()
    this.#tries = 0
    this.#become("live")
    this.dispatchEvent(new Event("sample"))
  }

  #again() {
    this.#close()
    this.#become("stale")
    const wait = WAITS[Math.min(this.#tries, WAITS.length - 1)]
    this.#tries += 1
    this.#timer = setTimeout(() => this.#open(), wait)
  }

  #close() {
    clearTimeout(this.#timer)
    this.#source?.close()
    this.#source = null
  }

  #check() {
    const isOpen = this.#source instanceof EventSource
    if (isOpen && performance.now() - this.#since > DEAD_S * 1000) this.#again()
    else if (this.state === "live" && this.age() > SILENCE_S) this.#become("stale")
    else if (this.state === "stale") this.dispatchEvent(new Event("state"))
  }

  /** Seconds since the last sample. */
  age() {
    return this.heard === null ? 0 : (performance.now() - this.heard) / 1000
  }

  #become(state) {
    if (this.state === state) return
    this.state = state
    this.dispatchEvent(new Event("state"))
  }
}

async function read(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" }, signal: AbortSignal.timeout(5000) })
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`)
  return answer.json()
}
