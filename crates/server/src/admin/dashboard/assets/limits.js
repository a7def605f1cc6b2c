// Every limit as a gauge, the four-tuple with this server's numbers, and what more connections would need.

import { ask, poll } from "./api.js"
import { h, heading, labelled, put, section, setText, table } from "./dom.js"
import { drawing } from "./drawing.js"
import { count, format, span } from "./format.js"

const EVERY_MS = 5000
/** What the server says of a limit, for as many connections as it may hold. */
const VERDICTS = {
  full: "Full: nothing is left.",
  stops: "Stops connections before there are as many as this server may hold.",
  slows: "Slows things down before there are as many connections as this server may hold.",
  unknown: "It cannot be read here.",
  fits: "Enough for as many connections as this server may hold.",
}
/** From this share on a gauge is shown as close to its ceiling. */
const CLOSE = 0.8

export function show(main) {
  const lead = h("p", { class: "summary", id: "binding" }, "")
  const gauges = h("div", { class: "gauges" }, h("p", { class: "none" }, "Waiting for the server’s limits."))
  const others = h("div", {})
  const tuple = h("div", {})
  main.append(
    heading("Limits", "Everything that can stop the next connection: how much is used, how much there is, and how fast it fills."),
    section("What binds first", "A gauge is what is used of a limit. Close to its ceiling it says what you will see when it is met, and what to do.", lead, gauges, others),
    section("The four-tuple", "What tells one connection from another, with the numbers of this server.", tuple),
    planner(),
  )
  const cards = new Map()
  let drawn = ""
  return poll("/api/v1/limits", EVERY_MS, (answer, error) => {
    if (error) {
      cards.clear()
      gauges.replaceChildren(h("p", { class: "none" }, `The limits are not to be had: ${error.message}.`))
      return
    }
    const limits = answer.limits ?? []
    setText(lead, binding(answer))
    const isGauge = ({ present, ceiling }) => ceiling && present !== null && present !== undefined
    showGauges(gauges, cards, limits.filter(isGauge))
    showOthers(others, limits.filter((limit) => !isGauge(limit)))
    const svg = answer.drawing_svg ?? ""
    if (svg && svg !== drawn) {
      drawn = svg
      tuple.replaceChildren(h("p", {}, answer.tuples?.words ?? ""), drawing(svg))
    }
  })
}

function binding({ limits = [], binding: name }) {
  const first = limits.find((limit) => limit.name === name)
  if (!first) return "No limit of this machine is near."
  const share = first.share === null || first.share === undefined ? "" : `: ${format(first.share, "share")} of it is used`
  return `More connections would meet ${first.name} first${share}.`
}

/** Cards are kept from one answer to the next, so that an open explanation stays open and keeps its focus. */
function showGauges(place, cards, limits) {
  const sorted = [...limits].sort((a, b) => (b.share ?? 0) - (a.share ?? 0))
  for (const limit of sorted) {
    if (!cards.has(limit.name)) cards.set(limit.name, gauge(limit))
    cards.get(limit.name).update(limit)
  }
  const wanted = sorted.map((limit) => cards.get(limit.name).element)
  const same = wanted.length === place.children.length && wanted.every((element, i) => place.children[i] === element)
  if (!same) place.replaceChildren(...wanted)
}

