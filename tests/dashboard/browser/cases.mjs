// What must hold when somebody looks at the dashboard. Each case has a server, a crowd and a browser of its
// own; what it sees is kept as pictures.

import { mkdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { DESKTOP, PHONE, equal, holds, steer, until } from "./session.mjs"
import { TROUBLES } from "./troubles.mjs"

const PAGES = ["overview", "limits", "topics", "connections", "try"]
const CROWD = "--connections 300 --join room:{} --topics 3 --rate 2000"
const IMAGES = fileURLToPath(new URL("../../../docs/images", import.meta.url))

const figure = name => `[data-figure=${name}]`
const tileOf = name => `.tile:has(${figure(name)})`
const number = text => Number(text.replaceAll(",", "").replace(/[^0-9.].*$/, ""))
/** Samples that a chart of this title is drawn from. */
const pointsOf = (page, title) =>
  page.evaluate(wanted => {
    const card = [...document.querySelectorAll(".chart-card")].find(card => card.querySelector("h2").textContent === wanted)
    return (card.querySelector(".path.line-0").getAttribute("d") ?? "").split(/[ML]/).length - 1
  }, title)

export const CASES = [
  { server: "relay", name: "a_fresh_server_says_how_to_connect", run: aFreshServerSaysHowToConnect },
  { server: "relay", name: "figures_equal_what_the_crowd_did", run: figuresEqualWhatTheCrowdDid },
  { server: "relay", name: "every_page_renders_in_light_dark_and_on_a_phone", run: everyPageRenders },
  { server: "relay", name: "it_is_used_by_keyboard_alone", run: itIsUsedByKeyboardAlone },
  { server: "relay", name: "colours_can_be_changed", run: coloursCanBeChanged },
  { server: "wide", name: "a_hundred_shards_are_shown", run: aHundredShardsAreShown },
  { server: "relay", name: "limits_are_gauges_and_a_plan_is_made_in_place", run: limitsAreGauges },
  { server: "relay", name: "topics_are_ranked_and_searched", run: topicsAreRankedAndSearched },
  { server: "relay", name: "a_connection_is_found_and_disconnected", run: aConnectionIsDisconnected },
  { server: "relay", name: "try_it_is_a_phoenix_client", run: tryItIsAPhoenixClient },
  { server: "relay", name: "it_lives_through_a_restart_of_the_server", run: itLivesThroughARestart },
  ...TROUBLES,
]

async function aFreshServerSaysHowToConnect(session) {
  await session.show()
  await session.sees(".welcome", "Nobody has connected yet")
  await session.sees(".welcome .command", /^fourtuple load ws:\/\/127\.0\.0\.1:\d+\/socket --connections/)
  equal(await session.page.locator(figure("connections")).textContent(), "0", "connections")
  await session.keepPicture("overview")
  await steer("guest room:lobby")
  await session.sees(figure("connections"), text => text === "1")
  await session.page.locator(".welcome").waitFor({ state: "hidden" })
}

async function figuresEqualWhatTheCrowdDid(session) {
  const { page } = session
  await session.show()
  await steer(`crowd ${CROWD} --publish 10/s`)
  await session.sees(figure("connections"), text => text === "300")
  await session.sees(tileOf("connections"), "300 opened since the start")
  await session.sees(tileOf("joins_per_s"), "300 since the start")
  // Three topics with a hundred members each, ten messages a second in each: 3,000 deliveries.
  await session.sees(figure("deliveries_per_s"), text => Math.abs(number(text) - 3000) < 600)
  const words = await page.locator(".plot").first().getAttribute("aria-label")
  holds(/connections 300 now/.test(words), `the chart says in words: ${words}`)

  const report = JSON.parse(await steer("dismiss"))
  equal(report.connections.held, 300, "connections that the crowd held")
  await session.sees(figure("connections"), text => text === "0")
  const received = report.deliveries.received.toLocaleString("en")
  await session.sees(tileOf("deliveries_per_s"), `${received} since the start`)
  await session.sees("[data-count='closes.peer_closed']", text => text === "300")

  // A page that is opened now knows what was before.
  const late = await session.newPage()
  await session.show("overview", late)
  await until(async () => (await pointsOf(late, "Connections")) > 3, () => "a page opened now has no history")
  const before = await late.locator(".plot").first().getAttribute("aria-label")
  holds(/and 300/.test(before), `a page opened now says in words: ${before}`)
}

async function everyPageRenders(session) {
  const updating = Boolean(process.env.UPDATE_IMAGES)
  // A picture is of a crowd that came in the course of half a minute.
  const crowd = updating ? "--connections 5000 --join room:{} --topics 50 --rate 150" : CROWD
  await steer(`crowd ${crowd} --publish 2/s`)
  for (const [kind, options] of [
    ["light", { viewport: DESKTOP, colorScheme: "light" }],
    ["dark", { viewport: DESKTOP, colorScheme: "dark" }],
    ["phone", { viewport: PHONE, colorScheme: "dark", isMobile: true, hasTouch: true }],
    ["small-phone", { viewport: { width: 320, height: 640 }, isMobile: true, hasTouch: true }],
  ]) {
    const page = await session.newPage(options)
    for (const place of [...PAGES, "topics/room%3A1", "topics?search=room%3A*&sort=rate", "connections?topic=room%3A1"]) {
      await session.show(place, page)
      await page.locator("h1").waitFor()
      await until(async () => !(await page.locator("main").textContent()).includes("Waiting for the server"), () => `${place} still waits`)
      const text = await page.locator("main").textContent()
      holds(!/not to be had|NaN|undefined|null|Infinity/.test(text), `${place} says ${text}`)
      const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth])
      holds(wide <= room, `${place} is ${wide} wide on a ${kind} of ${room}`)
      await session.keepPicture(`${place.replace(/[^a-z0-9]+/gi, "-")}-${kind}`, page)
      if (updating && kind !== "small-phone") await takeImage(session, page, place, kind)
    }
    await page.context().close()
  }
}

