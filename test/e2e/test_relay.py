"""Relay: next hops that take, refuse, stall and lie."""
import re
import time

from lib import ANNA, BERT, DOMAIN, HOST, Server, listener, message, wait_until, want
from stub import Dns, Sink

TRUSTED = {"trusted": ["127.0.0.1/32"]}


def to(sink, **more):
    return dict(TRUSTED, smarthost=dict({"host": HOST, "port": sink.port, "tls": "none"}, **more))


def test_smarthost(t):
    sink = Sink(t, features=["8BITMIME", "SIZE 1000000", "PIPELINING"])
    s = Server(t, {"relay": to(sink)})
    s.send(message("out", "Dear all,\r\n.\r\n..x\r\n", sender=ANNA), to=["a@example.net", "b@example.com"], sender=ANNA)
    got = sink.wait()[0]
    assert sorted(got["to"]) == ["a@example.net", "b@example.com"] and got["sender"] == ANNA, got
    assert got["data"].endswith(b"Dear all,\r\n.\r\n..x\r\n"), got["data"]
    assert b"\nReceived: from" in b"\n" + got["data"] and b"Return-Path" not in got["data"]
    assert got["data"].count(b"\n") == got["data"].count(b"\r\n")
    assert got["helo"] == "mail." + DOMAIN
    s.wait_queue_empty()


def test_one_connection_carries_many(t):
    sink = Sink(t)
    s = Server(t, {"relay": to(sink), "queue": {"destination_concurrency": 1}})
    with s.connect() as c:
        c.ehlo()
        for i in range(20):
            c.transaction(ANNA, ["x%d@example.net" % i], message())
    sink.wait(20)
    assert sink.sessions <= 2, "%d connections for 20 messages" % sink.sessions


def test_temporary_refusals_are_tried_again(t):
    state = {"tries": 0}

    def answer(verb, argument, session):
        if verb == "RCPT" and "later@" in argument:
            state["tries"] += 1
            return "451 4.2.0 come back" if state["tries"] <= 2 else None
        return None
    sink = Sink(t, answer)
    s = Server(t, {"relay": to(sink), "queue": {"retry": ["100ms"]}})
    s.send(message(), to=["now@example.net", "later@example.net"], sender=ANNA)
    sink.wait(2)
    assert [m["to"] for m in sink.messages] == [["now@example.net"], ["later@example.net"]], sink.messages
    assert state["tries"] == 3
    s.wait_queue_empty()
    assert not s.mail(ANNA), "no notification for what got through"


def test_permanent_refusal_makes_a_notification(t):
    sink = Sink(t, lambda verb, argument, session: "550 5.1.1 nobody of that name" if verb == "RCPT" else None)
    s = Server(t, {"relay": to(sink)})
    s.send(message("lost", "the body stays away\r\n", sender=ANNA), to=["gone@example.net"], sender=ANNA)
    dsn = s.wait_mail(ANNA)[0].decode()
    assert dsn.startswith("Return-Path: <>\n"), dsn[:100]
    tie = s.wait_log(r"event=bounced queue=(\w+) notification=(\w+) to=%s" % re.escape(ANNA))
    assert "X-Facteur-Queue-ID: %s\n" % tie[1] in dsn, dsn
    s.wait_log("event=delivered queue=%s to=%s" % (tie[2], re.escape(ANNA)))
    for part in ("multipart/report", "report-type=delivery-status", "message/delivery-status", "Auto-Submitted: auto-replied",
                 "Reporting-MTA: dns; mail." + DOMAIN, "Final-Recipient: rfc822; gone@example.net", "Action: failed",
                 "Status: 5.1.1", "nobody of that name", "Subject: lost"):
        assert part in dsn, "%r is not in:\n%s" % (part, dsn)
    s.wait_queue_empty()


def test_nobody_is_told_for_the_null_sender(t):
    sink = Sink(t, lambda verb, argument, session: "550 5.1.1 no" if verb == "RCPT" else None)
    s = Server(t, {"relay": to(sink)})
    s.send(message(), to=["gone@example.net"], sender="")
    wait_until("the refusal", lambda: sink.count("RCPT") >= 1)
    s.wait_queue_empty()
    assert not s.mail(ANNA) and not s.mail(BERT)


