"""Start, reload, stop, and what a second one may not do."""
import base64
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

from lib import ANNA, BERT, DOMAIN, HOST, ORDINARY, Server, Smtp, listener, message, wait_until, want


def test_check(t):
    s = Server(t, start=False)
    assert s.run("check").returncode == 0
    s.write(limits={"mesage_size": "1 MiB"}, queue={"retry": ["soon"]})
    done = s.run("check", check=False)
    text = done.stdout + done.stderr
    assert done.returncode == 78, done
    assert "mesage_size" in text and "message_size" in text and "retry" in text, text
    assert text.count("facteur.yaml:") >= 2, "all mistakes are told, each with its place: " + text
    refused = subprocess.run([t.binary, "serve", "--config", s.file], capture_output=True, text=True, timeout=30, **ORDINARY)
    assert refused.returncode == 78, refused


def test_open_relays_do_not_load(t):
    s = Server(t, start=False)
    for networks in (["0.0.0.0/0"], ["::/0"], ["0.0.0.0/1", "128.0.0.0/1"]):
        s.write(relay={"trusted": networks})
        done = s.run("check", check=False)
        assert done.returncode == 78 and "facteur.yaml:" in done.stdout + done.stderr, (networks, done)


def test_the_full_example_is_good(t):
    from lib import ROOT
    example = shutil.copy(os.path.join(ROOT, "config", "facteur.yaml"), t.dir)
    done = subprocess.run([t.binary, "check", "--config", example], capture_output=True, text=True, timeout=30, **ORDINARY)
    text = done.stdout + done.stderr
    # Its certificates and secrets are nowhere here; all else must be right.
    rest = [line for line in text.splitlines() if ": " in line and not any(
        word in line for word in ("No such file", "cannot read", "no such file", "does not exist"))]
    assert done.returncode == 0 or not [line for line in rest if "facteur.yaml:" in line], text


def test_reload(t):
    s = Server(t)
    with s.connect() as old:
        old.ehlo()
        s.reload(domains={"example.com": {"catch_all": ANNA}}, limits={"message_size": "1 MiB"})
        with s.connect() as new:
            new.ehlo()
            assert new.features["SIZE"] == str(1 << 20), new.features
            new.transaction("x@example.net", ["x@example.com"], message())
        old.cmd("NOOP", 250)  # sessions go on with the policy that they began with
        old.transaction("x@example.net", [ANNA], message())
    s.wait_mail(ANNA, 2)
    s.write(limits={"message_sise": 5})
    done = s.run("reload", check=False)
    assert done.returncode == 78 and "message_sise" in done.stdout + done.stderr, done
    s.hang_up()
    s.wait_log("message_sise")
    with s.connect() as c:  # all of the old one stays
        c.ehlo()
        assert c.features["SIZE"] == str(1 << 20)
        c.transaction("x@example.net", ["x@example.com"], message())
    s.wait_mail(ANNA, 3)


def refuses(port):
    with socket.socket() as s:
        return s.connect_ex((HOST, port)) != 0


def test_reload_by_signal_changes_listeners(t):
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    stays = dict(listener("smtp", "none"), port=port)
    s = Server(t, {"listen": [stays]}, tls=False)
    with Smtp(port) as old:
        s.write(listen=[stays, listener("submission", "none")])
        s.hang_up()
        s.wait_log("event=listening[^\n]*service=submission")
        Smtp(port).quit()
        s.write(listen=[listener("submission", "none")])
        s.hang_up()
        wait_until("the first listener gone", lambda: refuses(port))
        old.ehlo()  # its sessions stay
        old.transaction("x@example.net", [ANNA], message())
    s.wait_mail()


def test_reload_takes_a_new_certificate(t):
    s = Server(t)
    new = t.make_certificate("new", "mail." + DOMAIN)
    with s.submit() as c:
        before = c.sock.getpeercert(True)
        for old, fresh in zip((s.certificate, s.key), new):
            os.replace(fresh, old)
        s.reload()
        with s.submit() as d:
            assert d.sock.getpeercert(True) != before
        c.cmd("NOOP", 250)
        # A key that does not fit changes nothing.
        other = t.make_certificate("other", "mail." + DOMAIN)
        os.replace(other[1], s.key)
        assert s.run("reload", check=False).returncode != 0
        with s.submit() as d:
            d.cmd("NOOP", 250)


def test_hang_up_storm(t):
    """F21."""
    s = Server(t, {"limits": {"commands": 1000}})
    with s.connect() as c:
        c.ehlo()
        for _ in range(100):
            s.hang_up()
            c.cmd("RSET", 250)
        c.transaction("x@example.net", [ANNA], message())
    s.wait_mail()


def test_second_instance_is_refused(t):
    """F31."""
    s = Server(t)
    second = subprocess.run([t.binary, "serve", "--config", s.file], capture_output=True, text=True, timeout=30, **ORDINARY)
    assert second.returncode not in (0, -signal.SIGSEGV, -signal.SIGABRT), second
    assert second.stderr.strip(), "no word about why"
    s.send(message())
    s.wait_mail()
    assert s.run("status").returncode == 0, "the first one's control socket is gone"


