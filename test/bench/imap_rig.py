"""facteur and Dovecot on copies of the same Maildirs, and the client that loads them."""
import base64
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import types

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
import lib  # noqa: E402
import measure  # noqa: E402
from lib import HOST, NOBODY, wait_until  # noqa: E402

DOMAIN = "bench.example"
PASSWORD, HASH = lib.PASSWORDS[lib.ANNA], lib.HASHES[lib.ANNA]
RARE = "xylophonist"  # in three messages of each 10,000
RARE_EVERY = 3333


def address(user):
    return "%s@%s" % (user, DOMAIN)


def own(path):
    """The directory and all in it belong to the servers' user; files that are links to the corpus do already."""
    if NOBODY:
        for folder, _, _ in os.walk(path):
            os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)


# --- messages

class Writer:
    """Messages as an office has them: text, text with HTML, some with an attachment; the same ones in every run."""

    def __init__(self):
        self.random = random.Random(3501)
        syllables = [a + b for a in "bdfgklmnprstvw" for b in ("a", "e", "i", "o", "u", "an", "er", "it")]
        self.words = ["".join(self.random.choices(syllables, k=self.random.choice((1, 2, 2, 3)))) for _ in range(4000)]

    def text(self, octets):
        lines, line, n = [], [], 0
        while n < octets:
            word = self.random.choice(self.words)
            line.append(word)
            n += len(word) + 1
            if len(line) >= 11:
                lines.append(" ".join(line))
                line = []
        return "\n".join(lines + [" ".join(line), ""])

    def body(self, i):
        kind = self.random.random()
        text = self.text(self.random.choice((600, 1200, 2000)))
        if i % RARE_EVERY == RARE_EVERY // 2:
            text += "the %s plays\n" % RARE
        if kind < 0.6:
            return "Content-Type: text/plain; charset=utf-8\n", text
        part = "--=_b%d\nContent-Type: %s\nContent-Transfer-Encoding: %s\n\n%s\n"
        html = "<html><body><p>%s</p></body></html>\n" % text.replace("\n", "<br>\n")
        if kind < 0.9:
            kind, parts = "alternative", [("text/plain; charset=utf-8", "8bit", text),
                                          ("text/html; charset=utf-8", "8bit", html)]
        else:
            octets = base64.encodebytes(self.random.randbytes(5000)).decode()
            kind, parts = "mixed", [("text/plain; charset=utf-8", "8bit", text),
                                    ('application/pdf; name="report%d.pdf"' % i, "base64", octets)]
        return ('Content-Type: multipart/%s; boundary="=_b%d"\n' % (kind, i),
                "".join(part % ((i,) + p) for p in parts) + "--=_b%d--\n" % i)

    def message(self, i):
        r = self.random
        name = lambda: "%s %s" % (r.choice(self.words).title(), r.choice(self.words).title())  # noqa: E731
        who = lambda: "%s <%s.%s@%s.example>" % (name(), *r.choices(self.words, k=3))  # noqa: E731
        subject = " ".join(r.choices(self.words, k=r.randint(2, 8)))
        if i % 5 == 0:
            subject = "=?utf-8?B?%s?=" % base64.b64encode(("Grüße " + subject[:30]).encode()).decode()
        kind, body = self.body(i)
        date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(1700000000 + i * 60))
        to = ", ".join(who() for _ in range(r.choice((1, 1, 1, 2, 4))))
        return ("Return-Path: <sender%d@client.example>\n"
                "Received: from client.example (client.example [192.0.2.1])\n"
                "\tby mail.bench.example with ESMTPS id %x\n\tfor <user@bench.example>; %s\n"
                "From: %s\nTo: %s\n%sSubject: %s\nDate: %s\nMessage-ID: <%d.%x@client.example>\n%s"
                "MIME-Version: 1.0\nUser-Agent: Bench/1.0\n%s\n%s" %
                (i % 50, i, date, who(), to, "Cc: %s\n" % who() if i % 4 == 0 else "", subject, date, i,
                 r.getrandbits(64), "In-Reply-To: <%d.0@client.example>\n" % (i - 7) if i % 3 == 0 else "", kind,
                 body)).encode()


