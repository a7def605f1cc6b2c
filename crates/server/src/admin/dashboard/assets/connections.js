// Connections: the slowest, a search by what is known of one, one by itself, and how to end them.

import { ask, poll, send } from "./api.js"
import { confirmed, h, heading, labelled, put, section, setText, table } from "./dom.js"
import { count, format, span } from "./format.js"

const EVERY_MS = 2000
const FIELDS = [
  ["address", "address", "192.0.2.7 or 192.0.2.7:51234"],
  ["topic", "topic", "room:lobby"],
  ["socket_id", "socket id", "user:42"],
  ["id", "connection id", "0-12-3"],
]

export function show(main, { argument, query }) {
  return argument === null ? list(main, query) : detail(main, argument)
}

function list(main, query) {
  const [field, label] = FIELDS.find(([name]) => query.get(name)) ?? []
  const text = field ? query.get(field) : ""
  const said = h("p", { role: "status", class: "said" })
  const cards = [search(field, text)]
  let stop = () => {}
  if (field) {
    const [card, end] = found(field, label, text, said)
    cards.push(card)
    stop = end
  } else {
    const slow = h("div", {}, h("p", { class: "none" }, "Waiting for the server."))
    const stopSlow = follow(`/api/v1/connections?sort=outbox&limit=25`, slow, (answer) => connectionTable(answer.connections ?? [], "No connection is open."))
    const addresses = h("div", {}, h("p", { class: "none" }, "Waiting for the server."))
    const stopAddresses = follow("/api/v1/addresses", addresses, addressTable)
    cards.push(
      section("Slowest outboxes", "Who has most to be written to them and reads it slowest. From the last look through the tables; an outbox that is full closes its connection (4008).", slow),
      section("Addresses with most connections", "From a sketch that counts 128 addresses on each shard, made anew by each look through the tables: a large one is never missed. A NAT or a proxy shows as one address.", addresses))
    stop = () => {
      stopSlow()
      stopAddresses()
    }
  }
  main.append(heading("Connections", "One WebSocket each: who it is, what it has joined, and how far behind it is."), ...cards)
  return () => stop()
}

function search(field, text) {
  const by = h("select", { id: "by" }, FIELDS.map(([name, label]) => h("option", { value: name, selected: name === field }, label)))
  const value = h("input", { type: "search", id: "value", value: text, "aria-label": "What to find", autocomplete: "off", spellcheck: "false", required: true })
  const hint = () => value.setAttribute("placeholder", FIELDS.find(([name]) => name === by.value)[2])
  by.addEventListener("change", hint)
  hint()
  const form = h("form", { class: "row", role: "search", onsubmit: (event) => {
    event.preventDefault()
    const wanted = value.value.trim()
    location.hash = by.value === "id" ? `#/connections/${encodeURIComponent(wanted)}` : `#/connections?${new URLSearchParams({ [by.value]: wanted })}`
  } }, labelled("Find by", by), value, h("button", {}, "Search"),
  field && h("a", { href: "#/connections" }, "Clear"))
  return section("Find", "By address it looks through the tables a slice at a time; by topic and socket id it asks an index.", form)
}

function found(field, label, text, said) {
  const rows = h("div", {}, h("p", { class: "none" }, "Waiting for the server."))
  const pages = [null]
  const next = h("button", { type: "button", disabled: true }, "Next page")
  const before = h("button", { type: "button", disabled: true }, "Page before")
  const page = h("span", { class: "meaning", "aria-live": "polite" }, "")
  let cursor = null
  const load = async () => {
    const wanted = new URLSearchParams({ [field]: text, limit: "50" })
    if (pages.at(-1) !== null) wanted.set("cursor", pages.at(-1))
    try {
      const answer = await ask(`/api/v1/connections?${wanted}`)
      cursor = answer.next ?? null
      put(rows, connectionTable(answer.connections ?? [], cursor === null ? `No connection has this ${label}.` : "None on this page; there are more to look through."))
    } catch (error) {
      cursor = null
      put(rows, h("p", { class: "none" }, `They are not to be had: ${error.message}.`))
    }
    next.disabled = cursor === null
    before.disabled = pages.length === 1
    setText(page, `Page ${pages.length}`)
  }
  next.addEventListener("click", () => {
    pages.push(cursor)
    load()
  })
  before.addEventListener("click", () => {
    pages.pop()
    load()
  })
  load()
  const all = disconnectButton({ [field]: text }, `every connection with ${label} ${text}`, said, load)
  const card = section(`With ${label} ${text}`, "As they were when this page asked; a page at a time.", rows,
    h("div", { class: "row" }, before, next, page, h("button", { type: "button", onclick: load }, "Ask again"), all), said)
  return [card, () => {}]
}

