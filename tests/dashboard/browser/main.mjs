// The driver that tests/dashboard/main.rs starts: `list` prints every case, `run` runs one.
//
//   node main.mjs list                lines of "<server> <case>"
//   node main.mjs run <case> <url>    exits 0 when the case holds

import { CASES } from "./cases.mjs"
import { Session, requireBrowser } from "./session.mjs"

const [command, name, url] = process.argv.slice(2)

if (command === "list") {
  requireBrowser()
  for (const { server, name } of CASES) console.log(`${server} ${name}`)
} else if (command === "run") {
  const session = await Session.open(name, url)
  try {
    await CASES.find(candidate => candidate.name === name).run(session)
    session.check()
  } catch (error) {
    await session.keepPicture("failed")
    console.error(error, session.complaints)
    process.exitCode = 1
  }
  await session.close()
  // The pipe to the test would keep the process alive.
  process.exit()
} else {
  console.error("usage: main.mjs list | run <case> <url>")
  process.exit(2)
}
