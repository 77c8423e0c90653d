#!/usr/bin/env python3
"""config/quickstart.sh as a newcomer and as a script use it: once, then two side by side in the foreground."""
import imaplib
import os
import poplib
import pwd
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPT = os.path.join(ROOT, "config", "quickstart.sh")
PORTS = "SMTP_PORT SUBMISSION_PORT SUBMISSIONS_PORT IMAP_PORT IMAPS_PORT POP3_PORT POP3S_PORT".split()
NAMES = ["BINARY", "HOST", *PORTS, "DOMAIN", "USER1", "PASSWORD1", "USER2", "PASSWORD2", "MAILDIR1", "MAILDIR2",
         "CERTIFICATE", "CONFIG", "STATE", "PID"]


def free_ports(count):
    socks = [socket.socket() for _ in range(count)]
    for s in socks:
        s.bind(("127.0.0.1", 0))
    ports = [str(s.getsockname()[1]) for s in socks]
    for s in socks:
        s.close()
    return ports


def settings(top, name):
    return dict(os.environ, **dict(zip(PORTS, free_ports(len(PORTS)))), STATE=os.path.join(top, name))


def stored(maildir):
    return [os.path.join(maildir, part, name) for part in ("new", "cur") for name in
            (os.listdir(os.path.join(maildir, part)) if os.path.isdir(os.path.join(maildir, part)) else [])]


def shell_values(path):
    """The names as a shell that sources the file has them."""
    script = ". '%s'; for n in %s; do eval \"printf '%%s\\\\0' \\\"\\$$n\\\"\"; done" % (path, " ".join(NAMES))
    out = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    return dict(zip(NAMES, out.split("\0")))


def wait_for(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.05)


def alive(pid):
    try:
        os.kill(int(pid), 0)
        return True
    except ProcessLookupError:
        return False


def once(top):
    env = settings(top, "once")
    for attempt in ("first", "second"):
        started = time.monotonic()
        done = subprocess.run(["sh", SCRIPT, "--once"], env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        print(done.stdout, done.stderr)
        assert done.returncode == 0, "%s --once: exit status %d" % (attempt, done.returncode)
        assert "it landed in" in done.stdout and "reading it back" in done.stdout and "Subject: It works" in done.stdout
        print("%s run: %.1f s" % (attempt, time.monotonic() - started))
    values = shell_values(os.path.join(ROOT, "var", "quickstart.env"))
    assert not alive(values["PID"]), "it runs on after --once"
    assert len(stored(values["MAILDIR2"])) == 2, stored(values["MAILDIR2"])
    env["SMTP_PORT"] = "1" if os.geteuid() else "99999"  # a start that cannot work says so
    done = subprocess.run(["sh", SCRIPT, "--once"], env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode != 0 and done.stderr.strip(), done


def side_by_side(top):
    running = []
    try:
        for name in ("one", "two"):
            env = settings(top, name)
            process = subprocess.Popen(["sh", SCRIPT], env=env, stdin=subprocess.DEVNULL, start_new_session=True,
                                       stdout=open(os.path.join(top, name + ".out"), "w"), stderr=subprocess.STDOUT)
            running.append((name, env, process))
            out = os.path.join(top, name + ".out")
            wait_for("the lines to copy", lambda: process.poll() is not None or "until Ctrl-C" in open(out).read(), 600)
            print(open(out).read())
            assert process.poll() is None, "it ended with %d" % process.returncode
        for name, env, process in running:
            path = os.path.join(ROOT, "var", "quickstart.env")
            values = shell_values(path) if name == "two" else None
            if values is None:
                found = subprocess.run(["find", "/var/lib/facteur-quickstart", env["STATE"], "-name", "quickstart.env"],
                                       capture_output=True, text=True).stdout.split()
                values = next(v for v in map(shell_values, found) if v["SMTP_PORT"] == env["SMTP_PORT"])
            assert values["SMTP_PORT"] == env["SMTP_PORT"] and all(values[n] for n in NAMES), values
            try_it(values)
            copy_lines(os.path.join(top, name + ".out"), values)
            owner = os.stat("/proc/%s" % values["PID"])
            assert open("/proc/%s/comm" % values["PID"]).read().strip() == "facteur"
            status = open("/proc/%s/status" % values["PID"]).read()
            assert "\nUid:\t0" not in status, "it runs as root: %s" % pwd.getpwuid(owner.st_uid).pw_name
            os.killpg(process.pid, signal.SIGINT)  # Ctrl-C reaches the script and facteur
            process.wait(30)
            wait_for("facteur to end with the script", lambda: not alive(values["PID"]))
    finally:
        for _, _, process in running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(30)


def try_it(values):
    """A stranger may not relay; a user may send to a user, and the message is where the file says."""
    with smtplib.SMTP(values["HOST"], int(values["SMTP_PORT"]), timeout=20) as c:
        c.ehlo()
        c.mail("someone@example.net")
        code, text = c.rcpt("elsewhere@example.com")
        assert code >= 500, (code, text)
    context = ssl.create_default_context(cafile=values["CERTIFICATE"])
    with smtplib.SMTP_SSL("localhost", int(values["SUBMISSIONS_PORT"]), context=context, timeout=20) as c:
        c.login(values["USER2"], values["PASSWORD2"])
        c.sendmail(values["USER2"], [values["USER1"]], "From: %s\r\nSubject: from a script\r\n\r\nhello\r\n" % values["USER2"])
    wait_for("the message in MAILDIR1", lambda: any("from a script" in open(path).read()
                                                    for path in stored(values["MAILDIR1"])))
    with imaplib.IMAP4_SSL("localhost", int(values["IMAPS_PORT"]), ssl_context=context) as c:
        c.login(values["USER1"], values["PASSWORD1"])
        c.select()
        assert c.search(None, "SUBJECT", '"from a script"')[1] != [b""]
    c = poplib.POP3_SSL("localhost", int(values["POP3S_PORT"]), context=context, timeout=20)
    c.user(values["USER1"])
    c.pass_(values["PASSWORD1"])
    assert c.stat()[0] >= 1
    c.quit()


def copy_lines(out, values):
    """What is printed to be copied works as it stands."""
    text = open(out).read()
    lines = text[text.index("from another terminal:"):text.index("    mail of ")].split("\n", 1)[1]
    commands = [c for c in lines.strip().split("\n\n") if shutil.which(c.split()[0]) or c.startswith("printf")]
    for user, command in zip((values["MAILDIR2"], values["MAILDIR1"])[2 - len(commands):], commands):
        before = len(stored(user))
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        wait_for("its message", lambda: len(stored(user)) > before)


def main():
    top = tempfile.mkdtemp(prefix="facteur-quickstart.")
    os.chmod(top, 0o755)
    try:
        once(top)
        side_by_side(top)
    finally:
        shutil.rmtree(top, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
