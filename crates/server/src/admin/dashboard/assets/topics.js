// Topics: who has most members, who has most traffic, and a search. None of it looks at all connections.

import { ask, poll } from "./api.js"
import { bar, h, heading, labelled, put, section, setText, table } from "./dom.js"
import { connectionTable, disconnectButton } from "./connections.js"
import { count, format } from "./format.js"
import { goTo } from "./place.js"

const EVERY_MS = 2000
/** Members of a topic that are shown with it; on a phone each is a small card. */
const MEMBERS_SHOWN = 25
const FROM = {
  census: (age) => `Found by the regular look through the tables, a slice at a time${age}, which keeps the 100 largest of each shard. Their members are counted now.`,
  sketch: (age) => `Found by a sketch${age} that counts 128 names on each shard: a busy topic is never missed. Rates are over about ten seconds and may be too high by what stands beside them. Members are counted now.`,
  search: () => "Looked up now, a bounded part of the tables for each page, so a page may be short and have a next one. Each page is in the order chosen above. Members are counted now.",
}

export function show(main, { argument, query }) {
  return argument === null ? list(main, query) : detail(main, argument)
}

function list(main, query) {
  const search = query.get("search") ?? ""
  const sort = query.get("sort") === "rate" ? "rate" : "members"
  const limit = query.get("limit") ?? "25"
  const field = h("input", { type: "search", id: "search", value: search, placeholder: "room:*", autocomplete: "off", spellcheck: "false" })
  const by = h("select", { id: "sort" }, h("option", { value: "members", selected: sort === "members" }, "most members"),
    h("option", { value: "rate", selected: sort === "rate" }, "most messages"))
  const most = h("select", { id: "limit" }, ["10", "25", "50", "100"].map((n) => h("option", { value: n, selected: n === limit }, n)))
  const go = (event) => {
    event?.preventDefault()
    const wanted = new URLSearchParams({ sort: by.value, limit: most.value })
    if (field.value.trim()) wanted.set("search", field.value.trim())
    goTo(`#/topics?${wanted}`)
  }
  by.addEventListener("change", go)
  most.addEventListener("change", go)
  const form = h("form", { class: "row", role: "search", onsubmit: go },
    labelled("Topic", field), h("button", {}, "Search"), labelled("by", by), labelled("show", most))
  const source = h("p", { class: "meaning" }, "")
  const body = h("div", {}, h("p", { class: "none" }, "Waiting for the server."))
  const title = search ? `Topics that match ${search}` : sort === "rate" ? "Topics with most messages" : "Topics with most members"
  main.append(heading("Topics", "Which rooms are large and which are busy. A * at the end of a search stands for the rest."),
    h("section", { class: "card" }, h("h2", {}, title), form, source, body))
  const draw = (answer, error) => {
    if (error) {
      put(body, h("p", { class: "none" }, `The topics are not to be had: ${error.message}.`))
      return
    }
    setText(source, sourceWords(answer))
    put(body, topicTable(answer.topics ?? [], sort, search), answer.next && h("p", {}, h("a", { href: next(query, answer.next) }, "Next page →")))
  }
  if (!search) return poll(`/api/v1/topics?${new URLSearchParams({ sort, limit })}`, EVERY_MS, draw)
  // A search looks through tables, so it is made once and not again and again.
  const wanted = new URLSearchParams({ search, limit })
  if (query.get("cursor")) wanted.set("cursor", query.get("cursor"))
  ask(`/api/v1/topics?${wanted}`).then((answer) => draw(answer, null), (error) => draw(null, error))
}

/** Where the next page of a search is. */
function next(query, cursor) {
  const wanted = new URLSearchParams(query)
  wanted.set("cursor", cursor)
  return `#/topics?${wanted}`
}

function sourceWords({ from, as_of_s: age, complete }) {
  const old = age === undefined || age === null ? "" : `, ${count(age)} s ago`
  const words = FROM[from] ? FROM[from](old) : ""
  return complete === false ? `${words} There are more than are shown.` : words
}

function topicTable(topics, sort, search) {
  const key = sort === "rate" ? "messages_per_s" : "members"
  const most = Math.max(...topics.map((topic) => topic[key] ?? 0), 1)
  const rows = topics.toSorted((a, b) => (b[key] ?? 0) - (a[key] ?? 0)).map((topic) => [
    h("a", { href: `#/topics/${encodeURIComponent(topic.topic)}` }, topic.topic),
    bar((topic[key] ?? 0) / most),
    maybe(topic.members, "count"),
    maybe(topic.messages_per_s, "rate", topic.error),
    maybe(topic.deliveries_per_s, "rate"),
  ])
  return table("Topics", [{ label: "Topic" }, { label: "" }, { label: "Members", number: true },
    { label: "Messages", number: true }, { label: "Deliveries", number: true }], rows,
  search ? "No topic with members matches." : "No topic has members now.")
}

/** A number that may not be known, with by how much it may be too high where it is an estimate. */
function maybe(value, kind, error) {
  if (value === null || value === undefined) return h("span", { class: "meaning" }, "not among the busiest")
  return error ? [format(value, kind), h("span", { class: "meaning" }, ` − ${format(error, "rate")}`)] : format(value, kind)
}

function detail(main, topic) {
  const facts = h("dl", { class: "facts" })
  const members = h("div", {})
  const said = h("p", { role: "status", class: "said" })
  main.append(
    h("p", { class: "back" }, h("a", { href: "#/topics" }, "← All topics")),
    heading(topic, "One topic: its members are the connections that have joined it."),
    section("Now", "Members are counted on every shard now; rates are over about ten seconds and known for the busiest topics.", facts,
      h("div", { class: "row" }, disconnectButton({ topic }, `every member of ${topic}`, said)), said),
    section("Members", `The first ${MEMBERS_SHOWN} of them, in no order.`, members))
  return poll(`/api/v1/topics/${encodeURIComponent(topic)}`, EVERY_MS, (answer, error) => {
    if (error) {
      facts.replaceChildren()
      put(members, h("p", { class: "none" }, error.status === 404 ? `${topic} has no members now.` : `It is not to be had: ${error.message}.`))
      return
    }
    const items = [["Members", maybe(answer.members, "count")], ["Messages", maybe(answer.messages_per_s, "rate")],
      ["Deliveries", maybe(answer.deliveries_per_s, "rate")]]
    facts.replaceChildren(...items.map(([term, text]) => h("div", {}, h("dt", {}, term), h("dd", {}, text ?? ""))))
    const all = answer.connections ?? []
    put(members, connectionTable(all.slice(0, MEMBERS_SHOWN), "It has no members now."),
      (answer.next || all.length > MEMBERS_SHOWN) && h("p", {}, h("a", { href: `#/connections?${new URLSearchParams({ topic })}` }, "All of them, page by page →")))
  })
}
