// The colours that a person has chosen, before anything is painted. Not a module, so that it comes first.
(() => {
  let chosen = null
  try {
    chosen = localStorage.getItem("theme")
  } catch {
    // Storage may be forbidden; then the system decides.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen
})()
