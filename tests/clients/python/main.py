"""What the PyPI package phoenix-channels-python-client must be able to do with the server.

The driver that tests/clients/main.rs starts:

    python main.py list                                  lines of "<server> <client>::<server>::<case>"
    python main.py run <client>::<server>::<case> <url>  exits 0 when the case holds

The client speaks both serializers. What it cannot be tried with, and why:

- pushes have no function of their own here, so the cases send them by its public protocol handler;
- broadcasts are received in V1 only: in V2 the client drops every message whose join_ref is not that
  of its join, and Phoenix broadcasts with null; the refusal of an unmatched topic is dropped alike;
- binary payloads: it sends text and reads every frame as JSON;
- payloads of a join, so no greeting either: a topic is all that a subscription takes;
- two channels of one topic, so no duplicate join: it refuses the second subscription by itself;
- auth_token, which travels as a subprotocol: it offers none.
"""

import asyncio
import sys

from phoenix_channels_python_client import PHXChannelsClient, PhoenixChannelsProtocolVersion, ReconnectPolicy
from phoenix_channels_python_client.exceptions import PHXConnectionError, PHXTopicError
from phoenix_channels_python_client.utils import make_message

CLIENT = "python-client-"
VERSIONS = {"v1": PhoenixChannelsProtocolVersion.V1, "v2": PhoenixChannelsProtocolVersion.V2}
DEADLINE_S = 15

# The client's own waits after a close are minutes long; the order of events is what counts here.
QUICK = ReconnectPolicy(
    base_delay_s=0.05,
    max_delay_s=0.2,
    service_restart_min_delay_s=0.05,
    service_restart_max_delay_s=0.1,
    rapid_first_min_delay_s=0,
    rapid_second_min_delay_s=0,
    rapid_cooldown_base_s=0,
    rapid_cooldown_step_s=0,
    rapid_cooldown_max_s=0,
)

CASES = []


def case(server, versions=("v1", "v2")):
    def declare(run):
        CASES.append((server, run.__name__, run, versions))
        return run

    return declare


class Session:
    """A connected client whose messages and lifecycle calls land in queues."""

    def __init__(self, url, version, **options):
        self.messages = asyncio.Queue()
        self.reconnects = asyncio.Queue()
        self.lost = asyncio.Queue()
        self.beats = asyncio.Queue()
        options = {"api_key": "key", "reconnect_policy": QUICK} | options
        self.client = PHXChannelsClient(
            f"{url}/websocket",
            protocol_version=VERSIONS[version],
            on_reconnect=self._reconnected,
            on_topic_lost=self._lost,
            on_heartbeat_ack=lambda: self.beats.put_nowait(True),
            **options,
        )

    async def _reconnected(self):
        self.reconnects.put_nowait(True)

    async def _lost(self, topic, error):
        self.lost.put_nowait((topic, str(error)))

    async def __aenter__(self):
        await self.client.__aenter__()
        return self

    async def __aexit__(self, *error):
        await self.client.__aexit__(*error)

    async def join(self, topic):
        async def record(message):
            self.messages.put_nowait(message)

        await self.client.subscribe_to_topic(topic, record)

    async def push(self, topic, event, payload=None, ref="push"):
        join_ref = self.client.get_current_subscriptions()[topic].join_ref
        message = make_message(event, topic, ref, payload or {}, join_ref)
        await self.client.get_protocol_handler().send_message(self.client.connection, message)

    async def reply(self, topic, event, payload=None):
        await self.push(topic, event, payload)
        while True:
            message = await soon(self.messages.get(), f"a reply to {event}")
            if str(message.event) == "phx_reply" and message.ref == "push":
                return message.payload

    async def next(self, event):
        while True:
            message = await soon(self.messages.get(), event)
            if str(message.event) == event:
                return message.payload


async def soon(awaitable, what):
    try:
        return await asyncio.wait_for(awaitable, DEADLINE_S)
    except TimeoutError:
        raise AssertionError(f"waited {DEADLINE_S} s for {what}") from None


async def until(condition):
    """Waits for a state that the client has no callback for."""
    while not condition():
        await asyncio.sleep(0.01)


async def steer(command):
    """Asks the test that started this program to do something to the server, and waits for it."""
    print(f"steer {command}", flush=True)
    answer = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    assert answer == "done\n", f"steer {command}: {answer!r}"


@case("relay")
async def joins_and_leaves(url, version):
    async with Session(url, version) as session:
        await session.join("room:lobby")
        assert session.client.is_topic_joined("room:lobby")
        await session.client.unsubscribe_from_topic("room:lobby")
        assert not session.client.get_current_subscriptions()


# In V2 the client drops the refusal, whose join_ref is null, and would wait for its own timeout.
@case("relay", versions=("v1",))
async def sees_an_unmatched_topic(url, version):
    async with Session(url, version) as session:
        try:
            await session.join("nowhere:1")
        except PHXTopicError as error:
            assert str(error) == "unmatched topic", error
        else:
            raise AssertionError("the join was not refused")


@case("relay", versions=("v1",))
async def receives_a_broadcast_of_another_client(url, version):
    async with Session(url, version) as a, Session(url, "v2") as b:
        await a.join("room:lobby")
        await b.join("room:lobby")
        await b.push("room:lobby", "new_msg", {"body": "hej 👋"})
        assert await a.next("new_msg") == {"body": "hej 👋"}
        await a.push("room:lobby", "new_msg", {"body": "own"})
        assert await a.next("new_msg") == {"body": "own"}


