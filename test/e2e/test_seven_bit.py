"""Relay to next hops without 8BITMIME: messages are converted, and Python's email package reads the same from them."""
import email
import os
import random
import re

from lib import ANNA, HOST, Server, message
from stub import Sink

TRUSTED = {"trusted": ["127.0.0.1/32"]}
WORDS = "Gr\u00fc\u00dfe aus K\u00f6ln = \u043f\u0440\u0438\u0432\u0435\u0442 \u4f60\u597d -- .\t\u20ac".split(" ")


def to(sink, **more):
    return dict(TRUSTED, smarthost=dict({"host": HOST, "port": sink.port, "tls": "none"}, **more))


def head(subject):
    return ("From: <%s>\r\nTo: <x@example.net>\r\nSubject: %s\r\nMessage-ID: <%s@test.example.net>\r\n"
            "MIME-Version: 1.0\r\n" % (ANNA, subject, os.urandom(8).hex())).encode()


def text_of(seed, lines):
    chance = random.Random(seed)
    ends = ["\r\n", " \r\n", "\t\r\n"]
    return "".join(" ".join(chance.choice(WORDS) for _ in range(chance.randrange(30))) + chance.choice(ends)
                   for _ in range(lines))


def part(kind, octets, encoding="8bit"):
    return ("Content-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n" % (kind, encoding)).encode() + octets


def multipart(kind, *parts, boundary=None):
    boundary = boundary or "=_" + os.urandom(8).hex()
    return part('multipart/%s; boundary="%s"' % (kind, boundary),
                b"".join(b"--" + boundary.encode() + b"\r\n" + p + b"\r\n" for p in parts) +
                b"--" + boundary.encode() + b"--\r\n")


def binary(seed, n):
    """Any octets but those that a text message cannot have: NUL, and CR and LF alone."""
    chance = random.Random(seed)
    octets = bytes(chance.randrange(1, 256) for _ in range(n)).replace(b"\r", b"").replace(b"\n", b"")
    return b"\r\n".join(octets[i:i + 900] for i in range(0, len(octets), 900))


def samples():
    plain = part("text/plain; charset=utf-8", text_of(1, 50).encode())
    html = part("text/html; charset=utf-8", b"<p>" + text_of(2, 20).encode() + b"</p>")
    latin = part("text/plain; charset=iso-8859-1", b"Gr\xfc\xdfe\r\n")
    ascii_only = part("text/plain; charset=us-ascii", b"plain = text \r\n-- \r\nA.\r\n")
    image = part("image/png", b"iVBORw0KGgo=\r\n", "base64")
    octets = part("application/octet-stream; name=x", binary(3, 5000))
    inner = head("inner") + multipart("mixed", plain, octets)
    attached = part("message/rfc822", inner)
    signature = part('application/pgp-signature; name="x"', b"-----BEGIN PGP SIGNATURE-----\r\n", "7bit")
    yield "plain", plain
    yield "latin", latin
    yield "no-end", part("text/plain; charset=utf-8", "kein Zeilenende: \u00fc ".encode())
    yield "unlabelled", b"\r\n" + text_of(4, 5).encode()
    yield "type-only", b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + text_of(5, 5).encode()
    yield "long-lines", part("text/plain; charset=utf-8", ("\u00fc" * 3000 + " " + "x" * 3000 + "\r\n").encode())
    yield "alternative", multipart("alternative", plain, html)
    yield "attachments", multipart("mixed", multipart("alternative", ascii_only, html), image, octets, ascii_only)
    yield "attached", multipart("mixed", ascii_only, attached)
    outer = head("outer") + multipart("mixed", attached)
    yield "attached-twice", multipart("mixed", part("message/rfc822", outer), latin)
    yield "digest", multipart("digest", b"\r\n" + head("in a digest") + plain, b"\r\n" + inner)
    yield "signed", multipart("signed; protocol=\"application/pgp-signature\"", plain, signature)
    yield "parallel", multipart("parallel", *[part("text/plain; charset=utf-8", text_of(i, 3).encode())
                                              for i in range(200)])
    nested = multipart("mixed", multipart("mixed", plain, boundary="abc"), boundary="ab")
    yield "nested", multipart("mixed", nested, latin, boundary="a")
    yield "large", multipart("mixed", part("text/plain; charset=utf-8", text_of(6, 4000).encode()),
                             part("application/octet-stream", binary(7, 300000)))


