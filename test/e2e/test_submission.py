"""Submission: logging in, whose sender one may be, TLS before it."""
import os
import socket
import ssl
import time

from lib import ANNA, BERT, DOMAIN, HASHES, HOST, PASSWORDS, Server, Smtp, b64, give, listener, message, want, wait_until


def test_mechanisms_over_starttls_and_implicit(t):
    s = Server(t, {"users": None, "users_file": "users.yaml", "domains": {DOMAIN: {"aliases": None}}}, start=False)
    for user, password in PASSWORDS.items():
        s.run("user", "add", "--password-stdin", user, stdin=password + "\n")
    s.start()
    for tls in ("starttls", "implicit"):
        with s.connect("submission", tls) as c:
            c.ehlo()
            if tls == "starttls":
                c.starttls()
            assert "PLAIN" in c.features["AUTH"] and "LOGIN" in c.features["AUTH"], c.features
            c.auth_plain(ANNA, PASSWORDS[ANNA])
            want(c.cmd("AUTH PLAIN " + b64("\0x\0y")), 503)
            c.transaction(ANNA, [BERT], message("plain", sender=ANNA))
        with s.connect("submission", tls) as c:
            c.ehlo()
            if tls == "starttls":
                c.starttls()
            c.cmd("AUTH LOGIN", 334)
            c.cmd(b64(ANNA), 334)
            c.cmd(b64(PASSWORDS[ANNA]), 235)
            c.transaction(ANNA, [BERT], message("login", sender=ANNA))
        with s.connect("submission", tls) as c:
            c.ehlo()
            if tls == "starttls":
                c.starttls()
            if "SCRAM-SHA-256" in c.features["AUTH"]:
                c.auth_scram(ANNA, PASSWORDS[ANNA])
                c.transaction(ANNA, [BERT], message("scram", sender=ANNA))
            else:
                raise AssertionError("SCRAM is not offered to users made by the command: %s" % c.features["AUTH"])
    stored = s.wait_mail(BERT, 6)
    assert all(b"with ESMTPSA" in m for m in stored), stored[0]


def test_wrong_passwords(t):
    s = Server(t, {"limits": {"auth_failures": 3}})
    with s.connect("submission", "implicit") as c:
        c.ehlo()
        first = c.auth_plain(ANNA, "wrong", 535)
        second = c.auth_plain("nobody@" + DOMAIN, "wrong", 535)
        assert first.text == second.text, "an unknown user is told from a known one"
        assert first.enhanced == "5.7.8"
        c.raw(b"AUTH PLAIN " + b64("\0%s\0%s" % (BERT, "wrong")).encode() + b"\r\n")
        want(c.read(), (535, 421))
        assert c.is_closed(), "open after three wrong passwords"
    with s.connect("submission", "implicit") as c:  # others are not punished for it
        c.ehlo()
        c.auth_plain(ANNA, PASSWORDS[ANNA])
    assert "anna-secret" not in s.log() and b64("\0%s\0%s" % (ANNA, PASSWORDS[ANNA])) not in s.log()


def test_sessions_of_one_login(t):
    """limits.connections_per_user is for submission too, whose logins no longer count for their address."""
    s = Server(t, {"limits": {"connections_per_user": 3, "connections_per_address": 4, "rate_exempt": []}})
    held = [s.submit() for _ in range(3)]
    with s.connect("submission", "implicit") as c:
        c.ehlo()
        want(c.auth_plain(ANNA, PASSWORDS[ANNA], 454), 454, "4.7.0")
        c.auth_plain(BERT, PASSWORDS[BERT])
    s.wait_log("event=login-refused .*user=%s .*rule=limits.connections_per_user limit=3" % ANNA)
    held.pop().quit()
    wait_until("a free place", lambda: seat_is_free(s))


def seat_is_free(s):
    with s.connect("submission", "implicit") as c:
        c.ehlo()
        return c.cmd("AUTH PLAIN " + b64("\0%s\0%s" % (ANNA, PASSWORDS[ANNA]))).code == 235


def test_bare_login_gets_the_default_domain(t):
    s = Server(t)
    with s.connect("submission", "implicit") as c:
        c.ehlo()
        c.auth_plain("anna", PASSWORDS[ANNA])
        c.transaction(ANNA, [BERT], message(sender=ANNA))
    s.wait_mail(BERT)


def test_sasl_oddities(t):
    """A14."""
    s = Server(t, {"limits": {"auth_failures": 50, "errors": 50}})
    with s.connect("submission", "implicit") as c:
        c.ehlo()
        for bad, codes in (("AUTH", (501,)), ("AUTH NTLM", (504,)), ("AUTH PLAIN !!!", (501,)), ("AUTH PLAIN =", (501, 535)),
                           ("AUTH PLAIN " + b64("no-nuls"), (501, 535)), ("AUTH PLAIN " + b64("a\0b\0c\0d"), (501, 535)),
                           ("AUTH PLAIN " + b64("\0\0"), (501, 535))):
            want(c.cmd(bad), codes)
        c.cmd("AUTH PLAIN", 334)
        want(c.cmd("*"), 501)
        c.cmd("AUTH LOGIN", 334)
        want(c.cmd("*"), 501)
        c.raw(b"AUTH PLAIN " + b"A" * 20000 + b"\r\n")
        want(c.read(), (500, 501, 421))


