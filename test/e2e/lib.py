"""What every test over sockets uses: a facteur of its own, and an SMTP client that shows each octet.

A test is a function test_...(t) in a file test_*.py; `t` is a Test. What it starts ends with it, and a server that
does not end with status 0, or that a sanitizer complains about, fails the test whatever it asserted.
"""
import base64
import hashlib
import hmac
import json
import os
import pwd
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time

HOST = "127.0.0.1"
DOMAIN = "example.org"
ANNA, BERT = "anna@" + DOMAIN, "bert@" + DOMAIN
PASSWORDS = {ANNA: "anna-secret", BERT: "bert-secret"}
# SHA-512 with few rounds: what is tested is not how slow a hash can be.
HASHES = {
    ANNA: "$6$rounds=1000$facteurtest$UPMy.7zH5EenCwQISIWXBnqD07OLwbbaBbjqpomaFoPFbB71IYsefxJ8.IsGgEnclrFqvl2RL7H7xrj2Ko3na/",
    BERT: "$6$rounds=1000$facteurtest$JRpzZNViAfTQgmGeUCFNN0TWF2ffSmYaVS5n9QUjmFAIWWKW3L6UpHgmOxB.ueaWzKDmMfUbba97hoIue1pWV/",
}
# facteur refuses to run as root, so a root that runs the tests gives it to somebody ordinary.
NOBODY = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
ORDINARY = {"user": NOBODY.pw_uid, "group": NOBODY.pw_gid, "extra_groups": []} if NOBODY else {}
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def give(path):
    """Makes a file or directory facteur's."""
    if NOBODY:
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)


def reachable(program, folder):
    """The program, or a copy of it in `folder` when it stands where facteur's user may not go."""
    if subprocess.run(["test", "-x", program], **ORDINARY).returncode == 0:
        return program
    return shutil.copy(program, folder)


def sanitized(program):
    """True for a build with the address sanitizer, whose memory is its own business."""
    with open(program, "rb") as f:
        return b"__asan_init" in f.read()


class Skip(Exception):
    """Raised with the reason by a test that cannot run here."""


