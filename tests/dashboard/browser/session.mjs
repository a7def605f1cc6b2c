// A browser with a page of the dashboard, what it complained about, and ways to steer the server.

import { existsSync, mkdirSync } from "node:fs"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { chromium } from "playwright-core"

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium"
const PICTURES = process.env.CARGO_TARGET_TMPDIR ?? fileURLToPath(new URL("../../../target/tmp", import.meta.url))
/** Milliseconds that anything may take to show. */
export const PATIENCE = process.env.UPDATE_IMAGES ? 90_000 : 30_000

export const DESKTOP = { width: 1280, height: 860 }
export const PHONE = { width: 390, height: 844 }

export function requireBrowser() {
  if (existsSync(CHROMIUM)) return
  throw new Error(`there is no browser at ${CHROMIUM}: apt-get install chromium, or say where it is with CHROMIUM=…`)
}

export class Session {
  /** Everything that must not happen while a page is looked at. */
  complaints = []
  /** Hosts that pages asked, for whatever. */
  hosts = new Set()
  /** A server that was stopped cannot be asked; that is no fault of the page. */
  mayBeAway = false

  static async open(name, url) {
    requireBrowser()
    // The page is the operator's own, and the sandbox needs privileges that containers do not have.
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] })
    const session = new Session()
    Object.assign(session, { name, url, browser, host: new URL(url).host })
    session.page = await session.newPage()
    return session
  }

  /** Another page, as another person's; options are those of a browser context. */
  async newPage(options = {}) {
    const context = await this.browser.newContext({ viewport: DESKTOP, reducedMotion: "reduce", ...options })
    context.setDefaultTimeout(PATIENCE)
    const page = await context.newPage()
    await page.addInitScript(() => {
      addEventListener("securitypolicyviolation", event => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`))
    })
    page.on("console", message => {
      if (["error", "warning"].includes(message.type())) this.complain(`${message.text()} ${message.location().url}`)
    })
    page.on("pageerror", error => this.complaints.push(error.stack))
    page.on("request", request => this.hosts.add(new URL(request.url()).host))
    page.on("websocket", socket => this.hosts.add(`ws of ${new URL(socket.url()).hostname}`))
    return page
  }

  complain(text) {
    const away = this.mayBeAway && /ERR_(CONNECTION|INCOMPLETE|EMPTY)|Failed to load resource/.test(text)
    if (!away) this.complaints.push(text)
  }

  /** Shows a page of the dashboard and waits until its numbers live. */
  async show(place = "overview", page = this.page) {
    await page.goto(`${this.url}/#/${place}`)
    await page.locator("#state[data-state=live]").waitFor()
  }

  /** Waits until the text of an element is as expected: a string, a pattern, or a function of it. */
  async sees(selector, expected, page = this.page) {
    const element = page.locator(selector).first()
    const holds = text => (typeof expected === "function" ? expected(text) : expected.test ? expected.test(text) : text.includes(expected))
    let text = ""
    await until(async () => {
      // An element that is being drawn anew is looked at again.
      text = await element.textContent({ timeout: 1000 }).catch(() => text)
      return holds(text)
    }, () => `${selector} is ${JSON.stringify(text)}: expected ${expected}`)
    return text
  }

  async keepPicture(what, page = this.page, options = {}) {
    const folder = `${PICTURES}/dashboard`
    mkdirSync(folder, { recursive: true })
    await page.screenshot({ path: `${folder}/${this.name}-${what}.png`, fullPage: true, ...options })
  }

  /** Nothing was complained about, and nobody but the server was asked. */
  check() {
    if (this.complaints.length) throw new Error(`the browser complains:\n${this.complaints.join("\n")}`)
    const others = [...this.hosts].filter(host => host !== this.host && !host.startsWith("ws of 127.0.0.1"))
    if (others.length) throw new Error(`the page asks other hosts: ${others}`)
  }

  async close() {
    await this.browser.close()
  }
}

/** Looks again with every frame's worth of time until it holds. */
export async function until(look, words) {
  const deadline = Date.now() + PATIENCE
  while (!(await look())) {
    if (Date.now() > deadline) throw new Error(words())
    await new Promise(resolve => setTimeout(resolve, 30))
  }
}

let answers

/** Asks the test that started this program to do something to the server; returns what it says of it. */
export async function steer(order) {
  answers ??= createInterface({ input: process.stdin })[Symbol.asyncIterator]()
  process.stdout.write(`steer ${order}\n`)
  const { value = "nothing" } = await answers.next()
  if (value !== "done" && !value.startsWith("done ")) throw new Error(`steer ${order}: ${value}`)
  return value.slice("done ".length)
}

export function equal(found, expected, what) {
  if (found !== expected) throw new Error(`${what}: found ${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`)
}

export function holds(condition, what) {
  if (!condition) throw new Error(what)
}
