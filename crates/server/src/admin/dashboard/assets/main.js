// The frame around the pages: tabs, the state of the connection, colours, and which page is shown.

import * as connections from "./connections.js"
import { h, setText } from "./dom.js"
import { format, span } from "./format.js"
import * as limits from "./limits.js"
import { Live } from "./live.js"
import * as overview from "./overview.js"
import * as topics from "./topics.js"
import * as tryit from "./tryit.js"

const PAGES = [
  ["overview", "Overview", overview],
  ["limits", "Limits", limits],
  ["topics", "Topics", topics],
  ["connections", "Connections", connections],
  ["try", "Try it", tryit],
]

const live = new Live()
const main = document.getElementById("main")
let leave = () => {}
let isFirst = true

/** `#/page/argument?key=value`: parts are percent-encoded, for topics may have any character. */
function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?")
  const [name, ...rest] = path.split("/")
  const argument = rest.length ? decoded(rest.join("/")) : null
  return { name: name || "overview", argument, query: new URLSearchParams(query) }
}

/** The text that percent-encoding stands for; what is none is taken as it is. */
function decoded(text) {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function route() {
  const { name, argument, query } = place()
  const [known, label, page] = PAGES.find(([id]) => id === name) ?? PAGES[0]
  leave()
  main.replaceChildren()
  document.title = `${label} · fourtuple`
  for (const link of document.querySelectorAll("#tabs a")) {
    if (link.hash === `#/${known}`) link.setAttribute("aria-current", "page")
    else link.removeAttribute("aria-current")
  }
  leave = page.show(main, { live, argument, query }) ?? (() => {})
  if (!isFirst) {
    // Who has followed a link by keyboard goes on reading where the new page begins.
    main.querySelector("h1")?.focus({ preventScroll: true })
    scrollTo(0, 0)
  }
  isFirst = false
}

function showState() {
  const age = Math.round(live.age())
  const words = { connecting: "connecting", live: "live", stale: "not connected" }[live.state]
  document.getElementById("state").dataset.state = live.state
  setText(document.getElementById("state-text"), words)
  const note = document.getElementById("stale")
  note.hidden = live.state !== "stale"
  document.body.classList.toggle("is-stale", live.state === "stale")
  if (live.state === "stale") {
    const old = live.sample ? `These numbers are ${span(age)} old.` : "There are no numbers yet."
    setText(note, `The server does not answer. ${old} This page goes on by itself as soon as it does.`)
  }
}

function showServer() {
  const server = live.server
  if (!server) return
  const { shards } = server
  const parts = [
    server.version && `fourtuple ${server.version}`,
    server.listen && `listening on ${server.listen}`,
    shards && `${shards} ${shards === 1 ? "shard" : "shards"}`,
    server.kernel?.split(" carries")[0],
    server.connections_max && `room for ${format(server.connections_max, "count")} connections`,
    server.uptime_s !== undefined && `up ${span(server.uptime_s)} when this page connected`,
    server.draining && "draining: it takes no new connections",
  ]
  setText(document.getElementById("server"), parts.filter(Boolean).join(" · "))
}

function prepareTheme() {
  const button = document.getElementById("theme")
  const root = document.documentElement
  const system = matchMedia("(prefers-color-scheme: dark)")
  const current = () => root.dataset.theme ?? (system.matches ? "dark" : "light")
  const show = () => {
    const other = current() === "dark" ? "light" : "dark"
    setText(button, other === "dark" ? "Dark" : "Light")
    button.setAttribute("aria-label", `Change to ${other} colours`)
  }
  button.addEventListener("click", () => {
    root.dataset.theme = current() === "dark" ? "light" : "dark"
    try {
      localStorage.setItem("theme", root.dataset.theme)
    } catch {
      // Storage may be forbidden; then the choice lasts as long as the page.
    }
    show()
  })
  system.addEventListener("change", show)
  show()
}

document.getElementById("tabs").append(...PAGES.map(([id, label]) => h("li", {}, h("a", { href: `#/${id}` }, label))))
document.getElementById("skip").addEventListener("click", (event) => {
  // The address's hash is the page that is shown, so it cannot be the target of this link, too.
  event.preventDefault()
  main.focus()
})
prepareTheme()
live.addEventListener("state", showState)
live.addEventListener("server", showServer)
addEventListener("hashchange", route)
route()
live.start()
