"""A client of IMAP for the tests: it says what it is told to and shows what comes, literals in place."""
import re
import socket
import ssl

from lib import ANNA, DOMAIN, HOST, PASSWORDS, Server, listener

BOTH = [listener("smtp", "none"), listener("imap", "none"), listener("imap", "starttls"), listener("imap", "implicit"),
        listener("pop3", "none"), listener("pop3", "starttls"), listener("pop3", "implicit")]


def server(t, config=None, **more):
    """A facteur with IMAP and POP3 on loopback."""
    return Server(t, dict({"listen": BOTH}, **(config or {})), **more)


class Answer:
    def __init__(self, tag, untagged, final):
        self.untagged, self.final = untagged, final
        self.status = final[len(tag) + 1:].split(b" ", 1)[0].decode()

    def __repr__(self):
        return "%r %r" % (self.untagged, self.final)

    def find(self, pattern):
        """The first untagged answer that matches (a regular expression over octets), as its match; or None."""
        for line in self.untagged:
            found = re.search(pattern, line, re.S)
            if found:
                return found
        return None

    def all(self, pattern):
        return [m for m in (re.search(pattern, line, re.S) for line in self.untagged) if m]


class Imap:
    def __init__(self, port, tls=False, timeout=30, host=HOST, greet=True):
        self.sock = socket.create_connection((host, port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.count = 0
        if tls:
            self.wrap()
        self.greeting = self.line() if greet else None

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.sock.close()

    def wrap(self):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.sock = context.wrap_socket(self.sock, server_hostname="mail." + DOMAIN)

    def raw(self, octets):
        self.sock.sendall(octets)

    def more(self):
        octets = self.sock.recv(1 << 16)
        if not octets:
            raise EOFError("the server closed the connection; it had said %r" % self.buffer)
        self.buffer += octets

    def take(self, n):
        while len(self.buffer) < n:
            self.more()
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out

    def physical(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def line(self):
        """One answer: its lines with their literals in place."""
        out = self.physical()
        while True:
            literal = re.search(rb"\{(\d+)\}$", out)
            if not literal:
                return out
            out += b"\r\n" + self.take(int(literal.group(1)))
            out += self.physical()

    def send(self, command):
        self.count += 1
        tag = b"a%d" % self.count
        self.raw(tag + b" " + (command.encode() if isinstance(command, str) else command) + b"\r\n")
        return tag

    def wait(self, tag):
        untagged = []
        while True:
            line = self.line()
            if line.startswith(tag + b" "):
                return Answer(tag, untagged, line)
            untagged.append(line)

    def do(self, command, status="OK"):
        """A command and all that is answered; AssertionError unless its end is `status` (None: any)."""
        answer = self.wait(self.send(command))
        assert status is None or answer.status == status, "%r: %r" % (command, answer)
        return answer

    def append(self, mailbox, message, flags="", status="OK"):
        return self.do(b"APPEND %s %s{%d+}\r\n%s" % (mailbox.encode(), (flags + " " if flags else "").encode(),
                                                     len(message), message), status)

    def login(self, user=ANNA):
        self.do('LOGIN %s "%s"' % (user, PASSWORDS[user]))
        return self

    def uids(self, mailbox="INBOX"):
        return [int(m.group(1)) for m in self.do("UID FETCH 1:* (UID)").all(rb"UID (\d+)")]

    def close(self):
        self.sock.close()


def client(s, user=ANNA, tls="none", select=None):
    c = Imap(s.ports["imap", tls], tls=tls == "implicit").login(user)
    if select:
        c.do("SELECT " + select)
    return c


def talk(c, *exchanges):
    """A dialogue: each exchange is (command, status, pattern...). The patterns are regular expressions, searched for in each
    line of the answer; one that begins with "!" must not be found."""
    answer = None
    for command, status, *patterns in exchanges:
        answer = c.do(command, status)
        for pattern in patterns:
            absent = pattern.startswith("!")
            found = [line for line in answer.untagged + [answer.final]
                     if re.search(pattern[absent:].encode("latin-1"), line, re.S)]
            assert bool(found) != absent, "%r: %s %r\n%r" % (command, "there is" if absent else "there is no", pattern,
                                                             answer)
    return answer


def literal(octets, plus=True):
    return b"{%d%s}\r\n%s" % (len(octets), b"+" if plus else b"", octets)
