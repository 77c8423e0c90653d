"""Slow, greedy and broken clients; what is short here takes minutes in the defaults."""
import os
import socket
import time

from lib import ANNA, BERT, DOMAIN, HOST, Server, Smtp, message, wait_until, want

SHORT = {"greeting": "1s", "command": "1s", "data": "1s", "tls": "1s"}


def closes(c, seconds=8):
    started = time.monotonic()
    assert c.is_closed(seconds), "still open after %g s" % seconds
    return time.monotonic() - started


def test_silent_clients_are_let_go(t):
    s = Server(t, {"limits": {"timeouts": SHORT}})
    with s.connect() as c:  # before the first command
        assert closes(c) > 0.5
        assert b"421" in c.buffer, c.buffer
    with s.connect() as c:
        c.ehlo()
        assert closes(c) > 0.5
        assert b"421 4.4.2" in c.buffer, c.buffer
    with s.connect() as c:  # in the middle of a message
        c.ehlo()
        c.cmd("MAIL FROM:<x@example.net>", 250)
        c.cmd("RCPT TO:<%s>" % ANNA, 250)
        c.cmd("DATA", 354)
        c.raw(message("half"))
        closes(c)
    assert not s.mail()


def test_dripping_clients_are_let_go(t):
    """A54: a deadline is for the whole command, not for an octet."""
    s = Server(t, {"limits": {"timeouts": SHORT}})
    with s.connect() as c:
        c.ehlo()
        started = time.monotonic()
        try:
            for octet in b"NOOP and a very long argument that never ends":
                c.raw(bytes([octet]))
                time.sleep(0.2)
            raise AssertionError("still open after %g s" % (time.monotonic() - started))
        except (ConnectionError, EOFError):
            pass


def test_dripping_chunks_are_let_go(t):
    """A54: the rate is that of the message, however many chunks it comes in."""
    s = Server(t, {"limits": {"timeouts": dict(SHORT, data="2s", command="60s")}})
    with s.connect() as c:
        c.ehlo()
        c.cmd("MAIL FROM:<x@example.net>", 250)
        c.cmd("RCPT TO:<%s>" % ANNA, 250)
        started = time.monotonic()
        try:
            while time.monotonic() - started < 15:
                c.raw(b"BDAT 1\r\nx")
                c.read(250)
                time.sleep(0.2)
            raise AssertionError("still open")
        except (ConnectionError, EOFError, AssertionError) as e:
            assert "421 4.4.2" in str(e) or not isinstance(e, AssertionError), e
    with s.connect() as c:  # silence between two chunks
        c.ehlo()
        c.cmd("MAIL FROM:<x@example.net>", 250)
        c.cmd("RCPT TO:<%s>" % ANNA, 250)
        c.raw(b"BDAT 1\r\nx")
        c.read(250)
        closes(c)
        assert b"421 4.4.2" in c.buffer, c.buffer


def test_connections_per_address(t):
    s = Server(t, {"limits": {"connections_per_address": 3, "rate_exempt": []}})
    open_ones = [s.connect() for _ in range(3)]
    extra = Smtp(s.ports["smtp", "starttls"])
    want(extra.greeting, 421)
    assert extra.is_closed()
    open_ones.pop().quit()
    wait_until("a free place", lambda: s.connect().greeting.code == 220)
    for c in open_ones:
        c.cmd("NOOP", 250)


def test_connections_in_total(t):
    s = Server(t, {"limits": {"connections": 5, "connections_per_address": 100}})
    open_ones = [s.connect() for _ in range(5)]
    for c in open_ones:
        c.ehlo()
        c.cmd("MAIL FROM:<x@example.net>", 250)
    with Smtp(s.ports["smtp", "starttls"]) as extra:
        want(extra.greeting, 421)
        assert extra.is_closed()
    for c in open_ones:
        c.close()
    wait_until("a free place", lambda: s.connect().greeting.code == 220)


def test_idle_strangers_make_room(t):
    """A55: they do not keep out those who come to work; who is in a transaction or has logged in stays."""
    s = Server(t, {"limits": {"connections": 6, "connections_per_address": 100}})
    busy = s.connect()
    busy.ehlo()
    busy.cmd("MAIL FROM:<x@example.net>", 250)
    known = s.submit()
    idle = [s.connect() for _ in range(2)]
    handshake = Smtp(s.ports["submission", "implicit"], greet=False)  # never begins TLS
    wait_until("it to be accepted", lambda: s.json("status")["smtp"]["open"] == 5)
    idle.append(s.connect())
    again = s.submit(BERT)
    assert idle[0].is_closed() and b"421 4.3.2" in idle[0].buffer, idle[0].buffer
    others = [s.connect(), s.connect()]
    assert idle[1].is_closed() and handshake.is_closed()
    for c in (known, again):
        c.transaction(ANNA if c is known else BERT, [BERT], message(sender=ANNA if c is known else BERT))
    busy.cmd("RCPT TO:<%s>" % ANNA, 250)
    busy.data(message())
    for c in [idle[2]] + others:
        c.cmd("NOOP", 250)
    for c in [idle[2]] + others:
        c.ehlo()
        c.cmd("MAIL FROM:<x@example.net>", 250)
    busy.cmd("MAIL FROM:<x@example.net>", 250)
    assert Smtp(s.ports["smtp", "starttls"]).greeting.code == 421


