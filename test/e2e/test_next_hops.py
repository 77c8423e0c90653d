"""Next hops that hang or take only a part, and what that does to the other messages and recipients."""
import os
import re

from lib import ANNA, BERT, HOST, Server, message, wait_until
from stub import Sink
from test_relay import to


def test_message_that_the_next_hop_does_not_bear_harms_no_other(t):
    """A server that drops the connection over one message, first thing on each connection, gets the others."""
    def answer(verb, argument, session):
        return "close" if verb == "END" and "poison@example.net" in session.to else None
    sink = Sink(t, answer)
    s = Server(t, {"relay": to(sink), "queue": {"retry": ["1h"], "destination_concurrency": 1}})
    s.send(message("poison"), to=["poison@example.net"], sender=ANNA)
    wait_until("a failed attempt", lambda: [m for m in s.queue() if m["recipients"][0]["attempts"] > 0])
    s.send(message("good"), to=["x@example.net"], sender=ANNA)
    assert sink.wait()[0]["to"] == ["x@example.net"]
    assert "next-hop-out-of-reach" not in s.log()


def too_many(t, reply):
    sink = Sink(t, lambda verb, argument, session: reply if verb == "RCPT" and len(session.to) >= 3 else None)
    s = Server(t, {"relay": to(sink), "queue": {"retry": ["1h"]}})
    everybody = ["x%d@example.net" % i for i in range(10)]
    s.send(message(), to=everybody, sender=ANNA)
    got = sink.wait(4)
    assert sorted(sum((m["to"] for m in got), [])) == everybody, got
    s.wait_queue_empty()
    assert not s.mail(ANNA)


def test_too_many_recipients(t):
    """RFC 5321 4.5.3.1.10: the rest goes into the next transaction at once."""
    too_many(t, "452 4.5.3 too many recipients")


def test_too_many_recipients_in_the_old_way(t):
    too_many(t, "552 too many recipients")


def test_full_mailbox_is_not_too_many_recipients(t):
    sink = Sink(t, lambda verb, argument, session: "552 5.2.2 full" if verb == "RCPT" else None)
    s = Server(t, {"relay": to(sink), "queue": {"retry": ["1h"]}})
    s.send(message(), to=["x@example.net"], sender=ANNA)
    assert "Status: 5.2.2" in s.wait_mail(ANNA)[0].decode()


def test_slow_recipient_does_not_bring_duplicates_to_the_others(t):
    """Who has the message does not get it again when a crash falls into the wait for another recipient."""
    fast, state = Sink(t), {"hang": True}
    slow = Sink(t, lambda verb, argument, session: "hang" if verb == "END" and state["hang"] else None)
    for size in (10, 200000):
        state["hang"] = True
        s = Server(t, {"relay": dict(to(slow), routes={
            "fast.example.net": "%s:%d" % (HOST, fast.port)})}, name="size%d" % size)
        del fast.messages[:], slow.messages[:]
        s.send(message("once", "x" * 60 + "\r\n" + "y" * 60 + "\r\n") + b"z" * 60 + b"\r\n" * size, sender=ANNA,
               to=[ANNA, "x@fast.example.net", "x@example.net"])
        s.wait_mail(ANNA)
        fast.wait()
        wait_until("only the slow one in the queue", lambda: [
            r["address"] for m in s.queue() for r in m["recipients"]] == ["x@example.net"])
        s.kill()
        for folder in ("new", "cur"):
            for name in os.listdir(os.path.join(s.maildir(ANNA), folder)):
                os.unlink(os.path.join(s.maildir(ANNA), folder, name))
        state["hang"] = False
        s.start()
        slow.wait()
        s.wait_queue_empty()
        assert not s.mail(ANNA) and len(fast.messages) == 1, (s.mail(ANNA), fast.messages)
        wait_until("an empty spool", lambda: not os.listdir(os.path.join(s.state, "spool")))


def test_recipients_that_end_together_cost_one_record(t):
    s = Server(t)

    def commits():
        return s.json("status")["mail"]["commits"]
    before = commits()
    s.send(message(), to=[ANNA, BERT])
    s.wait_queue_empty()
    assert commits() - before == 2, "one for the message and one for its end"


def two_hops(t, queue):
    """A hop that hangs at the greeting, and one that takes mail at once."""
    tarpit, fast = Sink(t, lambda verb, argument, session: "hang" if verb == "CONNECT" else None), Sink(t)
    s = Server(t, {"relay": dict(to(tarpit), routes={"fast.example.net": "%s:%d" % (HOST, fast.port)}),
                   "queue": queue})
    return s, tarpit, fast


def test_tarpit_does_not_take_all_connections(t):
    s, tarpit, fast = two_hops(t, {"concurrency": 8, "destination_concurrency": 8})
    with s.connect() as c:
        c.ehlo()
        for i in range(90):
            c.transaction(ANNA, ["x@example.net"], message())
    wait_until("connections to the tarpit", lambda: tarpit.sessions >= 7)
    s.send(message(), to=["x@fast.example.net"], sender=ANNA)
    fast.wait()
    assert tarpit.sessions == 7


def test_hanging_destination_does_not_take_all_room(t):
    """More messages for it than are worked on at once; others get through within a look and the time after which it
    counts as stuck."""
    s, tarpit, fast = two_hops(t, {})
    with s.connect() as c:
        c.ehlo()
        for i in range(41):
            said = b"".join(b"MAIL FROM:<%s>\r\nRCPT TO:<x@example.net>\r\nBDAT 17 LAST\r\nSubject: x\r\n\r\nx\r\n"
                            % ANNA.encode() for _ in range(100))
            c.raw(said)
            for _ in range(300):
                c.read(250)
    s.send(message(), to=["x@fast.example.net"], sender=ANNA)
    fast.wait(seconds=40)
    assert s.json("status")["queue"]["messages"] >= 4100
    assert "next-hop-crowded" in s.log()


def test_hanging_next_hop_is_seen(t):
    """Where a message is can be asked at once, and after half a minute the log says it by itself."""
    s, tarpit, fast = two_hops(t, {})
    s.send(message(), to=["x@example.net"], sender=ANNA)
    wait_until("a connection", lambda: tarpit.sessions == 1)
    where = wait_until("where it is", lambda: re.search(r"with %s \[%s\], waiting for the greeting since \d+s" % (HOST, HOST),
                                                        s.run("queue", "list").stdout))
    assert where[0].rstrip("0123456789s") in s.run("queue", "show", s.queue()[0]["id"]).stdout
    s.wait_log(r'event=next-hop-slow session=\S+ destination=%s:%d host=".*" waits_for="the greeting"' % (HOST, tarpit.port),
               seconds=45)
    tarpit.stop()
    s.wait_log(r"event=next-hop-out-of-reach .* again_in_s=60")
    dead = s.json("status")["relay"]["out_of_reach"]
    assert dead[0]["destination"] == "%s:%d" % (HOST, tarpit.port) and dead[0]["reason"] and dead[0]["again_in_s"] <= 60, dead
    assert "again_in_s" in s.run("status").stdout
