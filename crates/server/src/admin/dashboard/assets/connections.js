// Connections: the slowest, a search by what is known of one, one by itself, and how to end them.

import { ask, poll, send } from "./api.js"
import { confirmed, h, heading, labelled, put, section, setText, table } from "./dom.js"
import { count, format, span } from "./format.js"
import { goTo } from "./place.js"

const EVERY_MS = 2000
const FIELDS = [
  ["address", "address", "192.0.2.7 or 192.0.2.7:51234"],
  ["topic", "topic", "room:lobby"],
  ["socket_id", "socket id", "user:42"],
  ["id", "connection id", "0-12-3"],
]
/** In the address of the page that lists all of them. */
const ALL = "all"

export function show(main, { argument, query }) {
  return argument === null ? list(main, query) : detail(main, argument)
}

function list(main, query) {
  const [field, label] = FIELDS.find(([name]) => query.get(name)) ?? []
  const text = field ? query.get(field) : ""
  const said = h("p", { role: "status", class: "said" })
  const cards = [search(field, text, query.has(ALL))]
  let stop = () => {}
  if (field) {
    const all = (load) => disconnectButton({ [field]: text }, `every connection with ${label} ${text}`, said, load)
    cards.push(pages(`With ${label} ${text}`, { [field]: text }, `No connection has this ${label}.`, said, all))
  } else if (query.has(ALL)) {
    cards.push(pages("All connections", {}, "No connection is open.", said))
  } else {
    const slow = h("div", {}, h("p", { class: "none" }, "Waiting for the server."))
    const stopSlow = follow(`/api/v1/connections?sort=outbox&limit=25`, slow, slowest)
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

function search(field, text, isAll) {
  const by = h("select", { id: "by" }, FIELDS.map(([name, label]) => h("option", { value: name, selected: name === field }, label)))
  const value = h("input", { type: "search", id: "value", value: text, "aria-label": "What to find", autocomplete: "off", spellcheck: "false", required: true })
  const hint = () => value.setAttribute("placeholder", FIELDS.find(([name]) => name === by.value)[2])
  by.addEventListener("change", hint)
  hint()
  const form = h("form", { class: "row", role: "search", onsubmit: (event) => {
    event.preventDefault()
    const wanted = value.value.trim()
    goTo(by.value === "id" ? `#/connections/${encodeURIComponent(wanted)}` : `#/connections?${new URLSearchParams({ [by.value]: wanted })}`)
  } }, labelled("Find by", by), value, h("button", {}, "Search"),
  field || isAll ? h("a", { href: "#/connections" }, "Clear") : h("a", { href: `#/connections?${ALL}=1` }, "All, page by page"))
  return section("Find", "By address it looks through the tables a slice at a time; by topic and socket id it asks an index.", form)
}

/** A list with its pages, and what may be done to all of it. */
function pages(title, asked, none, said, action = () => null) {
  const rows = h("div", {}, h("p", { class: "none" }, "Waiting for the server."))
  const cursors = [null]
  const next = h("button", { type: "button", disabled: true }, "Next page")
  const before = h("button", { type: "button", disabled: true }, "Page before")
  const page = h("span", { class: "meaning", "aria-live": "polite" }, "")
  let cursor = null
  const load = async () => {
    const wanted = new URLSearchParams({ ...asked, limit: "50" })
    if (cursors.at(-1) !== null) wanted.set("cursor", cursors.at(-1))
    try {
      const answer = await ask(`/api/v1/connections?${wanted}`)
      cursor = answer.next ?? null
      put(rows, connectionTable(answer.connections ?? [], cursor === null ? none : "None on this page; there are more to look through."))
    } catch (error) {
      cursor = null
      put(rows, h("p", { class: "none" }, `They are not to be had: ${error.message}.`))
    }
    next.disabled = cursor === null
    before.disabled = cursors.length === 1
    setText(page, `Page ${cursors.length}`)
  }
  next.addEventListener("click", () => {
    cursors.push(cursor)
    load()
  })
  before.addEventListener("click", () => {
    cursors.pop()
    load()
  })
  load()
  return section(title, "As they were when this page asked; a page at a time.", rows,
    h("div", { class: "row" }, before, next, page, h("button", { type: "button", onclick: load }, "Ask again"), action(load)), said)
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
    one.outbox_frames ? `${format(one.outbox_bytes, "bytes")} in ${count(one.outbox_frames)}` : "empty",
  ])
  return table("Connections", [{ label: "Id" }, { label: "Address" }, { label: "Socket id" }, { label: "Serializer" },
    { label: "Channels", number: true }, { label: "Open for", number: true }, { label: "Last heard", number: true },
    { label: "Outbox: bytes, frames", number: true }], rows, none)
}

/** Those with most to be written to them, when they were chosen, and whose are missing. */
function slowest({ connections = [], as_of_s: age, missing_shards: missing = [] }) {
  const many = missing.length > 1
  const shards = new Intl.ListFormat("en").format(missing.map(String))
  const lack = `Not whole: shard${many ? "s" : ""} ${shards} did not answer in time, so ${many ? "their" : "its"} connections are missing here.`
  return [missing.length > 0 && h("p", { class: "wrong" }, lack),
    connectionTable(connections, missing.length ? "The other shards have none." : "No connection has anything that waits to be written to it."), chosen(age)]
}

/** How old a choice is; the numbers beside it are of now. */
function chosen(age) {
  const words = age === null || age === undefined ? "The first look through the tables has not ended yet." : `Chosen from what was seen no longer than ${span(Math.ceil(age) || 1)} ago.`
  return h("p", { class: "meaning" }, words)
}

function addressTable(answer) {
  const rows = (answer.addresses ?? []).map((one) => [
    h("a", { href: `#/connections?${new URLSearchParams({ address: one.address })}` }, one.address),
    one.error ? `${count(one.connections)} (at most ${count(one.error)} too many)` : count(one.connections),
  ])
  return [table("Addresses", [{ label: "Address" }, { label: "Connections", number: true }], rows, "No connection is open."), chosen(answer.as_of_s)]
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
      ["Outbox", answer.outbox_frames ? `${format(answer.outbox_bytes, "bytes")} in ${count(answer.outbox_frames)} frames` : "empty"]]
    facts.replaceChildren(...items.map(([term, text]) => h("div", {}, h("dt", {}, term), h("dd", {}, text))))
    const topics = (answer.topics ?? []).map((topic) => h("li", {}, h("a", { href: `#/topics/${encodeURIComponent(topic)}` }, topic)))
    if (joined.dataset.topics !== String(answer.topics)) {
      joined.dataset.topics = String(answer.topics)
      joined.replaceChildren(...(topics.length ? topics : [h("li", { class: "none" }, "It has joined none.")]))
    }
  })
}