def make_corpus(folder, count):
    """Files named as both servers name them, seen, as they lie in cur/; made once, and in the page cache in either case:
    else the server whose turn comes first would read them from the disk for both."""
    os.makedirs(folder, exist_ok=True)
    if len(os.listdir(folder)) == count:
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), "rb") as file:
                file.read()
        return folder
    measure.empty(folder)
    writer = Writer()
    for i in range(count):
        octets = writer.message(i)
        name = "%d.M%06dP1.bench,S=%d,W=%d:2,S" % (1700000000 + i * 60, i % 1000000, len(octets),
                                                   len(octets) + octets.count(b"\n"))
        path = os.path.join(folder, name)
        with open(path, "wb") as out:
            out.write(octets)
        lib.give(path)
        os.utime(path, (1700000000 + i * 60,) * 2)
    return folder


def fill(maildir, corpus, copy=False, count=None):
    """A Maildir with the corpus in cur/: links, which neither server can tell from files of its own, or real copies
    where files are removed (the last link costs more)."""
    for sub in ("cur", "new", "tmp"):
        os.makedirs(os.path.join(maildir, sub), 0o700)
    for name in sorted(os.listdir(corpus))[:count]:
        path = os.path.join(maildir, "cur", name)
        if copy:
            shutil.copy2(os.path.join(corpus, name), path)
            lib.give(path)
        else:
            os.link(os.path.join(corpus, name), path)
    own(maildir)


# --- servers

