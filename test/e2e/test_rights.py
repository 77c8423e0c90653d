"""What the running server may still do, and what it gets from whoever started it: sockets, and somebody to report to."""
import base64
import fcntl
import os
import pwd
import queue
import re
import socket
import subprocess
import threading

from imap import client, literal, server
from lib import ANNA, HOST, NOBODY, Server, Skip, Smtp, give, listener, message, sanitized


def filters(pid):
    """How many filters of system calls a process has."""
    with open("/proc/%s/status" % pid, encoding="ascii") as status:
        return int(re.search(r"Seccomp_filters:\s+(\d+)", status.read()).group(1))


def test_confined(t):
    """The filter of system calls is in force; what only a loaded library could do is loaded already."""
    s = server(t)
    state = re.search(r"event=seccomp state=(\w+)(.*)", s.log())
    assert state, "the log does not say whether there is a filter"
    on = state.group(1) == "on"
    assert on != sanitized(t.binary) or "reason=" in state.group(2), state.group(0)
    assert s.json("status")["confined"]["seccomp"] is on
    if on or sanitized(t.binary):  # otherwise the kernel takes no filters; io_uring is forbidden in a checked build too
        assert filters(s.process.pid) - filters("self") == (2 if on else 1)
    words = {"koi8-r": "слон", "windows-1251": "жираф", "iso-2022-jp": "ぞう", "euc-kr": "코끼리", "big5": "大象",
             "gb18030": "长颈鹿", "iso-8859-2": "žirafa", "utf-16": "ασπρο"}
    with client(s, select="INBOX") as c:
        for charset, word in words.items():
            c.append("INBOX", b"From: x@example.net\r\nContent-Type: text/plain; charset=%s\r\n"
                     b"Content-Transfer-Encoding: base64\r\n\r\n%s" % (charset.encode(), encoded(word, charset)))
        for n, word in enumerate(words.values(), 1):
            found = c.do(b"SEARCH CHARSET UTF-8 BODY " + literal(word.encode()))
            assert found.untagged == [b"* SEARCH %d" % n], (word, found.untagged)
    if not on and not sanitized(t.binary):
        raise Skip("the kernel has no seccomp: " + state.group(0))


def encoded(word, charset):
    return base64.b64encode(word.encode(charset)) + b"\r\n"


# --- listening sockets

# What systemd does: the sockets from descriptor 3 on, and the number of the very process that they are for.
PASS_ON = """n=3
for fd in $1; do eval "exec $n<&$fd $fd<&-"; n=$((n + 1)); done
shift
export LISTEN_PID="${LISTEN_PID-$$}" LISTEN_FDS="${LISTEN_FDS-$((n - 3))}"
exec "$@"
"""


def passing(t, sockets, config, **env):
    s = Server(t, config, tls=False, start=False, env=env)
    s.descriptors = [fcntl.fcntl(one, fcntl.F_DUPFD, 100) for one in sockets]  # out of the way of 3, 4, ...
    s.wrapper = ["bash", "-c", PASS_ON, "bash", " ".join(str(fd) for fd in s.descriptors)]
    return s


def listening(family=socket.AF_INET, address=(HOST, 0)):
    one = socket.socket(family)
    one.bind(address)
    one.listen(5)
    return one


def on(sock):
    return dict(listener("smtp", "none"), port=sock.getsockname()[1])


def test_inherited_sockets(t):
    """They stay bound here, so a server that bound them itself could not start."""
    path = os.path.join(t.dir, "smtp.sock")
    tcp, unix, spare = listening(), listening(socket.AF_UNIX, path), listening()
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    own = listener("submission", "none")
    listen = [{"address": "unix:" + path, "service": "smtp", "tls": "none"}, on(tcp), own]
    s = passing(t, [spare, unix, datagrams, tcp], {"listen": listen})
    s.start()
    log = s.log()
    assert len(re.findall("event=listening .*socket=inherited", log)) == 2, log
    assert re.search("level=warning event=inherited-socket-unused descriptor=3 address=%s:%d" % (
        re.escape(HOST), spare.getsockname()[1]), log), log
    assert re.search("level=warning event=inherited-socket-unused descriptor=5 advice=", log), log
    assert [one["inherited"] for one in s.json("status")["listeners"]] == [True, True, False]
    s.send(message())
    with socket.socket(socket.AF_UNIX) as u:
        u.settimeout(20)
        u.connect(path)
        assert u.recv(1000).startswith(b"220 ")
    s.connect("submission").quit()
    s.wait_mail()

    s.reload()
    s.send(message())
    s.wait_mail(ANNA, 2)
    # One that the policy does not name any more is given up, and can be had back.
    s.reload(listen=[own])
    assert re.search("event=inherited-socket-unused descriptor=6", s.log())
    with socket.create_connection(tcp.getsockname(), 20) as waits:
        s.reload(listen=listen)
        waits.settimeout(20)
        assert waits.recv(1000).startswith(b"220 "), "who came in between is served now"
    s.send(message())
    s.wait_mail(ANNA, 3)
    s.stop()
    assert os.path.exists(path), "it is not ours to remove"


def test_sockets_of_another_process(t):
    """LISTEN_PID is somebody else's."""
    taken = listening()
    s = passing(t, [taken], {}, LISTEN_PID="1", LISTEN_FDS="1")
    s.start()
    assert "inherited" not in s.log()
    s.connect().quit()


