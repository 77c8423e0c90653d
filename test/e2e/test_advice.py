"""A start or a reload that fails says what to do."""
import os
import shutil
import socket
import subprocess
import tempfile

from lib import HOST, NOBODY, ORDINARY, Server, Skip, give, listener, message


def serve(s, **who):
    return subprocess.run([s.binary, "serve", "--config", s.file], capture_output=True, text=True, timeout=60, **who)


def fails(s, status, words, root=False):
    done = serve(s, **({} if root else ORDINARY))
    assert done.returncode == status and words in done.stderr, (status, words, done)
    return done.stderr


def test_ports(t):
    s = Server(t, start=False)
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        s.write(listen=[dict(listener("smtp", "starttls"), port=port)])
        said = fails(s, 75, "port %d: in use by another program, or by a facteur that runs already" % port)
        assert said.count(HOST) == 1 and "facteur.yaml:" in said, said
    if NOBODY:
        s.write(listen=[dict(listener("smtp", "starttls"), port=26)])
        fails(s, 77, "port 26: only root may bind ports below 1024")
        s.write(listen=[listener("smtp", "starttls")])
        s.start()
        s.write(listen=[dict(listener("smtp", "starttls"), port=26)])
        done = s.run("reload", check=False)
        assert done.returncode == 78 and "ports below 1024 can be bound only at the start: restart" in done.stderr, done
        assert "directories" not in done.stderr, done


def test_certificates(t):
    s = Server(t, start=False)
    with open(s.certificate, "w") as out:
        out.write("once upon a time\n")
    fails(s, 78, "certificate %s: the file holds no PEM certificate" % s.certificate)
    done = s.run("check", check=False)
    assert done.returncode == 78 and "holds no PEM certificate" in done.stderr, done


def test_a_star(t):
    s = Server(t, start=False)
    with open(s.file, "w") as out:
        out.write("hostname: mail.example.org\nlisten:\n  - address: *\n")
    done = s.run("check", check=False)
    assert done.returncode == 78 and 'a * stands in quotes: "*"' in done.stderr, done
    s.write(tls=None, listen=[listener("smtp", "none")])
    assert "(1 listener, 1 domain, 2 users, " in s.run("check").stdout


def test_rights(t):
    if not NOBODY:
        raise Skip("needs root")
    s = Server(t)
    name = NOBODY.pw_name
    os.chown(s.file, 0, 0)
    os.chmod(s.file, 0o600)
    done = s.run("status", check=False)
    assert done.returncode == 77 and "run this as root or as facteur's user" in done.stderr, done
    os.chmod(s.file, 0o644)
    os.chown(s.key, 0, 0)
    done = s.run("reload", check=False)
    assert done.returncode == 78 and "key: %s: Permission denied" % s.key in done.stderr and "facteur.yaml:" in done.stderr, done
    give(s.key)
    sock = os.path.join(s.state, "control.sock")
    os.chown(sock, 0, 0)
    done = s.run("status", check=False)
    assert done.returncode == 77 and "Permission denied; run this as root or as facteur's user" in done.stderr, done
    give(sock)
    s.stop()
    own = "%s and all that is in it must belong to %s: chown -R %s %s" % (s.state, name, name, s.state)
    for path, mode in (("queue.db", 0o644), ("queue.db", 0o600), ("facteur.lock", 0o600), ("", 0o700)):
        path = os.path.join(s.state, path)
        was = os.stat(path)
        os.chown(path, 0, 0)
        os.chmod(path, mode)
        fails(s, 77, own)
        give(path)
        os.chmod(path, was.st_mode & 0o777)
    s.write(state=os.path.join(t.dir, "nowhere", "else"))
    fails(s, 77 if os.stat(t.dir).st_uid == 0 else 78, "state directory %s cannot be made" % s.config["state"])


class Gone:
    """A directory that is removed at the end."""

    def __init__(self, path):
        self.path = path

    def stop(self):
        shutil.rmtree(self.path)