def test_dsn_parameters(t):
    sink = Sink(t, lambda verb, argument, session: "550 5.1.1 no" if verb == "RCPT" else None)
    s = Server(t, {"relay": to(sink)})
    with s.connect() as c:
        c.ehlo()
        c.cmd("MAIL FROM:<%s> RET=HDRS ENVID=QQ314159" % ANNA, 250)
        c.cmd("RCPT TO:<a@example.net> NOTIFY=NEVER ORCPT=rfc822;a@example.net", 250)
        c.data(message())
        c.cmd("MAIL FROM:<%s> RET=HDRS ENVID=QQ314160" % ANNA, 250)
        c.cmd("RCPT TO:<b@example.net> NOTIFY=FAILURE,DELAY ORCPT=rfc822;original+40example.net", 250)
        c.data(message("secret", "do not return me\r\n"))
    dsn = s.wait_mail(ANNA)[0].decode()
    assert "Original-Envelope-Id: QQ314160" in dsn and "Original-Recipient: rfc822;" in dsn, dsn
    assert "do not return me" not in dsn and "Subject: secret" in dsn, dsn
    s.wait_queue_empty()
    assert len(s.mail(ANNA)) == 1


def test_only_a_failure_returns_the_whole_message(t):
    """RFC 3461 4.3: RET=FULL is for notifications of a failure."""
    sink = Sink(t, lambda verb, argument, session: "550 5.1.1 no" if verb == "RCPT" and "gone" in argument else None)
    s = Server(t, {"relay": to(sink)})
    with s.connect() as c:
        c.ehlo()
        for who in ("fine", "gone"):
            c.cmd("MAIL FROM:<%s> RET=FULL" % ANNA, 250)
            c.cmd("RCPT TO:<%s@example.net> NOTIFY=SUCCESS,FAILURE" % who, 250)
            c.data(message(who, "all of it\r\n"))
    dsns = [dsn.decode() for dsn in s.wait_mail(ANNA, 2)]
    for dsn in dsns:
        assert ("all of it" in dsn) == ("Action: failed" in dsn), dsn
        assert ("message/rfc822" in dsn) == ("Action: failed" in dsn) and "Subject: " in dsn, dsn
    assert len([dsn for dsn in dsns if "Action: relayed" in dsn]) == 1


def test_dsn_parameters_are_passed_on(t):
    sink = Sink(t, features=["DSN"])
    s = Server(t, {"relay": to(sink)})
    with s.connect() as c:
        c.ehlo()
        c.cmd("MAIL FROM:<%s> RET=HDRS ENVID=abc" % ANNA, 250)
        c.cmd("RCPT TO:<b@example.net> NOTIFY=SUCCESS ORCPT=rfc822;b@example.net", 250)
        c.data(message())
    sink.wait()
    said = "\n".join(sink.commands)
    assert "RET=HDRS" in said and "ENVID=abc" in said and "NOTIFY=SUCCESS" in said and "ORCPT=rfc822;b@example.net" in said, said


def test_dead_next_hop(t):
    sink = Sink(t)
    port = sink.port
    sink.stop()
    s = Server(t, {"relay": to(sink), "queue": {"retry": ["1s"]}})
    s.send(message(), to=["x@example.net"], sender=ANNA)
    waiting = wait_until("a failed attempt", lambda: [m for m in s.queue() if m["recipients"][0]["attempts"] > 0])
    assert waiting[0]["recipients"][0]["last_reply"], waiting
    back = Sink(t, port=port)
    s.run("queue", "flush")
    back.wait()
    s.wait_queue_empty()


def test_lifetime(t):
    sink = Sink(t, lambda verb, argument, session: "451 4.3.0 never today" if verb == "MAIL" else None)
    s = Server(t, {"relay": to(sink), "queue": {"retry": ["500ms"], "lifetime": "2s", "warn_after": 0}})
    s.send(message(), to=["x@example.net"], sender=ANNA)
    dsn = s.wait_mail(ANNA, seconds=30)[0].decode()
    assert "Action: failed" in dsn and "never today" in dsn and re.search(r"Status: [45]\.", dsn), dsn
    assert sink.count("MAIL") >= 2
    s.wait_queue_empty()


