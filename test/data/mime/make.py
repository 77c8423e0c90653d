"""Writes the messages of this folder: python3 test/data/mime/make.py. All of them are our own text.

Each is a case that MIME readers disagree about. trees.txt has what test_mime made of them when its ENVELOPE and
BODYSTRUCTURE were Dovecot 2.3's, but for: an invalid Content-Type is text/plain (RFC 2045 section 5.2); message/global
is a message (RFC 9051); the line end before a delimiter belongs to it also when it ends an embedded message's header
(RFC 2046 section 5.1.1). Line ends are LF; in files whose names end in -crlf they are CRLF."""
import pathlib

HERE = pathlib.Path(__file__).parent
HEAD = "From: Ann Example <ann@example.org>\nTo: bob@example.net\nSubject: test\nDate: Mon, 1 Jan 2024 10:00:00 +0000\nMessage-ID: <1@example.org>\n"
MIME = HEAD + "MIME-Version: 1.0\n"
MIXED = MIME + "Content-Type: multipart/mixed; boundary=b\n\n"

CASES = {}


def case(name, text):
    CASES[name] = text.encode() if isinstance(text, str) else text


def part(kind, body, extra=""):
    return f"Content-Type: {kind}\n{extra}\n{body}"


# What there is of a message
case("empty", "")
case("only-empty-line", "\n")
case("no-end-of-header", HEAD)
case("no-last-line-end", HEAD + "\nbody")
case("header-cut", HEAD + "X-Last: cut he")
case("header-cut-after-cr", HEAD + "Content-Type: text/html\r")
case("no-header", "\nall of this is body\n")
case("body-of-empty-lines", HEAD + "\n\n\n\n")
case("no-field-lines", HEAD + "this line is no field\nCc: carl@example.com\n\nbody\n")
case("starts-with-mbox-line", "From ann@example.org Mon Jan  1 10:00:00 2024\n" + HEAD + "\nbody\n")
case("starts-with-fold", " folded first\n" + HEAD + "\nbody\n")
case("space-before-colon", "From : Ann <ann@example.org>\nSubject\t: tabbed\nTo:bob@example.net\n\nbody\n")
case("blank-fold-ends-nothing", HEAD + "X-A: b\n  \nCc: c@example.org\n\nbody\n")
case("mixed-line-ends", "From: a@example.org\r\nTo: b@example.org\nSubject: one\r\n two\n three\r\n\nbody\r\nbody\nbody\r\n")
case("bare-cr", "From: a@example.org\nSubject: a\rb\nDate: x\ry\n\nbody\rbody\r\n\rbody\n")
case("nul", b"From: \"a\0b\" <a@example.org>\nSubject: nul \0 here\nMessage-ID: <\0@x>\n\nbody \0 body\n")
case("eight-bit", "From: Jürgen <j@example.org>\nTo: \"Grüße\" <g@exämple.org>\nSubject: schöne Grüße\n\nTschüß\n")
case("latin1", "From: Jürgen <j@example.org>\nSubject: schöne Grüße\n\nTschüß\n".encode("latin-1"))
case("simple-crlf", HEAD + "\nbody\nof two lines\n")

# Fields of the envelope
case("folded", "From: Ann\n Example\n\t<ann@example.org>\nSubject: a very\n  long\n\tsubject  \nMessage-ID: \n <folded@example.org>\n"
     "In-Reply-To:\n\t<1@x>\n <2@x>\nDate:\n Mon, 1 Jan 2024\n 10:00:00 +0000\nTo:\n bob@example.net\n\nbody\n")
case("blank-values", "From: \nTo:\nSubject:    \nDate:   \nMessage-ID: \nIn-Reply-To:\t\t\n\nbody\n")
case("no-fields", "X-Other: x\n\nbody\n")
case("twice", "From: a@example.org\nFrom: b@example.org\nSubject: first\nSubject: second\nTo: c@example.org\nTo: d@example.org\n"
     "Date: Mon, 1 Jan 2024 10:00:00 +0000\nDate: Tue, 2 Jan 2024 10:00:00 +0000\nMessage-ID: <1@x>\nMessage-ID: <2@x>\n\nbody\n")
