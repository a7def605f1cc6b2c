// How wide an element is, for drawings that are made for it.

/** Calls `draw(width)` when an element gets a width or another one, in whole pixels, until it has left the page. */
export function followWidth(element, draw) {
  const observer = new ResizeObserver(([entry]) => {
    // What leaves the page has no size any more, and is told so once.
    if (element.isConnected) draw(Math.round(entry.contentRect.width))
    else observer.disconnect()
  })
  observer.observe(element)
}