/** The README's pictures: with enough history to be one. */
async function takeImage(session, page, place, kind) {
  const wanted = { "overview light": "dashboard-overview.png", "limits dark": "dashboard-limits.png" }[`${place} ${kind}`]
  if (!wanted) return
  if (place === "overview") await until(async () => (await pointsOf(page, "Connections")) > 55, () => "there is no history")
  await page.evaluate(() => document.activeElement.blur())
  mkdirSync(IMAGES, { recursive: true })
  await page.screenshot({ path: `${IMAGES}/${wanted}`, clip: { x: 0, y: 0, width: DESKTOP.width, height: 720 } })
}

async function itIsUsedByKeyboardAlone(session) {
  const { page } = session
  await session.show()
  const focused = () =>
    page.evaluate(() => {
      const element = document.activeElement
      const { outlineStyle, outlineWidth } = getComputedStyle(element)
      return { id: element.id, tag: element.tagName, text: element.textContent.trim(), outline: `${outlineStyle} ${outlineWidth}` }
    })
  await page.keyboard.press("Tab")
  equal((await focused()).id, "skip", "the first stop")
  await page.keyboard.press("Enter")
  equal((await focused()).id, "main", "the target of the skip link")

  await page.reload()
  await page.locator("#state[data-state=live]").waitFor()
  const stops = []
  for (let i = 0; i < 8; i += 1) {
    await page.keyboard.press("Tab")
    const stop = await focused()
    holds(stop.outline.startsWith("solid") && stop.outline !== "solid 0px", `focus on ${stop.text} is to be seen: ${stop.outline}`)
    stops.push(stop.text)
  }
  equal(stops.slice(1, 7).join(), "fourtuple,Overview,Limits,Topics,Connections,Try it", "the order of focus")

  // A chart is read second by second.
  await steer("guest room:lobby")
  await session.sees(figure("connections"), text => text === "1")
  await until(async () => (await pointsOf(page, "Connections")) > 2, () => "there is no history")
  const chart = page.locator(".chart-card").first()
  await chart.locator(".plot").focus()
  await page.keyboard.press("ArrowLeft")
  await session.sees(".chart-card .moment", "ago")
  await session.sees(".chart-card [aria-live]", /ago, \d\d:\d\d:\d\d: connections \d+, channels \d+/)
  await page.keyboard.press("Escape")
  await session.sees(".chart-card .moment", text => text === "now")
  await chart.locator("summary").focus()
  await page.keyboard.press("Enter")
  await session.sees(".chart-card table", "connections")

  await page.locator("#tabs a", { hasText: "Try it" }).focus()
  await page.keyboard.press("Enter")
  await page.locator("h1", { hasText: "Try it" }).waitFor()
  equal((await focused()).tag, "H1", "focus after a change of page")
  equal(await page.title(), "Try it · fourtuple", "the title")
}

