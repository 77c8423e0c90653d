// What an application does by imapflow: lists, appends, fetches, searches, flags, moves, and waits in IDLE for a message.
// It prints "idle" when one may be sent, and "all is well" at the end.
'use strict';
const assert = require('assert');
const fs = require('fs');
const { ImapFlow } = require('imapflow');

const message = (subject) => `From: a@example.net\r\nTo: b@example.org\r\nSubject: ${subject}\r\nMIME-Version: 1.0\r\n` +
    'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nGrüße\r\n--b\r\nContent-Type: application/octet-stream\r\n' +
    'Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=x.bin\r\n\r\nAAECAw==\r\n--b--\r\n';

async function main() {
    const client = new ImapFlow({
        host: '127.0.0.1', port: Number(process.env.PORT), secure: process.env.TLS === 'implicit', doSTARTTLS: process.env.TLS !== 'implicit',
        tls: { ca: fs.readFileSync(process.env.CERTIFICATE), servername: 'localhost' },
        auth: { user: process.env.LOGIN, pass: process.env.PASSWORD }, logger: false, qresync: process.env.TLS === 'implicit',
    });
    await client.connect();
    const folders = await client.list({ statusQuery: { messages: true, uidNext: true } });
    for (const use of ['\\Inbox', '\\Sent', '\\Drafts', '\\Junk', '\\Trash', '\\Archive']) {
        assert(folders.some((f) => f.specialUse === use), use);
    }
    const created = await client.mailboxCreate(['Projekte', 'Grün']);
    assert(created.path === 'Projekte/Grün' && created.created, JSON.stringify(created));
    const path = created.path;
    for (let n = 0; n < 3; n++) {
        const stored = await client.append(path, message(`n${n}`), n ? ['\\Seen'] : [], new Date(1700000000000));
        assert.strictEqual(stored.uid, n + 1);
    }
    assert.strictEqual((await client.status(path, { messages: true, unseen: true })).unseen, 1);
    const lock = await client.getMailboxLock(path);
    try {
        const all = [];
        for await (const m of client.fetch('1:*', { uid: true, flags: true, envelope: true, bodyStructure: true, source: true, internalDate: true, size: true })) {
            all.push(m);
        }
        assert.deepStrictEqual(all.map((m) => m.envelope.subject), ['n0', 'n1', 'n2']);
        assert.strictEqual(all[0].source.toString(), message('n0'));
        assert.strictEqual(all[0].bodyStructure.childNodes.length, 2);
        assert.strictEqual(all[0].internalDate.getTime(), 1700000000000);
        assert.deepStrictEqual(await client.search({ subject: 'n1' }, { uid: true }), [2]);
        assert.deepStrictEqual(await client.search({ body: 'Grüße' }, { uid: true }), [1, 2, 3]);
        assert(await client.messageFlagsAdd({ uid: '2' }, ['\\Flagged', 'Wichtig'], { uid: true }));
        const one = await client.fetchOne('2', { flags: true, emailId: true, threadId: true }, { uid: true });
        assert(one.flags.has('\\Flagged') && one.flags.has('Wichtig') && one.emailId, JSON.stringify([...one.flags]));
        const { content } = await client.download('2', '2', { uid: true });
        const parts = [];
        for await (const part of content) {
            parts.push(part);
        }
        assert.deepStrictEqual([...Buffer.concat(parts)], [0, 1, 2, 3]);
        const moved = await client.messageMove('1', 'Archive', { uid: true });
        assert(moved.uidMap.has(1));
        assert(await client.messageDelete('3', { uid: true }));
        assert.deepStrictEqual(await client.search({ all: true }, { uid: true }), [2]);
    } finally {
        lock.release();
    }
    await client.mailboxRename(path, ['Projekte', 'Blau']);
    await client.mailboxDelete(['Projekte', 'Blau']);
    await client.mailboxOpen('INBOX');
    const before = client.mailbox.exists;
    const exists = new Promise((resolve) => client.once('exists', resolve));
    client.idle();
    console.log('idle');
    assert.strictEqual((await exists).count, before + 1);
    const quota = await client.getQuota('INBOX');
    assert(quota.storage.limit > 0, JSON.stringify(quota));
    await client.logout();
    console.log('all is well');
}

main().catch((e) => {
    console.error(e);
    process.exit(1);
});
