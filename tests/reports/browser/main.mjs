// The driver that tests/reports/main.rs starts: `list` prints every case, `run` runs one.
//
//   node main.mjs list                lines of "<run> <case>"
//   node main.mjs run <case> <url>    exits 0 when the case holds

import { existsSync, mkdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { chromium } from "playwright-core"

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium"
const PICTURES = `${process.env.CARGO_TARGET_TMPDIR ?? fileURLToPath(new URL("../../../target/tmp", import.meta.url))}/reports`
const LOOKS = [
  { what: "desktop", options: { viewport: { width: 1280, height: 900 } } },
  { what: "dark", options: { viewport: { width: 1280, height: 900 }, colorScheme: "dark" } },
  { what: "phone", options: { viewport: { width: 390, height: 844 }, hasTouch: true } },
]

const CASES = [
  { run: "crowd", name: "the_page_of_a_crowd_shows_its_report", charts: ["Connections", "Messages", "delivery", "Limits of the target"] },
  { run: "script", name: "the_page_of_a_script_shows_its_report", charts: ["Users there", "Messages", "response", "Limits of this machine"] },
  { run: "failing", name: "the_page_of_a_failed_run_says_so_first", charts: ["Users"] },
]

const [command, name, url] = process.argv.slice(2)
if (command === "list") {
  if (!existsSync(CHROMIUM)) throw new Error(`there is no browser at ${CHROMIUM}: apt-get install chromium, or say where it is with CHROMIUM=…`)
  for (const one of CASES) console.log(`${one.run} ${one.name}`)
} else if (command === "run") {
  // The page is our own, and the sandbox needs privileges that containers do not have.
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] })
  try {
    for (const look of LOOKS) await inspect(browser, CASES.find(one => one.name === name), look)
  } catch (error) {
    console.error(error)
    process.exitCode = 1
  }
  await browser.close()
  // The pipe to the test would keep the process alive.
  process.exit()
}

async function inspect(browser, { run, charts }, { what, options }) {
  const complaints = []
  const context = await browser.newContext(options)
  const page = await context.newPage()
  page.on("console", message => complaints.push(message.text()))
  page.on("pageerror", error => complaints.push(error.stack))
  page.on("dialog", dialog => complaints.push(dialog.message()))
  page.on("request", request => {
    if (request.url() !== url && !request.url().startsWith("data:")) complaints.push(`asks for ${request.url()}`)
  })
  await page.goto(url)
  const report = JSON.parse(readFileSync(fileURLToPath(url.replace(/html$/, "json")))).fourtuple

  const first = page.locator("h1 ~ section").first()
  equal(await first.getAttribute("class"), `verdict ${report.status}`, "the verdict")
  holds(run !== "failing" || (await first.textContent()).includes("check failed: vusers.failed == 0"), "it says why")
  equal(await page.locator("h1").textContent(), report.name, "the name")

  const shown = await page.locator("[data-figure]").evaluateAll(all => all.map(one => [one.dataset.figure, Number(one.dataset.value)]))
  equal(JSON.stringify(shown), JSON.stringify(report.figures.map(one => [one.name, one.value])), "the figures")
  const tile = page.locator("[data-figure] b").first()
  equal(Number((await tile.textContent()).replaceAll(",", "")), report.figures[0].value, "the first figure as people see it")
  for (const row of report.latencies) {
    const cells = await page.locator(`tr:has([data-latency=${row.name}]) [data-us]`).evaluateAll(all => all.map(one => Number(one.dataset.us)))
    equal(cells.join(), [row.p50_us, row.p90_us, row.p99_us, row.p999_us, row.max_us].join(), `percentiles of ${row.name}`)
  }
  for (const step of report.steps) holds((await page.locator("body").textContent()).includes(step.scenario), "the scenario's name is text")
  equal(await page.locator("script, img, iframe, link[href^=http]").count(), 0, "nothing that could ask anybody")

  const captions = await page.locator("figcaption").allTextContents()
  for (const title of charts) holds(captions.some(one => one.startsWith(title)), `a chart of ${title} among ${captions}`)
  equal(await page.locator("figure > svg[role=img][aria-label]").count(), captions.length, "charts in words")
  const lines = await page.locator("figure").first().locator("path.series[d*=L]").count()
  holds(lines > 0, "the first chart has a line")
  await page.locator("figure").first().locator(".at").nth(1).hover()
  holds(await page.locator(".tip").nth(1).isVisible(), "values show where one points")

  const width = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
  holds(width <= 0, `the page is ${width} pixels wider than the screen`)
  const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number))
  equal(ground[0] < 60, what === "dark", `dark: ${ground}`)

  mkdirSync(PICTURES, { recursive: true })
  await page.screenshot({ path: `${PICTURES}/${run}-${what}.png`, fullPage: true })
  equal(complaints.join("\n"), "", "complaints")
  await context.close()
}

function holds(is, what) {
  if (!is) throw new Error(`expected: ${what}`)
}

function equal(found, expected, what) {
  if (found !== expected) throw new Error(`${what}: found ${found}, expected ${expected}`)
}
