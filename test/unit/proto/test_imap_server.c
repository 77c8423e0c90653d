/* The dialogue of IMAP: whole transcripts in every chunking, and what transcripts cannot say. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "imap_fake_host.h"
#include "imap_server_priv.h"
#include "sasl_priv.h"

#define PRE                                                                                                            \
    "CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE STARTTLS AUTH=SCRAM-SHA-256 AUTH=PLAIN AUTH=LOGIN"
#define POST                                                                                                           \
    "CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE NAMESPACE CHILDREN UNSELECT UIDPLUS ESEARCH"       \
    " SEARCHRES WITHIN CONDSTORE QRESYNC LIST-EXTENDED LIST-STATUS SPECIAL-USE CREATE-SPECIAL-USE MOVE MULTIAPPEND"    \
    " QUOTA QUOTA=RES-STORAGE BINARY SORT SORT=DISPLAY THREAD=REFERENCES THREAD=ORDEREDSUBJECT STATUS=SIZE OBJECTID"   \
    " SAVEDATE PREVIEW REPLACE PARTIAL UTF8=ACCEPT APPENDLIMIT=1000"
#define GREETING "* OK [" PRE "] mail.example.org facteur ready\r\n"
#define LOGIN    "l LOGIN alice secret\r\n"
#define LOGGED   "l OK [" POST "] Logged in\r\n"
#define SELECT   "s SELECT INBOX\r\n"
#define SELECTED "* ran SELECT INBOX\r\n* news, expunge\r\ns OK SELECT completed\r\n"
#define IN       GREETING LOGGED
#define BYE_OUT  "* BYE Logging out\r\n"

/* ---- transcripts ---- */

struct scene {
    const char *name, *in, *want;
};