def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind((HOST, 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Facteur:
    """Limits of rates and connections off, otherwise its defaults; the log goes to a file."""

    name = "facteur"

    def __init__(self, folder, binary, users):
        self.dir = folder
        lib.give(folder)
        t = types.SimpleNamespace(binary=lib.reachable(os.path.abspath(binary), folder), dir=folder, servers=[])
        pair = (os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem"))
        subprocess.run([t.binary, "tls", "self-signed", "--cert", pair[0], "--key", pair[1], "localhost"], check=True,
                       capture_output=True, **lib.ORDINARY)
        self.pair = pair
        self.server = lib.Server(t, {
            "default_domain": DOMAIN,
            "domains": {lib.DOMAIN: None, DOMAIN: {}},
            "users": dict({lib.ANNA: None, lib.BERT: None}, **{address(u): {"password": HASH} for u in users}),
            "limits": {"message_rate": 0, "connection_rate": 0, "connections": 15000,
                       "connections_per_address": 15000, "connections_per_user": 15000},
            "tls": {"certificate": pair[0], "key": pair[1]},
            "listen": [lib.listener("smtp", "none"), lib.listener("imap", "none"), lib.listener("imap", "implicit")],
        }, tls=False, start=False)

    def start(self):
        self.server.start()
        self.port, self.tls_port = (self.server.ports["imap", tls] for tls in ("none", "implicit"))
        self.smtp_port = self.server.ports["smtp", "none"]
        return self

    @property
    def pid(self):
        return self.server.process.pid

    def maildir(self, user):
        return self.server.maildir(address(user))

    def prepare(self, user):
        """The directories above a Maildir are facteur's own."""
        path = os.path.dirname(self.maildir(user))
        os.makedirs(path, 0o700, exist_ok=True)
        while path != self.server.state:
            lib.give(path)
            path = os.path.dirname(path)

    def stalls(self):
        answer = self.server.ask(do="status")
        return answer.get("status", answer)["stalls"]

    def stop(self):
        self.server.stop()


DOVECOT_CONF = """
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <{cert}
ssl_key = <{key}
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = maildir:~/Maildir
mail_max_userip_connections = 0
default_vsz_limit = 1G
passdb {{
  driver = passwd-file
  args = {dir}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={dir}/home/%n
}}
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
  service_count = 0
  client_limit = 6000
  process_min_avail = 2
}}
service imap {{
  process_limit = 6000
  process_min_avail = 4
  service_count = 1000
}}
service auth {{
  client_limit = 20000
}}
service anvil {{
  client_limit = 20000
}}
service stats {{
  client_limit = 20000
}}
"""


class Dovecot:
    """Debian's, with its own configuration and state. Its login processes serve many clients (its manual's
    high-performance mode) and its imap processes one after the other; both make it faster and smaller."""

    name = "dovecot"

    @staticmethod
    def why_not():
        if shutil.which("dovecot") is None:
            return "Dovecot is not installed"
        return None if os.geteuid() == 0 else "only root starts Dovecot"

    def __init__(self, folder, pair, users):
        self.dir = os.path.join(folder, "dovecot")
        for sub in ("", "run", "state", "home"):
            os.mkdir(os.path.join(self.dir, sub), 0o755)
        lib.give(os.path.join(self.dir, "home"))
        self.port, self.tls_port = free_ports(2)
        self.conf = os.path.join(self.dir, "dovecot.conf")
        with open(self.conf, "w", encoding="utf-8") as out:
            out.write(DOVECOT_CONF.format(dir=self.dir, cert=pair[0], key=pair[1], uid=NOBODY.pw_uid,
                                          gid=NOBODY.pw_gid, port=self.port, tls_port=self.tls_port))
        with open(os.path.join(self.dir, "users"), "w", encoding="utf-8") as out:
            out.writelines("%s:{CRYPT}%s::::::\n" % (address(u), HASH) for u in users)
        self.process = None

    def start(self):
        self.process = subprocess.Popen(["dovecot", "-F", "-c", self.conf], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

        def listens():
            if self.process.poll() is not None:
                raise RuntimeError("dovecot: " + self.process.stderr.read().decode("utf-8", "replace"))
            with socket.socket() as s:
                return s.connect_ex((HOST, self.port)) == 0
        wait_until("Dovecot", listens)
        return self

    @property
    def pid(self):
        return self.process.pid

    def maildir(self, user):
        return os.path.join(self.dir, "home", user, "Maildir")

    def prepare(self, user):
        os.makedirs(os.path.join(self.dir, "home", user), 0o700, exist_ok=True)
        lib.give(os.path.join(self.dir, "home", user))

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        processes = list(measure.tree(self.pid))
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pid in processes[1:]:  # what did not end by itself; all of them were descendants of our master
            try:
                with open("/proc/%d/cmdline" % pid, "rb") as f:
                    if b"dovecot" in f.read():
                        os.kill(pid, signal.SIGKILL)
            except OSError:
                pass


def is_quiet(server, seconds=0.5):
    """Uses no CPU to speak of: nothing is done in the background any more."""
    before = measure.cpu_seconds(server.pid)
    time.sleep(seconds)
    return measure.cpu_seconds(server.pid) - before < 0.02 * seconds


def quiesce(server, seconds=120):
    end = time.monotonic() + seconds
    while not is_quiet(server) and time.monotonic() < end:
        pass
    os.sync()


# --- a client

CONTEXT = ssl.create_default_context()
CONTEXT.check_hostname = False
CONTEXT.verify_mode = ssl.CERT_NONE


class Client:
    """Reads in large pieces and looks only at the end of what came: it is not to be the limit."""

    def __init__(self, server, user, tls=False, timeout=120):
        self.sock = socket.create_connection((HOST, server.tls_port if tls else server.port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.sock = CONTEXT.wrap_socket(self.sock)
        self.tail = b""
        self.room = None
        self.octets = 0
        while b"\r\n" not in self.tail:
            self.tail += self.sock.recv(4096)
        self.do('LOGIN "%s" "%s"' % (address(user), PASSWORD))

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.sock.close()

    def until(self, pattern, what=""):
        """What came last, when it matches."""
        self.tail = b""
        self.octets = 0
        while True:
            if self.room is None:
                got = self.sock.recv(65536)
                if len(got) == 65536 and not isinstance(self.sock, ssl.SSLSocket):
                    self.room = bytearray(1 << 20)
            else:
                n = self.sock.recv_into(self.room)
                got = bytes(self.room[max(0, n - 4096):n])
                self.octets += n - len(got)
            if not got:
                raise EOFError("the server closed the connection at %s: %r" % (what, self.tail[-300:]))
            self.octets += len(got)
            self.tail = (self.tail + got)[-8192:]
            found = pattern.search(self.tail)
            if found:
                self.room = None
                return found

    DONE = re.compile(rb"(?:^|\n)t ([A-Z]+)([^\n]*)\r\n\Z")
    CONTINUE = re.compile(rb"(?:^|\n)\+[^\n]*\r\n")

    def do(self, command):
        """Seconds until it was done."""
        began = time.perf_counter()
        self.sock.sendall(b"t " + command.encode() + b"\r\n")
        found = self.until(self.DONE, command)
        took = time.perf_counter() - began
        if found.group(1) != b"OK":
            raise RuntimeError("%s: %r" % (command, found.group(0)))
        return took

    def idle(self):
        self.sock.sendall(b"t IDLE\r\n")
        self.until(self.CONTINUE, "IDLE")

    def last_number(self, name):
        found = re.findall(rb"\* (\d+) %s" % name, self.tail)
        return int(found[-1]) if found else 0


def build_load(folder):
    program = os.path.join(folder, "imap_load")
    subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-O2", "-pthread", "-o", program,
                    os.path.join(HERE, "imap_load.c")], check=True)
    return program
