"""What the tests with real mail programs share: homes, terminals, and how to read both sides of a synchronisation."""
import email
import fcntl
import os
import pty
import re
import shutil
import signal
import subprocess
import termios
import threading

from lib import ANNA, ORDINARY, PASSWORDS, Skip, give

PASSWORD = PASSWORDS[ANNA]


def tool(name):
    path = shutil.which(name)
    if path is None:
        raise Skip("%s is not installed" % name)
    return path


def home(t):
    """A home for the programs, which run as the user that facteur runs as."""
    path = os.path.join(t.dir, "home")
    if not os.path.isdir(path):
        os.mkdir(path, 0o700)
        give(path)
    return path


def write(t, name, text):
    """A file of settings in that home."""
    path = os.path.join(home(t), name)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    os.chmod(path, 0o600)
    give(path)
    return path


def directory(t, *names):
    path = home(t)
    for name in names:
        path = os.path.join(path, name)
        if not os.path.isdir(path):
            os.mkdir(path, 0o700)
            give(path)
    return path


def maildir(t, *names):
    path = directory(t, *names)
    for part in ("cur", "new", "tmp"):
        directory(t, *names, part)
    return path


def environment(t):
    return {"HOME": home(t), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "vt100", "USER": "anna",
            "LOGNAME": "anna",
            "SHELL": "/bin/sh"}


def run(t, *command, stdin="", good=(0,)):
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, env=environment(t),
                          cwd=home(t), **ORDINARY)
    assert done.returncode in good, "%s: exit status %d\n%s\n%s" % (" ".join(command), done.returncode, done.stdout,
                                                                    done.stderr)
    return done


def in_terminal(t, *command, seconds=30):
    """A program that draws on a terminal; AssertionError with what it drew last when it does not end well."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, b"\x18\0\x50\0\0\0\0\0")
    give(os.ttyname(theirs))
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(t), cwd=home(t),
                               start_new_session=True, **ORDINARY)
    os.close(theirs)
    killer = threading.Timer(seconds, lambda: os.killpg(process.pid, signal.SIGKILL))
    killer.start()
    drawn = b""
    try:
        while True:
            piece = os.read(ours, 65536)
            if not piece:
                break
            drawn += piece
    except OSError:
        pass  # EIO: the other end is closed
    status = process.wait()
    killer.cancel()
    os.close(ours)
    text = re.sub(rb"\x1b[\[(][0-9;?]*[A-Za-z]", b" ", drawn).decode("utf-8", "replace")
    assert status == 0, "%s: exit status %d\n%s" % (" ".join(command), status, text[-3000:])
    return text


def plain(octets):
    """A message as one program's as well as the other's: line ends, and what mbsync and OfflineIMAP add."""
    octets = octets.replace(b"\r\n", b"\n")
    return re.sub(rb"(?im)^(X-TUID|X-OfflineIMAP): .*\n", b"",
                  octets.partition(b"\n\n")[0] + b"\n") + b"\n" + octets.partition(b"\n\n")[2]


def subject(octets):
    return str(email.message_from_bytes(octets)["Subject"])


def local_state(path):
    """{subject: (flags, text)} of a Maildir folder."""
    out = {}
    for part in ("cur", "new"):
        for name in os.listdir(os.path.join(path, part)):
            with open(os.path.join(path, part, name), "rb") as f:
                octets = f.read()
            flags = name.rpartition(":2,")[2] if ":2," in name else ""
            assert subject(octets) not in out, "there twice: " + subject(octets)
            out[subject(octets)] = ("".join(sorted(set(flags) & set("DFRST"))), plain(octets))
    return out


LETTERS = {b"\\Seen": "S", b"\\Flagged": "F", b"\\Answered": "R", b"\\Deleted": "T", b"\\Draft": "D"}


def remote_state(c, mailbox):
    """The same of a mailbox over IMAP."""
    out = {}
    if c.do("EXAMINE " + mailbox).find(rb"^\* 0 EXISTS"):
        return out
    for m in c.do("FETCH 1:* (FLAGS BODY.PEEK[])").all(rb"FLAGS \(([^)]*)\).*BODY\[\] \{\d+\}\r\n(.*)\)$"):
        flags = "".join(sorted(LETTERS[f] for f in m.group(1).split() if f in LETTERS))
        assert subject(m.group(2)) not in out, "there twice: " + subject(m.group(2))
        out[subject(m.group(2))] = (flags, plain(m.group(2)))
    return out
