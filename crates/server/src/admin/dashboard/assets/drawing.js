// A drawing that the server has made, as part of the page: its shapes and words, in the page's colours.

const SHAPES = new Set(["svg", "g", "path", "rect", "line", "circle", "polygon", "polyline", "text", "tspan", "title", "desc"])
const ATTRIBUTES = new Set(["viewBox", "width", "height", "class", "d", "x", "y", "x1", "x2", "y1", "y2", "rx", "ry", "cx", "cy",
  "r", "points", "dx", "dy", "text-anchor", "role", "xml:space"])

/** The drawing in a box that scrolls where the page is narrow. */
export function drawing(text) {
  // The page's policy holds for whatever is parsed in it, so a style sheet must not even be read.
  const unstyled = text.replace(/<style>[^]*?<\/style>/g, "")
  const parsed = new DOMParser().parseFromString(unstyled, "image/svg+xml").documentElement
  const box = document.createElement("div")
  box.className = "drawing"
  box.tabIndex = 0
  box.setAttribute("role", "img")
  const words = ["title", "desc"].map((name) => parsed.querySelector(name)?.textContent).filter(Boolean)
  box.setAttribute("aria-label", words.join(". ") || "A drawing")
  const svg = copy(parsed)
  if (svg) {
    svg.setAttribute("aria-hidden", "true")
    box.append(svg)
  }
  return box
}

/** What is known, and nothing else: styles are the page's, and scripts have no place in a drawing. */
function copy(node) {
  if (node.nodeType === Node.TEXT_NODE) return document.createTextNode(node.data)
  if (node.nodeType !== Node.ELEMENT_NODE || !SHAPES.has(node.localName)) return null
  const element = document.createElementNS("http://www.w3.org/2000/svg", node.localName)
  for (const { name, value } of node.attributes) if (ATTRIBUTES.has(name)) element.setAttribute(name, value)
  for (const child of node.childNodes) {
    const copied = copy(child)
    if (copied) element.append(copied)
  }
  return element
}