function gauge(limit) {
  const used = h("b", { class: "figure" }, "")
  const ceiling = h("span", { class: "ceiling" }, "")
  const fill = h("span", { class: "fill" })
  const meter = h("div", { class: "bar wide", role: "meter", "aria-label": limit.name, "aria-valuemin": "0", "aria-valuemax": "100" }, fill)
  const approach = h("p", { class: "approach" }, "")
  const judged = h("p", { class: "judged" }, "")
  const remedy = h("dl", {})
  const element = h("article", { class: "gauge", "data-limit": limit.name }, h("h3", {}, limit.name),
    h("p", { class: "meaning" }, limit.what ?? ""), h("p", { class: "reading" }, used, " ", ceiling), meter, approach, judged,
    h("details", {}, h("summary", {}, "When it is met"), remedy))
  return {
    element,
    update(now) {
      const share = now.share ?? (now.ceiling ? (now.present ?? 0) / now.ceiling : 0)
      setText(used, amount(now.present, now.unit))
      setText(ceiling, `of ${amount(now.ceiling, now.unit)} (${format(share, "share")})`)
      fill.style.width = `${Math.min(100, share * 100)}%`
      meter.setAttribute("aria-valuenow", Math.round(share * 100))
      meter.setAttribute("aria-valuetext", `${used.textContent} ${ceiling.textContent}`)
      element.classList.toggle("is-close", share >= CLOSE || now.verdict === "full" || now.verdict === "stops")
      setText(judged, VERDICTS[now.verdict] ?? "")
      setText(approach, pace(now.approach, now.unit))
      const parts = [["You will see", now.symptom], ["What to do", now.remedy], ["Read it at", now.read_from]].filter(([, text]) => text)
      const words = JSON.stringify(parts)
      if (remedy.dataset.words !== words) {
        remedy.dataset.words = words
        remedy.replaceChildren(...parts.flatMap(([term, text]) => [h("dt", {}, term), h("dd", {}, text)]))
      }
    },
  }
}

function pace(approach, unit) {
  if (!approach || !approach.per_s) return "Steady now."
  const speed = Math.abs(approach.per_s)
  const perSecond = unit === "bytes" ? format(speed, "byterate") : format(speed, "rate").replace("/s", ` ${of(speed, unit)}/s`).trim()
  if (approach.per_s < 0) return `Falls by ${perSecond}.`
  return `Grows by ${perSecond}${approach.full_in_s ? `: full in ${span(approach.full_in_s)} at this pace` : ""}.`
}

export function amount(value, unit) {
  if (value === null || value === undefined) return "unknown"
  if (unit === "bytes") return format(value, "bytes")
  return `${count(value)} ${of(value, unit)}`.trim()
}

/** A unit behind a number: 1 file, 2 files, 1 address. */
function of(value, unit) {
  return value === 1 ? (unit ?? "").replace(/(ss)es$|s$/, "$1") : (unit ?? "")
}

/** Limits of which no use can be counted, as a table: each has a value, and what to do. */
function showOthers(place, limits) {
  const words = JSON.stringify(limits)
  if (place.dataset.words === words) return
  place.dataset.words = words
  const rows = limits.map((limit) => [
    h("span", {}, h("b", { class: "mono" }, limit.name), h("span", { class: "meaning block" }, limit.what ?? "")),
    limit.text ?? amount(limit.ceiling, limit.unit),
    limit.verdict === "fits" ? "Enough." : [VERDICTS[limit.verdict], limit.remedy].filter(Boolean).join(" "),
  ])
  const isOpen = place.querySelector("details")?.open ?? false
  place.replaceChildren(...(rows.length ? [h("details", { open: isOpen },
    h("summary", {}, `${rows.length} more, of which no use can be counted`),
    table("Limits without a gauge", [{ label: "Limit" }, { label: "Value" }, { label: "Verdict" }], rows))] : []))
}

function here(fits) {
  if (fits === true) return ", and this machine can be its server"
  return fits === false ? ", but this machine cannot be its server as it is" : ""
}

function planner() {
  const field = h("input", { type: "number", id: "plan-connections", min: "1", max: "1000000000", value: "2000000", required: true, inputmode: "numeric" })
  const result = h("div", { "aria-live": "polite" })
  const form = h("form", { class: "row", onsubmit: async (event) => {
    event.preventDefault()
    const wanted = Number(field.value)
    result.setAttribute("aria-busy", "true")
    try {
      const plan = await ask(`/api/v1/plan?connections=${wanted}`)
      put(result,
        h("h3", {}, `${count(wanted)} connections: ${plan.fits === false ? "the plan does not fit" : "the plan fits"}${here(plan.fits_here)}`),
        plan.text && h("pre", { tabindex: "0", "aria-label": "The plan" }, plan.text),
        plan.svg && drawing(plan.svg))
    } catch (error) {
      put(result, h("p", { class: "none" }, `There is no plan: ${error.message}.`))
    }
    result.removeAttribute("aria-busy")
  } }, labelled("Connections", field), h("button", {}, "Plan"))
  return section("What would more need here?", "The same arithmetic as fourtuple plan: what so many connections need of this machine, what binds first, and the lines that change it.", form, result)
}
