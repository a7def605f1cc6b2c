// What must hold when something is not as it should be: answers that are late or lack a part, a page that
// browsers hold back, and what a page leaves behind.

import { PHONE, equal, holds, steer, until } from "./session.mjs"

export const TROUBLES = [
  { server: "relay", name: "the_same_search_is_made_again", run: theSameSearchIsMadeAgain },
  { server: "relay", name: "a_late_answer_is_not_waited_for_without_end", run: aLateAnswerIsNotWaitedFor },
  { server: "relay", name: "what_is_missing_is_said", run: whatIsMissingIsSaid },
  { server: "relay", name: "a_page_that_is_left_watches_nothing", run: aPageThatIsLeftWatchesNothing },
  { server: "relay", name: "a_page_over_https_says_why_it_cannot_connect", run: aPageOverHttpsSaysWhy },
  { server: "relay", name: "small_text_can_be_read", run: smallTextCanBeRead },
]

/** A module of the page. */
const load = (page, name) => page.evaluateHandle(async file => {
  const main = document.querySelector("script[type=module]").src
  return import(new URL(file, main))
}, name)

async function theSameSearchIsMadeAgain(session) {
  const { page } = session
  const asked = []
  page.on("request", request => asked.push(decodeURIComponent(new URL(request.url()).search)))
  const times = wanted => asked.filter(search => search.includes(wanted)).length
  await session.show("topics")
  for (const [n, topic] of [["first", "late:1"], ["second", "late:1"]]) {
    await page.getByRole("searchbox").fill(topic)
    await page.getByRole("button", { name: "Search" }).click()
    await until(() => times("search=late:1") === (n === "first" ? 1 : 2), () => `the ${n} search is not made`)
  }
  await session.sees("tbody", "No topic with members matches.")

  await session.show("connections")
  await page.getByLabel("Find by").selectOption("topic")
  for (const n of [1, 2]) {
    await page.getByLabel("What to find").fill("room:lobby")
    await page.keyboard.press("Enter")
    await until(() => times("topic=room:lobby") === n, () => `search ${n} is not made`)
  }
  await session.sees("tbody", "No connection has this topic.")
  // Who has come meanwhile is found by the third.
  await steer("guest room:lobby")
  await page.getByRole("button", { name: "Search" }).click()
  await session.sees("tbody", "127.0.0.1")
  await page.getByRole("link", { name: "Clear" }).click()
  await page.getByRole("link", { name: "All, page by page" }).click()
  await session.sees("h2:has-text('All connections')", "All connections")
  await session.sees("tbody", "127.0.0.1")
}

async function aLateAnswerIsNotWaitedFor(session) {
  const { page } = session
  await session.show()
  const api = await load(page, "api.js")
  const said = (path, options) => api.evaluate(({ ask }, [path, options]) => ask(path, options).then(() => "answered", error => error.message), [path, options])
  await page.route("**/api/v1/never*", () => {})
  equal(await said("/api/v1/never?a=1", { patienceMs: 50 }), "the server has not answered /api/v1/never for 0.05 seconds", "a late answer")
  equal(await said("/api/v1/memory", {}), "answered", "one in time")
  // Who stops by himself is not told that the server is late.
  const stopped = await api.evaluate(({ ask }) => ask("/api/v1/never", { signal: AbortSignal.abort() }).catch(error => error.name))
  equal(stopped, "AbortError", "a question that was taken back")
}

async function whatIsMissingIsSaid(session) {
  const { page } = session
  const change = (path, alter) => page.route(path, async route => {
    const answer = await route.fetch()
    const json = await answer.json()
    alter(json)
    await route.fulfill({ response: answer, json })
  })
  await change("**/api/v1/connections?sort=outbox*", json => (json.missing_shards = [1, 3]))
  await session.show("connections")
  await session.sees(".card:has-text('Slowest outboxes') .wrong", "Not whole: shards 1 and 3 did not answer in time, so their connections are missing here.")
  await session.keepPicture("connections")

  await change("**/api/v1/memory", json => (json.measured.slab_bytes = null))
  await session.show()
  const words = await session.sees(".card:has-text('Memory by ledger term') .summary", "TCP buffers")
  holds(/^Measured: [^,]* of this process in RAM \(.*\) and .* in TCP buffers of the whole machine\.$/.test(words), `a sentence: ${words}`)
}

