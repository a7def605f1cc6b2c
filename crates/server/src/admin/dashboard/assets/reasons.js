// Ends and refusals, each with a bar and a few words.

import { bar, h, put, table } from "./dom.js"
import { count, format } from "./format.js"

/** What a cause means, by the name that metrics and logs have for it, too. */
const MEANINGS = {
  peer_closed: "the client said goodbye",
  peer_gone: "the client’s side ended without a goodbye",
  reset: "the connection was reset, as when a program is killed",
  socket_error: "the kernel reported an error of the connection",
  local_close: "the server closed it: asked to, or by a rule",
  aborted: "the server ended it at once",
  idle_timeout: "it was silent for longer than idle_timeout; clients send heartbeats",
  protocol_error: "what it sent breaks the WebSocket protocol (1002, 1007 or 1009)",
  handshake_timeout: "it did not become a WebSocket in time",
  slow_consumer: "it read too slowly and its outbox was full (4008)",
  shutdown: "the server ended (1012), clients come back by themselves",
  bad_head: "what it sent is no HTTP request",
  connect_failed: "a connection that was dialled did not come about",
  http_status: "a server that was dialled refused the upgrade",
  bad_handshake: "a server that was dialled answered with no WebSocket",
  tls: "there was no TLS with a server that was dialled, or not any more",
  tunnel: "a proxy that was dialled gave no tunnel to its server",
  path: "no socket is at the path it asked for",
  draining: "the server was about to end",
  full: "the server held as many connections as it may (limits.connections_max)",
  handshake: "its request is no upgrade to a WebSocket, as of a browser or a health check",
  params: "its parameters are more or deeper than allowed",
  vsn: "it asked for a version of the protocol that is not spoken here",
  origin: "check_origin does not allow the page it came from",
  subprotocol: "its token among the subprotocols cannot be read",
  application: "the program itself refused it",
}

export function reasons(title, sentence, field, none) {
  const body = h("div", {})
  const element = h("section", { class: "card" }, h("h2", {}, title), h("p", { class: "meaning" }, sentence), body)
  let drawn = ""
  return {
    element,
    update(sample) {
      const counts = Object.entries(sample[field] ?? {}).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1])
      const now = JSON.stringify(counts)
      if (now === drawn) return
      drawn = now
      const total = counts.reduce((sum, [, n]) => sum + n, 0)
      const rows = counts.map(([name, n]) => [
        h("span", {}, h("b", {}, name.replaceAll("_", " ")), MEANINGS[name] && h("span", { class: "meaning block" }, MEANINGS[name])),
        bar(n / total),
        h("span", { "data-count": `${field}.${name}` }, count(n)),
        format(n / total, "share"),
      ])
      put(body, counts.length
        ? table(title, [{ label: "Cause" }, { label: "" }, { label: "Count", number: true }, { label: "Share", number: true }], rows)
        : h("p", { class: "none" }, none))
    },
  }
}