def test_delay_is_told_once(t):
    sink = Sink(t, lambda verb, argument, session: "451 4.3.0 not yet" if verb == "MAIL" else None)
    s = Server(t, {"relay": to(sink), "queue": {"retry": ["300ms"], "warn_after": "1s", "lifetime": "5d"}})
    s.send(message(), to=["x@example.net"], sender=ANNA)
    dsn = s.wait_mail(ANNA, seconds=30)[0].decode()
    assert "Action: delayed" in dsn, dsn
    tries = sink.count("MAIL")
    wait_until("more attempts", lambda: sink.count("MAIL") >= tries + 3)
    assert len(s.mail(ANNA)) == 1


def test_delayed_is_not_for_good(t):
    """A server that refuses the session is tried again: what the sender hears of that is 4.x.x."""
    sink = Sink(t, lambda verb, argument, session: "554 5.7.1 not you" if verb == "CONNECT" else None)
    s = Server(t, {"relay": to(sink), "queue": {"retry": ["300ms"], "warn_after": "200ms", "lifetime": "5d"}})
    s.send(message(), to=["x@example.net"], sender=ANNA)
    dsn = s.wait_mail(ANNA, seconds=30)[0].decode()
    assert "Action: delayed\nStatus: 4.7.1\n" in dsn and "554 5.7.1 not you" in dsn, dsn


def test_our_words_are_not_passed_off_as_the_servers(t):
    """RFC 3464 2.3.6: what went wrong with the connection nobody over there has said."""
    sink = Sink(t, lambda verb, argument, session: "close" if verb == "CONNECT" else None)
    s = Server(t, {"relay": to(sink), "queue": {"retry": ["300ms"], "warn_after": "200ms", "lifetime": "5d"}})
    s.send(message(), to=["x@example.net"], sender=ANNA)
    dsn = s.wait_mail(ANNA, seconds=30)[0].decode()
    assert "The reason (at host " in dsn and "Diagnostic-Code: x-facteur; " in dsn and " said:" not in dsn, dsn
    assert "Remote-MTA: dns; [%s]\n" % HOST in dsn, dsn


def test_recipients_stay_together(t):
    """Deferred together they are tried together, in one transaction, and one notification names all of them."""
    sink = Sink(t, lambda verb, argument, session: "451 4.2.0 greylisted" if verb == "RCPT" else None)
    s = Server(t, {"relay": to(sink), "queue": {"retry": ["600ms"], "warn_after": "1s", "lifetime": "5d"}})
    everybody = ["x%d@example.net" % i for i in range(6)]
    s.send(message(), to=everybody, sender=ANNA)
    dsn = s.wait_mail(ANNA, seconds=30)[0].decode()
    assert dsn.count("Action: delayed") == 6 and all("rfc822; " + who in dsn for who in everybody), dsn
    wait_until("more attempts", lambda: sink.count("MAIL") >= 6)
    wait_until("the last transaction", lambda: sink.count("RCPT") == 6 * sink.count("MAIL"))
    assert len(s.mail(ANNA)) == 1


def test_next_hop_falls_silent_or_closes(t):
    """F27: an end that is not clear is tried again; nothing is lost, a duplicate is possible."""
    state = {"end": 0}

    def answer(verb, argument, session):
        if verb == "END":
            state["end"] += 1
            return {1: "close", 2: "hang"}.get(state["end"])
        return None
    sink = Sink(t, answer)
    s = Server(t, {"relay": to(sink), "queue": {"retry": ["200ms"]}, "limits": {"timeouts": {"relay_data_end": "1s"}}})
    s.send(message(), to=["x@example.net"], sender=ANNA)
    wait_until("the third attempt", lambda: s.run("queue", "flush") and len(sink.messages) == 1, 30)
    s.wait_queue_empty()