def wait_until(what, condition, seconds=20.0):
    """The condition's value as soon as it is true; TimeoutError that says what was waited for."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError("waited %g s for: %s" % (seconds, what))
        time.sleep(0.01)


def merged(base, more):
    """`more` over `base`; None takes a key away."""
    out = dict(base)
    for key, value in more.items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = merged(out[key], value)
        else:
            out[key] = value
    return out


def listener(service, tls, **more):
    return dict({"address": HOST, "port": 0, "service": service, "tls": tls}, **more)


class Server:
    """One `facteur serve` in a directory of its own. Its policy is JSON, which is YAML too."""

    def __init__(self, t, config=None, tls=True, start=True, name="facteur", wrapper=(), env=None, hostname=None):
        self.t, self.name, self.wrapper = t, name, list(wrapper)
        self.binary = t.binary
        self.dir = os.path.join(t.dir, name)
        self.state = os.path.join(self.dir, "state")
        self.file = os.path.join(self.dir, "facteur.yaml")
        self.log_file = os.path.join(self.dir, "log")
        self.env = dict(os.environ, **(env or {}))
        self.process = None
        self.descriptors = ()  # that it inherits
        self.ports = {}
        self.expect_status = 0
        os.makedirs(self.state, 0o700, exist_ok=True)
        give(self.dir)
        give(self.state)
        self.config = {
            "hostname": hostname or "mail." + DOMAIN,
            "state": self.state,
            "default_domain": DOMAIN,
            "domains": {DOMAIN: {"aliases": {"info": ["anna"], "all": ["anna", "bert"]}}},
            "users": {name: {"password": HASHES[name]} for name in (ANNA, BERT)},
            "listen": [listener("smtp", "none")],
            "queue": {"retry": ["1s"], "low_disk": 0},
        }
        if tls:
            self.certificate, self.key = t.certificate()
            self.config["tls"] = {"certificate": self.certificate, "key": self.key}
            self.config["listen"] = [listener("smtp", "starttls"), listener("submission", "starttls"),
                                     listener("submission", "implicit")]
        self.config = merged(self.config, config or {})
        t.servers.append(self)
        self.write()
        if start:
            self.start()

    def write(self, **changes):
        self.config = merged(self.config, changes)
        with open(self.file, "w", encoding="utf-8") as out:
            json.dump(self.config, out, indent=1)

    # --- the process

    def start(self, wait=True):
        self.ports = {}
        with open(self.log_file, "ab") as log:
            self.log_start = log.tell()
            self.process = subprocess.Popen(self.wrapper + [self.binary, "serve", "--config", self.file], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, env=self.env,
                                            pass_fds=self.descriptors, **ORDINARY)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=30):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError("facteur ended with %s:\n%s" % (self.process.returncode, self.log()[-4000:]))
            self.read_ports()
            return len(self.ports) >= len({(l["service"], l["tls"]) for l in self.config["listen"]})
        wait_until("the listeners of " + self.name, ready, seconds)

    def read_ports(self):
        """Ports by (service, tls), in the order of the policy's listeners."""
        found = re.findall(r"event=listening .*", self.log(own=True))
        for want, line in zip(self.config["listen"], found):
            port = re.search(r"port=(\d+)", line)
            if port:
                self.ports[want["service"], want["tls"]] = int(port.group(1))

    def reload(self, **changes):
        """A changed policy takes effect; listeners on port 0 may be new ones, so their ports are read again."""
        if changes:
            self.write(**changes)
        done = self.run("reload", check=False)
        assert done.returncode == 0, "facteur reload: %s" % (done.stdout + done.stderr)
        for service, tls, port in re.findall(r"event=listening service=(\S+) tls=(\S+) .*port=(\d+)", self.log(own=True)):
            self.ports[service, tls] = int(port)

    def log(self, own=False):
        with open(self.log_file, "rb") as log:
            log.seek(self.log_start if own else 0)
            return log.read().decode("utf-8", "replace")

    def wait_log(self, pattern, seconds=20.0):
        return wait_until("%r in the log of %s" % (pattern, self.name), lambda: re.search(pattern, self.log(own=True)),
                          seconds)

    def stop(self, seconds=30):
        if self.process is None:
            return
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError("facteur did not stop within %g s of SIGTERM" % seconds) from None
        log = self.log(own=True)
        report = re.search(r"(ERROR: (Address|Leak)Sanitizer|runtime error:|LeakSanitizer: detected)[^\0]*", log)
        if report:
            raise AssertionError("a sanitizer's report:\n" + report.group(0)[:6000])
        if status != self.expect_status:
            raise AssertionError("facteur ended with %s instead of %s:\n%s" % (status, self.expect_status, log[-4000:]))

    def kill(self):
        process, self.process = self.process, None
        process.kill()
        process.wait()

    def restart(self):
        self.stop()
        return self.start()

    def hang_up(self):
        self.process.send_signal(signal.SIGHUP)

    def memory(self, field="VmHWM"):
        with open("/proc/%d/status" % self.process.pid, encoding="ascii") as status:
            return int(re.search(field + r":\s+(\d+) kB", status.read()).group(1)) * 1024

    # --- commands

    def run(self, *args, stdin="", check=True):
        done = subprocess.run([self.binary, *args, "--config", self.file], input=stdin, capture_output=True, text=True,
                              timeout=60, env=self.env, **ORDINARY)
        if check and done.returncode != 0:
            raise AssertionError("facteur %s: exit status %d\n%s%s" % (" ".join(args), done.returncode, done.stdout,
                                                                       done.stderr))
        return done

    def ask(self, **question):
        """A question to the control socket, as the commands put it."""
        with socket.socket(socket.AF_UNIX) as u:
            u.settimeout(20)
            u.connect(os.path.join(self.state, "control.sock"))
            u.sendall(json.dumps(question).encode() + b"\n")
            with u.makefile("rb") as answer:
                return json.loads(answer.readline())

    def json(self, *args):
        return json.loads(self.run(*args, "--json").stdout)

    def queue(self):
        """The messages that wait."""
        answer = self.json("queue", "list")
        return answer["messages"] if isinstance(answer, dict) else answer

    def wait_queue_empty(self, seconds=30):
        wait_until("an empty queue", lambda: not self.queue(), seconds)

    # --- mail

    def maildir(self, user=ANNA):
        local, domain = user.split("@")
        return os.path.join(self.state, "mail", domain, local, "Maildir")

    def mail(self, user=ANNA):
        """The stored messages, oldest first, as octets."""
        out = []
        for folder in ("new", "cur"):
            path = os.path.join(self.maildir(user), folder)
            for name in sorted(os.listdir(path)) if os.path.isdir(path) else ():
                with open(os.path.join(path, name), "rb") as message:
                    out.append(message.read())
        return out

    def wait_mail(self, user=ANNA, count=1, seconds=20.0):
        wait_until("%d messages for %s" % (count, user), lambda: len(self.mail(user)) >= count, seconds)
        found = self.mail(user)
        assert len(found) == count, "%d messages for %s instead of %d" % (len(found), user, count)
        return found

    def connect(self, service="smtp", tls=None, **more):
        if tls is None:
            tls = next(t for s, t in self.ports if s == service)
        return Smtp(self.ports[service, tls], tls=tls == "implicit", **more)

    def submit(self, user=ANNA, **more):
        """A session that is logged in over TLS."""
        c = self.connect("submission", "implicit", **more)
        c.ehlo()
        c.auth_plain(user, PASSWORDS[user])
        return c

    def send(self, message, to=(ANNA,), sender="someone@example.net", **more):
        """One message from outside; the final reply."""
        with self.connect(**more) as c:
            c.ehlo()
            return c.transaction(sender, to, message)