async function coloursCanBeChanged(session) {
  const ground = page => page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0))
  const dark = await session.newPage({ colorScheme: "dark" })
  await session.show("overview", dark)
  holds((await ground(dark)) < 150, "the system is dark and the page is not")
  await dark.getByRole("button", { name: "Change to light colours" }).click()
  holds((await ground(dark)) > 600, "the page does not become light")
  await dark.reload()
  holds((await ground(dark)) > 600, "the choice is forgotten")
  await dark.getByRole("button", { name: "Change to dark colours" }).click()
  holds((await ground(dark)) < 150, "the page does not become dark again")
}

async function aHundredShardsAreShown(session) {
  const { page } = session
  await session.show()
  await steer(`crowd --connections 600 --join room:lobby --rate 2000`)
  await session.sees(figure("connections"), text => text === "600")
  equal(await page.locator(".shard").count(), 110, "bars")
  await session.sees(".card:has(.bars) .summary", /^110 shards: between \d+ and \d+ open WebSockets/)
  await page.locator(".plot:has(.bars)").focus()
  await page.keyboard.press("End")
  await session.sees(".card:has(.bars) .summary", /^Shard 109: /)
  await page.getByText("All shards in numbers").click()
  const sum = () => page.evaluate(() => [...document.querySelectorAll(".card:has(.bars) tbody tr")].reduce((total, row) => total + Number(row.children[1].textContent), 0))
  await until(async () => (await sum()) === 600, () => "the shards do not add up to the crowd")
  await page.getByRole("radio", { name: "Processor" }).check()
  await session.sees(".card:has(.bars) .summary", "%")
  await session.keepPicture("overview")
}

async function limitsAreGauges(session) {
  const { page } = session
  await session.show("limits")
  await page.locator(".gauge").first().waitFor()
  holds((await page.locator(".gauge").count()) >= 4, "gauges")
  for (const gauge of await page.locator(".gauge").all()) {
    const text = await gauge.textContent()
    holds(/ of [\d,.]/.test(text) && /%/.test(text), `a gauge says how much of how much: ${text}`)
    holds(!/\b1 \w+s\b of/.test(text), `one is not many: ${text}`)
    holds(!/(Grows|Falls) by [\d.,]+\/s/.test(text), `a pace has a unit: ${text}`)
  }
  await session.sees("main", "One listening port is enough")
  await page.locator(".drawing svg").first().waitFor()
  const drawn = await page.locator(".drawing").first().getAttribute("aria-label")
  holds(/connections/.test(drawn), `the drawing says in words: ${drawn}`)
  await page.getByRole("spinbutton").fill("2000000")
  await page.getByRole("button", { name: "Plan" }).click()
  await session.sees("main h3:has-text('2,000,000 connections')", /the plan/)
  await session.sees("pre", "2,000,000")
  equal(await page.locator(".drawing svg").count(), 2, "drawings")
}

async function topicsAreRankedAndSearched(session) {
  const { page } = session
  await steer(`crowd ${CROWD} --publish 10/s`)
  await session.show("topics")
  await session.sees("tbody", text => ["room:0", "room:1", "room:2"].every(topic => text.includes(topic)))
  await session.sees("tbody tr td.number", text => text === "100")
  await page.locator("#sort").selectOption("rate")
  await session.sees("tbody tr", /room:\d.*\d\/s/)
  await page.getByRole("searchbox").fill("room:*")
  await page.getByRole("button", { name: "Search" }).click()
  await session.sees("h2", "Topics that match room:*")
  await until(async () => (await page.locator("tbody tr").count()) === 3, () => "not all topics are found")
  let rates = []
  await until(async () => {
    // A topic that was not counted yet has no rate: a search again has newer ones.
    await page.getByRole("button", { name: "Search" }).click()
    rates = (await page.locator("tbody tr td:nth-child(4)").allTextContents()).map(Number.parseFloat)
    return rates.length === 3 && rates.every((rate, i) => !Number.isNaN(rate) && (i === 0 || rates[i - 1] >= rate))
  }, () => `the busiest is first: ${rates}`)
  await page.getByRole("searchbox").fill("room:1")
  await page.getByRole("button", { name: "Search" }).click()
  await session.sees("h2", "Topics that match room:1")
  await until(async () => (await page.locator("tbody tr").count()) === 1, () => "more than one topic is called room:1")
  await page.getByRole("link", { name: "room:1" }).click()
  await session.sees(".facts", /Members100/)
  await page.locator("tbody a").first().waitFor()
}