def test_stop_while_a_message_comes(t):
    """F19: what was not acknowledged is not there, what was is."""
    s = Server(t)
    with s.connect() as c, s.connect() as idle:
        c.ehlo()
        c.transaction("x@example.net", [ANNA], message("acknowledged"))
        c.cmd("MAIL FROM:<x@example.net>", 250)
        c.cmd("RCPT TO:<%s>" % BERT, 250)
        c.cmd("DATA", 354)
        c.raw(message("half"))
        idle.ehlo()
        process = s.process
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert idle.is_closed()
        assert b"421" in idle.buffer, idle.buffer
        process.wait(15)
        assert time.monotonic() - started < 12
    s.stop()
    assert len(s.mail(ANNA)) == 1 and not s.mail(BERT)


def test_second_signal_stops_at_once(t):
    s = Server(t)
    c = s.connect()
    c.ehlo()
    c.cmd("MAIL FROM:<x@example.net>", 250)
    c.cmd("RCPT TO:<%s>" % BERT, 250)
    c.cmd("DATA", 354)
    process = s.process
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    process.wait(5)
    assert time.monotonic() - started < 5
    s.expect_status = process.returncode
    assert process.returncode != -signal.SIGSEGV


def test_kill_loses_nothing(t):
    """F1 in small: the crash test does it at length."""
    s = Server(t)
    sent = []

    def sender():
        try:
            with s.connect() as c:
                c.ehlo()
                for i in range(10000):
                    subject = "kill-%d" % i
                    c.transaction("x@example.net", [ANNA], message(subject))
                    sent.append(subject)
        except (OSError, EOFError, AssertionError):
            pass
    thread = threading.Thread(target=sender)
    thread.start()
    wait_until("some mail", lambda: len(sent) > 30)
    s.kill()
    thread.join()
    s.start()
    s.wait_queue_empty()
    stored = b"".join(s.mail(ANNA))
    missing = [subject for subject in sent if b"Subject: %s\n" % subject.encode() not in stored]
    assert not missing, "lost: %s of %d" % (missing, len(sent))
    assert len(s.mail(ANNA)) - len(sent) <= 1, "more than the one in flight is double or new"


def test_log_file_is_reopened(t):
    path = os.path.join(t.dir, "facteur", "facteur.log")
    s = Server(t, {"log": {"to": path, "format": "json"}}, start=False)
    s.start(wait=False)
    wait_until("the log file", lambda: os.path.exists(path) and "listening" in open(path).read())
    import json
    for line in open(path):
        json.loads(line)
    os.rename(path, path + ".1")
    s.hang_up()
    wait_until("a new log file", lambda: os.path.exists(path))


def test_log_injection(t):
    """A37."""
    s = Server(t)
    with s.connect() as c:
        c.cmd(b"EHLO x\x1b[31mred event=forged")
        c.cmd(b"EHLO client.example.net", 250)
        c.cmd(b"MAIL FROM:<x@example.net>", 250)
        c.cmd(b'RCPT TO:<"a\\ event=forged b"@example.net>')
    log = s.log()
    assert "\x1b" not in log and "\nevent=forged" not in log


def test_status(t):
    s = Server(t)
    s.send(message())
    s.wait_mail()
    text = s.run("status").stdout
    assert text.strip(), "says nothing"
    status = s.json("status")
    flat = str(status)
    assert "stall" in flat, "the loop's longest delay is not told: %s" % flat
    s.stop()
    done = s.run("status", check=False)
    assert done.returncode == 69, done
    s.start()


def test_control_socket_is_private_and_patient(t):
    """A58."""
    import stat
    s = Server(t)
    path = os.path.join(s.state, "control.sock")
    assert stat.S_IMODE(os.stat(path).st_mode) & 0o077 == 0, oct(os.stat(path).st_mode)
    for octets in (b"\n", b"{", b"[" * 100000 + b"\n", b"\xff\xfe\n", b"{}\n", b'{"ask": 5}\n', b"GET / HTTP/1.0\r\n\r\n",
                   b"x" * 300000):
        with socket.socket(socket.AF_UNIX) as u:
            u.settimeout(5)
            u.connect(path)
            try:
                u.sendall(octets)
                u.shutdown(socket.SHUT_WR)
                while u.recv(65536):
                    pass
            except (ConnectionError, TimeoutError):
                pass
    assert s.run("status").returncode == 0