case("names-in-any-case", "FROM: a@example.org\nsUBJECT: x\nreply-TO: r@example.org\nmessage-id: <x@y>\n\nbody\n")
case("all-fields", HEAD + "Sender: s@example.org\nReply-To: r@example.org\nCc: c@example.org\nBcc: d@example.org\n"
     "In-Reply-To: <0@example.org>\nReferences: <a@x> <b@x>\n\nbody\n")
case("trailing-space", "From: a@example.org  \nSubject:  two  spaces  \t here  \nMessage-ID: <x@y>  \nDate: today  \n\nbody\n")
case("encoded-words", "From: =?utf-8?q?J=C3=BCrgen?= =?utf-8?q?_M?= <j@example.org>\nSubject: =?utf-8?b?R3LDvMOfZQ==?=\n =?utf-8?q?!?=\n\nbody\n")
case("quotes-in-subject", "Subject: a \"quoted\" back\\slash \"\"\"\"\"\"\nFrom: x@example.org\nMessage-ID: <\"a\\\"b\"@x>\n\nbody\n")

for name, value in {
        "comment-name": "a@b.example (Name)",
        "comment-names": "a@b.example (one) (two), c@d.example (three (nested) \\) four)",
        "comment-everywhere": "(c1) a (c2) . (c3) b (c4) @ (c5) d (c6) . (c7) example (c8)",
        "comment-unclosed": "a@b.example (Name, c@d.example",
        "comment-only": "(nobody)",
        "group": "Friends: a@x.example, Bob <b@y.example>; , c@z.example",
        "group-empty": "undisclosed-recipients:;",
        "group-unclosed": "Friends: a@x.example, b@y.example",
        "group-nested": "A: B: a@x.example;;",
        "group-quoted-name": "\"My: friends\": a@x.example;",
        "group-no-name": ": a@x.example;",
        "group-blank": "Friends:   ;",
        "group-trailing-comma": "Friends: a@x.example,;",
        "route": "<@one.example,@two.example:a@x.example>",
        "route-name": "Ann <@one.example:a@x.example>",
        "route-broken": "<@one.example a@x.example>",
        "quoted-local": "\"john doe\"@x.example",
        "quoted-local-angle": "J <\"a\\\"b\"@x.example>",
        "quoted-local-pieces": "\"a\".\"b\"@x.example, c@x.example",
        "quoted-name": "\"Doe, John \\\"JD\\\"\" <j@x.example>",
        "quoted-fold": "\"folded\n  name\" <j@x.example>",
        "quoted-unclosed": "\"Doe <j@x.example>, b@y.example",
        "quoted-alone": "\"just a name\"",
        "name-unquoted": "J. R. Doe <j@x.example>",
        "name-dots": "..a.. <j@x.example>",
        "name-with-at": "ann@x.example <ann@x.example>",
        "name-two-at": "a@b@c.example",
        "no-host": "root",
        "no-host-two": "root, postmaster",
        "no-host-words": "only a name",
        "no-host-words-list": "only a name, a@x.example",
        "no-host-angle": "<root>",
        "no-host-comment": "root (The Owner)",
        "no-local": "@x.example",
        "no-local-angle": "Ann <@x.example>",
        "empty-angle": "<>",
        "empty-angle-name": "Mailer <>",
        "empty-host": "a@",
        "empty-items": ", , a@x.example,, b@x.example,",
        "angle-unclosed": "Ann <a@x.example",
        "angle-unclosed-list": "Ann <a@x.example, b@y.example",
        "angle-double": "<<a@x.example>>",
        "angle-space": "Ann < a @ x.example >",
        "angle-tail": "Ann <a@x.example> tail, b@y.example",
        "angle-comment": "Ann <a@x.example> (comment)",
        "missing-comma": "a@x.example b@y.example",
        "semicolon": "a@x.example; b@y.example",
        "literal": "a@[192.0.2.1], b@[IPv6:2001:db8::1]",
        "literal-folds": "a@[192.\n 0.2.1]",
        "literal-escaped": "a@[a\\]b], c@x.example",
        "literal-broken": "a@[192.0.2.1, b@y.example",
        "local-dots": ".a.@x.example, a..b@x.example",
        "local-dot-end": "a.",
        "domain-dots": "a@x..example, b@x.example., c@y.example",
        "specials": "a:b@x.example, <c@x.example>;, [d]@x.example",
        "control": "a\x01b@x.example, c@x.example",
        "utf8": "用户@例え.example, Ä <ä@x.example>",
        "backslash": "back\\slash@x.example",
        "encoded-quoted": "\"=?utf-8?q?a?=\" <a@x.example>",
        "encoded-special": "=?utf-8?q?a,b?= <a@x.example>",
        "spaces-in-name": "  Ann    B.\t Example   <a@x.example>",
        "equals-question": "=?bad <a@x.example>",
        "colon-in-name": "Re: Ann <a@x.example>",
        "outlook": "'Ann Example' <ann@x.example>; 'Bob' <bob@x.example>",
        "tabs": "\ta@x.example\t,\tb@x.example\t"}.items():
    case("addr-" + name, f"From: {value}\nTo: {value}\nSubject: x\n\nbody\n")