async function aConnectionIsDisconnected(session) {
  const { page } = session
  await steer("guest room:lobby")
  await session.show("connections")
  await page.getByLabel("Find by").selectOption("topic")
  await page.getByLabel("What to find").fill("room:lobby")
  await page.getByRole("button", { name: "Search" }).click()
  await page.locator("tbody a").first().click()
  await session.sees(".names", "room:lobby")
  await session.sees(".facts", "127.0.0.1")
  await session.keepPicture("connection")

  // Who thinks better of it has done nothing.
  await page.getByRole("button", { name: "Disconnect …" }).click()
  await session.sees("dialog", "This cannot be undone")
  equal(await page.evaluate(() => document.activeElement.textContent), "Keep it", "what Enter would do")
  await page.keyboard.press("Enter")
  await page.locator("dialog").waitFor({ state: "detached" })
  await steer("say room:lobby still-here")

  await page.getByRole("button", { name: "Disconnect …" }).focus()
  await page.keyboard.press("Enter")
  await page.keyboard.press("Tab")
  await session.keepPicture("confirm")
  await page.keyboard.press("Enter")
  await session.sees(".said", "Disconnected 1 connection.")
  const code = await steer("ended")
  holds(["1000", "1001"].includes(code), `the client was told ${code}`)
  // The page asks for a connection that is gone, and is told so by a 404, which browsers report.
  await session.sees("main", "There is no such connection any more")
  session.complaints = session.complaints.filter(text => !/404 .*\/connections\//.test(text))
}

async function tryItIsAPhoenixClient(session) {
  const { page } = session
  await session.show("try")
  await until(async () => /^ws:\/\/127\.0\.0\.1:\d+\/socket$/.test(await page.getByLabel("Server").inputValue()), () => "it does not know where the server is")
  await page.getByRole("button", { name: "Connect", exact: true }).click()
  await session.sees("[role=status].said", "Connected.")
  await page.getByRole("button", { name: "Join" }).click()
  await session.sees("[role=status].said", "Joined: room:lobby.")
  await page.getByLabel("Payload", { exact: true }).fill('{"body": "from the page"}')
  await page.getByRole("button", { name: "Push" }).click()
  const frames = page.locator(".frames li")
  await frames.filter({ hasText: '"room:lobby","new_msg",{"body":"from the page"}' }).nth(1).waitFor()
  equal(await frames.filter({ hasText: "from the page" }).count(), 2, "the push and its broadcast")
  equal(await page.locator(".frames li.in", { hasText: "from the page" }).count(), 1, "its broadcast")

  await steer("guest room:lobby")
  await steer("say room:lobby from-another-client")
  await page.locator(".frames li.in", { hasText: "from-another-client" }).waitFor()
  await session.keepPicture("console")

  // What is not JSON is not sent.
  await page.getByLabel("Payload", { exact: true }).fill("{oops")
  await page.getByRole("button", { name: "Push" }).click()
  await session.sees("[role=alert]", "{oops is not JSON")
  await page.getByLabel("Payload", { exact: true }).fill("{}")
  for (let i = 0; i < 110; i += 1) await page.getByRole("button", { name: "Push" }).click()
  await session.sees(".row .meaning", /^The last 200 of \d+ frames/)
  equal(await frames.count(), 200, "frames that are kept")

  await page.getByRole("button", { name: "Leave" }).click()
  await session.sees("[role=status].said", "No topic is joined yet.")
  await page.getByRole("button", { name: "Disconnect" }).click()
  await session.sees("[role=status].said", "Not connected.")
  await page.locator(".frames li.note", { hasText: "closed with 1000" }).waitFor()
}

async function itLivesThroughARestart(session) {
  const { page } = session
  await session.show()
  await steer("guest room:lobby")
  await session.sees(tileOf("connections"), "1 opened since the start")
  session.mayBeAway = true
  await steer("stop")
  await page.locator("#state[data-state=stale]").waitFor()
  await session.sees("#state-text", "not connected")
  await session.sees("#stale", /numbers are .* old/)
  await session.keepPicture("stale")
  await steer("start")
  await page.locator("#state[data-state=live]").waitFor()
  session.mayBeAway = false
  await page.locator("#stale").waitFor({ state: "hidden" })
  await session.sees(".welcome", "Nobody has connected yet")
  // The history is that of the new server.
  holds((await pointsOf(page, "Connections")) < 10, "the history of the old server is still there")
  await steer(`crowd --connections 7 --join room:lobby`)
  await session.sees(figure("connections"), text => text === "7")
  await session.sees(tileOf("connections"), "7 opened since the start")
}
