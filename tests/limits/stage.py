"""Really meets one limit, lets `fourtuple doctor` look at this very process, and prints what came of it.

    stage.py SCENE DOCTOR

As JSON: `met` is the name of the error that was met, `doctor` is what the doctor said, `status` its exit
status. Everything but `files`, `table`, `watches`, `pages` and `conntrack` happens in a network namespace of its own or
in this process; these lower a limit of the whole machine for a moment and put it back.
"""

import contextlib
import ctypes
import errno
import json
import os
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_CAPBSET_DROP, CAP_SYS_ADMIN = 24, 21
PR_SET_PDEATHSIG = 1
CANNOT = 77
NOBODY = 65534


def cannot(why):
    """Ends where this machine does not let the scene be played."""
    print(why, file=sys.stderr)
    sys.exit(CANNOT)


def own_network():
    """A network of this process alone, with a loopback that is up."""
    flags = CLONE_NEWNET if os.geteuid() == 0 else CLONE_NEWUSER | CLONE_NEWNET
    if LIBC.unshare(flags) != 0:
        cannot("no network namespace may be made here: " + os.strerror(ctypes.get_errno()))
    SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
    import fcntl
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh", b"lo", 0).ljust(40, b"\0")
        flags = struct.unpack("16sh", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request)[:18])[1]
        request = struct.pack("16sh", b"lo", flags | IFF_UP).ljust(40, b"\0")
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, request)


def sysctl(name):
    return "/proc/sys/" + name.replace(".", "/")


def read(name):
    with open(sysctl(name)) as file:
        return file.read().strip()


def write(name, value):
    with open(sysctl(name), "w") as file:
        file.write(str(value))


@contextlib.contextmanager
def lowered(name, value):
    """A limit of the whole machine, lower for a moment."""
    before = read(name)
    try:
        write(name, value)
    except PermissionError:
        cannot(f"{name} may not be lowered by this user")
    try:
        yield
    finally:
        write(name, before)


def listener(backlog=4096):
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(backlog)
    return server


def until_error(step, most=10_000):
    """Takes steps until one fails, and returns the name of its error."""
    for _ in range(most):
        try:
            step()
        except OSError as error:
            return errno.errorcode[error.errno]
    return None


def knock(server, times):
    """Asks for so many connections and waits for none."""
    clients = []
    for _ in range(times):
        client = socket.socket()
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.connect(server.getsockname())
        clients.append(client)
    return clients


def tuples(doctor):
    """connect() until the kernel has no port left for this source and destination."""
    own_network()
    write("net.ipv4.ip_local_port_range", "40000 40063")
    server, open_sockets = listener(), []

    def dial():
        client = socket.socket()
        client.connect(server.getsockname())
        open_sockets.extend([client, server.accept()[0]])

    return until_error(dial), doctor()


def clash(doctor):
    """bind(source, 0) and connect() to two destinations: no port is shared between them."""
    own_network()
    write("net.ipv4.ip_local_port_range", "40000 40063")
    servers, open_sockets = [listener(), listener()], []

    def dial():
        client = socket.socket()
        open_sockets.append(client)
        client.bind(("127.0.0.1", 0))
        servers.reverse()
        server = servers[0]
        client.connect(server.getsockname())
        open_sockets.append(server.accept()[0])

    return until_error(dial), doctor()


def queue(doctor):
    """Connections to somebody who does not accept."""
    own_network()
    server = listener(backlog=2)
    _clients = knock(server, 6)
    return "waiting", doctor()


def descriptors(doctor):
    """socket() until the process may have no more."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 1000))
    open_sockets = []
    met = until_error(lambda: open_sockets.append(socket.socket()))
    # What it takes to start the doctor; the limit is met again by it.
    for _ in range(8):
        open_sockets.pop().close()
    return met, doctor()


def files(doctor):
    """socket() until the machine may have no more files, without the privilege to go beyond."""
    used = int(read("fs.file-nr").split()[0])
    ready, told = os.pipe(), os.pipe()
    with lowered("fs.file-max", used + 400):
        child = os.fork()
        if child == 0:
            LIBC.prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0)
            for end in (*ready, *told):
                os.set_inheritable(end, True)
            os.execv(sys.executable, [sys.executable, __file__, "fill", str(ready[1]), str(told[0])])
        os.close(ready[1])
        met = os.read(ready[0], 16).decode()
        found = doctor(child)
        os.write(told[1], b"!")
        os.waitpid(child, 0)
    return met, found


def fill(ready, told):
    """The other process of `files`."""
    open_sockets = []
    met = until_error(lambda: open_sockets.append(socket.socket()), 19_000)
    os.write(ready, (met or "nothing").encode())
    os.read(told, 1)


def pages(doctor):
    """Bytes that nobody reads, more pages of them than TCP may have."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server, pairs = listener(), []
    # The kernel's account is some hundred pages behind for each processor.
    for _ in range(2000):
        client = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
        client.send(b"x" * 100)
        pairs.append((client, peer))
    with lowered("net.ipv4.tcp_mem", "10 20 500"):
        return "pressure", doctor()