def test_replies_out_of_bounds(t):
    """F28."""
    state = {"n": 0}
    floods = ["250 " + "x" * (1 << 20), "\r\n".join(["250-more"] * 50000), "199 what", "banana", "250 \0\0", ""]

    def answer(verb, argument, session):
        if verb == "MAIL" and state["n"] < len(floods):
            state["n"] += 1
            return floods[state["n"] - 1] or None
        return None
    sink = Sink(t, answer)
    s = Server(t, {"relay": to(sink), "queue": {"retry": ["200ms"]}})
    s.send(message(), to=["x@example.net"], sender=ANNA)
    wait_until("the message", lambda: s.run("queue", "flush") and len(sink.messages) >= 1, 40)
    s.wait_queue_empty()


def test_smarthost_with_login_and_tls(t):
    own = t.make_certificate("hop", "localhost", "127.0.0.1")
    for mode, implicit in (("starttls", False), ("implicit", True)):
        sink = Sink(t, certificate=own, implicit=implicit, users={"office": "pass word"})
        s = Server(t, {"tls": {"ca": own[0]}, "relay": dict(TRUSTED, smarthost={
            "host": "localhost", "port": sink.port, "tls": mode, "user": "office", "password": "pass word"})}, name=mode)
        s.send(message(), to=["x@example.net"], sender=ANNA)
        got = sink.wait()[0]
        assert got["login"] == "office" and got["tls"], got
        s.wait_queue_empty()
        assert "pass word" not in s.log()


def test_certificate_is_verified(t):
    own = t.make_certificate("hop", "localhost", "127.0.0.1")
    for ca, host, name in ((None, "localhost", "unknown-authority"), (own[0], "127.0.0.2", "wrong-name")):
        sink = Sink(t, certificate=own, users={"office": "secret"})
        s = Server(t, {"tls": {"ca": ca} if ca else {}, "relay": dict(TRUSTED, smarthost={
            "host": HOST if ca is None else "localhost", "port": sink.port, "tls": "starttls", "user": "office",
            "password": "secret"})}, name=name)
        if ca is not None:
            other = t.make_certificate("wrong", "elsewhere.example.net")
            sink.context.load_cert_chain(*other)
            s.reload(tls={"ca": other[0]})
        s.send(message(), to=["x@example.net"], sender=ANNA)
        wait_until("a failed attempt", lambda: [m for m in s.queue() if m["recipients"][0]["attempts"] > 0])
        assert not sink.messages and not any(c.upper().startswith("AUTH") for c in sink.commands), sink.commands


def test_opportunistic_tls(t):
    own = t.make_certificate("hop", "hop.example.net")
    sink = Sink(t, certificate=own)
    s = Server(t, {"relay": to(sink, tls="opportunistic")})
    s.send(message(), to=["x@example.net"], sender=ANNA)
    assert sink.wait()[0]["tls"], "STARTTLS was offered and not used"
    broken = Sink(t, lambda verb, argument, session: "454 4.7.0 not now" if verb == "STARTTLS" else None, certificate=own)
    s.reload(relay=to(broken, tls="opportunistic"))
    s.send(message(), to=["x@example.net"], sender=ANNA)
    assert not broken.wait()[0]["tls"]


def test_injected_reply_before_tls(t):
    """A8: what follows 220 in plain text is not believed."""
    own = t.make_certificate("hop", "localhost", "127.0.0.1")
    sink = Sink(t, lambda verb, argument, session: "220 go\r\n250-evil\r\n250 AUTH PLAIN" if verb == "STARTTLS" else None,
                certificate=own, users={"office": "secret"})
    s = Server(t, {"tls": {"ca": own[0]}, "relay": dict(TRUSTED, smarthost={
        "host": "localhost", "port": sink.port, "tls": "starttls", "user": "office", "password": "secret"})})
    s.send(message(), to=["x@example.net"], sender=ANNA)
    wait_until("a failed attempt", lambda: [m for m in s.queue() if m["recipients"][0]["attempts"] > 0])
    assert not sink.messages


