// How evenly the shards share the work: a bar for each, as good with two as with 110.

import { h, s, setText, table } from "./dom.js"
import { format } from "./format.js"
import { followWidth } from "./width.js"

const HEIGHT = 92
const MEASURES = [
  ["connections", "Connections", "count", "open WebSockets"],
  ["deliveries_per_s", "Deliveries", "rate", "broadcasts delivered in a second"],
  ["messages_in_per_s", "Messages in", "rate", "messages of its clients in a second"],
  ["cpu", "Processor", "share", "of a core that its thread uses"],
  ["lag_s", "Lag", "time", "that anything sent to it waits"],
  ["mailbox", "Mailbox", "count", "letters of other shards that wait for it"],
]

export function shardBalance() {
  let measure = MEASURES[0]
  let shards = []
  let chosen = null
  let width = 0
  const pick = h("fieldset", { class: "segments" }, h("legend", { class: "unseen" }, "What the bars show"),
    MEASURES.map((one, i) => h("label", {}, h("input", { type: "radio", name: "measure", value: one[0], checked: i === 0,
      onchange: () => {
        measure = one
        draw()
      } }), h("span", {}, one[1]))))
  const svg = s("svg", { class: "chart bars", height: HEIGHT, "aria-hidden": "true" })
  const plot = h("div", { class: "plot", tabindex: "0", role: "img", "aria-label": "Shards" }, svg)
  const words = h("p", { class: "summary" }, "")
  const spoken = h("p", { class: "unseen", "aria-live": "polite" })
  const numbers = h("details", { class: "numbers" }, h("summary", {}, "All shards in numbers"))
  const element = h("section", { class: "card" }, h("h2", {}, "Balance of the shards"),
    h("p", { class: "meaning" }, "A shard is one thread with its own connections. Where there are more shards than cores, new connections are led to a few of them at a time, so they fill up one after the other."),
    pick, words, plot, spoken, numbers)

  const value = (shard) => shard[measure[0]] ?? 0

  function draw() {
    const n = shards.length
    if (!n || !width) return
    const [, , kind, meaning] = measure
    const values = shards.map(value)
    const most = Math.max(...values)
    const least = Math.min(...values)
    const mean = values.reduce((sum, one) => sum + one, 0) / n
    const pitch = width / n
    // With few shards bars would be slabs; with many they touch.
    const thick = Math.max(1, Math.min(64, pitch - Math.min(6, pitch * 0.25)))
    const bars = values.map((one, i) => {
      const tall = most > 0 ? Math.max(1, (one / most) * (HEIGHT - 22)) : 1
      return s("rect", { x: (i * pitch + (pitch - thick) / 2).toFixed(2), y: HEIGHT - 16 - tall, width: thick.toFixed(2), height: tall,
        class: i === chosen ? "shard is-chosen" : "shard", rx: Math.min(2, thick / 4) })
    })
    const every = Math.ceil(28 / pitch)
    const labels = values.flatMap((_, i) => (i % every === 0
      ? [s("text", { x: (i + 0.5) * pitch, y: HEIGHT - 3, "text-anchor": "middle" }, String(i))] : []))
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`)
    svg.replaceChildren(s("line", { x1: 0, x2: width, y1: HEIGHT - 15.5, y2: HEIGHT - 15.5, class: "base" }), ...bars, ...labels)
    const many = n === 1 ? "1 shard" : `${n} shards`
    const range = `between ${format(least, kind)} and ${format(most, kind)} ${meaning}, ${format(mean, kind)} on average`
    setText(words, chosen === null ? `${many}: ${range}.` : `Shard ${chosen}: ${format(values[chosen], kind)} ${meaning}.`)
    plot.setAttribute("aria-label", `${measure[1]} of ${many}: ${range}. Arrow keys read them one by one.`)
    if (numbers.open) fillNumbers()
  }

  function fillNumbers() {
    const columns = [{ label: "Shard" }, ...MEASURES.map(([, label]) => ({ label, number: true }))]
    const rows = shards.map((shard, i) => [String(i), ...MEASURES.map(([key, , kind]) => format(shard[key], kind))])
    const scroll = numbers.querySelector(".scroll")?.scrollTop ?? 0
    numbers.replaceChildren(numbers.firstChild, table("Shards", columns, rows))
    numbers.querySelector(".scroll").scrollTop = scroll
  }

  const choose = (index) => {
    chosen = index === null ? null : Math.max(0, Math.min(shards.length - 1, index))
    draw()
  }
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect()
    choose(Math.floor(((event.clientX - box.left) / box.width) * shards.length))
  })
  plot.addEventListener("pointerleave", () => choose(null))
  plot.addEventListener("blur", () => choose(null))
  plot.addEventListener("keydown", (event) => {
    const now = chosen ?? -1
    const target = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: shards.length - 1 }[event.key]
    if (event.key === "Escape") choose(null)
    if (target === undefined) return
    event.preventDefault()
    choose(target)
    setText(spoken, words.textContent)
  })
  numbers.addEventListener("toggle", () => numbers.open && fillNumbers())
  followWidth(plot, (now) => {
    width = now
    draw()
  })

  return {
    element,
    update(sample) {
      shards = sample.shards
      draw()
    },
  }
}