def test_connection_and_message_rates(t):
    s = Server(t, {"limits": {"message_rate": 3, "rate_exempt": []}})
    with s.connect() as c:
        c.ehlo()
        for _ in range(3):
            c.transaction("x@example.net", [ANNA], message())
        want(c.cmd("MAIL FROM:<x@example.net>"), (450, 451, 421, 452))
    s.stop()
    s = Server(t, {"limits": {"connection_rate": 3, "rate_exempt": []}}, name="second")
    codes = [Smtp(s.ports["smtp", "starttls"]).greeting.code for _ in range(5)]
    assert codes[:3] == [220] * 3 and 421 in codes, codes


def test_errors_and_idle_commands(t):
    s = Server(t, {"limits": {"errors": 5, "commands": 10}})
    with s.connect() as c:
        c.ehlo()
        codes = []
        try:
            for _ in range(8):
                codes.append(c.cmd("FLY ME TO THE MOON").code)
        except (EOFError, ConnectionError):
            pass
        assert codes[0] == 500 and len(codes) <= 6, codes
    with s.connect() as c:
        c.ehlo()
        codes = []
        try:
            for _ in range(30):
                codes.append(c.cmd("NOOP").code)
        except (EOFError, ConnectionError):
            pass
        assert len(codes) < 15, codes


def test_recipients(t):
    s = Server(t, {"limits": {"recipients": 3}})
    with s.connect() as c:
        c.ehlo()
        c.cmd("MAIL FROM:<x@example.net>", 250)
        for i in range(3):
            c.cmd("RCPT TO:<anna+%d@%s>" % (i, DOMAIN), 250)
        want(c.cmd("RCPT TO:<%s>" % BERT), 452, "4.5.3")
        c.data(message())


def test_endless_lines(t):
    """A27: memory stays flat, and nothing behind the line is lost or run."""
    s = Server(t)
    before = s.memory("VmRSS")
    with s.connect() as c:
        c.ehlo()
        for _ in range(8):
            c.raw(b"NOOP " + b"x" * (1 << 16))
        c.raw(b"\r\nNOOP\r\n")
        want(c.read(), 500)
        want(c.read(), (250, 421))
    with s.connect() as c:  # one that goes on and on is cut off
        c.ehlo()
        try:
            for _ in range(256):
                c.raw(b"x" * (1 << 16))
        except ConnectionError:
            pass
    assert s.memory("VmRSS") - before < (8 << 20), "memory grew with the line"
    with s.connect() as c:
        c.ehlo()
        c.cmd("MAIL FROM:<x@example.net>", 250)
        c.cmd("RCPT TO:<%s>" % ANNA, 250)
        c.cmd("DATA", 354)
        c.raw(message() + b"x" * (1 << 21) + b"\r\n.\r\n")
        want(c.read(), (500, 550, 552, 554))


def test_order_of_commands(t):
    """A23: every pair, as the table of RFC 5321 4.1.4 has it."""
    s = Server(t, {"limits": {"errors": 500, "commands": 5000}})
    with s.connect() as c:
        for verb in ("MAIL FROM:<x@example.net>", "RCPT TO:<%s>" % ANNA, "DATA", "BDAT 0 LAST"):
            want(c.cmd(verb), 503)
        c.ehlo()
        for verb in ("RCPT TO:<%s>" % ANNA, "DATA"):
            want(c.cmd(verb), 503)
        c.cmd("MAIL FROM:<x@example.net>", 250)
        want(c.cmd("MAIL FROM:<y@example.net>"), 503)
        want(c.cmd("DATA"), (503, 554))
        c.cmd("RCPT TO:<%s>" % ANNA, 250)
        want(c.cmd("STARTTLS"), 503)
        c.cmd("VRFY anna", 252)
        c.cmd("EXPN all", 502)
        c.cmd("HELP", 214)
        c.cmd("NOOP anything", 250)
        c.cmd("EHLO again.example.net", 250)
        want(c.cmd("RCPT TO:<%s>" % ANNA), 503)
        for verb in ("XCLIENT ADDR=1.2.3.4", "TURN", "ETRN x", "SEND FROM:<x@example.net>", "DEBUG", "WIZ"):
            want(c.cmd(verb), (500, 502))
        c.cmd("RSET", 250)
        c.cmd("HELO old.example.net", 250)
        c.transaction("x@example.net", [ANNA], message())