def message(subject="hello", body="hello\r\n", sender="someone@example.net", to=ANNA, more=""):
    return ("From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n"
            "Message-ID: <%s@test.example.net>\r\n%s\r\n%s" %
            (sender, to, subject, os.urandom(8).hex(), more, body)).encode("utf-8")


class Reply:
    def __init__(self, lines):
        self.lines = lines
        self.code = int(lines[-1][:3])
        self.text = "\n".join(line[4:] for line in lines)
        self.enhanced = (re.match(r"\d{3}[ -](\d\.\d{1,3}\.\d{1,3})", lines[-1]) or [None, None])[1]

    def __repr__(self):
        return " / ".join(self.lines)


class Smtp:
    """A client that says exactly what it is told to; every octet may be sent by hand with `raw`."""

    def __init__(self, port, tls=False, greet=True, host=HOST, source=None, timeout=30):
        self.sock = socket.create_connection((host, port), timeout, (source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.features = {}
        if tls:
            self.wrap()
        self.greeting = self.read() if greet else None

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.close()

    def close(self):
        self.sock.close()

    def wrap(self, context=None):
        if context is None:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        self.sock = context.wrap_socket(self.sock, server_hostname="mail." + DOMAIN)

    def raw(self, octets):
        self.sock.sendall(octets)

    def line(self):
        while b"\r\n" not in self.buffer:
            more = self.sock.recv(65536)
            if not more:
                raise EOFError("the server closed the connection")
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode("utf-8", "replace")

    def read(self, code=None):
        lines = [self.line()]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
        reply = Reply(lines)
        if code is not None:
            want(reply, code)
        return reply

    def cmd(self, text, code=None):
        self.raw((text if isinstance(text, bytes) else text.encode("utf-8")) + b"\r\n")
        return self.read(code)

    def is_closed(self, seconds=10):
        """True when the server ends the connection; what it still says is left in the buffer."""
        self.sock.settimeout(seconds)
        try:
            while True:
                more = self.sock.recv(65536)
                if not more:
                    return True
                self.buffer += more
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def ehlo(self, name="client.example.net"):
        reply = self.cmd("EHLO " + name, 250)
        self.features = {}
        for line in reply.lines[1:]:
            word, _, rest = line[4:].partition(" ")
            self.features[word.upper()] = rest
        return reply

    def starttls(self):
        self.cmd("STARTTLS", 220)
        self.wrap()
        self.ehlo()

    def auth_plain(self, user, password, code=235):
        return self.cmd("AUTH PLAIN " + b64("\0%s\0%s" % (user, password)), code)

    def auth_scram(self, user, password, code=235):
        """RFC 5802 and 7677; the server's signature is checked too."""
        nonce = base64.b64encode(os.urandom(18)).decode()
        bare = "n=%s,r=%s" % (user.replace("=", "=3D").replace(",", "=2C"), nonce)
        first = self.cmd("AUTH SCRAM-SHA-256 " + b64("n,," + bare))
        if first.code != 334:
            return want(first, code)
        challenge = base64.b64decode(first.text).decode()
        parts = dict(p.split("=", 1) for p in challenge.split(","))
        assert parts["r"].startswith(nonce) and len(parts["r"]) > len(nonce), challenge
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(parts["s"]), int(parts["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        final = "c=biws,r=" + parts["r"]
        signed = ",".join((bare, challenge, final)).encode()
        signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature))).decode()
        reply = self.cmd(b64(final + ",p=" + proof))
        if reply.code == 334:
            server = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
            assert base64.b64decode(reply.text).decode() == "v=" + base64.b64encode(server).decode(), "wrong signature"
            reply = self.cmd("")
        return want(reply, code)

    def data(self, text, code=250):
        self.cmd("DATA", 354)
        self.raw(stuffed(text) + b".\r\n")
        return self.read(code)

    def transaction(self, sender, to, text, code=250, options=""):
        self.cmd("MAIL FROM:<%s>%s" % (sender, options), 250)
        for rcpt in to:
            self.cmd("RCPT TO:<%s>" % rcpt, 250)
        return self.data(text, code)

    def quit(self):
        self.cmd("QUIT", 221)
        assert self.is_closed(), "open after QUIT"


def b64(text):
    return base64.b64encode(text.encode("utf-8")).decode("ascii")


def stuffed(text):
    return re.sub(rb"(?m)^\.", b"..", text)


def want(reply, code, enhanced=None):
    codes = code if isinstance(code, (tuple, list)) else (code,)
    assert reply.code in codes, "wanted %s, got: %r" % (code, reply)
    assert enhanced is None or reply.enhanced == enhanced, "wanted %s, got: %r" % (enhanced, reply)
    return reply


class Test:
    """One test: its directory, and what must end with it."""

    def __init__(self, name, directory, binary):
        self.name, self.dir, self.binary = name, directory, binary
        self.servers, self.ends = [], []
        self.pair = None
        give(directory)

    def certificate(self):
        if self.pair is None:
            self.pair = self.make_certificate("own", "mail." + DOMAIN, "localhost")
        return self.pair

    def make_certificate(self, name, *hosts):
        pair = (os.path.join(self.dir, name + ".pem"), os.path.join(self.dir, name + ".key"))
        subprocess.run([self.binary, "tls", "self-signed", "--cert", pair[0], "--key", pair[1], *hosts], check=True,
                       capture_output=True, **ORDINARY)
        return pair

    def at_end(self, thing):
        """`thing` has stop()."""
        self.ends.append(thing)
        return thing

    def end(self):
        """Stops everything; the first complaint is raised when all is stopped."""
        complaint = None
        for thing in self.servers + self.ends[::-1]:
            try:
                thing.stop()
            except Exception as e:  # one that will not stop must not keep the others
                complaint = complaint or e
        if complaint is not None:
            raise complaint