case("addr-sender-empty", "From: a@x.example\nSender: \nReply-To:\nTo: b@x.example\n\nbody\n")

# Content-Type and its friends, of a message alone
for name, value in {
        "text": "text", "text-slash": "text/", "slash-plain": "/plain", "broken-word": "foo", "blank": "", "blanks": "   ",
        "html": "text/html; charset=utf-8", "no-semicolon": "text/html charset=utf-8",
        "param-no-value": "text/plain; charset", "param-equals": "text/plain; charset=", "param-empty": "text/plain; charset=\"\"",
        "param-unclosed": "text/plain; charset=\"utf-8", "param-spaces": "text / plain ; charset = \"utf-8\" ; format = flowed",
        "param-comment": "text/plain (a comment); charset=utf-8 (another); (third) x=y",
        "param-comment-unclosed": "text/plain; charset=utf-8 (never closed",
        "param-twice": "text/plain; charset=utf-8; charset=latin1", "param-garbage": "text/plain; %%; charset=utf-8; ;; x=y;",
        "param-tail": "text/plain; charset=utf-8 tail; x=y", "param-tspecial": "text/plain; name=a/b?c=d; x=y",
        "param-colon": "text/plain; name=a:b; x=y", "param-8bit": "text/plain; name=Grüße.txt",
        "param-escape": "text/plain; name=\"a\\\"b\\\\c\"", "param-fold": "text/plain;\n name=\"a\n b\";\n\tcharset=utf-8",
        "param-fold-name": "text/plain;\n charset\n =\n utf-8", "param-encoded-word": "text/plain; name==?utf-8?q?a.txt?=; x=y",
        "param-encoded-quoted": "text/plain; name=\"=?utf-8?q?a.txt?=\"", "param-no-name": "text/plain; =x; charset=utf-8",
        "param-leading": "; charset=utf-8", "param-comma": "text/plain, charset=utf-8", "case": "TEXT/Plain; CHARSET=UTF-8",
        "application": "application/octet-stream; name=\"x.bin\"", "unknown": "x-unknown/x-thing",
        "image": "image/png", "text-x": "text/x-vcard; x=1", "textual": "textual/plain",
        "multipart-no-boundary": "multipart/mixed", "multipart-empty-boundary": "multipart/mixed; boundary=",
        "multipart-quoted-empty": "multipart/mixed; boundary=\"\"", "multipart-alone": "multipart",
        "multipart-no-semicolon": "multipart/mixed boundary=b", "multipart-never": "multipart/mixed; boundary=other",
        "multipart-case": "MULTIPART/Mixed; BOUNDARY=b", "multipart-comment": "multipart/mixed (x); boundary=(y)b(z)",
        "multipart-2231": "multipart/mixed; boundary*0=\"\"; boundary*1=b",
        "multipart-two": "multipart/mixed; boundary=b; boundary=c",
        "message-global": "message/global", "message-delivery": "message/delivery-status", "message-partial": "message/partial; id=x",
}.items():
    case("type-" + name, MIME + f"Content-Type: {value}\n\nbefore\n--b\n\nsome text\n--b--\nafter\n")