def read(octets):
    """What a reader sees: types, and contents decoded."""
    parsed = email.message_from_bytes(octets)
    return [(p.get_content_type(), p.get_param("charset"), p.get("Subject"),
             None if p.is_multipart() else p.get_payload(decode=True)) for p in parsed.walk()]


def same(sent, got):
    before, after = read(sent), read(got)
    assert len(before) == len(after), (before, after)
    for old, new in zip(before, after):
        assert old[0] == new[0] and old[2] == new[2], (old, new)
        assert old[1] == new[1] or (old[1], new[1]) == (None, "unknown-8bit"), (old, new)
        # The end of the last line is the message's.
        assert (old[3] or b"").removesuffix(b"\r\n") == (new[3] or b"").removesuffix(b"\r\n"), (old, new)


def fits(octets):
    assert max(octets) < 128, "8 bits on the wire"
    assert max(len(line) for line in octets.split(b"\r\n")) <= 998, "a long line on the wire"
    assert octets.count(b"\n") == octets.count(b"\r\n") == octets.count(b"\r")
    for p in email.message_from_bytes(octets).walk():
        encoding = p.get("Content-Transfer-Encoding", "7bit")
        assert encoding in ("7bit", "quoted-printable", "base64"), encoding
        assert encoding == "7bit" or not p.is_multipart(), "what has parts may not be encoded"


def by_subject(messages):
    return {email.message_from_bytes(m["data"])["Subject"]: m["data"] for m in messages}


def test_messages_are_converted(t):
    """Each kind of message, from rows and from the spool, announced as 8-bit or not."""
    sink = Sink(t, features=["SIZE 10000000", "PIPELINING"])
    s = Server(t, {"relay": to(sink), "queue": {"inline_limit": "16 KiB"}, "limits": {"line_length": 100000}})
    sent = {}
    with s.connect() as c:
        c.ehlo()
        for name, body in samples():
            for options in (" BODY=8BITMIME", ""):
                sent[name + options[1:]] = head(name + options[1:]) + body
                c.transaction(ANNA, ["x@example.net"], sent[name + options[1:]].removesuffix(b"\r\n") + b"\r\n",
                              options=options)
    got = by_subject(sink.wait(len(sent)))
    for name, octets in sent.items():
        fits(got[name])
        same(octets, got[name])
    assert not any("BODY=" in command for command in sink.commands), sink.commands
    sizes = {int(m[1]) for m in (re.search(r"SIZE=(\d+)", c) for c in sink.commands) if m}
    assert max(sizes) >= len(got["large"]) and max(sizes) < 1.3 * len(got["large"]), (sizes, len(got["large"]))
    s.wait_queue_empty()
    assert not s.mail(ANNA), "nothing comes back"


def test_what_fits_is_not_touched(t):
    """Parts that need it are converted, all others keep their octets."""
    sink = Sink(t)
    s = Server(t, {"relay": to(sink)})
    odd = b"a  =  odd\t\r\n-- \r\n" + b"x" * 900 + b"\r\n"
    body = multipart("mixed", part("text/x-odd; a=b;\r\n  c=d", odd, "7bit"),
                     part("text/plain; charset=utf-8", "\u00fc".encode()))
    plain = head("plain") + multipart("mixed", part("text/plain", b"ASCII\r\n"),
                                      part("application/x", b"\x7f\x01\r\n", "binary"))
    with s.connect() as c:
        c.ehlo()
        c.transaction(ANNA, ["x@example.net"], head("mixed") + body, options=" BODY=8BITMIME")
        c.transaction(ANNA, ["x@example.net"], plain, options=" BODY=8BITMIME")
    got = by_subject(sink.wait(2))
    assert part("text/x-odd; a=b;\r\n  c=d", odd, "7bit") in got["mixed"], got["mixed"]
    assert got["plain"].endswith(plain), got["plain"]


