// What the connections cost in memory, term by term, beside what is measured.

import { poll } from "./api.js"
import { bar, h, put, setText, table } from "./dom.js"
import { count, format } from "./format.js"

const EVERY_MS = 5000

export function memory(live) {
  const measured = h("p", { class: "summary" }, "")
  const body = h("div", {}, h("p", { class: "none" }, "Waiting for the server’s ledger."))
  const element = h("section", { class: "card" }, h("h2", {}, "Memory by ledger term"),
    h("p", { class: "meaning" },
      "The ledger is arithmetic: what each thing takes, times how many there are now. Measured is what the kernel says; page tables, code and free memory that malloc keeps make up the difference."),
    measured, body)
  const stop = poll("/api/v1/memory", EVERY_MS, (answer, error) => {
    if (error) {
      put(body, h("p", { class: "none" }, `The ledger is not to be had: ${error.message}.`))
      return
    }
    draw(body, answer)
    setText(measured, words(answer))
  })
  return {
    element,
    update(sample) {
      // What is in RAM is part of every sample, also where the ledger is not to be had.
      if (!measured.textContent) setText(measured, `Measured: ${format(sample.resident_bytes, "bytes")} of this process in RAM.`)
    },
    stop,
  }
}

/** What is measured, in a sentence; what the machine does not tell is left out of it. */
function words({ measured = {}, process_bytes: own, kernel_bytes: kernel }) {
  const parts = [
    [measured.resident_bytes, `of this process in RAM (by the ledger ${format(own, "bytes")})`],
    [measured.tcp_buffers_bytes, "in TCP buffers of the whole machine"],
    [measured.slab_bytes, `in small objects of the whole machine’s kernel (by the ledger ${format(kernel, "bytes")} for these connections)`],
  ]
  const known = parts.filter(([bytes]) => bytes !== undefined && bytes !== null).map(([bytes, text]) => `${format(bytes, "bytes")} ${text}`)
  return `Measured: ${new Intl.ListFormat("en").format(known)}.`
}

function draw(body, answer) {
  // What a message to all would add is no part of what is there now.
  const isIdle = (term) => term.total_bytes > 0 && !term.per.includes("unread")
  const terms = (answer.terms ?? []).filter(isIdle).sort((a, b) => b.total_bytes - a.total_bytes)
  const sum = terms.reduce((total, term) => total + term.total_bytes, 0)
  const isKernel = (term) => term.place.includes("kernel")
  const rows = terms.map((term) => [
    h("span", {}, h("b", {}, term.name), h("span", { class: "meaning block" }, `${isKernel(term) ? "of the kernel" : "of the process"}: ${term.source}`)),
    bar(term.total_bytes / (terms[0]?.total_bytes || 1), isKernel(term) ? "soft" : ""),
    `${count(term.bytes)} B`,
    term.per,
    format(term.total_bytes, "bytes"),
    format(term.total_bytes / sum, "share"),
  ])
  const columns = [{ label: "Term" }, { label: "" }, { label: "Takes", number: true }, { label: "For" },
    { label: "Together", number: true }, { label: "Share", number: true }]
  const unread = answer.unread_bytes_max ? ` A message to all adds at most ${format(answer.unread_bytes_max, "bytes")}, until the last client has read it.` : ""
  put(body, table("Memory by ledger term", columns, rows, "No memory is accounted for yet."),
    h("p", { class: "meaning" }, `Together ${format(sum, "bytes")} by the ledger, for ${count(answer.connections)} connections.${unread}`))
}
