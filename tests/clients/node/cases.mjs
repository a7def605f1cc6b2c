// What phoenix.js must be able to do with the server, whatever its version.
//
// Each case is one sentence and one function; `server` names what it runs against: "relay" is the
// built-in channel of `fourtuple serve`, "fixture" the channels in tests/support/room.rs, "impatient"
// the same with an idle timeout of one second.

import assert from "node:assert/strict"
import { Session, bytes, list, steer } from "./session.mjs"

const everyVersion = () => true
const hasAuthToken = version => !version.startsWith("1.7.")

export const CASES = []

function on(server, name, run, supported = everyVersion) {
  CASES.push({ server, name, run, supported })
}

on("relay", "joins_and_leaves", async ({ url, version }) => {
  const session = await Session.connected(url, version)
  const room = session.channel("room:lobby")
  assert.deepEqual(await room.join(), {})
  assert.equal(await room.leave(), "ok")
  await room.closes.next()
  await session.disconnect()
})

on("relay", "refuses_an_unmatched_topic", async ({ url, version }) => {
  const session = await Session.connected(url, version)
  assert.deepEqual(await session.channel("nowhere:1").refused(), { reason: "unmatched topic" })
  await session.disconnect()
})

on("relay", "broadcasts_to_everyone_in_the_room", async ({ url, version }) => {
  const [a, b, elsewhere] = await Promise.all([1, 2, 3].map(() => Session.connected(url, version)))
  const [inA, inB] = [await a.joined("room:lobby"), await b.joined("room:lobby")]
  const outside = await elsewhere.joined("room:other")
  const [seenA, seenB, seenOutside] = [inA, inB, outside].map(member => member.listen("new_msg"))
  await inA.push("new_msg", { body: "hello" })
  assert.deepEqual(await seenA.next(), { body: "hello" })
  assert.deepEqual(await seenB.next(), { body: "hello" })
  // The room outside answers its own push, so whatever was on its way to it before has arrived.
  await outside.push("new_msg", { body: "own" })
  assert.deepEqual(await seenOutside.next(), { body: "own" })
  for (const session of [a, b, elsewhere]) await session.disconnect()
})

on("relay", "broadcasts_binary", async ({ url, version }) => {
  const [a, b] = [await Session.connected(url, version), await Session.connected(url, version)]
  const [inA, inB] = [await a.joined("room:lobby"), await b.joined("room:lobby")]
  const seen = inB.listen("blob")
  await inA.push("blob", bytes(0, 1, 127, 128, 255))
  assert.deepEqual(list(await seen.next()), [0, 1, 127, 128, 255])
  await a.disconnect()
  await b.disconnect()
})

on("relay", "delivers_a_thousand_broadcasts_in_order", async ({ url, version }) => {
  const [a, b] = [await Session.connected(url, version), await Session.connected(url, version)]
  const [inA, inB] = [await a.joined("room:lobby"), await b.joined("room:lobby")]
  const seen = inB.listen("count")
  for (let n = 0; n < 1000; n++) inA.channel.push("count", { n })
  const received = await seen.reached(1000)
  assert.deepEqual(received.map(({ n }) => n), [...Array(1000).keys()])
  await a.disconnect()
  await b.disconnect()
})

on("relay", "talks_to_every_other_version", async ({ url, version }) => {
  const { VERSIONS } = await import("./session.mjs")
  const sender = await (await Session.connected(url, version)).joined("room:lobby")
  for (const other of VERSIONS) {
    const session = await Session.connected(url, other)
    const seen = (await session.joined("room:lobby")).listen("greeting")
    await sender.push("greeting", { to: other })
    assert.deepEqual(await seen.next(), { to: other })
    await session.disconnect()
  }
})

on("relay", "keeps_payloads_as_they_are", async ({ url, version }) => {
  const session = await Session.connected(url, version)
  const room = await session.joined("room:lobby")
  const seen = room.listen("any")
  const payloads = [
    { text: "zażółć gęślą jaźń 👩‍🚀 \u0000 \" \\ </script>", nested: { list: [1, -0.5, 1e21, null, true, []] } },
    { "": {}, "__proto_": 1, "a.b": [[[]]] },
    { long: "x".repeat(40_000) },
  ]
  for (const payload of payloads) {
    await room.push("any", payload)
    assert.deepEqual(await seen.next(), payload)
  }
  await session.disconnect()
})

on("relay", "reconnects_and_rejoins_after_a_restart", async ({ url, version }) => {
  const session = await Session.connected(url, version)
  const room = await session.joined("room:lobby")
  const seen = room.listen("new_msg")
  await steer("restart")
  const { code } = await session.closes.next()
  assert.equal(code, 1012, "a drain closes with Service Restart")
  await session.opens.next()
  await room.joins.next()
  await room.push("new_msg", { body: "back" })
  assert.deepEqual(await seen.next(), { body: "back" })
  await session.disconnect()
})