/** Asks again and again and draws what comes, or says why nothing does. */
function follow(path, place, draw) {
  return poll(path, EVERY_MS, (answer, error) => {
    if (error) put(place, h("p", { class: "none" }, `Not to be had: ${error.message}.`))
    else put(place, draw(answer))
  })
}

export function connectionTable(connections, none) {
  const rows = connections.map((one) => [
    h("a", { href: `#/connections/${encodeURIComponent(one.id)}` }, one.id),
    one.address,
    one.socket_id ?? "–",
    `V${String(one.vsn ?? "").split(".")[0]}`,
    count(one.channels),
    span(one.since_s),
    `${span(one.silent_s)} ago`,
    `${format(one.outbox_bytes, "bytes")} in ${count(one.outbox_frames)}`,
  ])
  return table("Connections", [{ label: "Id" }, { label: "Address" }, { label: "Socket id" }, { label: "Serializer" },
    { label: "Channels", number: true }, { label: "Open for", number: true }, { label: "Last heard", number: true },
    { label: "Outbox: bytes, frames", number: true }], rows, none)
}

function addressTable(answer) {
  const rows = (answer.addresses ?? []).map((one) => [
    h("a", { href: `#/connections?${new URLSearchParams({ address: one.address })}` }, one.address),
    one.error ? `${count(one.connections)} (at most ${count(one.error)} too many)` : count(one.connections),
  ])
  return table("Addresses", [{ label: "Address" }, { label: "Connections", number: true }], rows, "No connection is open.")
}

/** A button that ends connections after it has been asked for in the page, and says what happened. */
export function disconnectButton(whom, words, said, after = () => {}) {
  return h("button", { type: "button", class: "danger", onclick: async () => {
    const consequence = "Closed with 1001 and the reason “disconnect”; Phoenix clients connect again unless they are refused then. This cannot be undone."
    if (!(await confirmed(`Disconnect ${words}?`, consequence, "Disconnect"))) return
    setText(said, "Disconnecting …")
    try {
      const { closed, complete } = await send("POST", "/api/v1/disconnect", whom)
      const more = complete === false ? " There are more: do it again." : ""
      setText(said, closed === 0 ? "Nobody was there to disconnect." : `Disconnected ${count(closed)} ${closed === 1 ? "connection" : "connections"}.${more}`)
    } catch (error) {
      setText(said, `Nothing is known to have been disconnected: ${error.message}.`)
    }
    after()
  } }, "Disconnect …")
}

function detail(main, id) {
  const facts = h("dl", { class: "facts" })
  const joined = h("ul", { class: "names" })
  const said = h("p", { role: "status", class: "said" })
  const gone = h("p", { class: "none", hidden: true })
  main.append(
    h("p", { class: "back" }, h("a", { href: "#/connections" }, "← All connections")),
    heading(`Connection ${id}`, "Its id is the shard, its place there, and how often that place was used."),
    section("Now", "Silent means that nothing was heard of it, not even a heartbeat. The outbox is what is still to be written to it.", gone, facts,
      h("div", { class: "row" }, disconnectButton({ connection: id }, `connection ${id}`, said)), said),
    section("Channels", "The topics that it has joined, in the order of the joins.", joined))
  return poll(`/api/v1/connections/${encodeURIComponent(id)}`, EVERY_MS, (answer, error) => {
    gone.hidden = !error
    if (error) {
      setText(gone, error.status === 404 ? "There is no such connection any more." : `It is not to be had: ${error.message}.`)
      return
    }
    const items = [["Address", answer.address], ["Socket id", answer.socket_id ?? "none"], ["Serializer", answer.vsn],
      ["Open for", span(answer.since_s)], ["Last heard", `${span(answer.silent_s)} ago`], ["Channels", count(answer.channels)],
      ["Outbox", `${format(answer.outbox_bytes, "bytes")} in ${count(answer.outbox_frames)} frames`]]
    facts.replaceChildren(...items.map(([term, text]) => h("div", {}, h("dt", {}, term), h("dd", {}, text))))
    const topics = (answer.topics ?? []).map((topic) => h("li", {}, h("a", { href: `#/topics/${encodeURIComponent(topic)}` }, topic)))
    if (joined.dataset.topics !== String(answer.topics)) {
      joined.dataset.topics = String(answer.topics)
      joined.replaceChildren(...(topics.length ? topics : [h("li", { class: "none" }, "It has joined none.")]))
    }
  })
}