case("type-without-version", HEAD + "Content-Type: text/html\nContent-Transfer-Encoding: 8bit\n\n<p>\n")
case("content-without-type-or-version", HEAD + "Content-Transfer-Encoding: base64\nContent-ID: <x>\nContent-Disposition: attachment\n\nQQ==\n")
case("content-with-version-only", MIME + "Content-Transfer-Encoding: base64\nContent-ID: <x>\nContent-Disposition: attachment\n\nQQ==\n")
case("type-twice", MIME + "Content-Type: text/html; charset=utf-8\nContent-Type: text/plain\n\nbody\n")
case("type-twice-first-broken", MIME + "Content-Type: foo\nContent-Type: text/html\n\nbody\n")
case("type-twice-multipart", MIME + "Content-Type: text/plain\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b--\n")
for name, value in {"8bit": "8bit", "upper": "BASE64", "comment": "7bit (really)", "tail": "base64; x=y", "two": "base64 8bit", "blank": "",
                    "unknown": "x-uuencode", "quoted": "\"base64\"", "dot": "8.bit", "fold": "\n base64"}.items():
    case("encoding-" + name, MIME + f"Content-Type: text/plain\nContent-Transfer-Encoding: {value}\n\nQQ==\n")
case("encoding-twice", MIME + "Content-Type: text/plain\nContent-Transfer-Encoding: bad one\nContent-Transfer-Encoding: base64\n"
     "Content-Transfer-Encoding: 8bit\n\nQQ==\n")
for name, value in {
        "attachment": "attachment; filename=\"report.pdf\"", "inline": "inline", "blank": "", "no-token": "; filename=x",
        "size": "attachment; filename=x; size=10; creation-date=\"Mon, 1 Jan 2024 10:00:00 +0000\"",
        "2231": "attachment; filename*=utf-8'de'Gr%C3%BC%C3%9Fe.txt",
        "2231-pieces": "attachment; filename*0*=utf-8''Gr%C3%BC; filename*1*=%C3%9Fe; filename*2=\".txt\"",
        "2231-order": "attachment; filename*1=\"b.txt\"; filename*0=\"a\"; size=1",
        "2231-plain-first": "attachment; filename*0=\"50% \"; filename*1*=%C3%BC",
        "2231-gap": "attachment; filename*0=\"a\"; filename*2=\"c\"", "2231-from-one": "attachment; filename*1=\"a\"; filename*2=\"b\"",
        "2231-both": "attachment; filename=plain.txt; filename*=utf-8''better.txt",
        "2231-no-charset": "attachment; filename*=x%20y", "2231-bad-percent": "attachment; filename*=utf-8''%zz%4",
        "2231-unknown-charset": "attachment; filename*=x-nothing''a%FC", "2231-latin1": "attachment; filename*=iso-8859-1''a%FC",
        "2231-long-pieces": "attachment; " + "; ".join(f"filename*{i}=\"{i:02}\"" for i in range(12)),
        "2231-case": "attachment; FileName*0=a; filename*1=b", "2231-number": "attachment; filename*00=a; filename*01=b; x*a=1; y**=2",
        "2231-two-names": "attachment; b*0=x; a*0=y; b*1=z; c=w"}.items():
    case("disposition-" + name, MIME + f"Content-Type: application/pdf\nContent-Disposition: {value}\n\nx\n")
case("disposition-twice", MIME + "Content-Disposition: inline\nContent-Disposition: attachment; filename=a\nContent-Disposition: inline; filename=b\n\nx\n")
for name, value in {"one": "en", "list": "en, de (German) , fr-CA", "broken": "en de", "blank": "", "comma": ", en", "comma-end": "en,",
                    "unclosed": "en (x"}.items():
    case("language-" + name, MIME + f"Content-Type: text/plain\nContent-Language: {value}\n\nx\n")