/* clang-format off */
static const struct scene scenes[] = {
    { "without login",
      "a NOOP\r\nb CAPABILITY\r\nc SELECT INBOX\r\nd LOGOUT\r\ne NOOP\r\n",
      GREETING "a OK NOOP completed\r\n* " PRE "\r\nb OK CAPABILITY completed\r\nc BAD Log in first\r\n"
      BYE_OUT "d OK LOGOUT completed\r\n" },
    { "login and states",
      "a FETCH 1 FLAGS\r\n" LOGIN "b FETCH 1 FLAGS\r\nc LOGIN alice secret\r\n" SELECT "d FETCH 1 FLAGS\r\n"
      "e uid fetch 1 FLAGS\r\nf CLOSE\r\ng CHECK\r\nh LOGOUT\r\n",
      GREETING "a BAD Log in first\r\n" LOGGED "b BAD Select a mailbox first\r\nc BAD Already logged in\r\n" SELECTED
      "* ran FETCH \r\n* news\r\nd OK FETCH completed\r\n"
      "* ran UID FETCH \r\n* news, expunge\r\ne OK FETCH completed\r\n"
      "* ran CLOSE \r\nf OK CLOSE completed\r\ng BAD Select a mailbox first\r\n" BYE_OUT "h OK LOGOUT completed\r\n" },
    { "news",
      LOGIN SELECT "a STORE 1 FLAGS ()\r\nb SEARCH ALL\r\nc SORT (DATE) UTF-8 ALL\r\nd THREAD REFERENCES UTF-8 ALL\r\n"
      "e UID STORE 1 FLAGS ()\r\nf COPY 1 absent\r\ng NOOP\r\nh FETCH 0 FLAGS\r\n",
      IN SELECTED "* ran STORE \r\n* news\r\na OK STORE completed\r\n* ran SEARCH \r\n* news\r\nb OK SEARCH completed\r\n"
      "* ran SORT \r\n* news\r\nc OK SORT completed\r\n* ran THREAD \r\n* news\r\nd OK THREAD completed\r\n"
      "* ran UID STORE \r\n* news, expunge\r\ne OK STORE completed\r\n"
      "* ran COPY absent\r\n* news, expunge\r\nf NO [NONEXISTENT] There is no such mailbox\r\n"
      "* ran NOOP \r\n* news, expunge\r\ng OK NOOP completed\r\nh BAD A set of numbers is malformed\r\n" },
    { "literals",
      "a LOGIN {5}\r\nalice {6}\r\nsecret\r\nb LIST {0}\r\n {1+}\r\n*\r\nc CREATE {4+}\r\na b/\r\n"
      "d CREATE {3+}\r\na\r\n\r\ne DELETE {3}\r\na\"b\r\n",
      GREETING "+ OK\r\n+ OK\r\na OK [" POST "] Logged in\r\n+ OK\r\n* ran LIST \r\nb OK LIST completed\r\n"
      "* ran CREATE a b\r\nc OK CREATE completed\r\nd BAD A mailbox name holds no control characters\r\n"
      "+ OK\r\n* ran DELETE a\"b\r\ne OK DELETE completed\r\n" },
    { "lines that are none",
      "\r\na\r\n",
      GREETING "* BAD A command begins with a tag\r\na BAD Behind the tag a command is missing\r\n" },
    { "bare LF and CR",
      LOGIN "a NOOP\nb NOOP\r\nc NOOP\rd NOOP\r\ne NOOP\r\n",
      IN "a BAD NUL, or a CR or LF alone; lines end with CR LF\r\nc BAD NUL, or a CR or LF alone; lines end with CR LF\r\n"
      "e OK NOOP completed\r\n" },
    { "unknown",
      LOGIN "a XYZZY\r\nb UID NOOP\r\n+ NOOP\r\nc XYZZY {5}\r\nd NOOP\r\ne XYZZY {8+}\r\nf NOOP\r\n {3+}\r\n\r\n\n x\r\ng NOOP\r\n",
      IN "a BAD There is no such command\r\nb BAD There is no such command\r\n* BAD A command begins with a tag\r\n"
      "c BAD There is no such command\r\nd OK NOOP completed\r\ne BAD There is no such command\r\ng OK NOOP completed\r\n" },
    { "enable",
      LOGIN "a ENABLE QRESYNC X-UNKNOWN\r\nb ENABLE CONDSTORE UTF8=ACCEPT\r\nc CREATE \"\xc3\xbc\"\r\n"
      SELECT "d ENABLE IMAP4rev2\r\ne CREATE \"&APw-\"\r\n",
      IN "* ENABLED QRESYNC\r\na OK ENABLE completed\r\n* ENABLED UTF8=ACCEPT\r\nb OK ENABLE completed\r\n"
      "* ran CREATE \xc3\xbc\r\nc OK CREATE completed\r\n" SELECTED "d BAD ENABLE comes before a mailbox is selected\r\n"
      "* ran CREATE &APw-\r\n* news, expunge\r\ne OK CREATE completed\r\n" },
    { "special use",
      LOGIN "a CREATE x (USE (\\Sent))\r\nb CREATE y (USE (\\Sent \\Junk))\r\nc CREATE z (USE (\\Important))\r\n",
      IN "* ran CREATE x\r\na OK CREATE completed\r\n"
      "b NO [USEATTR] That special use is not known, or more than one was asked for\r\n"
      "c NO [USEATTR] That special use is not known, or more than one was asked for\r\n" },
    { "id",
      "a ID NIL\r\nb ID (\"name\" \"mutt\" \"version\" NIL)\r\nc ID\r\n",
      GREETING "* ID (\"name\" \"facteur\")\r\na OK ID completed\r\n* ID (\"name\" \"facteur\")\r\nb OK ID completed\r\n"
      "c BAD An argument is missing\r\n" },
    { "idle",
      LOGIN "i IDLE\r\nDONE\r\n" SELECT "j IDLE\r\ndone\r\nk IDLE\r\nl NOOP\r\nm NOOP\r\n",
      IN "+ idling\r\ni OK IDLE completed\r\n" SELECTED "+ idling\r\n* news, expunge\r\nj OK IDLE completed\r\n"
      "+ idling\r\nk BAD Expected DONE\r\n* ran NOOP \r\n* news, expunge\r\nm OK NOOP completed\r\n" },
    { "authenticate",
      "a AUTHENTICATE PLAIN\r\nAGFsaWNlAHNlY3JldA==\r\nb LOGOUT\r\n",
      GREETING "+ \r\na OK [" POST "] Logged in\r\n" BYE_OUT "b OK LOGOUT completed\r\n" },
    { "authenticate at once",
      "a AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==\r\n", GREETING "a OK [" POST "] Logged in\r\n" },
    { "authenticate login",
      "a authenticate login\r\nYWxpY2U=\r\nc2VjcmV0\r\n",
      GREETING "+ VXNlcm5hbWU6\r\n+ UGFzc3dvcmQ6\r\na OK [" POST "] Logged in\r\n" },
    { "authenticate in vain",
      "a AUTHENTICATE PLAIN\r\n*\r\nb AUTHENTICATE PLAIN ####\r\nc AUTHENTICATE CRAM-MD5\r\n"
      "d AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==\r\n",
      GREETING "+ \r\na BAD Authentication cancelled\r\nb BAD Authentication data is malformed\r\n"
      "c NO [CANNOT] That mechanism is not available\r\nd OK [" POST "] Logged in\r\n" },
    { "verdicts",
      "a LOGIN alice wrong\r\nb LOGIN pop x\r\nc LOGIN later x\r\n" LOGIN,
      GREETING "a NO [AUTHENTICATIONFAILED] Name or password is wrong\r\n"
      "b NO [AUTHORIZATIONFAILED] IMAP is not allowed to you; use POP3\r\n"
      "c NO [UNAVAILABLE] Login is not possible at the moment; try again later\r\n" LOGGED },
    { "too many failed logins",
      "a LOGIN bob x\r\nb LOGIN bob x\r\nc LOGIN bob x\r\n" LOGIN,
      GREETING "a NO [AUTHENTICATIONFAILED] Name or password is wrong\r\nb NO [AUTHENTICATIONFAILED] Name or password is wrong\r\n"
      "c NO [AUTHENTICATIONFAILED] Name or password is wrong\r\n* BYE Too many failed logins\r\n" },
    { "too many errors before login",
      "a X\r\nb X\r\nc X\r\nd NOOP\r\n",
      GREETING "a BAD There is no such command\r\nb BAD There is no such command\r\nc BAD There is no such command\r\n"
      "* BYE Too many errors\r\n" },
    { "append",
      LOGIN "a APPEND Sent (\\Seen $Forwarded x y) \" 1-Feb-1994 12:34:56 +0100\" {5}\r\nhello\r\nb NOOP\r\n"
      "c append {4}\r\nSent {3+}\r\nabc\r\n",
      IN "* append to Sent: 5 flags=40 keywords=2 date=760102496000\r\n+ OK\r\n* ran APPEND Sent\r\n* body <hello|>\r\n"
      "a OK APPEND completed\r\nb OK NOOP completed\r\n"
      "+ OK\r\n* append to Sent: 3 flags=0 keywords=0 date=-1\r\n* ran APPEND Sent\r\n* body <abc|>\r\nc OK APPEND completed\r\n" },
    { "multiappend",
      LOGIN "a APPEND x {3}\r\nabc (\\Draft) {3+}\r\nd\r\n ~{2}\r\nef\r\nb NOOP\r\n",
      IN "* append to x: 3 flags=0 keywords=0 date=-1\r\n+ OK\r\n* append to x: 3 flags=16 keywords=0 date=-1\r\n"
      "* append to x: 2 flags=0 keywords=0 date=-1 binary\r\n+ OK\r\n* ran APPEND x\r\n* body <abc|d\r\n|ef|>\r\n"
      "a OK APPEND completed\r\nb OK NOOP completed\r\n" },
    { "append refused",
      LOGIN "a APPEND absent {3}\r\nb NOOP\r\nc APPEND absent {8+}\r\nd NOOP\r\n\r\ne APPEND x {1001}\r\n"
      "f APPEND x {0}\r\ng APPEND x {3+}\r\nabc junk\r\nh APPEND x {3+}\r\nabc {0+}\r\n\r\ni APPEND x ~{4}\r\n\r\n",
      IN "* append to absent: 3 flags=0 keywords=0 date=-1\r\na NO [TRYCREATE] There is no such mailbox\r\nb OK NOOP completed\r\n"
      "* append to absent: 8 flags=0 keywords=0 date=-1\r\nc NO [TRYCREATE] There is no such mailbox\r\n"
      "e NO [TOOBIG] Message is larger than 1000 octets\r\nf NO A message of 0 octets is not stored\r\n"
      "* append to x: 3 flags=0 keywords=0 date=-1\r\ng BAD Expected a further message, or the end\r\n"
      "* append to x: 3 flags=0 keywords=0 date=-1\r\nh NO A message of 0 octets is not stored\r\n"
      "* append to x: 4 flags=0 keywords=0 date=-1 binary\r\n+ OK\r\n" },
    { "append that is no append",
      LOGIN "a APPEND x\r\nb APPEND x (\\Recent) {3}\r\nc APPEND x (\\Seen {3}\r\nd APPEND x \"1-Feb-1994\" {3}\r\n"
      "e APPEND x {3+}\r\nabc (\\Seen\r\nf APPEND x UTF8 (~{3}\r\ng CREATE ~{3+}\r\nabc\r\nh NOOP\r\n",
      IN "a BAD A message literal is missing\r\nb BAD \\Recent cannot be changed\r\nc BAD Expected a flag\r\n"
      "d BAD Expected a space\r\n* append to x: 3 flags=0 keywords=0 date=-1\r\ne BAD Expected a further message, or the end\r\n"
      "f BAD UTF8 needs ENABLE UTF8=ACCEPT\r\ng BAD A literal8 is for messages\r\nh OK NOOP completed\r\n" },
    { "append in UTF-8",
      LOGIN "a ENABLE UTF8=ACCEPT\r\nb APPEND x UTF8 (~{3}\r\nabc)\r\nc APPEND x UTF8 (~{3+}\r\nabc) (\\Seen) {2+}\r\nde\r\n"
      "d APPEND x UTF8 (~{3+}\r\nabc\r\ne APPEND x UTF8 ({3+}\r\nabc)\r\nf NOOP\r\n",
      IN "* ENABLED UTF8=ACCEPT\r\na OK ENABLE completed\r\n"
      "* append to x: 3 flags=0 keywords=0 date=-1 binary utf8\r\n+ OK\r\n* ran APPEND x\r\n* body <abc|>\r\nb OK APPEND completed\r\n"
      "* append to x: 3 flags=0 keywords=0 date=-1 binary utf8\r\n* append to x: 2 flags=8 keywords=0 date=-1\r\n"
      "* ran APPEND x\r\n* body <abc|de|>\r\nc OK APPEND completed\r\n"
      "* append to x: 3 flags=0 keywords=0 date=-1 binary utf8\r\nd BAD Expected )\r\ne BAD UTF8 needs a literal8\r\n"
      "f OK NOOP completed\r\n" },
    { "replace",
      LOGIN "a REPLACE 1 x {3+}\r\nabc\r\n" SELECT "b REPLACE 4 Drafts (\\Draft) {3}\r\nabc\r\nc UID REPLACE 4:5 x {3+}\r\nabc\r\n"
      "d UID REPLACE 4 x {3+}\r\nabc {3+}\r\ndef\r\ne UID REPLACE * x {3+}\r\nabc\r\n",
      IN "a BAD Select a mailbox first\r\n" SELECTED "* append to Drafts: 3 flags=16 keywords=0 date=-1\r\n+ OK\r\n* ran REPLACE Drafts\r\n"
      "* body <abc|>\r\n* news, expunge\r\nb OK REPLACE completed\r\nc BAD REPLACE takes one message\r\n"
      "* append to x: 3 flags=0 keywords=0 date=-1\r\nd BAD REPLACE takes one message\r\n"
      "* append to x: 3 flags=0 keywords=0 date=-1\r\n* ran UID REPLACE x\r\n* body <abc|>\r\n* news, expunge\r\ne OK REPLACE completed\r\n" },
    { "charsets",
      LOGIN SELECT "a SEARCH CHARSET x-nobody SUBJECT {3+}\r\nabc\r\nb SEARCH CHARSET ISO-8859-1 SUBJECT \"\xfc\"\r\n",
      IN SELECTED "* ran SEARCH bad charset\r\n* news\r\na OK SEARCH completed\r\n"
      "* ran SEARCH \r\n* news\r\nb OK SEARCH completed\r\n" },
};
/* clang-format on */