def test_submission_wants_a_login_and_ones_own_address(t):
    s = Server(t)
    with s.connect("submission", "implicit") as c:
        c.ehlo()
        want(c.cmd("MAIL FROM:<%s>" % ANNA), 530, "5.7.0")
        c.auth_plain(ANNA, PASSWORDS[ANNA])
        want(c.cmd("MAIL FROM:<%s>" % BERT), 553, "5.7.1")
        want(c.cmd("MAIL FROM:<someone@example.net>"), 553, "5.7.1")
        c.cmd("MAIL FROM:<anna+list@%s>" % DOMAIN, 250)
        c.cmd("RSET", 250)
        c.cmd("MAIL FROM:<info@%s>" % DOMAIN, 250)  # an alias that leads to nobody else
        c.cmd("RSET", 250)
        want(c.cmd("MAIL FROM:<all@%s>" % DOMAIN), 553)
        want(c.transaction(ANNA, [BERT], message(sender=BERT), 553), 553, "5.7.1")


def test_every_author_belongs_to_the_login(t):
    s = Server(t, {"users": {BERT: {"senders": ["@example.com"]}}})
    with s.submit() as c:
        for authors in ("<%s>, The Boss <%s>" % (ANNA, BERT), "<%s>, <info@%s>, <%s>" % (ANNA, DOMAIN, BERT),
                        "us: <%s>, <%s>;" % (ANNA, BERT), ", ".join(["<%s>" % ANNA] * 11)):
            want(c.transaction(ANNA, [BERT], ("From: %s\r\n\r\nhi\r\n" % authors).encode(), 553), 553, "5.7.1")
        c.transaction(ANNA, [BERT], ("From: <%s>, <info@%s>\r\n\r\nhi\r\n" % (ANNA, DOMAIN)).encode())
    with s.submit(BERT) as c:
        c.transaction(BERT, [BERT], ("From: <%s>, <a@example.com>\r\n\r\nhi\r\n" % BERT).encode())


def test_authors_that_nobody_can_read(t):
    """Taken from devices, and from a login when the one address in it is its own."""
    texts = ["[Ticket 5] Foo <%s>", "Foo, Inc. <%s>"]
    s = Server(t)
    for text in texts:
        with s.submit() as c:
            c.transaction(ANNA, [BERT], ("From: %s\r\n\r\nhi\r\n" % text % ANNA).encode())
            for bad in (text % BERT, "Foo, Inc. <%s" % ANNA, "[%s] <%s>" % (BERT, ANNA), "Anna"):
                want(c.transaction(ANNA, [BERT], ("From: %s\r\n\r\nhi\r\n" % bad).encode(), 553), 553, "5.7.1")
    with s.connect() as c:
        c.ehlo()
        want(c.transaction("x@example.net", [BERT], ("From: %s\r\n\r\nhi\r\n" % texts[0] % ANNA).encode(), 554), 554)
    s.reload(relay={"trusted": ["127.0.0.1/32"]})
    for text in texts + ["Scanner %s"]:
        s.send(("From: %s\r\n\r\nhi\r\n" % text % "a@example.net").encode())


def test_the_log_says_whose_and_where(t):
    s = Server(t, start=False)
    with open(os.path.join(s.dir, "users.yaml"), "w", encoding="ascii") as f:
        f.write("%s: {password: '%s', quota: 4 KiB}\nc@%s: {}\n" % (ANNA, HASHES[ANNA], DOMAIN))
    give(f.name)
    os.chmod(f.name, 0o600)
    s.write(users={ANNA: None}, users_file="users.yaml")
    s.start()
    with s.submit() as c:
        want(c.cmd("MAIL FROM:<x@example.net>"), 553)
        s.wait_log("event=refused .*rule=users.senders line=1 file=.*/users.yaml")
        c.transaction(ANNA, ["info@" + DOMAIN, BERT], message(sender=ANNA))
        s.wait_log("event=accepted .* to=%s orig_to=info@%s " % (ANNA, DOMAIN))
        c.transaction(ANNA, [ANNA], message(sender=ANNA))
        assert "orig_to" not in s.log().split("event=accepted")[2]
        c.cmd("MAIL FROM:<%s> SIZE=5000" % ANNA, 250)
        want(c.cmd("RCPT TO:<info@%s>" % DOMAIN), 452)
        s.wait_log("event=refused .*command=RCPT .*rule=quota .*to=info@" + DOMAIN)
    with s.connect("submission", "implicit") as c:
        c.ehlo()
        c.auth_plain("c@" + DOMAIN, "x", 535)
        s.wait_log('event=login-failed .*user=c@%s reason="the account has no password"' % DOMAIN)