def test_routes(t):
    plain, special, sub = Sink(t), Sink(t), Sink(t)
    s = Server(t, {"relay": dict(to(plain), routes={
        "example.net": "%s:%d" % (HOST, special.port), ".example.net": {"host": HOST, "port": sub.port, "tls": "none"}})})
    s.send(message(), to=["a@example.net", "b@deep.example.net", "c@example.com"], sender=ANNA)
    assert special.wait()[0]["to"] == ["a@example.net"]
    assert sub.wait()[0]["to"] == ["b@deep.example.net"]
    assert plain.wait()[0]["to"] == ["c@example.com"]


def test_large_message_and_8bit(t):
    sink = Sink(t, features=["8BITMIME"])
    s = Server(t, {"relay": to(sink), "queue": {"inline_limit": "4 KiB"}})
    body = "".join("line %d of many\r\n.\r\n" % i for i in range(50000))
    s.send(message("large", body, sender=ANNA), to=["x@example.net"], sender=ANNA)
    assert sink.wait()[0]["data"].endswith(body.encode())
    with s.connect() as c:
        c.ehlo()
        c.transaction(ANNA, ["x@example.net"], message(body="\u00fc\r\n"), options=" BODY=8BITMIME")
    sink.wait(2)
    assert any("BODY=8BITMIME" in command for command in sink.commands)


def test_8bitmime_is_asked_for_only_where_it_is_needed(t):
    """Clients declare it for every message; a next hop without it gets those that are plain ASCII as they are."""
    sink = Sink(t)
    s = Server(t, {"relay": {"smarthost": {"host": HOST, "port": sink.port, "tls": "none"}}})
    with s.submit() as c:
        c.transaction(ANNA, ["x@example.net"], message("plain", sender=ANNA), options=" BODY=8BITMIME")
        c.transaction(ANNA, ["x@example.net"], message("eight", body="\u00fc\r\n", sender=ANNA), options=" BODY=8BITMIME")
    plain, eight = (m["data"] for m in sorted(sink.wait(2), key=lambda m: b"Subject: eight" in m["data"]))
    assert plain.endswith(b"\r\n\r\nhello\r\n") and b"Content-" not in plain, plain
    assert b"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=BC\r\n" in eight, eight
    assert not any("BODY=" in command for command in sink.commands), sink.commands


def test_smtputf8_is_asked_for_only_where_it_is_needed(t):
    """RFC 6531 3.4: some clients give the parameter with every message; few next servers know it."""
    old, new = Sink(t, features=["8BITMIME"]), Sink(t, features=["8BITMIME", "SMTPUTF8"])
    s = Server(t, {"relay": dict(TRUSTED, routes={"old.example": {"host": HOST, "port": old.port, "tls": "none"},
                                                  "new.example": {"host": HOST, "port": new.port, "tls": "none"}})})
    with s.connect() as c:
        c.ehlo()
        both = ["x@old.example", "x@new.example"]
        c.transaction(ANNA, both, message("plain", sender=ANNA), options=" SMTPUTF8")
        c.transaction(ANNA, both, message("Gr\u00fc\u00dfe", sender=ANNA), options=" SMTPUTF8")
        c.transaction(ANNA, ["j\u00fcrgen@new.example"], message("to", sender=ANNA), options=" SMTPUTF8")
    new.wait(3)
    bounces = s.wait_mail()
    assert len(old.messages) == 1 and b"Subject: plain" in old.messages[0]["data"], old.messages
    assert len(bounces) == 1 and b"5.6.7" in bounces[0], bounces
    asked = [c for c in new.commands if c.upper().startswith("MAIL FROM")]
    assert sorted("SMTPUTF8" in c for c in asked) == [False, True, True], asked


