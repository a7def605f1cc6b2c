// The driver that tests/clients/main.rs starts: `list` prints every case, `run` runs one.
//
//   node main.mjs list                          lines of "<server> <client>::<case>"
//   node main.mjs run <client>::<case> <url>    exits 0 when the case holds

import { CASES } from "./cases.mjs"
import { VERSIONS } from "./session.mjs"

const CLIENT = "phoenix.js-"
const [command, name, url] = process.argv.slice(2)

if (command === "list") {
  for (const version of VERSIONS) {
    for (const { server, name, supported } of CASES) {
      if (supported(version)) console.log(`${server} ${CLIENT}${version}::${server}::${name}`)
    }
  }
} else if (command === "run") {
  const [client, server, caseName] = name.split("::")
  const found = CASES.find(candidate => candidate.server === server && candidate.name === caseName)
  await found.run({ url, version: client.slice(CLIENT.length) })
  // A socket that a case left open would keep the process alive.
  process.exit(0)
} else {
  console.error("usage: main.mjs list | run <client>::<server>::<case> <url>")
  process.exit(2)
}