on("fixture", "connects_with_params", async ({ url, version }) => {
  const params = { user_id: "7", deep: { a: "b c&d=é", list: "[1]" } }
  const session = await Session.connected(url, version, { params })
  const room = await session.joined("room:lobby")
  const [status, who] = await room.push("whoami")
  assert.equal(status, "ok")
  assert.deepEqual(who.params, { user_id: "7", deep: { a: "b c&d=é", list: "[1]" }, vsn: "2.0.0" })
  await session.disconnect()
})

on("fixture", "sees_a_refused_connect", async ({ url, version }) => {
  for (const [params, status] of [[{ token: "bad" }, 403], [{ token: "busy" }, 429]]) {
    const session = await Session.start(url, version, { params })
    session.socket.connect()
    const error = await session.errors.next()
    assert.match(error.message, new RegExp(`${status}`))
    assert.equal(session.opens.seen.length, 0)
    await session.disconnect()
  }
})

on("fixture", "sends_the_auth_token_as_a_subprotocol", async ({ url, version }) => {
  const session = await Session.connected(url, version, { authToken: "a secret/with+odd=signs" })
  assert.equal(session.socket.conn.protocol, "phoenix")
  const room = await session.joined("room:lobby")
  const [, who] = await room.push("whoami")
  assert.equal(who.auth_token, "a secret/with+odd=signs")
  await session.disconnect()
}, hasAuthToken)

on("fixture", "joins_with_a_payload", async ({ url, version }) => {
  const session = await Session.connected(url, version)
  const room = session.channel("room:lobby", { name: "ann" })
  assert.deepEqual(await room.join(), { name: "ann", room: "lobby" })
  await session.disconnect()
})

on("fixture", "sees_why_a_join_was_refused", async ({ url, version }) => {
  const session = await Session.connected(url, version)
  assert.deepEqual(await session.channel("room:forbidden").refused(), { reason: "unauthorized" })
  assert.deepEqual(await session.channel("room:broken").refused(), { reason: "join crashed" })
  const room = session.channel("room:lobby")
  await room.join()
  await session.disconnect()
})

on("fixture", "gets_ok_and_error_replies", async ({ url, version }) => {
  const session = await Session.connected(url, version)
  const room = await session.joined("room:lobby")
  assert.deepEqual(await room.push("echo", { value: 42 }), ["ok", { value: 42 }])
  assert.deepEqual(await room.push("fail", { reason: "because" }), ["error", { reason: "because" }])
  await session.disconnect()
})

on("fixture", "times_out_when_nothing_answers", async ({ url, version }) => {
  const session = await Session.connected(url, version)
  const room = await session.joined("room:lobby")
  const [status] = await room.push("quiet", {}, 200)
  assert.equal(status, "timeout")
  assert.deepEqual(await room.push("echo", { still: "here" }), ["ok", { still: "here" }])
  await session.disconnect()
})

on("fixture", "pushes_binary_and_gets_binary", async ({ url, version }) => {
  const session = await Session.connected(url, version)
  const room = await session.joined("room:lobby")
  const [status, response] = await room.push("binary", bytes(1, 2, 3, 250))
  assert.equal(status, "ok")
  assert.deepEqual(list(response), [250, 3, 2, 1])
  const [, empty] = await room.push("binary", bytes())
  assert.deepEqual(list(empty), [])
  await session.disconnect()
})

on("fixture", "receives_pushes_of_its_own_channel_only", async ({ url, version }) => {
  const session = await Session.connected(url, version)
  const [room, other] = [await session.joined("room:lobby"), await session.joined("room:other")]
  const [seen, seenOther] = [room.listen("pushed"), other.listen("pushed")]
  await room.push("push_me", { n: 1 })
  assert.deepEqual(await seen.next(), { n: 1 })
  await other.push("echo")
  assert.equal(seenOther.seen.length, 0)
  await session.disconnect()
})

on("fixture", "is_greeted_after_its_join", async ({ url, version }) => {
  const session = await Session.connected(url, version)
  const room = session.channel("room:lobby", { name: "ann", greet: true })
  const greeted = room.listen("greeting")
  await room.join()
  assert.deepEqual(await greeted.next(), { hello: "ann" })
  await session.disconnect()
})

on("fixture", "is_left_out_of_its_own_broadcast_from", async ({ url, version }) => {
  const [a, b] = [await Session.connected(url, version), await Session.connected(url, version)]
  const [inA, inB] = [await a.joined("room:lobby"), await b.joined("room:lobby")]
  const [seenA, seenB] = [inA.listen("told"), inB.listen("told")]
  assert.deepEqual(await inA.push("tell_others", { n: 1 }), ["ok", {}])
  assert.deepEqual(await seenB.next(), { n: 1 })
  await inA.push("echo")
  assert.equal(seenA.seen.length, 0)
  await a.disconnect()
  await b.disconnect()
})