def test_binary_messages_are_converted(t):
    """RFC 3030: to a next hop without BINARYMIME, with 8BITMIME or not."""
    octets = bytes(range(256)) * 500 + b"\r\n--"
    sent = head("binary") + multipart("mixed", part("text/plain; charset=utf-8", "\u00fc\r\n".encode(), "binary"),
                                      part("application/octet-stream", octets, "binary"))
    old, new = Sink(t), Sink(t, features=["8BITMIME", "CHUNKING"])
    s = Server(t, {"relay": dict(TRUSTED, routes={"old.example": {"host": HOST, "port": old.port, "tls": "none"},
                                                  "new.example": {"host": HOST, "port": new.port, "tls": "none"}})})
    with s.connect() as c:
        c.ehlo()
        c.cmd("MAIL FROM:<%s> BODY=BINARYMIME" % ANNA, 250)
        c.cmd("RCPT TO:<x@old.example>", 250)
        c.cmd("RCPT TO:<x@new.example>", 250)
        c.raw(b"BDAT %d LAST\r\n" % len(sent) + sent)
        c.read(250)
    for sink in (old, new):
        got = sink.wait()[0]["data"]
        fits(got)
        assert octets in [contents for _, _, _, contents in read(got)], got[:2000]
        assert sink.count("BDAT") == 0 and not any("BODY=" in command for command in sink.commands)


def test_what_cannot_be_converted_comes_back(t):
    sink = Sink(t)
    s = Server(t, {"relay": to(sink)})
    attached = part("message/rfc822", "Subject: Gr\u00fc\u00dfe\r\n\r\ntext\r\n".encode())
    with s.connect() as c:
        c.ehlo()
        c.transaction(ANNA, ["x@example.net"], message("Gr\u00fc\u00dfe", sender=ANNA), options=" BODY=8BITMIME")
        c.transaction(ANNA, ["x@example.net"], head("attached") + multipart("mixed", attached),
                      options=" BODY=8BITMIME")
    texts = [" ".join(m.decode("utf-8").split()) for m in s.wait_mail(ANNA, 2)]
    assert all("5.6.3" in m and "and this one cannot be converted:" in m for m in texts), texts
    assert sum("its header has 8-bit characters" in m for m in texts) == 1, texts
    assert sum("the header of one of its parts has 8-bit characters" in m for m in texts) == 1, texts
    assert not sink.messages
    # What was never announced goes as it came: such servers often take it, and there is no other form of it.
    with s.connect() as c:
        c.ehlo()
        c.transaction(ANNA, ["x@example.net"], message("Gr\u00fc\u00dfe", sender=ANNA))
    assert "Subject: Gr\u00fc\u00dfe\r\n".encode() in sink.wait()[0]["data"]


def test_notifications_are_converted(t):
    """What is said of an 8-bit message goes to its sender by the same way."""
    def answer(verb, argument, session):
        return "550 5.1.1 nobody" if verb == "RCPT" and "gone@" in argument else None
    sink = Sink(t, answer)
    s = Server(t, {"relay": to(sink)})
    body = "Gr\u00fc\u00dfe\r\n"
    with s.connect() as c:
        c.ehlo()
        lost = head("lost") + part("text/plain; charset=utf-8", body.encode())
        c.transaction("someone@example.com", ["gone@example.net"], lost, options=" BODY=8BITMIME RET=FULL")
    got = sink.wait()[0]
    assert got["sender"] == "" and got["to"] == ["someone@example.com"], got
    fits(got["data"])
    assert ("text/plain", "utf-8", "lost", body.encode()) in read(got["data"]), got["data"]