/* The client's octets in pieces of `piece` (0: all there is), and cut once more at `split`. */
static void play(const struct scene *scene, bool later, size_t piece, size_t split)
{
    struct fake f;
    struct slice in = slice_str(scene->in);
    size_t at = 0;

    fake_init(&f);
    f.later = later;
    fake_start(&f);
    while (at < in.n && !f.closed) {
        size_t n = piece > 0 ? piece : in.n - at;

        if (at < split && n > split - at)
            n = split - at;
        fake_feed(&f, slice_make(in.p + at, n));
        at += n;
        if (at % 3 == 0)
            fake_answer(&f);
    }
    fake_answer(&f);
    if (strcmp(buf_cstr(&f.out), scene->want) != 0)
        fail_msg("%s, later %d, pieces of %zu, split at %zu:\n%s\nwanted:\n%s", scene->name, later, piece, split,
                 buf_cstr(&f.out), scene->want);
    fake_clear(&f);
}

static void transcripts_in_every_chunking(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++)
        for (int later = 0; later <= 1; later++) {
            play(&scenes[i], later, 0, 0);
            play(&scenes[i], later, 1, 0);
            for (size_t split = 1; split < strlen(scenes[i].in); split++)
                play(&scenes[i], later, 0, split);
        }
}

/* ---- what transcripts cannot say ---- */

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

#define SAY(f, text, want)                                                                                             \
    do {                                                                                                               \
        const char *got = fake_say(f, text);                                                                           \
        if (!starts(got, want))                                                                                        \
            fail_msg("%s\ngot %s\nnot %s", text, got, want);                                                           \
    } while (0)

static void log_in(struct fake *f)
{
    fake_start(f);
    SAY(f, LOGIN, "l OK [");
}

static void start_tls_now(struct fake *f)
{
    assert_true(f->tls_wanted);
    f->tls_wanted = false;
    imap_server_tls_started(f->s);
}