def test_missing_fields_are_added_on_submission_alone(t):
    s = Server(t)
    with s.submit() as c:
        c.transaction(ANNA, [BERT], b"Subject: bare\r\n\r\nhi\r\n")
    stored = s.wait_mail(BERT)[0]
    head = stored.split(b"\n\n")[0]
    for field in (b"\nDate: ", b"\nMessage-ID: <", b"\nFrom: "):
        assert head.count(field) == 1, (field, head)
    with s.connect() as c:
        c.ehlo()
        want(c.transaction("someone@example.net", [BERT], b"Subject: bare\r\n\r\nhi\r\n", 554), 554, "5.6.0")
        c.transaction("someone@example.net", [BERT], b"From: <a@example.net>\r\n\r\nhi\r\n")
    stored = s.wait_mail(BERT, 2)[1]
    assert b"\nDate: " not in stored and b"\nMessage-ID:" not in stored, stored


def test_no_login_in_plain_text_except_from_loopback(t):
    # From loopback it is allowed; so a second loopback address that is none of 127.0.0.1's friends cannot be had. What
    # can be seen: AUTH is not offered where nobody may use it.
    s = Server(t)
    with s.connect("smtp") as c:
        c.ehlo()
        want(c.cmd("AUTH PLAIN " + b64("\0%s\0%s" % (ANNA, "wrong"))), (502, 503, 504, 535, 538, 530))


def test_starttls_forgets_everything(t):
    """A6 and A7."""
    s = Server(t)
    with s.connect("submission", "starttls") as c:
        c.ehlo()
        want(c.cmd("STARTTLS now"), 501)
        c.starttls()
        assert "STARTTLS" not in c.features
        want(c.cmd("STARTTLS"), (502, 503))
    with s.connect("submission", "starttls") as c:  # plaintext behind the command
        c.ehlo()
        c.raw(b"STARTTLS\r\nEHLO injected.example.net\r\nAUTH PLAIN " + b64("\0%s\0%s" % (ANNA, PASSWORDS[ANNA])).encode()
              + b"\r\nMAIL FROM:<anna@example.org>\r\n")
        reply = c.line()
        if reply.startswith("220"):
            assert c.buffer == b"", "answers to injected commands: %r" % c.buffer
            try:
                c.wrap()
            except (OSError, ssl.SSLError):
                return  # the connection was dropped: as good
            c.sock.settimeout(0.5)
            try:
                early = c.sock.recv(1000)
                assert early == b"", "an answer to what was injected: %r" % early
                return
            except TimeoutError:
                c.sock.settimeout(30)
            want(c.cmd("MAIL FROM:<%s>" % ANNA), (503, 530))
    with s.connect("smtp", "starttls") as c:  # a transaction begun before is gone
        c.ehlo()
        c.cmd("MAIL FROM:<x@example.net>", 250)
        reply = c.cmd("STARTTLS")
        if reply.code == 220:
            c.wrap()
            want(c.cmd("RCPT TO:<%s>" % ANNA), 503)


def test_old_tls_is_refused(t):
    s = Server(t)
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        try:
            with socket.create_connection((HOST, s.ports["submission", "implicit"]), 10) as sock:
                context.wrap_socket(sock, server_hostname="mail." + DOMAIN)
                raise AssertionError("%s was taken" % version)
        except (ssl.SSLError, ConnectionError):
            pass


def test_garbage_instead_of_tls(t):
    s = Server(t, {"limits": {"timeouts": {"tls": "1s"}}})
    for octets in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 1000, b"\x16\x03\x01\xff\xff" + b"\0" * 300, b"EHLO x\r\n"):
        with Smtp(s.ports["submission", "implicit"], greet=False) as c:
            c.raw(octets)
            assert c.is_closed(10), octets
    with Smtp(s.ports["submission", "implicit"], greet=False) as c:
        assert c.is_closed(10), "a handshake that never begins has no deadline"
    with s.submit() as c:
        c.cmd("NOOP", 250)


def test_tls_clients_verify_the_certificate(t):
    s = Server(t)
    context = ssl.create_default_context(cafile=s.certificate)
    with socket.create_connection((HOST, s.ports["submission", "implicit"]), 10) as sock:
        with context.wrap_socket(sock, server_hostname="mail." + DOMAIN) as tls:
            assert tls.version() in ("TLSv1.2", "TLSv1.3"), tls.version()
            assert tls.recv(1000).startswith(b"220 ")


def test_sni_chooses_the_certificate(t):
    other = t.make_certificate("other", "mail.example.com")
    s = Server(t, {"tls": {"certificates": [{"certificate": other[0], "key": other[1]}]}})
    for ca, name in ((s.certificate, "mail." + DOMAIN), (other[0], "mail.example.com")):
        context = ssl.create_default_context(cafile=ca)
        with socket.create_connection((HOST, s.ports["submission", "implicit"]), 10) as sock:
            with context.wrap_socket(sock, server_hostname=name) as tls:
                assert tls.recv(1000).startswith(b"220 ")


def test_login_is_quick(t):
    """No 40 ms for somebody's delayed ACK: TCP_NODELAY."""
    s = Server(t)
    took = []
    for _ in range(5):
        with s.connect("submission", "implicit") as c:
            started = time.monotonic()
            c.ehlo()
            c.cmd("NOOP", 250)
            c.cmd("RSET", 250)
            took.append(time.monotonic() - started)
    assert min(took) < 0.035, took
