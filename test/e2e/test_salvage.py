"""facteur queue salvage: what a damaged queue.db still tells."""
import os
import random
import shutil
import sqlite3
import subprocess
import time

from lib import ANNA, NOBODY, give, message, wait_until
from test_queue import attempted, stuck

PAGE = 4096
MESSAGES = 400


def filled(t, count=MESSAGES):
    """A stopped server whose queue holds messages of all sizes, and what is in it."""
    s, sink, state = stuck(t)
    s.send(message("the first"), to=["x@example.net"], sender=ANNA)
    attempted(s, 1)
    s.stop()
    rng = random.Random(7)
    with sqlite3.connect(os.path.join(s.state, "queue.db")) as db:
        first = db.execute("SELECT * FROM message").fetchone()
        far = int(time.time() * 1000) + 10**9
        for i in range(1, count):
            body = b"From: a@example.org\nSubject: m%d\n\n" % i + b"x" * rng.choice([10, 500, 3000, 9000, 30000])
            row = [first[0] + i * 1000] + list(first[1:])
            row[7], row[8], row[9], row[10], row[11], row[12] = len(body), len(body), 0, 30, 0, body
            db.execute("INSERT INTO message VALUES (%s)" % ",".join("?" * 13), row)
            for seq in range(rng.choice([1, 1, 1, 3, 40])):
                db.execute("INSERT INTO recipient VALUES (?,?,2,?,NULL,'example.net',NULL,0,?,1,'451 later')",
                           (row[0], seq, "r%d-%d@example.net" % (i, seq), far + i))
    db.close()
    return s


def rows(path):
    with sqlite3.connect(path) as db:
        out = {m[0]: (m, db.execute("SELECT * FROM recipient WHERE message = ? ORDER BY seq", (m[0],)).fetchall())
               for m in db.execute("SELECT * FROM message").fetchall()}
    db.close()
    return out


def dumped(path):
    """What sqlite3's .dump gives: every table up to the first damage, and down to the last."""
    out = []
    for table, key in (("message", "id"), ("recipient", "message, seq")):
        found = set()
        for order in (key, ", ".join(k + " DESC" for k in key.split(", "))):
            try:
                db = sqlite3.connect(path)
                for row in db.execute("SELECT * FROM %s ORDER BY %s" % (table, order)):
                    found.add(row)
            except sqlite3.DatabaseError:
                pass
            finally:
                db.close()
        out.append(found)
    messages, recipients = out
    return {m[0]: {r for r in recipients if r[0] == m[0]} for m in messages}