static void login_needs_tls(void **state)
{
    struct fake f;

    (void)state;
    fake_init(&f);
    f.options.auth_without_tls = false;
    fake_start(&f);
    assert_non_null(strstr(buf_cstr(&f.out), "STARTTLS LOGINDISABLED] "));
    assert_null(strstr(buf_cstr(&f.out), "AUTH="));
    SAY(&f, LOGIN, "l NO [PRIVACYREQUIRED] Encryption is needed: STARTTLS first\r\n");
    assert_string_equal(f.log, "NO [PRIVACYREQUIRED] Encryption is needed: STARTTLS first | l LOGIN");
    SAY(&f, "a AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==\r\n", "a NO [PRIVACYREQUIRED]");
    SAY(&f, "b STARTTLS x\r\n", "b BAD");
    SAY(&f, "c STARTTLS\r\n", "c OK Begin TLS now\r\n");
    assert_int_equal(f.phase, IMAP_PHASE_TLS);
    SAY(&f, "d NOOP\r\n", ""); /* nobody listens while TLS is made */
    start_tls_now(&f);
    SAY(&f, "e CAPABILITY\r\n",
        "* CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE AUTH=SCRAM-SHA-256 "
        "AUTH=PLAIN AUTH=LOGIN\r\ne OK");
    SAY(&f, "f STARTTLS\r\n", "f BAD TLS is already active\r\n");
    SAY(&f, LOGIN, LOGGED);
    SAY(&f, "g STARTTLS\r\n", "g BAD Already logged in\r\n");
    assert_int_equal(f.attempts, 1);
    fake_clear(&f);
}

/* A6 */
static void starttls_injection_ends_the_session(void **state)
{
    struct fake f;

    (void)state;
    fake_init(&f);
    fake_start(&f);
    SAY(&f, "a STARTTLS\r\nb LOGIN alice secret\r\n", "a BAD Input behind STARTTLS\r\n* BYE Input behind STARTTLS\r\n");
    assert_true(f.closed && !f.tls_wanted && f.attempts == 0);
    fake_clear(&f);
    fake_init(&f);
    f.options.tls_offered = false;
    fake_start(&f);
    SAY(&f, "a STARTTLS\r\n", "a BAD STARTTLS is not available\r\n");
    fake_clear(&f);
}

/* A25: nothing is echoed, nothing runs. */
static void other_protocols_hear_nothing(void **state)
{
    static const char *const texts[] = {
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /a LOGIN alice secret\r\nb LOGIN alice secret\r\n",
        "POST / HTTP/1.1\nHost: x\n\n",
        "CONNECT x:143 HTTP/1.1\r\n",
        "DELETE x\r\n",
        "\x16\x03\x01\x02",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct fake f;

        fake_init(&f);
        fake_start(&f);
        assert_string_equal(fake_say(&f, texts[i]), "");
        assert_true(f.closed && f.attempts == 0 && f.refusals == 1);
        fake_clear(&f);
    }
}

/* What a password file holds of alice's. */
static struct sasl_scram_keys keys_of_alice(void)
{
    struct sasl_scram_keys k = { .known = true, .salt = "salt of a test.", .salt_n = 16, .iterations = 4096 };
    uint8_t salted[32], client[32];

    sasl_scram_derive(SLICE_LIT("secret"), k.salt, k.salt_n, k.iterations, salted);
    scram_hmac(salted, SLICE_LIT("Client Key"), client);
    scram_hash(client, k.stored);
    scram_hmac(salted, SLICE_LIT("Server Key"), k.server);
    return k;
}

/* The text of "+ text" as the client's machine takes it. */
static struct slice challenge_in(const char *reply)
{
    struct slice line = slice_str(reply);

    assert_true(slice_istarts(line, "+ "));
    line = slice_skip(line, 2);
    line.n -= 2;
    return line;
}

static void scram_with(const char *password, const char *want)
{
    uint8_t salted[32];
    struct sasl_client c = { 0 };
    struct buf b, line;
    struct fake f;

    fake_init(&f);
    f.keys = keys_of_alice();
    fake_start(&f);
    buf_init(&b, 4096);
    buf_init(&line, 4096);
    assert_int_equal(sasl_client_start(&c, "SCRAM-SHA-256", "alice", password, &b), 0);
    assert_int_equal(buf_addf(&line, "a AUTHENTICATE SCRAM-SHA-256 %.*s\r\n", SLICE_ARG(buf_slice(&b))), 0);
    buf_reset(&b);
    assert_int_equal(sasl_client_next(&c, challenge_in(fake_say(&f, buf_cstr(&line))), &b), SASL_CLIENT_KEY);
    sasl_scram_derive(slice_str(password), c.salt, c.salt_n, c.iterations, salted);
    assert_int_equal(sasl_client_key(&c, salted, &b), 0);
    assert_int_equal(buf_adds(&b, "\r\n"), 0);
    (void)fake_say(&f, buf_cstr(&b));
    if (starts(buf_cstr(&f.out), "+ ")) {
        buf_reset(&b);
        assert_int_equal(sasl_client_next(&c, challenge_in(buf_cstr(&f.out)), &b), SASL_CLIENT_SEND);
        assert_true(sasl_client_trusts(&c));
        (void)fake_say(&f, "\r\n");
    }
    assert_true(starts(buf_cstr(&f.out), want));
    sasl_client_clear(&c);
    buf_clear(&b);
    buf_clear(&line);
    fake_clear(&f);
}

static void scram(void **state)
{
    (void)state;
    scram_with("secret", "a OK [CAPABILITY ");
    scram_with("wrong", "a NO [AUTHENTICATIONFAILED]");
}