def test_forwards_say_for_whom(t):
    """A35: a copy that an alias sends to another server has Delivered-To, so that it is known when it comes back. Local
    copies have none, and nobody sees another's alias."""
    sink = Sink(t, features=["SIZE 10000000", "8BITMIME"])
    aliases = {"out": ["x@example.net", "y@example.net"], "both": ["anna", "z@example.net"]}
    s = Server(t, {"relay": to(sink), "domains": {DOMAIN: {"aliases": aliases}}, "queue": {"inline_limit": "4 KiB"}})
    for body in ("short\r\n", "long\r\n" * 30000):
        del sink.messages[:], sink.commands[:]
        s.send(message(body=body), to=["Out@" + DOMAIN, "both@" + DOMAIN, "w@example.net"])
        got = {tuple(m["to"]): m["data"] for m in sink.wait(3)}
        assert sorted(got) == [("w@example.net",), ("x@example.net", "y@example.net"), ("z@example.net",)], list(got)
        assert got["x@example.net", "y@example.net"].startswith(b"Delivered-To: Out@example.org\r\nReceived:"), got
        assert got["z@example.net",].startswith(b"Delivered-To: both@example.org\r\nReceived:"), got
        for data in got.values():
            assert data.count(b"Delivered-To") == (0 if data is got["w@example.net",] else 1), got
            assert data.endswith(b"\r\n\r\n" + body.encode()), data[-100:]
        sizes = [int(w[5:]) for c in sink.commands for w in c.split() if w.startswith("SIZE=")]
        assert sorted(sizes) == sorted(len(data) for data in got.values()), sizes
    for stored in s.wait_mail(count=2):
        assert b"Delivered-To" not in stored
    with s.connect() as c:  # comes back
        c.ehlo()
        back = got["x@example.net", "y@example.net"]
        want(c.transaction("someone@example.net", ["out@" + DOMAIN], back, 554), 554, "5.4.6")
        c.transaction("someone@example.net", ["both@" + DOMAIN], back)


def test_alias_to_a_utf8_address(t):
    """RFC 6531 3.4: what goes out has the address, whether or not the client said SMTPUTF8."""
    sink = Sink(t, features=["8BITMIME", "SMTPUTF8"])
    s = Server(t, {"relay": to(sink), "domains": {DOMAIN: {"aliases": {"j": ["j\u00fcrgen@example.net"]}}}})
    s.send(message(), to=["j@" + DOMAIN])
    sink.wait()
    assert [c for c in sink.commands if c.startswith("MAIL")][0].endswith(" SMTPUTF8"), sink.commands


def test_lines_end_in_crlf_on_the_way_out(t):
    """A3: whatever is stored, the sender writes CRLF and stuffs every dot."""
    sink = Sink(t)
    s = Server(t, {"relay": to(sink)})
    with s.connect() as c:
        c.ehlo()
        c.cmd("MAIL FROM:<%s>" % ANNA, 250)
        c.cmd("RCPT TO:<x@example.net>", 250)
        text = b"From: <anna@example.org>\r\n\r\n.\r\n.dot\r\nno end"
        c.raw(b"BDAT %d LAST\r\n" % len(text) + text)
        c.read(250)
    assert sink.wait()[0]["data"].endswith(b"\r\n\r\n.\r\n.dot\r\nno end\r\n"), sink.messages[0]["data"]


def test_submission_relays_for_those_who_log_in(t):
    sink = Sink(t)
    s = Server(t, {"relay": {"smarthost": {"host": HOST, "port": sink.port, "tls": "none"}}})
    with s.submit() as c:
        c.transaction(ANNA, ["x@example.net"], message(sender=ANNA))
    got = sink.wait()[0]
    assert b"with ESMTPSA" in got["data"]
    with s.connect() as c:
        c.ehlo()
        c.cmd("MAIL FROM:<%s>" % ANNA, 250)
        want(c.cmd("RCPT TO:<x@example.net>"), 550, "5.7.1")


def test_backup_mx_domains(t):
    sink = Sink(t)
    s = Server(t, {"relay": {"domains": ["example.net"], "smarthost": {"host": HOST, "port": sink.port, "tls": "none"}}})
    s.send(message(), to=["x@example.net"])
    sink.wait()


def test_slow_hop_does_not_hold_the_others(t):
    slow = Sink(t, lambda verb, argument, session: "hang" if verb == "MAIL" else None)
    quick = Sink(t)
    s = Server(t, {"relay": dict(to(quick), routes={"slow.example": {"host": HOST, "port": slow.port, "tls": "none"}})})
    for i in range(10):
        s.send(message(), to=["x@slow.example"], sender=ANNA)
    s.send(message(), to=["x@example.net"], sender=ANNA)
    quick.wait(seconds=5)