@case("relay")
async def reconnects_and_rejoins_after_a_restart(url, version):
    async with Session(url, version) as session:
        await session.join("room:lobby")
        await steer("restart")
        await soon(session.reconnects.get(), "the client to reconnect")
        assert session.client.is_topic_joined("room:lobby")
        assert session.lost.empty()


@case("fixture")
async def sees_a_refused_connect(url, version):
    session = Session(f"{url}", version, api_key="refuse-me")
    try:
        async with session:
            raise AssertionError("the connect was not refused")
    except PHXConnectionError as error:
        assert "403" in str(error), error


@case("fixture")
async def connects_with_params(url, version):
    async with Session(url, version, api_key="k&y=1") as session:
        await session.join("room:lobby")
        answer = await session.reply("room:lobby", "whoami")
        vsn = VERSIONS[version].vsn
        assert answer["status"] == "ok"
        assert answer["response"]["params"] == {"api_key": "k&y=1", "vsn": vsn}, answer


@case("fixture")
async def sees_why_a_join_was_refused(url, version):
    async with Session(url, version) as session:
        for topic, reason in [("room:forbidden", "unauthorized"), ("room:broken", "join crashed")]:
            try:
                await session.join(topic)
            except PHXTopicError as error:
                assert str(error) == reason, error
            else:
                raise AssertionError(f"joined {topic}")


@case("fixture")
async def gets_ok_and_error_replies(url, version):
    async with Session(url, version) as session:
        await session.join("room:lobby")
        answer = await session.reply("room:lobby", "echo", {"value": [1, "żółć", None]})
        assert answer == {"status": "ok", "response": {"value": [1, "żółć", None]}}, answer
        answer = await session.reply("room:lobby", "fail", {"reason": "because"})
        assert answer == {"status": "error", "response": {"reason": "because"}}, answer


@case("fixture")
async def receives_a_push(url, version):
    async with Session(url, version) as session:
        await session.join("room:lobby")
        await session.push("room:lobby", "push_me", {"n": 1})
        assert await session.next("pushed") == {"n": 1}


@case("fixture")
async def gets_a_reply_that_comes_late(url, version):
    async with Session(url, version) as session:
        await session.join("room:lobby")
        await session.push("room:lobby", "later", {"n": 1}, ref="late")
        answer = await session.reply("room:lobby", "echo", {"n": 2})
        assert answer == {"status": "ok", "response": {"n": 2}}, answer
        await session.push("room:lobby", "release", ref=None)
        assert await session.next("phx_reply") == {"status": "ok", "response": {"n": 1}}


@case("fixture", versions=("v1",))
async def is_left_out_of_its_own_broadcast_from(url, version):
    async with Session(url, version) as a, Session(url, version) as b:
        await a.join("room:lobby")
        await b.join("room:lobby")
        await a.push("room:lobby", "tell_others", {"from": "a"})
        assert await b.next("told") == {"from": "a"}
        # The first that it is told is what the other said.
        await b.push("room:lobby", "tell_others", {"from": "b"})
        assert await a.next("told") == {"from": "b"}


@case("impatient")
async def is_kept_open_by_heartbeats(url, version):
    async with Session(url, version, heartbeat_interval_s=0.1, heartbeat_dead_threshold_s=5.0) as session:
        # This server closes a socket that is silent for one second; these take three.
        for _ in range(30):
            await soon(session.beats.get(), "a heartbeat reply")
        assert session.reconnects.empty()


@case("fixture")
async def rejoins_by_itself_after_a_crash(url, version):
    async with Session(url, version) as session:
        await session.join("room:lobby")
        subscription = session.client.get_current_subscriptions()["room:lobby"]
        first = subscription.join_ref
        await session.push("room:lobby", "crash")
        await soon(until(lambda: subscription.join_ref != first), "a new join")
        await soon(subscription.current_join_ready, "the answer to the rejoin")
        answer = await session.reply("room:lobby", "echo", {"n": 2})
        assert answer == {"status": "ok", "response": {"n": 2}}, answer
        assert session.reconnects.empty(), "a crashed channel leaves the socket open"


@case("fixture")
async def loses_a_channel_that_stops(url, version):
    async with Session(url, version) as session:
        await session.join("room:lobby")
        await session.push("room:lobby", "stop")
        topic, error = await soon(session.lost.get(), "the loss of the topic")
        assert (topic, "closed by the server" in error) == ("room:lobby", True), error


@case("fixture")
async def reconnects_after_a_forced_disconnect(url, version):
    async with Session(f"{url}", version, api_key=f"forced-{version}") as session:
        await session.join("room:lobby")
        await session.push("room:lobby", "disconnect_me")
        await soon(session.reconnects.get(), "the client to reconnect")
        answer = await session.reply("room:lobby", "echo", {"n": 1})
        assert answer == {"status": "ok", "response": {"n": 1}}, answer


def main(arguments):
    match arguments:
        case ["list"]:
            for version in VERSIONS:
                for server, name, _, versions in CASES:
                    if version in versions:
                        print(f"{server} {CLIENT}{version}::{server}::{name}")
        case ["run", name, url]:
            client, server, wanted = name.split("::")
            run = next(run for at, name, run, _ in CASES if (at, name) == (server, wanted))
            asyncio.run(run(url, client.removeprefix(CLIENT)))
        case _:
            sys.exit("usage: main.py list | run <client>::<server>::<case> <url>")


if __name__ == "__main__":
    main(sys.argv[1:])
