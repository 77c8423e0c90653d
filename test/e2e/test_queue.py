"""The queue commands, and what is told of a message afterwards."""
import os
import signal
import sqlite3
import threading
import time

import lib
from lib import ANNA, BERT, HOST, Server, message, wait_until, want
from stub import Sink


def stuck(t, **more):
    """A server whose next hop says "later" until `open` is set."""
    state = {"open": False}
    sink = Sink(t, lambda verb, argument, session: None if state["open"] or verb != "MAIL" else "451 4.3.0 later")
    s = Server(t, dict({"relay": {"trusted": ["127.0.0.1/32"], "smarthost": {"host": HOST, "port": sink.port, "tls": "none"}},
                        "queue": {"retry": ["1h"]}}, **more))
    return s, sink, state


def attempted(s, count):
    return wait_until("%d attempts" % count, lambda: [m for m in s.queue() if m["recipients"][0]["attempts"] > 0][count - 1:]
                      and s.queue())


def test_list_show_flush_delete(t):
    s, sink, state = stuck(t)
    for i in range(3):
        s.send(message("waiting-%d" % i), to=["x%d@example.net" % i], sender=ANNA)
    waiting = attempted(s, 3)
    assert [m["recipients"][0]["address"] for m in waiting] == ["x%d@example.net" % i for i in range(3)], waiting
    ids = [m["id"] for m in waiting]
    listing = s.run("queue", "list").stdout
    assert all(i in listing for i in ids), listing
    shown = s.run("queue", "show", ids[0]).stdout
    assert "x0@example.net" in shown and "451" in shown and "waiting-0" in shown, shown
    assert "Subject: waiting-0" in s.run("queue", "show", "--body", ids[0]).stdout
    s.run("queue", "delete", ids[0])
    assert [m["id"] for m in s.queue()] == ids[1:]
    assert s.run("queue", "show", "0000000000001", check=False).returncode != 0
    assert s.run("queue", "delete", "nonsense", check=False).returncode != 0
    state["open"] = True
    s.run("queue", "flush", ids[1])
    sink.wait()
    s.run("queue", "flush")
    sink.wait(2)
    s.wait_queue_empty()


def test_queue_outlives_a_restart(t):
    s, sink, state = stuck(t, )
    s.reload(queue={"inline_limit": "2 KiB"})
    s.send(message("small"), to=["x@example.net"], sender=ANNA)
    s.send(message("large", "y" * 60 + "\r\n") + b"z" * 9000 + b"\r\n", to=["x@example.net"], sender=ANNA)
    attempted(s, 2)
    spool = os.path.join(s.state, "spool")
    assert len(os.listdir(spool)) == 1, os.listdir(spool)
    s.restart()
    assert len(s.queue()) == 2
    s.kill()
    s.start()
    state["open"] = True
    wait_until("both", lambda: s.run("queue", "flush") and len(sink.messages) == 2)
    s.wait_queue_empty()
    wait_until("an empty spool", lambda: not os.listdir(spool))


def test_history(t):
    s, sink, state = stuck(t)
    s.send(message("traced"), to=[BERT, "x@example.net"], sender=ANNA)
    ident = attempted(s, 1)[0]["id"]
    s.wait_mail(BERT)
    state["open"] = True
    s.run("queue", "flush")
    sink.wait()
    s.wait_queue_empty()
    def events():
        return [(e["event"], e["who"]) for e in s.ask(**{"do": "queue-history", "id": ident}).get("events", [])]
    wait_until("all of its history", lambda: len(events()) >= 4)
    assert set(events()) == {("received", ANNA), ("delivered", BERT), ("deferred", "x@example.net"),
                             ("relayed", "x@example.net")}, events()


def test_lost_history_loses_no_mail(t):
    s = Server(t)
    s.send(message())
    s.wait_mail()
    s.stop()
    for name in os.listdir(s.state):
        if name.startswith("history.db"):
            with open(os.path.join(s.state, name), "wb") as out:
                out.write(b"garbage" * 1000)
    s.start()
    s.wait_log(r"level=warning event=history-put-aside reason=.*SQLite.* file=.?%s/history.db.damaged" % s.state)
    s.send(message())
    s.wait_mail(count=2)


def test_damaged_queue_is_not_taken_for_an_empty_one(t):
    """F14."""
    s, sink, state = stuck(t)
    s.send(message(), to=["x@example.net"], sender=ANNA)
    attempted(s, 1)
    s.stop()
    path = os.path.join(s.state, "queue.db")
    with open(path, "r+b") as db:
        db.write(b"\0" * 4096)
    for name in ("queue.db-wal", "queue.db-shm"):
        if os.path.exists(os.path.join(s.state, name)):
            os.unlink(os.path.join(s.state, name))
    s.start(wait=False)
    status = s.process.wait(30)
    assert status not in (0, -11, -6), status
    s.process = None
    assert "queue.db" in s.log(own=True), s.log(own=True)


def test_newer_schema_is_refused(t):
    """F34."""
    s = Server(t)
    s.stop()
    with sqlite3.connect(os.path.join(s.state, "queue.db")) as db:
        db.execute("PRAGMA user_version = 1000")
    db.close()
    s.start(wait=False)
    assert s.process.wait(30) not in (0, -11, -6)
    s.process = None