def salvage(s, want=0):
    done = s.run("queue", "salvage", check=False)
    assert done.returncode == want, (done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


def damage(path, kind, rng):
    size = os.path.getsize(path)
    with open(path, "r+b") as f:
        if kind == "first page":
            f.write(b"\0" * PAGE)
        elif kind == "header":
            f.write(b"not a database")
        elif kind == "cut off":
            f.truncate(size * 2 // 3 // PAGE * PAGE)
        elif kind == "cut in a page":
            f.truncate(size // 2 + 100)
        else:
            for _ in range({"one page": 1, "few pages": 5, "many pages": 60}[kind]):
                f.seek(rng.randrange(5, size // PAGE) * PAGE)
                f.write(rng.choice([b"\0" * PAGE, os.urandom(PAGE), b"\xff" * 200]))


def test_damaged_pages(t):
    s = filled(t)
    path = os.path.join(s.state, "queue.db")
    kept = os.path.join(s.state, "queue.db.damaged")
    good = shutil.copy(path, os.path.join(t.dir, "good.db"))
    before = rows(good)
    assert len(before) == MESSAGES
    rng = random.Random(11)
    for kind in ["first page", "header", "cut off", "cut in a page"] + ["one page", "few pages", "many pages"] * 4:
        shutil.copyfile(good, path)
        damage(path, kind, rng)
        with open(path, "rb") as f:
            damaged = f.read()
        dump = dumped(path)
        said = salvage(s)
        if "nothing was changed" in said:  # the damage hit what is on no tree, or left a row that looks like one
            assert len(rows(path)) == MESSAGES, kind
            continue
        with open(kept, "rb") as f:
            assert f.read() == damaged, "%s: the damaged file was changed" % kind
        os.unlink(kept)
        after = rows(path)
        assert "Saved: %d message" % len(after) in said, (kind, said)
        assert os.stat(path).st_mode & 0o777 == 0o600 and os.stat(path).st_uid == os.stat(s.state).st_uid
        assert sorted(os.listdir(s.state)) == sorted(set(os.listdir(s.state)) - {"salvage", "queue.db-wal"})
        for ident, (row, recipients) in after.items():
            assert row[:12] == before[ident][0][:12] and len(row[12]) == len(before[ident][0][12]), (kind, ident)
            assert set(recipients) <= set(before[ident][1]), (kind, ident)
        for ident, recipients in dump.items():
            if recipients & set(before.get(ident, (0, []))[1]) and ident in before:
                assert ident in after and recipients & set(before[ident][1]) <= set(after[ident][1]), (kind, ident)
        if kind in ("first page", "header"):
            assert after == before, kind
        elif kind == "one page":
            assert len(after) > MESSAGES * 3 // 4, (kind, len(after))
    s.start()
    assert len(s.queue()) == len(after)


def test_after_a_kill(t):
    """What stands in the log counts, whatever became of the file below it; root does it with the server's rights."""
    s = filled(t, 40)
    s.start()
    s.send(message("in the log"), to=["late@example.net"], sender=ANNA)
    attempted(s, 1)
    wait_until("the first attempt", lambda: "late@example.net" in s.log() and "relay-deferred" in s.log(own=True))
    s.kill()
    path = os.path.join(s.state, "queue.db")
    with open(path + "-wal", "rb") as f:
        log = f.read()
    with open(path, "r+b") as f:
        f.write(b"\0" * PAGE)
    if NOBODY:
        s.write(run_as=NOBODY.pw_name)
        done = subprocess.run([s.binary, "queue", "salvage", "--config", s.file], capture_output=True, text=True)
        said = done.stdout + done.stderr
    else:
        said = salvage(s)
    assert "Saved: 41 messages" in said, said
    with open(os.path.join(s.state, "queue.db.damaged-wal"), "rb") as f:
        assert f.read() == log
    assert {os.stat(os.path.join(s.state, n)).st_uid for n in os.listdir(s.state)} == {os.stat(s.state).st_uid}
    s.start()
    assert len(s.queue()) == 41


def test_refused_with_the_words_that_help(t):
    """The start names the command; the command refuses beside a server, keeps what it finds, and the rest is delivered."""
    s, sink, state = stuck(t, queue={"retry": ["1h"], "inline_limit": "2 KiB"})
    s.send(message("large") + b"z" * 9000 + b"\r\n", to=["x@example.net"], sender=ANNA)
    s.send(message("small"), to=["y@example.net"], sender=ANNA)
    large = attempted(s, 2)[0]["id"]
    assert "in use by the facteur" in salvage(s, 75)
    s.stop()
    assert "nothing was changed" in salvage(s)
    path = os.path.join(s.state, "queue.db")
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM message WHERE spooled")
    db.close()
    with open(path, "r+b") as f:
        f.write(b"\0" * 100)
    for name in ("queue.db.damaged", "queue.db.damaged-wal"):
        with open(os.path.join(s.state, name), "w") as f:
            f.write("of an earlier time")
        give(f.name)
    s.start(wait=False)
    assert s.process.wait(30) == 65
    s.process = None
    assert '%s is damaged' % path in s.log() and '"facteur queue salvage"' in s.log(), s.log()
    assert "SQLite" in s.log() and "Keep a copy" not in s.log()
    said = salvage(s)
    assert "%s from ? to x@example.net cannot be read" % large in said, said
    assert "queue.db.damaged.2 now" in said and "Saved: 1 message to 1 recipient." in said, said
    assert os.listdir(os.path.join(s.state, "spool.damaged")) == [large]
    with open(os.path.join(s.state, "queue.db.damaged")) as f:
        assert f.read() == "of an earlier time"
    state["open"] = True
    s.start()
    s.run("queue", "flush")
    sink.wait()
    s.wait_queue_empty()


def test_damage_that_shows_later(t):
    """A damaged queue is not said to be empty, by no command."""
    s = filled(t)
    path = os.path.join(s.state, "queue.db")
    with sqlite3.connect(path) as db:
        ids = [i for i, in db.execute("SELECT id FROM message ORDER BY id")]
        db.execute("DELETE FROM recipient WHERE message > ?", (ids[2],))
        db.execute("DELETE FROM message WHERE id > ?", (ids[2],))
        db.execute("UPDATE message SET size = -1")
    db.close()
    s.start()
    done = s.run("queue", "list", check=False)
    assert done.returncode == 65 and "3 messages cannot be read: queue.db is damaged" in done.stderr, done
    assert "empty" not in done.stdout, done.stdout
    s.run("queue", "flush")
    s.wait_log(r"event=queue-row-damaged .*facteur queue salvage")
    s.stop()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE message SET size = wire_size WHERE id = ?", (ids[2],))
    db.close()
    s.start()
    done = s.run("queue", "list", check=False)
    assert done.returncode == 65 and "2 messages cannot be read" in done.stderr and "1 message\n" in done.stdout, done
    s.stop()
    with sqlite3.connect(path) as db:
        root, = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'recipient'").fetchone()
    db.close()
    with open(path, "r+b") as f:
        f.seek((root - 1) * PAGE)
        f.write(b"\xff" * PAGE)
    s.start()
    done = s.run("queue", "list", check=False)
    assert done.returncode == 65 and "cannot be read" in done.stderr, done
    s.wait_log(r"event=queue-not-read .*facteur queue salvage")
    assert "malformed" in s.run("status").stdout


def test_newer_schema(t):
    s, sink, state = stuck(t)
    s.stop()
    path = os.path.join(s.state, "queue.db")
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 1000")
    db.close()
    assert "written by a newer facteur" in salvage(s, 65)
    os.unlink(path)
    assert "there is no queue.db in" in salvage(s, 66)
    assert not os.path.exists(os.path.join(s.state, "salvage"))