async function aPageThatIsLeftWatchesNothing(session) {
  const page = await session.newPage()
  await page.addInitScript(() => {
    globalThis.watching = 0
    globalThis.ResizeObserver = class extends ResizeObserver {
      observe(...rest) {
        globalThis.watching += 1
        super.observe(...rest)
      }
      disconnect() {
        globalThis.watching -= 1
        super.disconnect()
      }
    }
  })
  await session.show("overview", page)
  await page.locator(".chart-card .path.line-0").first().waitFor({ state: "attached" })
  equal(await page.evaluate(() => globalThis.watching), 9, "eight charts and the shards")
  for (const place of ["Topics", "Overview", "Limits"]) {
    await page.locator("#tabs a", { hasText: place }).click()
    const expected = place === "Overview" ? 9 : 0
    await until(async () => (await page.evaluate(() => globalThis.watching)) === expected, () => `${place} does not leave ${expected} watching`)
  }
}

async function aPageOverHttpsSaysWhy(session) {
  const { page } = session
  await session.show("try")
  const https = { protocol: "https:", hostname: "admin.example" }
  const overview = await load(page, "overview.js")
  const url = server => overview.evaluate(({ socketUrl }, [server, page]) => socketUrl(server, page), [server, https])
  equal(await url({ listen: "0.0.0.0:4000", path: "/socket" }), "ws://admin.example:4000/socket", "the listener has no TLS")
  equal(await url({ listen: "0.0.0.0:4000", path: "/socket", host: "chat.example" }), "wss://chat.example/socket", "a proxy has")
  const tryit = await load(page, "tryit.js")
  const hurdle = (url, protocol) => tryit.evaluate(({ hurdleOf }, [url, protocol]) => hurdleOf(url, { protocol }), [url, protocol])
  for (const [url, protocol, isHeld] of [
    ["ws://admin.example:4000/socket", "https:", true],
    ["wss://chat.example/socket", "https:", false],
    ["ws://127.0.0.1:4000/socket", "https:", false],
    ["ws://admin.example:4000/socket", "http:", false],
  ]) {
    const said = await hurdle(url, protocol)
    equal(said.includes("This page came over https"), isHeld, `what is said of ${url} on ${protocol}`)
  }
  equal(await page.locator("#mixed").isHidden(), true, "this page is not held back")

  // A server elsewhere is no place for this page to connect to, and it says so.
  await page.getByLabel("Server").fill("ws://192.0.2.1:9/socket")
  await page.getByRole("button", { name: "Connect", exact: true }).click()
  await session.sees("[role=alert]", "This page may connect to its own server alone")
  session.complaints = session.complaints.filter(text => !text.includes("192.0.2.1"))
  session.hosts.delete("ws of 192.0.2.1")
}

/** Every text has 4.5 to 1 against what is behind it (WCAG 2.2, 1.4.3); what cannot be used is exempt. */
async function smallTextCanBeRead(session) {
  await steer("crowd --connections 30 --join room:{} --topics 3 --rate 2000 --publish 2/s")
  for (const colorScheme of ["light", "dark"]) {
    const page = await session.newPage({ colorScheme, viewport: PHONE })
    for (const place of ["overview", "limits", "topics", "connections", "try"]) {
      await session.show(place, page)
      await until(async () => !(await page.locator("main").textContent()).includes("Waiting for the server"), () => `${place} still waits`)
      const faint = await page.evaluate(() => {
        const parts = colour => (colour.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number)
        const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
          .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0)
        const ground = element => {
          for (let at = element; at; at = at.parentElement) {
            const [r, g, b, alpha = 1] = parts(getComputedStyle(at).backgroundColor)
            if (alpha === 1) return [r, g, b]
          }
          return [255, 255, 255]
        }
        const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
        const found = new Set()
        while (texts.nextNode()) {
          const { textContent, parentElement: element } = texts.currentNode
          if (!textContent.trim() || !element.checkVisibility() || element.closest(":disabled, .unseen, .skip")) continue
          const style = getComputedStyle(element)
          const ink = parts(element instanceof SVGElement ? style.fill : style.color)
          const [a, b] = [light(ink), light(ground(element))]
          const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
          if (ratio < 4.5) found.add(`${ratio.toFixed(2)} ${element.tagName}.${element.getAttribute("class")} ${textContent.trim().slice(0, 30)}`)
        }
        return [...found]
      })
      equal(faint.join("; "), "", `what is too faint on ${place} in the ${colorScheme}`)
    }
    await page.context().close()
  }
}