def test_syntax(t):
    s = Server(t, {"limits": {"errors": 500, "commands": 5000}})
    bad = ["MAIL FROM:", "MAIL FROM: ", "MAIL FROM:x y", "MAIL FROM:<x@>", "MAIL FROM:<@example.net>", "MAIL TO:<x@y.example>",
           "MAIL FROM:<x@example.net> SIZE=x", "MAIL FROM:<x@example.net> SIZE=1 SIZE=2", "MAIL FROM:<x@example.net> FROB=1",
           "MAIL FROM:<x@example.net> BODY=9BIT", "MAIL FROM:<%s@example.net>" % ("x" * 1500), "MAIL FROM:<a..b@example.net>",
           "MAIL FROM:<x@-example.net>", "MAIL FROM:<x@exa mple.net>", "MAIL", "MAIL FROM:<x@example.net> ENVID=" + "x" * 200,
           "MAIL FROM:<x@example.net> RET=NONE", 'MAIL FROM:<"@example.net>', "MAIL FROM:<x@[1.2.3]>", "EHLO", "HELO",
           "MAIL FROM:<x@example.net> ENVID=+0D+0A"]
    with s.connect() as c:
        c.ehlo()
        for line in bad:
            reply = c.cmd(line)
            assert reply.code in (500, 501, 504, 553, 555), (line, reply)
            assert reply.enhanced or line[:4] in ("EHLO", "HELO"), (line, reply)  # RFC 2034: those two have none
        for line in (b"NOOP\0", b"MAIL FROM:<x\0@example.net>", b"NOOP\rNOOP", b"NOOP\nNOOP"):
            want(c.cmd(line), (500, 501))
        want(c.cmd("NOOP"), 250)


def test_foreign_protocols_are_cut_off(t):
    """A25."""
    s = Server(t)
    for octets in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.0\r\n\r\nEHLO x\r\nMAIL FROM:<a@example.net>\r\n",
                   b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n"):
        with s.connect() as c:
            c.raw(octets)
            assert c.is_closed(), octets
            assert c.buffer.count(b"\r\n") <= 2, c.buffer


def test_low_disk(t):
    s = Server(t, {"queue": {"low_disk": "900000 GiB"}}, start=False)
    s.write(queue={"low_disk": "1000 GiB"})
    s.start()
    with s.connect() as c:
        c.ehlo()
        want(c.cmd("MAIL FROM:<x@example.net>"), 452, "4.3.1")
    s.reload(queue={"low_disk": 0})
    s.send(message())
    s.wait_mail()


def test_file_that_may_not_grow(t):
    """F7: RLIMIT_FSIZE as a full disk; smaller messages go on."""
    s = Server(t, wrapper=["prlimit", "--fsize=%d" % (4 << 20)])
    line = "0123456789" * 7 + "\r\n"
    with s.connect() as c:
        c.ehlo()
        want(c.transaction("x@example.net", [ANNA], message("large", body=line * ((6 << 20) // len(line))), 452), 452,
             "4.3.1")
    s.send(message("small"))
    s.wait_mail()
    wait_until("an empty spool", lambda: not os.listdir(os.path.join(s.state, "spool")))


def test_many_sessions_at_once(t):
    s = Server(t, {"limits": {"connections_per_address": 1000}}, tls=False)
    sessions = [s.connect() for _ in range(200)]
    for c in sessions:
        c.raw(b"EHLO client\r\n")
    for c in sessions:
        c.read(250)
        c.raw(b"MAIL FROM:<x@example.net>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\n")
    for c in sessions:
        assert [c.read().code for _ in range(3)] == [250, 250, 354]
        c.raw(message("many") + b".\r\nQUIT\r\n")
    for c in sessions:
        assert [c.read().code for _ in range(2)] == [250, 221]
        c.close()
    s.wait_mail(count=200)
    status = s.json("status")
    assert status, status


def test_descriptors_do_not_leak(t):
    s = Server(t)
    count = lambda: len(os.listdir("/proc/%d/fd" % s.process.pid))
    s.send(message())
    s.wait_mail()
    s.wait_queue_empty()
    if not os.access("/proc/%d/fd" % s.process.pid, os.R_OK):
        return
    before = count()
    for i in range(50):
        with s.connect() as c:
            c.ehlo()
            if i % 2:
                c.cmd("MAIL FROM:<x@example.net>", 250)
                c.cmd("RCPT TO:<%s>" % ANNA, 250)
                c.cmd("DATA", 354)
                c.raw(b"half")
        sock = socket.create_connection((HOST, s.ports["submission", "implicit"]))
        sock.close()
    wait_until("as few descriptors as before", lambda: count() <= before + 2)