case("other-content", MIME + "Content-Type: text/plain\nContent-ID: <1@x>\nContent-ID: <2@x>\nContent-Description: a  description\n of two lines \n"
     "Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\nContent-Location: http://www.example.org/\n a\nContent-Base: x\nContent-Disposition: inline\n\nbody\n")
case("other-content-blank", MIME + "Content-Type: text/plain\nContent-ID:\nContent-Description:  \nContent-MD5: \nContent-Location:\n\nbody\n")

# Multiparts
case("multipart", MIXED + "preamble\nof two lines\n--b\n" + part("text/plain", "one\n") + "\n--b\n" + part("text/html; charset=utf-8", "<p>two\n") +
     "\n--b--\nepilogue\n")
case("multipart-crlf", CASES["multipart"])
case("multipart-no-blank-before", MIXED + "--b\n" + part("text/plain", "one") + "\n--b\n" + part("text/plain", "two\n") + "--b--\n")
case("multipart-no-end", MIXED + "--b\n" + part("text/plain", "one\n") + "--b\n" + part("text/plain", "two\n"))
case("multipart-no-end-no-line-end", MIXED + "--b\n" + part("text/plain", "one\n") + "--b\n" + part("text/plain", "two"))
case("multipart-end-no-line-end", MIXED + "--b\n" + part("text/plain", "one\n") + "--b--")
case("multipart-delimiter-no-line-end", MIXED + "--b\n" + part("text/plain", "one\n") + "--b")
case("multipart-delimiter-is-all", MIXED + "--b\n")
case("multipart-end-is-all", MIXED + "--b--\n")
case("multipart-body-missing", MIXED[:-1])
case("multipart-body-empty", MIXED)
case("multipart-never", MIXED + "--other\n\ntext\n--other--\n")
case("multipart-preamble-only", MIXED + "nothing but a preamble\n")
case("multipart-empty-parts", MIXED + "--b\n--b\n\n--b\n\n\n--b\n--b--\n")
case("multipart-part-without-header", MIXED + "--b\n\none\n--b\n\n\ntwo\n--b--\n")
case("multipart-part-without-body", MIXED + "--b\nContent-Type: text/html\n--b\nContent-Type: text/plain\n\n--b\nContent-ID: <x>\n\n\n--b--\n")
case("multipart-part-header-cut", MIXED + "--b\nContent-Type: text/html\nX-Y: z")
case("multipart-part-no-fields", MIXED + "--b\nthis is text without an empty line before it\nmore of it\n--b--\n")
case("multipart-transport-padding", MIXED + "--b  \t\n" + part("text/plain", "one\n") + "--b--  \nafter\n")
case("multipart-delimiter-tail", MIXED + "--bcd\n" + part("text/plain", "one\n") + "--b-\n" + part("text/plain", "two\n") + "--b--tail\nafter\n")
case("multipart-after-end", MIXED + "--b\n\none\n--b--\n--b\n\ntwo\n--b--\n")
case("multipart-indented", MIXED + " --b\n\n--b\n\none\n --b\n\n- -b\n--b--\n")
case("multipart-mixed-line-ends", MIXED.replace("\n", "\r\n") + "--b\r\n\r\none\n--b\n\ntwo\r\n--b\r\n\nthree\n\r\n--b--\n")
case("multipart-cr", MIXED + "--b\r\r\n\nx\r\n--b\r\n\r\ny\r\r\n--b--\r")
case("multipart-spaces-in-boundary", MIME + "Content-Type: multipart/mixed; boundary=\"a b  c\"\n\n--a b  c\n\none\n--a b\n\n--a b  c--\n")
case("multipart-long-boundary", MIME + "Content-Type: multipart/mixed; boundary=\"" + "x" * 70 + "\"\n\n--" + "x" * 70 + "\n\none\n--" + "x" * 69 +
     "\n--" + "x" * 70 + "--\n")
