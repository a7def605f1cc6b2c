// Charts of the last minutes: inline SVG with axes, units, a read-out under pointer and arrow keys, and
// the same in numbers for those who do not see it.

import { h, s, setText, table } from "./dom.js"
import { clock, format, span } from "./format.js"
import { followWidth } from "./width.js"

const HEIGHT = 150
const TOP = 14
const BOTTOM = 20
/** Seconds that a chart shows at least, so that a fresh server is not a single point. */
const SPAN_MIN_S = 60
/** A longer silence than this is a gap in the line. */
const GAP_S = 5

/**
 * A chart with a card around it. `lines`: [{key, label}], the first in the accent colour. `kind` is a
 * kind of number. Returns {element, update(history)}.
 */
export function lineChart({ title, meaning, kind, lines }) {
  const legend = lines.map(({ label }, i) => {
    const value = h("b", { class: "value" }, "–")
    return { value, element: h("span", { class: `key line-${i}` }, h("i", { "aria-hidden": "true" }), label, " ", value) }
  })
  const moment = h("span", { class: "moment" }, "now")
  const spoken = h("p", { class: "unseen", "aria-live": "polite" })
  const grid = s("g", {})
  const scales = s("g", { class: "scales" })
  const area = s("path", { class: "area" })
  const paths = lines.map((_, i) => s("path", { class: `path line-${i}` })).reverse()
  const cross = s("line", { class: "cross", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" })
  const svg = s("svg", { class: "chart", height: HEIGHT, "aria-hidden": "true" }, grid, area, paths, scales, cross)
  const plot = h("div", { class: "plot", tabindex: "0", role: "img", "aria-label": title }, svg)
  const numbers = h("details", { class: "numbers" }, h("summary", {}, "In numbers"))
  const element = h("section", { class: "card chart-card" }, h("h2", {}, title), h("p", { class: "meaning" }, meaning),
    h("p", { class: "legend" }, legend.map((key) => key.element), moment), plot, spoken, numbers)

  let history = { at: [], columns: {} }
  let width = 0
  let chosen = null

  const column = (i) => history.columns[lines[i].key] ?? []
  const domain = () => {
    const last = history.at.at(-1) ?? 0
    return [Math.min(last - SPAN_MIN_S, history.at[0] ?? 0), last]
  }
  const x = (at) => {
    const [from, to] = domain()
    return to > from ? ((at - from) / (to - from)) * width : 0
  }

  function readOut() {
    const n = history.at.length
    const index = chosen === null ? n - 1 : Math.min(chosen, n - 1)
    lines.forEach((_, i) => setText(legend[i].value, format(column(i)[index], kind)))
    const at = history.at[index]
    const ago = n ? history.at[n - 1] - at : 0
    setText(moment, chosen === null || !n ? "now" : `${span(ago)} ago, ${clock(at)}`)
    cross.setAttribute("visibility", chosen === null || !n ? "hidden" : "visible")
    if (chosen !== null && n) {
      cross.setAttribute("x1", x(at))
      cross.setAttribute("x2", x(at))
    }
  }

  function draw() {
    if (!width || !history.at.length) return
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`)
    let greatest = 0
    lines.forEach((_, i) => column(i).forEach((value) => (greatest = Math.max(greatest, value))))
    const [top, step] = scale(greatest, kind)
    const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM)
    const [from, to] = domain()
    const steps = Array.from({ length: Math.round(top / step) + 1 }, (_, i) => i * step)
    grid.replaceChildren(...steps.map((value) => s("line", { x1: 0, x2: width, y1: y(value), y2: y(value), class: value ? "rule" : "base" })))
    // Above the lines, so that they stay readable where an area is behind them.
    scales.replaceChildren(...steps.slice(1).map((value) => s("text", { x: 0, y: y(value) - 3 }, format(value, kind))), ...moments(from, to, x, width))
    lines.forEach((_, i) => {
      const d = path(history.at, column(i), x, y)
      paths[lines.length - 1 - i].setAttribute("d", d)
      if (i === 0) area.setAttribute("d", closed(history.at, column(0), x, y))
    })
    readOut()
    plot.setAttribute("aria-label", words(title, lines, column, history.at, kind))
    if (numbers.open) fillNumbers()
  }

  function fillNumbers() {
    const rows = lines.map(({ label }, i) => {
      const values = column(i)
      const mean = values.reduce((sum, value) => sum + value, 0) / (values.length || 1)
      return [label, ...[values.at(-1), mean, Math.min(...values), Math.max(...values)].map((v) => format(v, kind))]
    })
    const [from, to] = domain()
    const heads = [{ label: "" }, ...["now", "mean", "least", "most"].map((label) => ({ label, number: true }))]
    numbers.replaceChildren(numbers.firstChild, table(`${title} in the last ${span(to - from)}`, heads, rows))
  }

  const choose = (index) => {
    chosen = index === null ? null : Math.max(0, Math.min(history.at.length - 1, index))
    readOut()
  }
  plot.addEventListener("pointermove", (event) => {
    const [from, to] = domain()
    const box = plot.getBoundingClientRect()
    const at = from + ((event.clientX - box.left) / box.width) * (to - from)
    choose(nearest(history.at, at))
  })
  plot.addEventListener("pointerleave", () => choose(null))
  plot.addEventListener("blur", () => choose(null))
  plot.addEventListener("keydown", (event) => {
    const n = history.at.length
    const now = chosen ?? n - 1
    const target = { ArrowLeft: now - 1, ArrowRight: now + 1, PageUp: now - 30, PageDown: now + 30, Home: 0, End: n - 1 }[event.key]
    if (event.key === "Escape") choose(null)
    if (target === undefined || !n) return
    event.preventDefault()
    choose(target)
    setText(spoken, `${moment.textContent}: ${lines.map(({ label }, i) => `${label} ${legend[i].value.textContent}`).join(", ")}`)
  })
  numbers.addEventListener("toggle", () => numbers.open && fillNumbers())
  followWidth(plot, (now) => {
    width = now
    draw()
  })

  return {
    element,
    update(next) {
      history = next
      draw()
    },
  }
}

/** A small line without axes, for the tile of a number. */
export function sparkline(key) {
  const line = s("path", { class: "path line-0", "vector-effect": "non-scaling-stroke" })
  const area = s("path", { class: "area" })
  const svg = s("svg", { class: "spark", viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true" }, area, line)
  return {
    element: svg,
    update({ at, columns }) {
      const recent = at.slice(-120)
      const values = (columns[key] ?? []).slice(-120)
      if (!recent.length) return
      const last = recent.at(-1)
      const from = Math.min(recent[0], last - SPAN_MIN_S)
      const top = Math.max(...values) || 1
      const x = (moment) => ((moment - from) / (last - from)) * 100
      const y = (value) => 23 - (value / top) * 21
      line.setAttribute("d", path(recent, values, x, y))
      area.setAttribute("d", closed(recent, values, x, y, 24))
    },
  }
}

/** The top of an axis above `greatest`, and the step between its lines: 1, 2 or 5 times a power of ten. */
export function scale(greatest, kind) {
  const floor = kind === "time" ? 1e-3 : kind === "cores" ? 0.1 : kind === "bytes" || kind === "byterate" ? 1000 : 4
  const wanted = Math.max(greatest * 1.02, floor)
  const power = 10 ** Math.floor(Math.log10(wanted / 3))
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size * 4 >= wanted)
  return [Math.ceil(wanted / step - 1e-9) * step, step]
}

function moments(from, to, x, width) {
  const step = [10, 15, 30, 60, 120, 300].find((size) => (to - from) / size <= Math.max(3, width / 110)) ?? 600
  const parts = []
  for (let ago = 0; to - ago >= from - 0.5; ago += step) {
    const anchor = ago === 0 ? "end" : to - ago - from < step / 4 ? "start" : "middle"
    const label = ago === 0 ? "now" : ago % 60 === 0 ? `−${ago / 60}\u202fmin` : `−${ago}\u202fs`
    parts.push(s("text", { x: x(to - ago), y: HEIGHT - 5, "text-anchor": anchor }, label))
  }
  return parts
}

function path(at, values, x, y) {
  let d = ""
  let before = -Infinity
  for (let i = 0; i < at.length; i += 1) {
    d += `${at[i] - before > GAP_S ? "M" : "L"}${x(at[i]).toFixed(1)} ${y(values[i] ?? 0).toFixed(1)}`
    before = at[i]
  }
  return d
}

/** The area below a line, piece by piece between gaps. */
function closed(at, values, x, y, base = y(0)) {
  let d = ""
  let start = 0
  for (let i = 1; i <= at.length; i += 1) {
    if (i < at.length && at[i] - at[i - 1] <= GAP_S) continue
    const piece = path(at.slice(start, i), values.slice(start, i), x, y)
    d += `${piece}L${x(at[i - 1]).toFixed(1)} ${base}L${x(at[start]).toFixed(1)} ${base}Z`
    start = i
  }
  return d
}

function nearest(at, wanted) {
  let best = 0
  for (let i = 1; i < at.length; i += 1) if (Math.abs(at[i] - wanted) < Math.abs(at[best] - wanted)) best = i
  return best
}

function words(title, lines, column, at, kind) {
  const parts = lines.map(({ label }, i) => {
    const values = column(i)
    return `${label} ${format(values.at(-1), kind)} now, between ${format(Math.min(...values), kind)} and ${format(Math.max(...values), kind)}`
  })
  return `${title}, last ${span(at.at(-1) - at[0])}: ${parts.join("; ")}. Arrow keys read it second by second.`
}
