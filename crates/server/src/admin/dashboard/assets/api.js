// Questions to the server, and what went wrong in words.

/** What the server said instead of an answer. */
export class Refused extends Error {
  constructor(status, message) {
    super(message)
    this.status = status
  }
}

/** The answer to a question. Throws `Refused` with the server's own words, which are a problem (RFC 9457). */
export async function ask(path, options = {}) {
  let answer
  try {
    answer = await fetch(path, { ...options, headers: { accept: "application/json", ...options.headers } })
  } catch (error) {
    if (error.name === "AbortError") throw error
    throw new Refused(0, "the server cannot be reached")
  }
  if (answer.ok) return answer.status === 204 ? null : answer.json()
  const problem = await answer.json().catch(() => ({}))
  const named = path.split("?")[0]
  if (answer.status === 404 && !problem.detail) throw new Refused(404, `this server does not answer ${named} (404)`)
  if (answer.status === 401 || answer.status === 403) {
    throw new Refused(answer.status, problem.detail ?? `you may not do this here (${answer.status})`)
  }
  throw new Refused(answer.status, problem.detail ?? problem.title ?? `${named} answered ${answer.status}`)
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
