// Elements in one expression. Text is always text: nothing here reads markup.

const SVG = "http://www.w3.org/2000/svg"

/** An HTML element. Attributes: `on…` are listeners, false and null are left out, true is empty. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children)
}

/** An SVG element. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children)
}

/** Nothing, where a part of an element is left out. */
function isNothing(child) {
  return child === null || child === undefined || child === false || child === ""
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value)
    else element.setAttribute(name, value === true ? "" : value)
  }
  element.append(...children.flat().filter((child) => !isNothing(child)))
  return element
}

/**
 * Shows these instead of what an element has; what is left out is nothing. Who reads there by keyboard stays
 * at the same link and the same line although all of it is new.
 */
export function put(element, ...children) {
  const focused = element.contains(document.activeElement) ? document.activeElement : null
  const line = element.querySelector(".scroll")?.scrollTop ?? 0
  element.replaceChildren(...children.flat().filter((child) => !isNothing(child)))
  const region = element.querySelector(".scroll")
  if (region) region.scrollTop = line
  if (!focused || focused === element) return
  const again = focused.hash ? [...element.querySelectorAll("a")].find((link) => link.hash === focused.hash) : region
  again?.focus({ preventScroll: true })
}

/** Sets the text of an element, if it is another: an untouched element is not laid out again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text
}

/** A table with a caption for those who do not see it. Columns: {label, number?}; rows: arrays of cells. */
export function table(caption, columns, rows, empty = "Nothing here.") {
  const head = columns.map((column) => h("th", { scope: "col", class: column.number && "number" }, column.label))
  const body = rows.map((row) =>
    h("tr", {}, row.map((cell, i) => h("td", { class: columns[i].number && "number", "data-label": columns[i].label }, cell))),
  )
  const none = h("tr", {}, h("td", { colspan: columns.length, class: "none" }, empty))
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {}, h("caption", { class: "unseen" }, caption), h("thead", {}, h("tr", {}, head)),
      h("tbody", {}, body.length ? body : none)))
}

/** A horizontal bar of a share between 0 and 1. */
export function bar(share, kind = "") {
  const inner = h("span", { class: "fill" })
  inner.style.width = `${Math.min(1, Math.max(0, share || 0)) * 100}%`
  return h("span", { class: `bar ${kind}`.trim(), "aria-hidden": "true" }, inner)
}

/** A page's heading with a sentence that says what the page is for. */
export function heading(title, sentence) {
  return h("div", { class: "heading" }, h("h1", { tabindex: "-1" }, title), h("p", {}, sentence))
}

/** A field of a form with its label before it. */
export function labelled(label, field) {
  return h("label", { class: "inline" }, h("span", {}, label), field)
}

/** A part of a page with a heading and a sentence that says what its numbers mean. */
export function section(title, sentence, ...children) {
  return h("section", { class: "card" }, h("h2", {}, title), h("p", { class: "meaning" }, sentence), ...children)
}

/** Asks in the page before something is done that cannot be undone; resolves to whether it may be. */
export function confirmed(question, consequence, verb) {
  return new Promise((resolve) => {
    const no = h("button", { type: "button", onclick: () => dialog.close("no") }, "Keep it")
    const yes = h("button", { type: "button", class: "danger", onclick: () => dialog.close("yes") }, verb)
    const dialog = h("dialog", { "aria-labelledby": "confirm-title", "aria-describedby": "confirm-text" },
      h("h2", { id: "confirm-title" }, question), h("p", { id: "confirm-text" }, consequence),
      h("div", { class: "row end" }, no, yes))
    dialog.addEventListener("close", () => {
      dialog.remove()
      resolve(dialog.returnValue === "yes")
    })
    document.body.append(dialog)
    dialog.showModal()
    no.focus()
  })
}
