"""The other side: next hops that answer as a test wants, and a name server that lies as a test wants."""
import base64
import socket
import socketserver
import ssl
import struct
import threading

from lib import HOST, wait_until


class Sink:
    """A next hop. `answer(verb, argument, session)` returns a reply ("451 4.3.0 later"), "close", "hang", or None for
    the usual one. What was taken stands in `messages`: dicts with sender, to, data, helo, tls, auth."""

    def __init__(self, t, answer=None, certificate=None, implicit=False, features=(), users=None, port=0, host=HOST):
        self.answer = answer or (lambda verb, argument, session: None)
        self.features, self.users, self.implicit = list(features), users, implicit
        self.messages, self.commands, self.sessions = [], [], 0
        self.lock = threading.Lock()
        self.open = set()
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*certificate)
        sink = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                # Several small replies in a row must not wait for the other side's delayed acknowledgement.
                self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with sink.lock:
                    sink.open.add(self.request)
                try:
                    Session(sink, self.request).run()
                except (OSError, EOFError):
                    pass
                finally:
                    with sink.lock:
                        sink.open.discard(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass

        self.server = Server((host, port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        t.at_end(self)

    def stop(self):
        """No more connections, and those that are open end."""
        self.server.shutdown()
        self.server.server_close()
        with self.lock:
            for sock in self.open:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def wait(self, count=1, seconds=20.0):
        wait_until("%d messages at the next hop" % count, lambda: len(self.messages) >= count, seconds)
        assert len(self.messages) == count, "%d messages at the next hop instead of %d" % (len(self.messages), count)
        return self.messages

    def count(self, verb):
        return sum(command.split(" ", 1)[0].upper() == verb for command in self.commands)


class Session:
    def __init__(self, sink, sock):
        self.sink, self.sock, self.buffer = sink, sock, b""
        self.tls = self.login = self.helo = None
        self.reset()
        with sink.lock:
            sink.sessions += 1
            self.number = sink.sessions

    def reset(self):
        self.sender, self.to = None, []

    def say(self, text):
        self.sock.sendall(text.encode("utf-8") + b"\r\n")

    def fill(self):
        more = self.sock.recv(262144)
        if not more:
            raise EOFError
        self.buffer += more

    def line(self):
        while b"\n" not in self.buffer:
            self.fill()
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r").decode("utf-8", "replace")

    def wrap(self):
        plain = self.sock
        self.sock = self.sink.context.wrap_socket(plain, server_side=True)
        with self.sink.lock:
            self.sink.open.add(self.sock)
        self.tls = self.sock.version()
        self.buffer = b""

    def run(self):
        if self.sink.implicit:
            self.wrap()
        self.reply("CONNECT", "", "220 sink.example.net ESMTP")
        while True:
            line = self.line()
            verb, _, argument = line.partition(" ")
            with self.sink.lock:
                self.sink.commands.append(line)
            if not self.command(verb.upper(), argument):
                return

    def reply(self, verb, argument, usual):
        """Says what the test wants, or the usual; True when that was the usual or another 2xx or 3xx."""
        text = self.sink.answer(verb, argument, self) or usual
        if text == "close":
            raise EOFError
        if text == "hang":
            self.sock.settimeout(None)
            while True:
                self.fill()
        self.say(text)
        return text[0] in "23"

    def command(self, verb, argument):
        if verb in ("EHLO", "HELO"):
            self.helo = argument
            features = list(self.sink.features)
            if self.sink.context and not self.tls:
                features.append("STARTTLS")
            if self.sink.users is not None:
                features.append("AUTH PLAIN LOGIN")
            lines = ["sink.example.net"] + (features if verb == "EHLO" else [])
            self.reply(verb, argument, "\r\n".join(
                "250%s%s" % (" " if i == len(lines) - 1 else "-", line) for i, line in enumerate(lines)))
        elif verb == "STARTTLS":
            if self.reply(verb, argument, "220 2.0.0 go ahead"):
                self.wrap()
        elif verb == "AUTH":
            self.auth(argument)
        elif verb == "MAIL":
            if self.reply(verb, argument, "250 2.1.0 ok"):
                self.sender = argument[argument.index("<") + 1:argument.rindex(">")]
        elif verb == "RCPT":
            if self.reply(verb, argument, "250 2.1.5 ok"):
                self.to.append(argument[argument.index("<") + 1:argument.rindex(">")])
        elif verb == "DATA":
            if self.reply(verb, argument, "354 go on"):
                self.take(self.body())
        elif verb == "BDAT":
            self.chunk(argument)
        elif verb == "QUIT":
            self.reply(verb, argument, "221 2.0.0 bye")
            return False
        else:
            if verb == "RSET":
                self.reset()
            self.reply(verb, argument, "250 2.0.0 ok")
        return True

    def auth(self, argument):
        mechanism, _, initial = argument.partition(" ")

        def ask(prompt):
            self.say("334 " + base64.b64encode(prompt).decode())
            return base64.b64decode(self.line())
        if mechanism.upper() == "PLAIN":
            _, user, password = (base64.b64decode(initial) if initial else ask(b"")).split(b"\0")
        else:
            user = base64.b64decode(initial) if initial else ask(b"Username:")
            password = ask(b"Password:")
        if self.sink.users.get(user.decode()) == password.decode():
            self.login = user.decode()
            self.reply("AUTHED", argument, "235 2.7.0 ok")
        else:
            self.reply("AUTHED", argument, "535 5.7.8 no")

    def body(self):
        at = 0
        while True:
            if self.buffer.startswith(b".\r\n"):
                text, self.buffer = b"", self.buffer[3:]
                break
            end = self.buffer.find(b"\r\n.\r\n", max(0, at - 5))
            if end >= 0:
                text, self.buffer = self.buffer[:end + 2], self.buffer[end + 5:]
                break
            at = len(self.buffer)
            self.fill()
        return (b"\n" + text).replace(b"\n..", b"\n.")[1:]

    def chunk(self, argument):
        size, _, last = argument.partition(" ")
        while len(self.buffer) < int(size):
            self.fill()
        self.chunks = getattr(self, "chunks", b"") + self.buffer[:int(size)]
        self.buffer = self.buffer[int(size):]
        if last.upper() == "LAST":
            text, self.chunks = self.chunks, b""
            self.take(text)
        else:
            self.reply("BDAT", argument, "250 2.0.0 ok")

    def take(self, text):
        message = {"sender": self.sender, "to": self.to, "data": text, "helo": self.helo, "tls": self.tls,
                   "login": self.login, "session": self.number}
        if self.reply("END", "", "250 2.0.0 taken"):
            with self.sink.lock:
                self.sink.messages.append(message)
        self.reset()


class Dns:
    """Answers over UDP and TCP from `zone`: {(name, type): [data, ...]}, data being an address, (preference, host) for
    MX, or bytes for TXT. Names that are nowhere in it do not exist. `rcode` and `silent` make it fail."""

    TYPES = {1: "A", 5: "CNAME", 15: "MX", 16: "TXT", 28: "AAAA"}

    def __init__(self, t, zone, ttl=300):
        self.zone, self.ttl, self.rcode, self.silent, self.queries = zone, ttl, 0, False, []
        dns = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self):
                answer = dns.answer(self.request[0])
                if answer:
                    self.request[1].sendto(answer, self.client_address)

        class Server(socketserver.ThreadingUDPServer):
            daemon_threads = True

        self.server = Server((HOST, 0), Udp)
        self.port = self.server.server_address[1]
        self.address = "%s:%d" % (HOST, self.port)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        t.at_end(self)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    @staticmethod
    def name(text):
        return b"".join(bytes([len(p)]) + p.encode() for p in text.split(".") if p) + b"\0"

    def answer(self, query):
        ident, _, questions = struct.unpack(">HHH", query[:6])
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1").lower())
            at += 1 + query[at]
        question = query[12:at + 5]
        kind = self.TYPES.get(struct.unpack(">H", query[at + 1:at + 3])[0], "?")
        name = ".".join(labels)
        self.queries.append((name, kind))
        if self.silent:
            return None
        records = self.zone.get((name, kind), [])
        known = any(n == name for n, _ in self.zone)
        rcode = self.rcode or (0 if known else 3)
        out = struct.pack(">HHHHHH", ident, 0x8180 | rcode, questions, 0 if rcode else len(records), 0, 0) + question
        for data in () if rcode else records:
            if kind == "MX":
                data = struct.pack(">H", data[0]) + self.name(data[1])
            elif kind in ("A", "AAAA"):
                data = socket.inet_pton(socket.AF_INET if kind == "A" else socket.AF_INET6, data)
            elif kind == "CNAME":
                data = self.name(data)
            elif kind == "TXT":
                data = bytes([len(data)]) + data
            number = {v: k for k, v in self.TYPES.items()}[kind]
            out += b"\xc0\x0c" + struct.pack(">HHIH", number, 1, self.ttl, len(data)) + data
        return out
