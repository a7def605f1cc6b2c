// A console that is a Phoenix client: it joins, pushes, and shows every frame.

import { h, heading, section, setText } from "./dom.js"
import { socketUrl } from "./overview.js"
import { Client } from "./phoenix.js"

/** Frames shown; older ones go. */
const FRAMES_MAX = 200
const WAYS = { in: ["←", "from the server"], out: ["→", "to the server"], note: ["·", "about the connection"] }

export function show(main, { live }) {
  const client = new Client()
  const url = input("url", "Server", "", { type: "text", inputmode: "url" })
  const params = input("params", "Connect params", "", { placeholder: "token=secret&user=7" })
  const topic = input("topic", "Topic", "room:lobby")
  const joinPayload = input("join-payload", "Join payload", "{}")
  const event = input("event", "Event", "new_msg")
  const payload = input("payload", "Payload", '{"body": "hello"}')
  const connect = h("button", {}, "Connect")
  const join = h("button", {}, "Join")
  const leave = h("button", { type: "button" }, "Leave")
  const push = h("button", {}, "Push")
  const status = h("p", { role: "status", class: "said" }, "Not connected.")
  const wrong = h("p", { role: "alert", class: "wrong" })
  const mixed = h("p", { class: "wrong", id: "mixed", hidden: true })
  const log = h("ol", { class: "frames", tabindex: "0", "aria-label": "Frames, newest last" })
  const shown = h("span", { class: "meaning" }, "Nothing yet: connect first.")
  const clear = h("button", { type: "button", class: "quiet", onclick: () => {
    log.replaceChildren()
    total = 0
    setText(shown, "Nothing since.")
  } }, "Clear")
  let total = 0

  const prefill = () => {
    if (!url.field.value || url.field.dataset.guess === url.field.value) {
      url.field.value = socketUrl(live.server)
      url.field.dataset.guess = url.field.value
    }
    refresh()
  }
  const isForbidden = ({ blockedURI }) => {
    setText(wrong, `This page may connect to its own server alone, by its content security policy; not to ${blockedURI}.`)
  }
  const refresh = () => {
    const hurdle = hurdleOf(url.field.value)
    mixed.hidden = hurdle === ""
    setText(mixed, hurdle)
    const isOpen = client.isOpen
    const topics = client.topics
    setText(connect, isOpen ? "Disconnect" : "Connect")
    for (const button of [join, push]) button.disabled = !isOpen
    leave.disabled = !topics.includes(topic.field.value)
    setText(status, isOpen ? `Connected. ${topics.length ? `Joined: ${topics.join(", ")}.` : "No topic is joined yet."}` : "Not connected.")
  }
  const attempt = (action) => (submit) => {
    submit.preventDefault()
    setText(wrong, "")
    try {
      action()
    } catch (error) {
      setText(wrong, error.message)
    }
  }
  leave.addEventListener("click", attempt(() => client.leave(topic.field.value)))
  topic.field.addEventListener("input", refresh)
  url.field.addEventListener("input", refresh)

  client.addEventListener("change", refresh)
  client.addEventListener("frame", ({ detail: { way, text, at } }) => {
    // Who has scrolled up to read is not pulled down again.
    const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40
    const [sign, words] = WAYS[way]
    log.append(h("li", { class: way }, h("time", {}, at.toISOString().slice(11, 23)),
      h("span", { class: "way", "aria-hidden": "true" }, sign), h("span", { class: "unseen" }, words), h("code", {}, text)))
    while (log.children.length > FRAMES_MAX) log.firstChild.remove()
    total += 1
    setText(shown, total > FRAMES_MAX ? `The last ${FRAMES_MAX} of ${total} frames` : `${total} ${total === 1 ? "line" : "lines"}`)
    if (isAtEnd) log.scrollTop = log.scrollHeight
  })

  main.append(
    heading("Try it", "A Phoenix client in this page. It speaks the V2 serializer and shows every frame, heartbeats included."),
    section("Connection", "Where phoenix.js would connect to; “/websocket?vsn=2.0.0” is added.",
      h("form", { class: "fields", onsubmit: attempt(() => {
        if (client.isOpen) client.disconnect()
        else client.connect(url.field.value, Object.fromEntries(new URLSearchParams(params.field.value)))
      }) }, url.element, params.element, connect), mixed, status, wrong),
    section("Channel", "Join a topic first; then pushes go to its channel. By itself the server broadcasts what is pushed to room:*.",
      h("form", { class: "fields", onsubmit: attempt(() => client.join(topic.field.value, json(joinPayload))) }, topic.element, joinPayload.element, join, leave),
      h("form", { class: "fields", onsubmit: attempt(() => client.push(topic.field.value, event.field.value, json(payload))) }, event.element, payload.element, push)),
    section("Frames", "[join_ref, ref, topic, event, payload]; times are UTC, of this browser.", log, h("div", { class: "row" }, shown, clear)))
  live.addEventListener("server", prefill)
  document.addEventListener("securitypolicyviolation", isForbidden)
  prefill()
  return () => {
    document.removeEventListener("securitypolicyviolation", isForbidden)
    live.removeEventListener("server", prefill)
    client.disconnect()
  }
}

/** Why this page cannot connect there, and what can be done; nothing where it can. */
export function hurdleOf(url, page = location) {
  const isLocal = /^wss?:\/\/(localhost|127\.[0-9.]+|\[::1\])([:/]|$)/i.test(url)
  if (page.protocol !== "https:" || isLocal || !/^ws:/i.test(url)) return ""
  return "This page came over https, and browsers let such a page open no address of ws. "
    + "Set host in the server’s configuration to the name by which a proxy with TLS serves it, and this page offers its address of wss; "
    + "or use a client that is no browser, such as fourtuple load."
}

function input(id, label, value, attributes = {}) {
  const field = h("input", { id, value, autocomplete: "off", spellcheck: "false", autocapitalize: "off", ...attributes })
  return { field, element: h("label", { class: "field" }, h("span", {}, label), field) }
}

function json({ field }) {
  try {
    return JSON.parse(field.value || "{}")
  } catch {
    throw new Error(`${field.value} is not JSON; expected something like {"body": "hello"}`)
  }
}