case("multipart-folded-boundary", MIME + "Content-Type: multipart/mixed;\n\tboundary=\n \"b\"\n\n--b\n\none\n--b--\n")
case("multipart-alternative", MIME + "Content-Type: multipart/alternative; boundary=b; type=\"text/html\"\nContent-Language: en\n"
     "Content-Disposition: inline; x=y\nContent-Location: here\nContent-ID: <m@x>\n\n--b\n\none\n--b--\n")
case("multipart-digest", MIME + "Content-Type: multipart/digest; boundary=b\n\n--b\n\nFrom: a@x.example\nSubject: one\n\nfirst\n--b\nContent-Type: text/plain\n\n"
     "plain\n--b\nContent-ID: <x>\n\nSubject: two\n\nsecond\n--b\nContent-Type: foo\n\nthird\n--b--\n")

INNER = "Content-Type: multipart/alternative; boundary={}\n\n"
case("nested", MIXED + "--b\n" + INNER.format("i") + "--i\n\none\n--i\n\ntwo\n--i--\n\n--b\n\nthree\n--b--\n")
case("nested-inner-no-end", MIXED + "--b\n" + INNER.format("i") + "--i\n\none\n--i\n\ntwo\n--b\n\nthree\n--b--\n")
case("nested-no-ends", MIXED + "--b\n" + INNER.format("i") + "--i\n\none\n--i\n\ntwo\n")
case("nested-inner-prefix", MIXED + "--b\n" + INNER.format("bb") + "--bb\n\none\n--bb\n\ntwo\n--bb--\n--b\n\nthree\n--b--\n")
case("nested-outer-prefix", MIME + "Content-Type: multipart/mixed; boundary=bb\n\n--bb\n" + INNER.format("b") + "--b\n\none\n--b\n\ntwo\n--b--\n--bb\n\nthree\n--bb--\n")
case("nested-same", MIXED + "--b\n" + INNER.format("b") + "--b\n\none\n--b--\n--b\n\ntwo\n--b--\n")
case("nested-dashes", MIXED + "--b\n" + INNER.format("b--") + "--b--\n\none\n--b----\n--b\n\ntwo\n--b--\n")
case("nested-inner-never", MIXED + "--b\n" + INNER.format("never") + "text\n--b\n\ntwo\n--b--\n")
case("nested-inner-empty", MIXED + "--b\n" + INNER.format("i") + "--b\n\ntwo\n--b--\n")
case("nested-inner-header-only", MIXED + "--b\nContent-Type: multipart/alternative; boundary=i\n--b\n\ntwo\n--b--\n")
case("nested-outer-end-only", MIXED + "--b\n" + INNER.format("i") + "--i\n\none\n--b--\n--i\n\ntwo\n--i--\n")
case("nested-after-inner-end", MIXED + "--b\n" + INNER.format("i") + "--i\n\none\n--i--\ninner epilogue\n--i\nmore\n--b--\n")
case("nested-ends-in-a-row", MIXED + "--b\nContent-Type: message/rfc822\n\nSubject: m\n" + INNER.format("i") + "--i\n\none\n--i--\n--b--\n")
case("nested-deep", MIME + "".join(f"Content-Type: multipart/mixed; boundary=\"d{i:02}.\"\n\n--d{i:02}.\n" for i in range(40)) + "\ntext\n" +
     "".join(f"--d{i:02}.--\n" for i in range(39, -1, -1)))
case("nested-too-deep", MIME + "".join(f"Content-Type: multipart/mixed; boundary=\"d{i:03}.\"\n\n--d{i:03}.\n" for i in range(120)) + "\ntext\n" +
     "".join(f"--d{i:03}.--\n" for i in range(119, -1, -1)))

# Messages in messages
MESSAGE = "From: inner@x.example\nTo: b@x.example\nSubject: inner\n"
case("message", MIME + "Content-Type: message/rfc822\n\n" + MESSAGE + "\nbody\n")
case("message-in-multipart", MIXED + "--b\n" + part("text/plain", "one\n") + "--b\n" + part("message/rfc822", MESSAGE + "\nbody\nof it\n\n") + "--b--\n")
case("message-crlf", CASES["message-in-multipart"])
case("message-with-multipart", MIXED + "--b\nContent-Type: message/rfc822\nContent-Description: forwarded\n\n" + MESSAGE +
     "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=i\n\npre\n--i\n\none\n--i\nContent-Type: text/html\n\ntwo\n--i--\npost\n--b--\n")