# --- names


def test_smarthost_by_name(t):
    sink = Sink(t)
    dns = Dns(t, {("hop.example.com", "A"): [HOST]})
    s = Server(t, {"dns": {"servers": [dns.address]}, "relay": dict(TRUSTED, smarthost={
        "host": "hop.example.com", "port": sink.port, "tls": "none"})})
    for _ in range(2):
        s.send(message(), to=["x@example.net"], sender=ANNA)
    sink.wait(2)
    assert not any(kind == "MX" for _, kind in dns.queries), dns.queries
    assert sum(kind == "A" for _, kind in dns.queries) == 1, "the answer is kept for its time: %s" % dns.queries


def test_reload_takes_other_name_servers(t):
    """What was under way and what was remembered is asked anew."""
    sink = Sink(t)
    old, new = Dns(t, {("hop.example.com", "A"): ["127.0.0.9"]}), Dns(t, {("hop.example.com", "A"): [HOST]})
    s = Server(t, {"dns": {"servers": [old.address]}, "relay": dict(TRUSTED, smarthost={
        "host": "hop.example.com", "port": sink.port, "tls": "none"})})
    s.send(message(), to=["x@example.net"], sender=ANNA)
    wait_until("a question", lambda: old.queries)
    s.reload(dns={"servers": [new.address]})
    s.send(message(), to=["y@example.net"], sender=ANNA)
    sink.wait(2)
    assert new.queries, old.queries
    old.silent = new.silent = True
    s.reload(dns={"servers": [old.address]})
    asked = len(old.queries)
    s.send(message(), to=["z@example.net"], sender=ANNA)
    wait_until("a question", lambda: len(old.queries) > asked)
    new.silent = False
    s.reload(dns={"servers": [new.address]})
    sink.wait(3, 4)  # and not after the time of the question that the old one does not answer


def test_null_mx(t):
    dns = Dns(t, {("null.example", "MX"): [(0, "")], ("null.example", "A"): [HOST]})
    s = Server(t, {"dns": {"servers": [dns.address]}, "relay": TRUSTED})
    s.send(message(sender=ANNA), to=["x@null.example"], sender=ANNA)
    dsn = s.wait_mail(ANNA)[0].decode()
    assert "5.1.10" in dsn, dsn


def test_no_such_domain(t):
    dns = Dns(t, {})
    s = Server(t, {"dns": {"servers": [dns.address]}, "relay": TRUSTED})
    s.send(message(sender=ANNA), to=["x@nowhere.example"], sender=ANNA)
    dsn = s.wait_mail(ANNA)[0].decode()
    assert "5.1.2" in dsn, dsn


def test_dead_name_server_defers(t):
    dns = Dns(t, {})
    dns.rcode = 2
    s = Server(t, {"dns": {"servers": [dns.address]}, "relay": TRUSTED})
    s.send(message(sender=ANNA), to=["x@example.net"], sender=ANNA)
    wait_until("a failed attempt", lambda: [m for m in s.queue() if m["recipients"][0]["attempts"] > 0])
    assert not s.mail(ANNA)


def test_mx_to_ourselves(t):
    """A35 and A39: an MX that leads to loopback or to us is not followed."""
    dns = Dns(t, {("loop.example", "MX"): [(10, "mx.loop.example")], ("mx.loop.example", "A"): [HOST],
                  ("us.example", "MX"): [(10, "mail." + DOMAIN)], ("mail." + DOMAIN, "A"): [HOST]})
    s = Server(t, {"dns": {"servers": [dns.address]}, "relay": TRUSTED})
    s.send(message(sender=ANNA), to=["x@loop.example"], sender=ANNA)
    s.send(message(sender=ANNA), to=["x@us.example"], sender=ANNA)
    wait_until("an answer to both", lambda: len(s.mail(ANNA)) + len(
        [m for m in s.queue() if m["recipients"][0]["attempts"] > 0]) >= 2)