def test_users_by_command(t):
    s = Server(t, {"users": None, "users_file": "users.yaml", "domains": {DOMAIN: {"aliases": None}}})
    s.run("user", "add", "--password-stdin", ANNA, stdin="first\n")
    assert s.run("user", "add", "--password-stdin", ANNA, stdin="again\n", check=False).returncode != 0
    assert s.run("user", "add", "--password-stdin", "x@elsewhere.example", stdin="p\n", check=False).returncode != 0
    assert ANNA in s.run("user", "list").stdout
    assert any(ANNA in str(u) for u in s.json("user", "list"))
    s.reload()
    with s.connect("submission", "implicit") as c:
        c.ehlo()
        c.auth_plain(ANNA, "first")
    s.run("user", "passwd", "--password-stdin", ANNA, stdin="second\n")
    s.reload()
    with s.connect("submission", "implicit") as c:
        c.ehlo()
        c.auth_plain(ANNA, "first", 535)
        c.auth_plain(ANNA, "second")
    s.run("user", "del", "--yes", ANNA)
    s.reload()
    with s.connect() as c:
        c.ehlo()
        c.cmd("MAIL FROM:<x@example.net>", 250)
        want(c.cmd("RCPT TO:<%s>" % ANNA), 550, "5.1.1")
    assert "first" not in open(os.path.join(s.dir, "users.yaml")).read()


def test_usage(t):
    run = lambda *args: subprocess.run([t.binary, *args], capture_output=True, text=True, timeout=10)
    assert run("version").stdout.strip() and run("version").returncode == 0
    text = run("help").stdout
    for command in ("serve", "check", "reload", "status", "user add", "queue list", "version"):
        assert command in text, command
        assert run(*command.split(), "--help").returncode == 0, command
    assert run("serv").returncode == 64 and "serve" in run("serv").stderr
    assert run().returncode == 64
    assert run("--version").stdout == run("version").stdout
    for command in ("check", "serve", "status"):
        done = run(command, "--config", "/nowhere/facteur.yaml")
        assert done.returncode == 66 and "--config FILE" in done.stderr, done
    assert "--config" not in run("help", "version").stdout + run("help", "tls", "self-signed").stdout
    assert "--socket" not in run("help", "check").stdout and "--socket" in run("help", "queue", "list").stdout


def test_configurations_in_the_readme(t):
    """What people copy is right: README.md's policy with its certificate, secret and users, then with its aliases."""
    import re
    from lib import ROOT, give
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as readme:
        text = readme.read()
    policy, aliases = re.findall(r"```yaml\n(.*?)```", text, re.S)
    s = Server(t, start=False)
    pair = t.make_certificate("mail.example.org", "mail.example.org")
    for source, name in zip(pair, ("mail.example.org.pem", "mail.example.org.key")):
        os.rename(source, os.path.join(s.dir, name))
    secret = os.path.join(s.dir, "isp.secret")
    with open(secret, "w", encoding="utf-8") as out:
        out.write("secret\n")
    os.chmod(secret, 0o600)
    give(secret)
    policy = policy.replace("run_as: facteur", "run_as: nobody\nstate: " + s.state)
    with_aliases = re.sub(r"domains:\n  example\.org:.*\n", lambda m: aliases, policy)
    assert with_aliases != policy
    for content in (policy, with_aliases):
        with open(s.file, "w", encoding="utf-8") as out:
            out.write(content)
        if content == policy:
            for user in (ANNA, "ben@" + DOMAIN):
                s.run("user", "add", "--password-stdin", user, stdin="a password\n")
        s.run("check")


def ends_in(certificate, seconds):
    """Changes the end of a certificate; nobody looks at the signature of one's own."""
    with open(certificate, encoding="ascii") as f:
        der = bytearray(base64.b64decode("".join(f.read().splitlines()[1:-1])))
    at = [m.start() for m in re.finditer(rb"\d{12}Z", der)][1]
    der[at:at + 13] = time.strftime("%y%m%d%H%M%SZ", time.gmtime(time.time() + seconds)).encode()
    with open(certificate, "w", encoding="ascii") as f:
        f.write("-----BEGIN CERTIFICATE-----\n%s-----END CERTIFICATE-----\n" % base64.encodebytes(der).decode())


def test_certificate_that_ends(t):
    """Nobody renews what nobody is told of."""
    s = Server(t)
    assert "event=certificate-" not in s.log() and "warning" not in s.run("check").stderr
    ends_in(s.certificate, 10 * 86400 - 60)
    s.reload()
    s.wait_log(r"level=warning event=certificate-ends file=\S*own.pem days_left=9 ")
    assert "(ends in 9 days)" in s.run("status").stdout
    assert "own.pem ends in 9 days: renew it" in s.run("check").stderr
    ends_in(s.certificate, -86400 - 60)
    done = s.run("check")
    assert done.returncode == 0 and "facteur.yaml:" in done.stderr and "own.pem ended 1 day ago" in done.stderr, done
    s.restart()
    s.wait_log(r"level=error event=certificate-ended file=\S*own.pem days_ago=1 ")
    assert "(ended 1 day ago)" in s.run("status").stdout
    s.write(hostname="other.example.org")
    assert "no certificate names other.example.org" in s.run("check").stderr