def test_moved_files(t):
    """What Landlock keeps away looks like any other refusal."""
    s = Server(t)
    if "event=landlock state=on" not in s.log():
        raise Skip("needs Landlock")
    elsewhere = tempfile.mkdtemp()
    t.at_end(Gone(elsewhere))
    give(elsewhere)
    for kind in ("certificate", "key"):
        shutil.move(s.config["tls"][kind], os.path.join(elsewhere, kind))
        give(os.path.join(elsewhere, kind))
    s.write(tls={kind: os.path.join(elsewhere, kind) for kind in ("certificate", "key")})
    done = s.run("reload", check=False)
    assert done.returncode == 78 and "facteur.yaml:" in done.stderr and "%s/certificate: Permission denied" % elsewhere \
        in done.stderr and "only the directories that the policy named then" in done.stderr, done
    s.write(tls={"certificate": os.path.join(elsewhere, "gone")})
    assert "directories that the policy" not in s.run("reload", check=False).stderr
    s.write(tls={"certificate": os.path.join(elsewhere, "certificate")})
    s.restart()


def test_a_directory_of_others_is_not_taken(t):
    if not NOBODY:
        raise Skip("needs root")
    s = Server(t, {"run_as": NOBODY.pw_name}, start=False)
    place = os.path.join(t.dir, "var")
    os.mkdir(place)
    os.mkdir(os.path.join(place, "lib"))
    s.write(state=place)
    fails(s, 77, "%s belongs to root and holds files that are not facteur's" % place, root=True)
    assert os.stat(place).st_uid == 0
    for good in ("lost+found", "queue.db"):  # a file system of its own, or one that root has restored
        os.rename(os.path.join(place, "lib"), os.path.join(place, good)) if good == "lost+found" else None
        if good == "queue.db":
            os.rmdir(os.path.join(place, "lost+found"))
            os.mkdir(os.path.join(place, "other"))
            open(os.path.join(place, "queue.db"), "w").close()
            give(os.path.join(place, "queue.db"))
        os.chown(place, 0, 0)
        process = subprocess.Popen([s.binary, "serve", "--config", s.file], stderr=subprocess.PIPE, text=True)
        line = ""
        while "event=started" not in line:
            line = process.stderr.readline()
            assert line, process.wait()
        assert os.stat(place).st_uid == NOBODY.pw_uid
        process.terminate()
        process.stderr.read()
        assert process.wait() == 0


def test_a_mailbox_of_somebody_else(t):
    if not NOBODY:
        raise Skip("needs root")
    s = Server(t)
    s.send(message())
    s.wait_mail()
    s.stop()
    os.chown(os.path.join(s.maildir(), "tmp"), 0, 0)
    s.start()
    s.send(message())
    s.wait_log(r'event=not-delivered .*Permission denied \(mail/example.org/anna/Maildir in the state directory: all in '
               r"it must belong to facteur's user")
    give(os.path.join(s.maildir(), "tmp"))
    os.chown(os.path.join(s.maildir(), "cur"), 0, 0)
    os.chmod(os.path.join(s.maildir(), "cur"), 0o700)
    done = s.run("mailbox", "list", "anna", check=False)
    assert done.returncode != 0 and "Permission denied (%s: all in it must belong to facteur's user" % s.maildir() in \
        done.stderr, done
    give(os.path.join(s.maildir(), "cur"))
    s.run("mailbox", "list", "anna")
    s.stop()
    keywords = os.path.join(s.maildir(), "dovecot-keywords")
    with open(keywords, "w", encoding="utf-8") as out:
        out.write("0 work\n")
    os.chmod(keywords, 0)
    s.start()
    done = s.run("mailbox", "list", "anna", check=False)
    assert "read dovecot-keywords of anna@example.org, folder INBOX: Permission denied" in done.stderr, done