case("message-with-multipart-no-end", MIXED + "--b\nContent-Type: message/rfc822\n\n" + MESSAGE + "Content-Type: multipart/mixed; boundary=i\n\n--i\n\none\n--b--\n")
case("message-empty", MIXED + "--b\nContent-Type: message/rfc822\n\n--b--\n")
case("message-missing", MIXED + "--b\nContent-Type: message/rfc822\n--b--\n")
case("message-header-only", MIXED + "--b\nContent-Type: message/rfc822\n\n" + MESSAGE + "--b--\n")
case("message-body-only", MIXED + "--b\nContent-Type: message/rfc822\n\n\nno header\n--b--\n")
case("message-at-end", MIME + "Content-Type: message/rfc822\n\n")
case("message-cut", MIME + "Content-Type: message/rfc822\n")
case("message-in-message", MIME + "Content-Type: message/rfc822\n\nSubject: outer\nContent-Type: message/rfc822\n\nSubject: inner\n\nbody\n")
case("message-base64", MIME + "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogeA0KDQp4\n")
case("message-no-version-inside", MIXED + "--b\nContent-Type: message/rfc822\n\nSubject: x\nContent-Transfer-Encoding: base64\n\nQQ==\n--b--\n")
case("message-type-case", MIXED + "--b\nContent-Type: Message/RFC822; x=y\n\nSubject: x\n\nx\n--b--\n")
case("message-deep", MIME + "".join(f"Content-Type: message/rfc822\n\nSubject: {i}\n" for i in range(30)) + "\ntext\n")
case("message-too-deep", MIME + "".join(f"Content-Type: message/rfc822\n\nSubject: {i}\n" for i in range(120)) + "\ntext\n")
case("report", MIME + "Content-Type: multipart/report; report-type=delivery-status; boundary=\"r/1\"\n\n--r/1\nContent-Description: Notification\n\n"
     "It failed.\n\n--r/1\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.org\n\nFinal-Recipient: rfc822; x@y.example\n"
     "Action: failed\nStatus: 5.1.1\n\n--r/1\nContent-Type: text/rfc822-headers\n\n" + MESSAGE + "\n--r/1--\n")
case("real-newsletter", MIME + "Content-Type: multipart/mixed;\n boundary=\"=_mixed_001\"\nX-Mailer: x\nReceived: from a by b;\n Mon, 1 Jan 2024 10:00:00 +0000\n\n"
     "This is a multi-part message in MIME format.\n--=_mixed_001\nContent-Type: multipart/related;\n type=\"multipart/alternative\"; boundary=\"=_rel_002\"\n\n"
     "--=_rel_002\nContent-Type: multipart/alternative; boundary=\"=_alt_003\"\n\n--=_alt_003\nContent-Type: text/plain; charset=\"utf-8\"; format=flowed\n"
     "Content-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe,\nein langer =\nSatz.\n\n--=_alt_003\nContent-Type: text/html; charset=\"utf-8\"\n"
     "Content-Transfer-Encoding: base64\n\nPHA+R3LDvMOfZTwvcD4K\n\n--=_alt_003--\n\n--=_rel_002\nContent-Type: image/png; name=\"logo.png\"\n"
     "Content-Transfer-Encoding: base64\nContent-ID: <logo@x>\nContent-Disposition: inline; filename=\"logo.png\"\n\niVBORw0KGgo=\n\n--=_rel_002--\n\n"
     "--=_mixed_001\nContent-Type: application/pdf\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment;\n"
     " filename*0*=utf-8''%C3%9Cbersicht;\n filename*1*=.pdf\n\nJVBERi0=\n\n--=_mixed_001--\n")

for name, octets in CASES.items():
    if name.endswith("-crlf"):
        octets = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    (HERE / f"{name}.eml").write_bytes(octets)
print(len(CASES), "messages")