static void ways_to_log_in(void **state)
{
    struct fake f;

    (void)state;
    fake_init(&f);
    f.options.auth = (struct sasl_mechanisms){ .scram = true };
    fake_start(&f);
    assert_non_null(strstr(buf_cstr(&f.out), " LOGINDISABLED AUTH=SCRAM-SHA-256]"));
    SAY(&f, LOGIN, "l NO [CANNOT] That way to log in is not available\r\n");
    SAY(&f, "a AUTHENTICATE PLAIN\r\n", "a NO [CANNOT] That mechanism is not available\r\n");
    fake_clear(&f);
    fake_init(&f);
    fake_start(&f);
    SAY(&f, "a LOGIN \"\" x\r\n", "a NO [AUTHENTICATIONFAILED]");
    SAY(&f, "b LOGIN {1}\r\n", "+");
    SAY(&f, "\x01 x\r\n", "b NO [AUTHENTICATIONFAILED]");
    assert_int_equal(f.attempts, 0);
    f.later = true;
    fake_feed(&f, SLICE_LIT("c LOGIN bob x\r\n"));
    f.verdict.close = true; /* the host has had enough */
    buf_reset(&f.out);
    fake_answer(&f);
    assert_string_equal(buf_cstr(&f.out), "c NO [AUTHENTICATIONFAILED] Name or password is wrong\r\n* BYE Closing\r\n");
    fake_clear(&f);
}

/* A14 */
static void sasl_lines(void **state)
{
    struct fake f;
    char *line = mem_zero(20001);

    (void)state;
    memset(line, 'A', 20000);
    fake_init(&f);
    fake_start(&f);
    SAY(&f, "a AUTHENTICATE PLAIN\r\n", "+ \r\n");
    SAY(&f, line, "a BAD Authentication line is not a line\r\n");
    SAY(&f, line, "");
    SAY(&f, "\r\nb NOOP\r\n", "b OK");
    SAY(&f, "c AUTHENTICATE PLAIN\r\n", "+ \r\n");
    SAY(&f, "AGFs\naWNl\r\n", "c BAD Authentication line is not a line\r\n");
    SAY(&f, "d AUTHENTICATE\r\n", "d BAD");
    assert_true(!f.closed && f.attempts == 0);
    mem_free(line);
    fake_clear(&f);
}

static void passwords_are_not_logged(void **state)
{
    static const char *const texts[] = {
        "a LOGIN bob secret\r\n",
        "a LOGIN bob \"secret\r\n",
        "a LOGIN bob {6+}\r\nsecret\r\n",
        "a LOGIN {3+}\r\nbob {6+}\r\nsecret x\r\n",
        "a LOGIN secret\r\n",
        "LOGIN a secret\r\n",
        "a LOGIN \"bob\" secret x\r\n",
        "a LOGIN bob secret\n\r\n",
        "a LOGIN bob sec\rret\r\n",
        "a AUTHENTICATE PLAIN secret\r\n",
        "a LOGIN x {3}\r\n sec {99999999+}\r\nsecret",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct fake f;

        fake_init(&f);
        fake_start(&f);
        (void)fake_say(&f, texts[i]); /* fake_refused looks */
        assert_true(f.refusals > 0);
        fake_clear(&f);
    }
}

/* A40: 8 KiB before login, line_length after it; the rest of the line is no command. */
static void lines_have_a_limit(void **state)
{
    enum { N = 70000 };
    char *line = mem_zero(N + 1);
    struct fake f;

    (void)state;
    memset(line, 'x', N);
    memcpy(line, "a NOOP ", 7);
    fake_init(&f);
    fake_start(&f);
    buf_reset(&f.out);
    fake_feed(&f, slice_make(line, 8194));
    fake_feed(&f, slice_make(line, 50));
    SAY(&f, "\r\nb NOOP\r\n", "b OK");
    assert_string_equal(f.log, "BAD Command is longer than the limit | a");
    SAY(&f, LOGIN, "l OK");
    (void)fake_say_octets(&f, slice_make(line, 65536));
    SAY(&f, "\r\n", "a BAD Something is left over");
    (void)fake_say_octets(&f, slice_make(line, 65537));
    SAY(&f, "\r\nb NOOP\r\n", "a BAD Command is longer than the limit\r\nb OK");
    /* Lines and literals count together. */
    (void)fake_say_octets(&f, slice_make(line, 65500));
    SAY(&f, " {40}\r\n", "a BAD");
    SAY(&f, "c SUBSCRIBE {65530}\r\n", "c BAD Command is longer than the limit\r\n");
    SAY(&f, "d SUBSCRIBE {65500}\r\n", "+ OK\r\n");
    (void)fake_say_octets(&f, slice_make(line, 65500));
    SAY(&f, "0123456789012345678901234567890123456789\r\ne NOOP\r\n", "d BAD Command is longer than the limit\r\ne OK");
    mem_free(line);
    fake_clear(&f);
}

/* A line without an end is swallowed, but not for ever. */
static void endless_lines_end(void **state)
{
    char junk[4096];
    struct fake f;
    int fed = 0;

    (void)state;
    memset(junk, 'x', sizeof junk);
    fake_init(&f);
    fake_start(&f);
    for (; fed < 100 && !f.closed; fed++)
        fake_feed(&f, slice_make(junk, sizeof junk));
    assert_true(f.closed && fed > 15 && fed < 25);
    assert_int_equal(f.refusals, 1);
    fake_clear(&f);
}