on("impatient", "is_kept_open_by_heartbeats", async ({ url, version }) => {
  const session = await Session.connected(url, version, { heartbeatIntervalMs: 100 })
  // This server closes a socket that is silent for one second; these take three.
  await session.messages.reached(30)
  const beats = session.messages.seen.filter(({ topic, event }) => topic === "phoenix" && event === "phx_reply")
  assert.equal(beats.length, session.messages.seen.length)
  assert.equal(session.closes.seen.length, 0)
  await session.disconnect()
})

on("fixture", "moves_to_a_second_channel_of_the_same_topic", async ({ url, version }) => {
  const session = await Session.connected(url, version)
  const first = await session.joined("room:lobby", { name: "first" })
  const second = session.channel("room:lobby", { name: "second" })
  assert.deepEqual(await second.join(), { name: "second", room: "lobby" })
  await first.closes.next()
  assert.deepEqual(await second.push("echo", { n: 2 }), ["ok", { n: 2 }])
  await session.disconnect()
})

on("fixture", "sees_the_old_channel_close_on_a_duplicate_join", async ({ url, version }) => {
  const session = await Session.connected(url, version)
  const first = await session.joined("room:lobby")
  const ref = session.raw({ topic: "room:lobby", event: "phx_join", payload: { name: "again" } })
  await first.closes.next()
  const about = session.messages.seen.filter(({ topic }) => topic === "room:lobby").slice(-2)
  assert.deepEqual(about.map(({ event, join_ref }) => [event, join_ref]), [
    ["phx_reply", ref],
    ["phx_close", first.channel.joinRef()],
  ])
  await session.disconnect()
})

on("fixture", "rejoins_by_itself_after_a_crash", async ({ url, version }) => {
  const session = await Session.connected(url, version)
  const [room, other] = [await session.joined("room:lobby"), await session.joined("room:other")]
  room.channel.push("crash")
  assert.deepEqual(await room.errors.next(), { reason: "channel_crash" })
  assert.deepEqual(await other.push("echo", { n: 1 }), ["ok", { n: 1 }])
  await room.joins.next()
  assert.deepEqual(await room.push("echo", { n: 2 }), ["ok", { n: 2 }])
  assert.equal(session.closes.seen.length, 0, "a crashed channel leaves the socket open")
  assert.equal(other.errors.seen.length, 0)
  await session.disconnect()
})

on("fixture", "sees_a_channel_stop", async ({ url, version }) => {
  const session = await Session.connected(url, version)
  const room = await session.joined("room:lobby")
  assert.deepEqual(await room.push("stop", { bye: true }), ["ok", { bye: true }])
  await room.closes.next()
  assert.equal(room.errors.seen.length, 0)
  await session.disconnect()
})

on("fixture", "gets_a_reply_that_comes_late", async ({ url, version }) => {
  const session = await Session.connected(url, version)
  const room = await session.joined("room:lobby")
  let late = false
  const later = room.push("later", { n: 1 }).then(answer => { late = true; return answer })
  assert.deepEqual(await room.push("echo", { n: 2 }), ["ok", { n: 2 }])
  assert.equal(late, false)
  room.channel.push("release")
  assert.deepEqual(await later, ["ok", { n: 1 }])
  await session.disconnect()
})

on("fixture", "reconnects_after_a_forced_disconnect", async ({ url, version }) => {
  const session = await Session.connected(url, version, { params: { user_id: `${version}-forced` } })
  const room = await session.joined("room:lobby")
  room.channel.push("disconnect_me")
  const { code } = await session.closes.next()
  assert.equal(code, 1001, "every version reconnects on 1001, not every one on 1000")
  await session.opens.next()
  await room.joins.next()
  assert.deepEqual(await room.push("echo", { n: 1 }), ["ok", { n: 1 }])
  await session.disconnect()
})

on("fixture", "meets_the_limit_of_channels", async ({ url, version }) => {
  const session = await Session.connected(url, version)
  await Promise.all([...Array(100).keys()].map(n => session.joined(`room:${n}`)))
  const hundredAndFirst = session.channel("room:100")
  assert.deepEqual(await hundredAndFirst.refused(), { reason: "too many channels joined" })
  await session.disconnect()
})

on("fixture", "reconnects_and_rejoins_after_a_restart", async ({ url, version }) => {
  const session = await Session.connected(url, version)
  const [room, other] = [await session.joined("room:lobby"), await session.joined("room:other")]
  await steer("restart")
  await session.closes.next()
  await session.opens.next()
  for (const member of [room, other]) {
    await member.joins.next()
    assert.deepEqual(await member.push("echo", { n: 1 }), ["ok", { n: 1 }])
  }
  await session.disconnect()
})