@contextlib.contextmanager
def somebody_else(step, ready):
    """Another process, of nobody, which takes `step` and holds what it got until the end."""
    told = os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(NOBODY)
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        held = step()
        os.write(ready[1], b"!")
        os.read(told[0], 1)
        os._exit(0 if held else 1)
    os.read(ready[0], 1)
    try:
        yield
    finally:
        os.write(told[1], b"!")
        os.waitpid(child, 0)


@contextlib.contextmanager
def crowd(url, *flags):
    """A crowd of nobody, and how its report is had when it is over."""
    with tempfile.TemporaryDirectory() as folder:
        # The program has to be where this user may read it.
        os.chmod(folder, 0o777)
        report = os.path.join(folder, "report.json")
        program = shutil.copy(sys.argv[2], folder)
        command = [program, "load", url, "--raw", "--kernel", "epoll", *flags]
        command += ["--connect-timeout", "1s", "--hold", "1s", "--json", report, "--quiet"]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, user=NOBODY, cwd="/")

        def report_of():
            _, complaint = process.communicate(timeout=60)
            if process.returncode == 2:
                sys.exit(f"the crowd has no report: {complaint}")
            with open(report) as file:
                return process.returncode, json.load(file)

        try:
            yield report_of
        finally:
            process.kill()
            process.wait()


def url_of(server):
    return "ws://%s:%d/any" % server.getsockname()


def watches(doctor):
    """A crowd of a user who may watch no more descriptors. Instead of the doctor it is the crowd that speaks."""
    server = listener()

    def watch():
        # Of the same user, whom the crowd cannot see.
        poll, held = select.epoll(), [os.pipe() for _ in range(330)]
        for end, _ in held:
            poll.register(end)
        return poll, held

    with somebody_else(watch, os.pipe()), lowered("fs.epoll.max_user_watches", 400):
        with crowd(url_of(server), "--connections", "100") as report_of:
            return "ENOSPC", report_of()


def table(doctor):
    """A crowd on a machine whose table of files somebody else fills meanwhile. It is the crowd that speaks."""
    server = listener()
    used = int(read("fs.file-nr").split()[0])

    def fill_table():
        held = []
        return held, until_error(lambda: held.append(socket.socket()), 19_000)

    with lowered("fs.file-max", used + 2_000):
        # It sees at its start that there is room for it.
        with crowd(url_of(server), "--connections", "400", "--rate", "100/s") as report_of:
            select.select([server], [], [], 20)
            with somebody_else(fill_table, os.pipe()):
                return "ENFILE", report_of()


def taken(doctor):
    """A crowd whose ports others hold, before it is known where these will lead. It is the crowd that speaks."""
    own_network()
    # The kernel looks through all of a range before it says that nothing is left.
    write("net.ipv4.ip_local_port_range", "1024 2047")
    server = socket.socket()
    server.bind(("127.0.0.2", 3000))
    server.listen(100)

    def hold(ports):
        held = []
        for port in ports:
            held.append(socket.socket())
            try:
                held[-1].bind(("127.0.0.1", port))
            except OSError:
                # The kernel has given away all that it may choose.
                assert port == 0
        return held

    # None of them may have more than 20,000 descriptors. The first leaves the ports to the kernel.
    parts = [[0] * 1024] + [range(first, min(first + 16_000, 65_536)) for first in range(2_048, 65_536, 16_000)]
    with contextlib.ExitStack() as others:
        for ports in parts:
            others.enter_context(somebody_else(lambda: hold(ports), os.pipe()))
        flags = ("--connections", "3", "--sources", "127.0.0.1")
        with crowd(url_of(server), *flags) as report_of:
            return "EADDRINUSE", report_of()


def conntrack(doctor):
    """More connections than the firewall may remember."""
    ends = os.pipe()
    with lowered("net.netfilter.nf_conntrack_max", 64):
        child = os.fork()
        if child == 0:
            os.write(ends[1], json.dumps(tracked(doctor)).encode())
            os._exit(0)
        os.close(ends[1])
        with os.fdopen(ends[0]) as told:
            met, found = json.load(told)
        os.waitpid(child, 0)
    if found is None:
        cannot(met)
    return met, found


def tracked(doctor):
    """The inside of `conntrack`: a network whose firewall asks for the state of connections."""
    own_network()
    rules = "add table t; add chain t c { type filter hook input priority 0; }; add rule t c ct state new accept"
    try:
        done = subprocess.run(["nft", rules], capture_output=True, text=True)
    except FileNotFoundError as error:
        return str(error), None
    if done.returncode != 0:
        return done.stderr, None
    server = listener()
    _clients = knock(server, 100)
    return "dropped", doctor()


SCENES = (tuples, clash, queue, descriptors, files, pages, watches, table, taken, conntrack)
SCENES = {scene.__name__: scene for scene in SCENES}


def main():
    if sys.argv[1] == "fill":
        return fill(int(sys.argv[2]), int(sys.argv[3]))
    scene, doctor = sys.argv[1:]

    def look(pid=None):
        command = [doctor, "doctor", "--pid", str(pid or os.getpid()), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        if not done.stdout:
            sys.exit(f"the doctor said nothing: {done.stderr}")
        return done.returncode, json.loads(done.stdout)

    met, (status, found) = SCENES[scene](look)
    print(json.dumps({"met": met, "status": status, "doctor": found}))


main()