/* A41 */
static void literals_have_a_limit(void **state)
{
    static const struct {
        bool logged_in;
        const char *text, *want;
        bool closed;
    } rows[] = {
        { false, "a LOGIN {100000000}\r\n", "a BAD Command is longer than the limit\r\n", false },
        { false, "a LOGIN {8192}\r\n", "a BAD Command is longer than the limit\r\n", false },
        { false, "a LOGIN {4294967296+}\r\n", "* BYE Too much data behind a refusal\r\na BAD", true },
        { false, "a APPEND x {5}\r\n", "a BAD Log in first\r\n", false },
        { false, "a APPEND x {100000000+}\r\n", "* BYE", true },
        { false, "a NOOP {-5}\r\n", "a BAD", false },
        { true, "a SUBSCRIBE {2147483648}\r\n", "a BAD", false },
        { true, "a SUBSCRIBE {4294967296}\r\n", "a BAD", false },
        { true, "a SUBSCRIBE {18446744073709551615}\r\n", "a BAD", false },
        { true, "a SUBSCRIBE {18446744073709551616}\r\n", "a BAD", false },
        { true, "a SUBSCRIBE {18446744073709551616+}\r\n", "* BYE", true },
        { true,
          "a SUBSCRIBE {99999999999999999999999999999999999999999999999999999999999999999999999999999999999999+}\r\n",
          "* BYE", true },
        { true,
          "a SUBSCRIBE \"\n {99999999999999999999999999999999999999999999999999999999999999999999999999999999999+}\r\n",
          "a BAD NUL, or a CR or LF alone; lines end with CR LF\r\n* BYE", true },
        { true, "a SUBSCRIBE \"\n {99999999999+}\r\n", "a BAD NUL, or a CR or LF alone; lines end with CR LF\r\n* BYE",
          true },
        { true, "a APPEND x {1001}\r\n", "a NO [TOOBIG]", false },
        { true, "a APPEND x {18446744073709551616}\r\n", "a NO [TOOBIG]", false },
        { true, "a APPEND x {1001+}\r\n", "a NO [TOOBIG] Message is larger than 1000 octets\r\n* BYE", true },
        { true, "a APPEND x {18446744073709551616+}\r\n", "a NO [TOOBIG] Message is larger than 1000 octets\r\n* BYE",
          true },
        { true, "a APPEND x {-1}\r\n", "a BAD", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fake f;

        fake_init(&f);
        fake_start(&f);
        if (rows[i].logged_in)
            SAY(&f, LOGIN, "l OK");
        SAY(&f, rows[i].text, rows[i].want);
        assert_int_equal(f.closed, rows[i].closed);
        assert_int_equal(f.appends, 0);
        if (!f.closed)
            SAY(&f, "b NOOP\r\n", "b OK");
        fake_clear(&f);
    }
}

static void swallowed_literals_do_not_run(void **state)
{
    struct fake f;
    char noops[1001];

    (void)state;
    for (size_t i = 0; i < 1000; i++)
        noops[i] = "x NOOP\r\n"[i % 8];
    noops[1000] = '\0';
    fake_init(&f);
    f.append = imap_no("OVERQUOTA", "Full");
    log_in(&f);
    SAY(&f, "a APPEND x {1000+}\r\n", "* append to x: 1000 flags=0 keywords=0 date=-1\r\na NO [OVERQUOTA] Full\r\n");
    SAY(&f, noops, "");
    SAY(&f, " {1000+}\r\n", "");
    SAY(&f, noops, "");
    SAY(&f, " {1000}\r\nb NOOP\r\n", "b OK"); /* it is waited for, but nobody calls it */
    assert_int_equal(f.aborts, 0);
    /* No more than a bound of it. */
    SAY(&f, "c APPEND x {1000+}\r\n", "* append");
    for (int i = 0; i < 2000 && !f.closed; i++) {
        (void)fake_say(&f, noops);
        (void)fake_say(&f, " {1000+}\r\n");
    }
    assert_true(f.closed);
    fake_clear(&f);
}

static void message_that_fails(void **state)
{
    struct imap_result full = imap_no("OVERQUOTA", "Full now");
    struct fake f;

    (void)state;
    fake_init(&f);
    log_in(&f);
    /* The sink says no in the middle: all is taken, then the answer. */
    f.sink_code = -ENOSPC;
    SAY(&f, "a APPEND x {5+}\r\nhello", "* append");
    SAY(&f, "\r\nb NOOP\r\n", "a NO [UNAVAILABLE] No room at the moment; try again later\r\nb OK");
    assert_int_equal(f.aborts, 1);
    f.sink_code = 0;
    /* The store says so later, and a second message does not help. */
    SAY(&f, "c APPEND x {5}\r\nhe", "* append");
    imap_server_append_failed(f.s, &full);
    SAY(&f, "llo {3}\r\n", "c NO [OVERQUOTA] Full now\r\n");
    SAY(&f, "d APPEND x {5}\r\nhello", "* append");
    imap_server_append_failed(f.s, &full);
    SAY(&f, " {3+}\r\nabc\r\ne NOOP\r\n", "d NO [OVERQUOTA] Full now\r\ne OK");
    assert_int_equal(f.aborts, 3);
    imap_server_append_failed(f.s, &full); /* it is over: nothing happens */
    /* NUL in what is no literal8. */
    assert_true(starts(fake_say_octets(&f, SLICE_LIT("f APPEND x {3+}\r\na\0b\r\n")), "* append"));
    assert_string_equal(f.log, "NO [CANNOT] A message with NUL needs a literal8 | f APPEND x {3+}");
    (void)fake_say_octets(&f, SLICE_LIT("g APPEND x ~{3+}\r\na\0b\r\n"));
    assert_int_equal(f.aborts, 4);
    assert_memory_equal(f.body.p, "a\0b|", 4);
    /* The connection ends in the middle of the second message. */
    SAY(&f, "h APPEND x {3+}\r\nabc {3+}\r\nd", "* append");
    imap_server_free(&f.s);
    assert_int_equal(f.aborts, 5);
    fake_clear(&f);
}

static void hold_stops_the_message(void **state)
{
    struct fake f;

    (void)state;
    fake_init(&f);
    log_in(&f);
    SAY(&f, "a APPEND x {10}\r\n", "* append");
    assert_int_equal(f.phase, IMAP_PHASE_LITERAL);
    imap_server_hold(f.s, true);
    assert_true(imap_server_is_waiting(f.s));
    SAY(&f, "0123456789\r\nb NOOP\r\n", "");
    assert_int_equal(f.body.n, 0);
    buf_reset(&f.out);
    imap_server_hold(f.s, false);
    fake_answer(&f);
    assert_string_equal(buf_cstr(&f.out),
                        "* ran APPEND x\r\n* body <0123456789|>\r\na OK APPEND completed\r\nb OK NOOP "
                        "completed\r\n");
    assert_false(imap_server_is_waiting(f.s));
    fake_clear(&f);
}

static void phases(void **state)
{
    struct fake f;
    unsigned before;

    (void)state;
    fake_init(&f);
    f.later = true;
    fake_start(&f);
    assert_int_equal(f.phase, IMAP_PHASE_LOGIN);
    before = f.phases;
    SAY(&f, "a NOOP\r\n", "a OK");
    assert_int_equal(f.phases, before); /* one deadline for all that comes before login */
    fake_feed(&f, SLICE_LIT(LOGIN));
    assert_int_equal(f.phase, IMAP_PHASE_OURS);
    fake_answer(&f);
    assert_int_equal(f.phase, IMAP_PHASE_COMMAND);
    before = f.phases;
    SAY(&f, "a NOOP\r\n", "a OK");
    assert_int_equal(f.phases, before + 1); /* it starts anew */
    SAY(&f, "b NO", "");
    assert_int_equal(f.phase, IMAP_PHASE_LITERAL);
    SAY(&f, "OP\r\n", "b OK");
    assert_int_equal(f.phase, IMAP_PHASE_COMMAND);
    SAY(&f, "c SUBSCRIBE {1}\r\n", "+");
    assert_int_equal(f.phase, IMAP_PHASE_LITERAL);
    SAY(&f, "x\r\nd IDLE\r\n", "* ran SUBSCRIBE x\r\nc OK SUBSCRIBE completed\r\n+ idling\r\n");
    assert_int_equal(f.phase, IMAP_PHASE_IDLE);
    assert_true(imap_server_is_idle(f.s));
    fake_clear(&f);
}

/* A thousand phones: IDLE costs the session itself and its tag. */
static void idle_holds_no_buffer(void **state)
{
    struct fake f;

    (void)state;
    fake_init(&f);
    log_in(&f);
    SAY(&f, SELECT, SELECTED);
    assert_null(f.s->work);
    assert_null(f.s->input.kept.p);
    SAY(&f, "a IDLE\r\nDO", "+ idling\r\n");
    assert_non_null(f.s->input.kept.p);
    SAY(&f, "NE\r\nb IDLE\r\n", "* news, expunge\r\na OK IDLE completed\r\n+ idling\r\n");
    assert_null(f.s->work);
    assert_null(f.s->input.kept.p);
    assert_null(f.s->sasl);
    assert_true(sizeof *f.s < 700);
    fake_clear(&f);
}

/* A50 */
static void idle_junk(void **state)
{
    struct fake f;
    char junk[200];

    (void)state;
    memset(junk, 'x', sizeof junk - 1);
    junk[sizeof junk - 1] = '\0';
    fake_init(&f);
    log_in(&f);
    SAY(&f, "a IDLE\r\n", "+ idling\r\n");
    SAY(&f, junk, "a BAD Expected DONE\r\n");
    assert_false(f.idle);
    SAY(&f, "\r\nb NOOP\r\n", "b OK");
    for (int i = 0; i < 10 && !f.closed; i++) {
        SAY(&f, "c IDLE\r\n", "+ idling\r\n");
        (void)fake_say(&f, "NOOP\r\n");
    }
    assert_true(f.closed && !f.idle);
    fake_clear(&f);
}

static void endings(void **state)
{
    struct verdict busy = verdict_make(421, "4.3.2", "Too many connections");
    struct fake f;

    (void)state;
    fake_init(&f); /* refused from the start */
    f.s = imap_server_new(&f.options, &fake_host, &f);
    imap_server_refuse(f.s, &busy);
    assert_string_equal(buf_cstr(&f.out), "* BYE Too many connections\r\n");
    assert_true(f.closed);
    imap_server_feed(f.s, SLICE_LIT("a NOOP\r\n"));
    imap_server_timeout(f.s);
    imap_server_bye(f.s, "x");
    fake_clear(&f);

    fake_init(&f); /* silence, in IDLE */
    log_in(&f);
    SAY(&f, "a IDLE\r\n", "+");
    buf_reset(&f.out);
    imap_server_timeout(f.s);
    assert_true(f.closed && starts(buf_cstr(&f.out), "* BYE "));
    fake_clear(&f);

    fake_init(&f); /* shutdown while a command is under way: it is answered first */
    log_in(&f);
    f.later = true;
    fake_feed(&f, SLICE_LIT("a LIST \"\" *\r\nb NOOP\r\n"));
    imap_server_timeout(f.s); /* we owe: not the client's fault */
    imap_server_bye(f.s, "Shutting down");
    assert_false(f.closed);
    buf_reset(&f.out);
    fake_answer(&f);
    assert_string_equal(buf_cstr(&f.out), "a OK LIST completed\r\n* BYE Shutting down\r\n");
    assert_true(f.closed);
    fake_clear(&f);

    fake_init(&f); /* … while a login is judged, and while a message is asked about */
    f.later = true;
    fake_start(&f);
    fake_feed(&f, SLICE_LIT(LOGIN));
    imap_server_bye(f.s, "Shutting down");
    fake_answer(&f);
    assert_true(f.closed);
    fake_clear(&f);
    fake_init(&f);
    log_in(&f);
    f.later = true;
    fake_feed(&f, SLICE_LIT("a APPEND x {3+}\r\nabc\r\n"));
    imap_server_bye(f.s, "Shutting down");
    fake_answer(&f);
    assert_true(f.closed && f.aborts == 1);
    fake_clear(&f);

    fake_init(&f); /* … in the middle of a message */
    log_in(&f);
    SAY(&f, "a APPEND x {30+}\r\nabc", "* append");
    imap_server_bye(f.s, "Shutting down");
    assert_true(f.closed && f.aborts == 1);
    fake_clear(&f);

    fake_init(&f); /* freed while all kinds of answers are owed */
    f.later = true;
    fake_start(&f);
    fake_feed(&f, SLICE_LIT(LOGIN));
    fake_clear(&f);
    fake_init(&f);
    log_in(&f);
    f.later = true;
    fake_feed(&f, SLICE_LIT("a LIST \"\" *\r\nb NOOP\r\n"));
    fake_clear(&f);
}

static void errors_end_it(void **state)
{
    struct fake f;

    (void)state;
    fake_init(&f);
    log_in(&f);
    for (int i = 0; i < 9; i++)
        SAY(&f, "a X\r\n", "a BAD");
    SAY(&f, "b NOOP\r\n", "b OK"); /* in a row is what counts */
    for (int i = 0; i < 9; i++)
        SAY(&f, "a X\r\n", "a BAD");
    SAY(&f, "c X\r\n", "c BAD There is no such command\r\n* BYE Too many errors\r\n");
    assert_true(f.closed);
    fake_clear(&f);
}

static void replies_are_clean(void **state)
{
    struct imap_result r = imap_no("X] OK\r\n", "a\r\nb\x1b[2J\xc3\xbc");
    struct buf code;
    struct fake f;

    (void)state;
    fake_init(&f);
    log_in(&f);
    f.later = true;
    fake_feed(&f, SLICE_LIT("a LIST \"\" *\r\n"));
    buf_reset(&f.out);
    f.owed = FAKE_NOTHING;
    imap_server_done(f.s, &r);
    assert_string_equal(buf_cstr(&f.out), "a NO [X? OK??] a??b?[2J??\r\n");
    imap_server_done(f.s, &r); /* nothing is owed any more */
    /* A long code comes from a buffer. */
    buf_init(&code, 20000);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(buf_adds(&code, i == 0 ? "COPYUID 1 " : "1,"), 0);
    r = imap_ok("Done");
    r.code_text = &code;
    fake_feed(&f, SLICE_LIT("b LIST \"\" *\r\n"));
    buf_reset(&f.out);
    f.owed = FAKE_NOTHING;
    imap_server_done(f.s, &r);
    assert_true(starts(buf_cstr(&f.out), "b OK [COPYUID 1 1,1,"));
    assert_int_equal(f.out.n, strlen("b OK [] Done\r\n") + code.n);
    buf_clear(&code);
    fake_clear(&f);
}

static void errors_of_ours(void **state)
{
    static const struct {
        int code;
        const char *want;
    } rows[] = {
        { -ENOENT, "NONEXISTENT" }, { -EDQUOT, "OVERQUOTA" }, { -ENOSPC, "UNAVAILABLE" }, { -EEXIST, "ALREADYEXISTS" },
        { -EPERM, "CANNOT" },       { -EIO, "UNAVAILABLE" },  { -EPROTO, "SERVERBUG" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(imap_result_of_error(rows[i].code).code, rows[i].want);
}

static void what_the_host_may_ask(void **state)
{
    struct fake f;

    (void)state;
    fake_init(&f);
    fake_start(&f);
    assert_string_equal(imap_server_state(f.s), "NOT_AUTHENTICATED");
    assert_string_equal(imap_server_login(f.s), "");
    SAY(&f, "a ID (\"name\" \"Mutt\" \"version\" \"2.2\")\r\n", "* ID");
    assert_string_equal(f.id, "name=Mutt version=2.2");
    SAY(&f, LOGIN, "l OK");
    assert_string_equal(imap_server_login(f.s), "alice");
    assert_string_equal(imap_server_state(f.s), "AUTHENTICATED");
    SAY(&f, "b EXAMINE x\r\n", "* ran EXAMINE x\r\n* news, expunge\r\nb OK");
    assert_string_equal(imap_server_state(f.s), "SELECTED READ-ONLY");
    SAY(&f, "c SELECT x\r\n", "* ran SELECT x\r\n");
    assert_string_equal(imap_server_state(f.s), "SELECTED");
    SAY(&f, "d UNSELECT\r\n", "* ran UNSELECT \r\nd OK");
    assert_false(imap_server_names_utf8(f.s));
    imap_server_enable(f.s, ENABLE_QRESYNC);
    assert_int_equal(imap_server_enabled(f.s), ENABLE_QRESYNC | ENABLE_CONDSTORE);
    SAY(&f, "e ENABLE IMAP4rev2 CONDSTORE\r\n", "* ENABLED IMAP4rev2\r\ne OK");
    assert_true(imap_server_names_utf8(f.s));
    fake_clear(&f);
}

/* While an answer is owed input waits, but not without bound. */
static void input_that_cannot_wait(void **state)
{
    char junk[4096];
    struct fake f;

    (void)state;
    memset(junk, 'x', sizeof junk);
    fake_init(&f);
    log_in(&f);
    f.later = true;
    fake_feed(&f, SLICE_LIT("a LIST \"\" *\r\n"));
    for (int i = 0; i < 100 && !f.closed; i++)
        fake_feed(&f, slice_make(junk, sizeof junk));
    assert_true(f.closed);
    fake_clear(&f);
}

/* Of this process alone: what others do at the time does not count. */
static int64_t cpu_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* A line that comes octet by octet, a flood of tiny commands, a flood of literals. */
static void time_is_linear(void **state)
{
    int64_t took[2];

    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        for (int big = 0; big <= 1; big++) {
            size_t n = big ? 60000 : 15000;
            struct fake f;
            int64_t start;

            fake_init(&f);
            log_in(&f);
            buf_reset(&f.out);
            start = cpu_us();
            if (kind == 1)
                fake_feed(&f, SLICE_LIT("a SUBSCRIBE {1+}\r\n"));
            for (size_t i = 0; i < n && !f.closed; i += kind == 0 ? 1 : 8) {
                static const char *const pieces[] = { "x", "x {1+}\r\n", "a NOOP\r\n" };

                fake_feed(&f, slice_str(pieces[kind]));
            }
            took[big] = cpu_us() - start;
            fake_clear(&f);
        }
        if (took[1] > 10 * took[0] && took[1] > 100000)
            fail_msg("kind %d: %lld µs, then %lld", kind, (long long)took[0], (long long)took[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transcripts_in_every_chunking),
        cmocka_unit_test(login_needs_tls),
        cmocka_unit_test(starttls_injection_ends_the_session),
        cmocka_unit_test(other_protocols_hear_nothing),
        cmocka_unit_test(scram),
        cmocka_unit_test(ways_to_log_in),
        cmocka_unit_test(sasl_lines),
        cmocka_unit_test(passwords_are_not_logged),
        cmocka_unit_test(lines_have_a_limit),
        cmocka_unit_test(endless_lines_end),
        cmocka_unit_test(literals_have_a_limit),
        cmocka_unit_test(swallowed_literals_do_not_run),
        cmocka_unit_test(message_that_fails),
        cmocka_unit_test(hold_stops_the_message),
        cmocka_unit_test(phases),
        cmocka_unit_test(idle_holds_no_buffer),
        cmocka_unit_test(idle_junk),
        cmocka_unit_test(endings),
        cmocka_unit_test(errors_end_it),
        cmocka_unit_test(replies_are_clean),
        cmocka_unit_test(errors_of_ours),
        cmocka_unit_test(what_the_host_may_ask),
        cmocka_unit_test(input_that_cannot_wait),
        cmocka_unit_test(time_is_linear),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
