// The first page: how many, how fast, who was refused, and whether the shards share the work.

import { lineChart, sparkline } from "./chart.js"
import { h, heading, setText } from "./dom.js"
import { count, format } from "./format.js"
import { memory } from "./memory.js"
import { reasons } from "./reasons.js"
import { shardBalance } from "./shards.js"

/** Tiles: name in a sample, heading, kind, what it means, and what is said of the total. */
const TILES = [
  ["connections", "Connections", "count", "WebSockets open now", ({ totals }) => `${count(totals.connects)} opened since the start`],
  ["connects_per_s", "Connect rate", "rate", "WebSockets opened in a second", ({ sockets, connections }) =>
    `${count(Math.max(0, sockets - connections))} greet or say goodbye now`],
  ["joins_per_s", "Joins", "rate", "Channels joined in a second", ({ totals }) => `${count(totals.joins)} since the start`],
  ["messages_in_per_s", "Messages in", "rate", "From clients, heartbeats included", ({ totals }) => `${count(totals.messages_in)} since the start`],
  ["messages_out_per_s", "Messages out", "rate", "Replies, pushes and deliveries", ({ totals }) => `${count(totals.messages_out)} since the start`],
  ["deliveries_per_s", "Deliveries", "rate", "Broadcasts, one for each member", ({ totals }) => `${count(totals.deliveries)} since the start`],
  ["fanout_p99_s", "Broadcast latency", "time", "99 % were written to all members by then", ({ fanout_p50_s, fanout_p99_s }) =>
    (fanout_p99_s ? `half of them by ${format(fanout_p50_s, "time")}` : "nothing was broadcast in this second")],
  ["lag_s", "Heartbeat lag", "time", "A heartbeat waits so long for its shard", ({ totals }) => `${count(totals.heartbeats)} answered since the start`],
]

const CHARTS = [
  { title: "Connections", kind: "count", meaning: "WebSockets that are open, and channels they have joined.",
    lines: [{ key: "connections", label: "connections" }, { key: "channels", label: "channels" }] },
  { title: "Deliveries and messages", kind: "rate", meaning: "A broadcast is delivered once to each member of its topic.",
    lines: [{ key: "deliveries_per_s", label: "deliveries" }, { key: "messages_in_per_s", label: "messages in" },
      { key: "messages_out_per_s", label: "messages out" }] },
  { title: "Broadcast latency", kind: "time", meaning: "From when a broadcast was taken up until the last member’s copy was written to its socket.",
    lines: [{ key: "fanout_p99_s", label: "99 % within" }, { key: "fanout_p50_s", label: "half within" }] },
  { title: "Heartbeat lag", kind: "time", meaning: "How long anything that is sent to the slowest shard waits for its turn.",
    lines: [{ key: "lag_s", label: "lag" }, { key: "handler_p99_s", label: "handling, 99 % within" }] },
  { title: "Opened and ended", kind: "rate", meaning: "WebSockets that opened and ended, and upgrades that were refused.",
    lines: [{ key: "connects_per_s", label: "opened" }, { key: "closes_per_s", label: "ended" }, { key: "refusals_per_s", label: "refused" }] },
  { title: "Joins", kind: "rate", meaning: "Joins that a channel granted, and heartbeats, which each client sends every half minute or so.",
    lines: [{ key: "joins_per_s", label: "joins" }, { key: "heartbeats_per_s", label: "heartbeats" }] },
  { title: "Bytes", kind: "byterate", meaning: "Bytes of WebSockets, without what TCP and IP add.",
    lines: [{ key: "bytes_out_per_s", label: "sent" }, { key: "bytes_in_per_s", label: "received" }] },
  { title: "Processor", kind: "cores", meaning: "What all shards use together; 1 is one core.",
    lines: [{ key: "cpu_cores", label: "all shards" }] },
]

export function show(main, { live }) {
  const welcome = emptyState(live)
  const tiles = TILES.map(tile)
  const charts = CHARTS.map(lineChart)
  const ended = reasons("Ends by cause", "How open WebSockets ended since the start.", "closes", "No connection has ended yet.")
  const refused = reasons("Refusals by reason", "Upgrades that were not let in since the start.", "refusals", "Nobody has been refused.")
  const balance = shardBalance()
  const ledger = memory(live)
  main.append(
    heading("Overview", "This second in numbers, then the last ten minutes. Everything is counted by the server itself."),
    welcome.element,
    h("div", { class: "tiles" }, tiles.map((one) => one.element)),
    h("div", { class: "charts" }, charts.map((one) => one.element)),
    h("div", { class: "pair" }, ended.element, refused.element),
    balance.element,
    ledger.element,
  )
  const parts = [welcome, ...tiles, ended, refused, balance, ledger]
  const unfollow = live.follow((sample, history) => {
    for (const part of parts) part.update(sample, history)
    for (const chart of charts) chart.update(history)
  })
  return () => {
    unfollow()
    ledger.stop()
  }
}

function tile([key, label, kind, meaning, rest]) {
  const value = h("strong", { class: "figure", "data-figure": key }, "–")
  const more = h("span", { class: "more" }, "\u00a0")
  const spark = sparkline(key)
  const element = h("section", { class: "tile" }, h("h2", {}, label), value, spark.element,
    h("p", {}, h("span", { class: "meaning" }, meaning), h("br"), more))
  return {
    element,
    update(sample, history) {
      // No broadcast is no latency, and not one of zero.
      setText(value, format(key === "fanout_p99_s" && !sample[key] ? null : sample[key], kind))
      setText(more, rest(sample))
      spark.update(history)
    },
  }
}

/** What a fresh server says: how to connect. */
function emptyState(live) {
  const url = h("code", {}, "")
  const element = h("section", { class: "card welcome", hidden: true },
    h("h2", {}, "Nobody has connected yet"),
    h("p", {}, "A Phoenix client connects to ", url, "; the ", h("a", { href: "#/try" }, "Try it"), " page is one."),
    h("p", {}, "A crowd of a thousand for a minute: ", h("code", { class: "command" }, "")))
  return {
    element,
    update(sample) {
      element.hidden = sample.totals.connects > 0
      const base = socketUrl(live.server)
      setText(url, base)
      setText(element.querySelector(".command"),
        `fourtuple load ${base} --connections 1000 --join room:lobby --hold 1m --publish 1/s`)
    },
  }
}

/**
 * Where phoenix.js connects to, as seen from this page. The server's listener speaks no TLS: what came over https
 * finds it behind a proxy, at the host by which the server is known.
 */
export function socketUrl(server, page = location) {
  const path = server?.path ?? "/socket"
  if (page.protocol === "https:" && server?.host) {
    return `wss://${server.host.includes(":") ? `[${server.host}]` : server.host}${path}`
  }
  const port = server?.listen ? server.listen.split(":").at(-1) : "4000"
  return `ws://${page.hostname}:${port}${path}`
}
