// Going to another page, or to the same once more.

/** Shows the page of an address such as `#/topics?search=room`; one that is shown already is asked for anew. */
export function goTo(hash) {
  if (location.hash === hash) dispatchEvent(new Event("hashchange"))
  else location.hash = hash
}