def test_locked_database_answers_later(t):
    """F13: an operator's shell holds the lock."""
    s = Server(t)
    db = sqlite3.connect(os.path.join(s.state, "queue.db"), isolation_level=None, timeout=0.5)
    try:
        db.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:  # facteur holds the lock for as long as it runs: nobody can come between
        db.close()
        s.send(message())
        s.wait_mail()
        return
    with s.connect() as c, s.connect() as other:
        c.ehlo()
        c.cmd("MAIL FROM:<x@example.net>", 250)
        c.cmd("RCPT TO:<%s>" % ANNA, 250)
        c.cmd("DATA", 354)
        c.raw(message() + b".\r\n")
        started = time.monotonic()
        other.ehlo()
        assert time.monotonic() - started < 1, "the loop waits for the database"
        reply = c.read()
        assert reply.code == 451, reply
        db.execute("ROLLBACK")
        db.close()
        wait_until("mail is taken again", lambda: c.transaction("x@example.net", [ANNA], message(), (250, 451)).code == 250)
    s.wait_mail()


def test_read_only_mail_store_defers(t):
    """F12: a lost directory is no reason to bounce."""
    if os.geteuid() == 0:
        pass
    s = Server(t, {"queue": {"retry": ["200ms"]}})
    s.send(message())
    s.wait_mail()
    s.wait_queue_empty()
    box = os.path.dirname(s.maildir())
    os.rename(box, box + ".away")
    with open(box, "w") as blocker:
        blocker.write("in the way")
    s.send(message("blocked"))
    wait_until("a deferred message", lambda: s.queue())
    time.sleep(0.5)
    assert s.queue(), "it was given up"
    os.unlink(box)
    os.rename(box + ".away", box)
    wait_until("the message", lambda: s.run("queue", "flush") and len(s.mail()) == 2)
    assert not any(b"multipart/report" in m for m in s.mail())


def test_leftovers_are_swept_at_the_start(t):
    """F18: by the later of both times, since who unpacks an archive sets the first one back (unit tests go on a day)."""
    s = Server(t)
    s.send(message())
    s.wait_mail()
    s.stop()
    tmp, spool = os.path.join(s.maildir(), "tmp", "unpacked"), os.path.join(s.state, "spool", "1k8mueefm0000")
    young = os.path.join(s.state, "spool", "1k8mueefm0001")
    for path, age in ((tmp, 40 * 3600), (spool, 40 * 3600), (young, 3600)):
        open(path, "w").close()
        os.utime(path, (time.time() - age, time.time() - age))
        lib.give(path)
    s.start()
    wait_until("the old one gone", lambda: not os.path.exists(spool))
    assert os.path.exists(young) and os.path.exists(tmp)


def test_delivered_files_are_recognised_after_a_crash(t):
    """F17: the row was not deleted yet; a copy under other flags in cur/ is the same message."""
    s = Server(t)
    for i in range(5):
        s.send(message("once-%d" % i))
    s.wait_mail(count=5)
    new, cur = (os.path.join(s.maildir(), d) for d in ("new", "cur"))
    for name in sorted(os.listdir(new))[:3]:
        os.rename(os.path.join(new, name), os.path.join(cur, name + ":2,S"))
    s.kill()
    s.start()
    s.wait_queue_empty()
    assert len(s.mail()) == 5, sorted(os.listdir(new)) + sorted(os.listdir(cur))


def test_finished_message_still_has_a_history(t):
    s = Server(t)
    s.send(message("done"))
    s.wait_mail()
    s.wait_queue_empty()
    queue_id = next(line.split("queue=")[1].split()[0] for line in s.log().splitlines() if "event=accepted" in line)
    shown = wait_until("the history", lambda: "delivered" in (out := s.run("queue", "show", queue_id, check=False).stdout) and out)
    assert "finished" in shown, shown
    assert s.json("queue", "show", queue_id)["finished"] is True


def removed_log(t, end):
    s, sink, state = stuck(t)
    s.send(message("waits"), to=["x@example.net"], sender=ANNA)
    attempted(s, 1)
    os.remove(os.path.join(s.state, "queue.db-wal"))
    with s.connect() as c:
        c.ehlo()
        want(c.transaction(ANNA, [ANNA], message("refused"), 451), 451, "4.3.0")
    s.wait_log(r"event=commit-failed .*queue.db-wal was removed.*restart facteur")
    end(s)
    s.start()
    assert len(s.queue()) == 1
    s.send(message("taken"))
    assert b"Subject: taken" in s.wait_mail()[0]


def test_log_removed_under_us(t):
    """F14: nothing is acknowledged into a file without a name, and what was acknowledged is not lost with it."""
    removed_log(t, Server.stop)


def test_log_removed_under_us_then_killed(t):
    removed_log(t, Server.kill)


def end_by(s, signum):
    process, s.process = s.process, None
    process.send_signal(signum)
    process.wait()


def under_way(t, hop):
    wait_until("the message at the next hop", hop.is_set)
    hop.clear()


def test_message_that_brings_it_down_is_held(t):
    """Three crashes in hand hold it; a kill -9 or a power cut is not its doing."""
    hop, end = threading.Event(), threading.Event()

    def hang(verb, argument, session):
        if verb == "MAIL":
            hop.set()
            end.wait(60)

    sink = Sink(t, hang)
    s = Server(t, {"relay": {"trusted": ["127.0.0.1/32"], "smarthost": {"host": HOST, "port": sink.port, "tls": "none"}}})
    s.send(message("poison"), to=["x@example.net"], sender=ANNA)
    for signum in (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGABRT, signal.SIGABRT, signal.SIGABRT):
        under_way(t, hop)
        end_by(s, signum)
        s.start()
    held = wait_until("the message held", lambda: [m for m in s.queue() if "held" in str(m)])
    assert "event=held" in s.log() and held[0]["id"] in s.log(), s.log()
    hop.clear()
    s.run("queue", "flush", held[0]["id"])
    under_way(t, hop)
    end.set()
