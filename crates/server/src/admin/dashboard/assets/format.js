// Numbers as people read them, always with their unit.

const PREFIXES = ["", "k", "M", "G", "T"]
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 })

/** A whole number with separators: 2,000,000. */
export function count(value) {
  return whole.format(Math.round(value || 0))
}

/** Three significant digits. */
function short(value) {
  if (value === 0) return "0"
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2
  return value.toFixed(digits).replace(/\.0+$/, "").replace(/(\.\d*?)0+$/, "$1")
}

function scaled(value, step, units) {
  let i = 0
  let rest = value
  while (Math.abs(rest) >= step * 0.9995 && i < units.length - 1) {
    rest /= step
    i += 1
  }
  return [short(rest), units[i]]
}

/** Seconds in the unit that suits them. */
function time(value) {
  if (value === 0) return ["0", "ms"]
  if (value < 0.001) return [short(value * 1e6), "µs"]
  if (value < 1) return [short(value * 1e3), "ms"]
  return [short(value), "s"]
}

/** Kinds of numbers: each gives [digits, unit]. */
export const KINDS = {
  // A million connections are counted one by one: which of them is missing is a question that is asked.
  count: (value) => (Math.abs(value) < 1e7 ? [count(value), ""] : scaled(value, 1000, PREFIXES)),
  rate: (value) => {
    if (Math.abs(value) < 10000) return [Math.abs(value) < 10 ? short(value) : count(value), "/s"]
    const [digits, unit] = scaled(value, 1000, PREFIXES)
    return [digits, `${unit}/s`]
  },
  bytes: (value) => scaled(value, 1000, ["B", "kB", "MB", "GB", "TB"]),
  byterate: (value) => {
    const [digits, unit] = scaled(value, 1000, ["B", "kB", "MB", "GB", "TB"])
    return [digits, `${unit}/s`]
  },
  time,
  cores: (value) => [short(value), value === 1 ? "core" : "cores"],
  share: (value) => [short(value * 100), "%"],
}

/** A number of a kind as one string. */
export function format(value, kind) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–"
  const [digits, unit] = KINDS[kind](value)
  const near = unit === "" || unit.startsWith("/") || PREFIXES.includes(unit[0]) && unit.endsWith("/s") && kind === "rate"
  return near ? digits + unit : `${digits}\u202f${unit}`
}

/** How long something takes, roughly: 3 h 20 min. */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–"
  const total = Math.max(0, seconds)
  if (total < 1) return "under 1\u202fs"
  const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]
  const first = parts.findIndex(([, size]) => total >= size)
  const [unit, size] = parts[first]
  const major = Math.floor(total / size)
  const next = parts[first + 1]
  const minor = next ? Math.floor((total - major * size) / next[1]) : 0
  return minor ? `${major}\u202f${unit} ${minor}\u202f${next[0]}` : `${major}\u202f${unit}`
}

/** A moment of the clock. */
export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB")
}
