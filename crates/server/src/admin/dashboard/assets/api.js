// Questions to the server, and what went wrong in words.

/** What the server said instead of an answer. */
export class Refused extends Error {
  constructor(status, message) {
    super(message)
    this.status = status
  }
}

/** Milliseconds that an answer may take: longer than the server itself takes for any page. */
const PATIENCE_MS = 15000

/**
 * The answer to a question. Throws `Refused` with the server's own words, which are a problem (RFC 9457), or
 * when it takes longer than `patienceMs`.
 */
export async function ask(path, { patienceMs = PATIENCE_MS, signal, ...options } = {}) {
  const named = path.split("?")[0]
  const late = AbortSignal.timeout(patienceMs)
  const headers = { accept: "application/json", ...options.headers }
  let answer
  let body
  try {
    answer = await fetch(path, { ...options, headers, signal: signal ? AbortSignal.any([signal, late]) : late })
    // The body, too, may stop on its way.
    body = await answer.text()
  } catch (error) {
    if (signal?.aborted) throw error
    if (late.aborted) throw new Refused(0, `the server has not answered ${named} for ${patienceMs / 1000} seconds`)
    throw new Refused(0, "the server cannot be reached")
  }
  const told = parsed(body)
  if (answer.ok) return told
  const problem = told ?? {}
  if (answer.status === 404 && !problem.detail) throw new Refused(404, `this server does not answer ${named} (404)`)
  if (answer.status === 401 || answer.status === 403) {
    throw new Refused(answer.status, problem.detail ?? `you may not do this here (${answer.status})`)
  }
  throw new Refused(answer.status, problem.detail ?? problem.title ?? `${named} answered ${answer.status}`)
}

/** What JSON says; nothing where it is none, as in an empty answer. */
function parsed(text) {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** The same with a body. */
export function send(method, path, body) {
  return ask(path, { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) })
}

/**
 * Asks again and again while the page is looked at: `draw(answer, error)` after each. One question at a
 * time; returns how to stop.
 */
export function poll(path, everyMs, draw) {
  const stop = new AbortController()
  let timer = 0
  const turn = async () => {
    if (!document.hidden) {
      try {
        draw(await ask(path, { signal: stop.signal }), null)
      } catch (error) {
        if (stop.signal.aborted) return
        draw(null, error)
      }
    }
    if (!stop.signal.aborted) timer = setTimeout(turn, everyMs)
  }
  turn()
  return () => {
    stop.abort()
    clearTimeout(timer)
  }
}