def test_inherited_sockets_that_cannot_be(t):
    def refused(sockets, word, **env):
        s = passing(t, sockets, {}, **env)
        s.expect_status = 78
        s.start(wait=False)
        s.process.wait(30)
        assert word in s.log(own=True), s.log(own=True)
        s.stop()
    refused([], "LISTEN_FDS=many", LISTEN_FDS="many")
    refused([], "LISTEN_FDS=1000", LISTEN_FDS="1000")
    try:
        both = listening(socket.AF_INET6, ("::", 0))
    except OSError:
        raise Skip("no IPv6 here")
    refused([both], "BindIPv6Only=ipv6-only")


# --- a service manager

class Manager:
    """Whom NOTIFY_SOCKET names."""

    def __init__(self, name):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(name)
        if name[0] != "\0":
            os.chmod(name, 0o666)
        self.fed = 0
        self.told = queue.Queue()  # the kernel holds only a few, and facteur does not wait
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            self.told.put(self.sock.recv(4096).decode())

    def expect(self, *states):
        """They come in this order, and nothing else but the watchdog's food."""
        for state in states:
            while True:
                told = self.told.get(timeout=20)
                if told != "WATCHDOG=1":
                    break
                self.fed += 1
            assert re.fullmatch(state, told), "%r instead of %r" % (told, state)


def test_notifies(t):
    for n, (name, env) in enumerate(((os.path.join(t.dir, "notify"), {"WATCHDOG_USEC": "50000"}),
                      ("@facteur-test-%d" % os.getpid(), {"WATCHDOG_USEC": "50000", "WATCHDOG_PID": "1"}))):
        manager = Manager(name.replace("@", "\0"))
        s = Server(t, tls=False, start=False, env=dict(env, NOTIFY_SOCKET=name), name="facteur%d" % n)
        s.start(wait=False)
        manager.expect("READY=1")
        Smtp(s.wait_log(r"event=listening.*port=(\d+)").group(1)).quit()
        s.reload()
        manager.expect(r"RELOADING=1\nMONOTONIC_USEC=\d+", "READY=1")
        s.write(limits={"message_sise": 5})
        s.hang_up()
        manager.expect(r"RELOADING=1\nMONOTONIC_USEC=\d+", "READY=1")
        if "WATCHDOG_PID" not in env:  # it is for another process otherwise
            while manager.fed < 5:
                assert manager.told.get(timeout=20) == "WATCHDOG=1"
                manager.fed += 1
        s.stop()
        manager.expect("STOPPING=1")
        assert (manager.fed > 0) == ("WATCHDOG_PID" not in env)


def test_nobody_to_notify(t):
    """A manager that is gone is no reason to stop."""
    s = Server(t, tls=False, env={"NOTIFY_SOCKET": os.path.join(t.dir, "nobody")})
    s.wait_log("level=warning event=not-notified state=READY=1|level=warning event=not-notified state=\"READY=1\"")
    s.connect().quit()


def by_root(s, *args):
    return subprocess.run([s.binary, *args, "--config", s.file], capture_output=True, text=True, timeout=60)


def test_check_with_the_rights_of_the_server(t):
    """Root reads everything; the server's user must, too."""
    if os.geteuid() != 0:
        raise Skip("needs root")
    s = Server(t, {"run_as": NOBODY.pw_name, "users_file": "users.yaml"}, start=False)
    secret = os.path.join(s.dir, "isp.secret")
    users = os.path.join(s.dir, "users.yaml")
    for path in (secret, users):
        with open(path, "w") as out:
            out.write("s" if path == secret else "")
        os.chmod(path, 0o600)
        give(path)
    s.write(relay={"smarthost": {"host": "smtp.example.net", "user": "u", "password": {"file": secret}}})
    done = by_root(s, "check")
    assert done.returncode == 0, done
    for path in (secret, users, s.key, s.file):
        was = os.stat(path)
        os.chown(path, 0, 0)
        os.chmod(path, 0o600)
        done = by_root(s, "check")
        assert done.returncode == 78 and "facteur.yaml:" in done.stderr and done.stderr.count("\n") == 1 and (
            "the server's user %s cannot read %s: chown %s %s" % (NOBODY.pw_name, path, NOBODY.pw_name, path)
            in done.stderr), done
        os.chown(path, was.st_uid, was.st_gid)
        os.chmod(path, was.st_mode & 0o777)
    s.write(run_as="nobody-of-that-name")
    done = by_root(s, "check")
    line = next(i for i, text in enumerate(open(s.file), 1) if "nobody-of" in text)
    assert done.returncode == 78 and "facteur.yaml:%d:" % line in done.stderr and "does not exist" in done.stderr, done
    s.write(run_as=None)
    if "facteur" not in {user.pw_name for user in pwd.getpwall()}:
        done = by_root(s, "check")
        assert done.returncode == 0 and "warning: root cannot start the server" in done.stderr, done
    s.write(run_as="nobody-of-that-name")
    done = s.run("check")  # who is not root becomes nobody
    assert "warning: run_as: the user nobody-of-that-name does not exist" in done.stderr, done


def test_reload_keeps_its_user(t):
    if os.geteuid() != 0:
        raise Skip("needs root")
    s = Server(t, {"run_as": NOBODY.pw_name}, start=False)
    s.log_start = 0
    s.process = subprocess.Popen([s.binary, "serve", "--config", s.file], stderr=open(s.log_file, "ab"))
    s.wait_log("event=started")
    s.write(run_as="daemon")
    done = s.run("reload", check=False)
    assert done.returncode == 78 and "run_as cannot change while facteur runs (%s to daemon): restart it" % NOBODY.pw_name \
        in done.stderr, done
